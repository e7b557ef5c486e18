// The page /console: shows what GET /console/state and GET /console/panels answer. It changes nothing.
// Everything is put into the page as text, never as HTML.
"use strict";

(() => {
  const { COLOURS, at, element, drawn, usd, limit, count, large, date, duration, until, bar, table, frame, legend } = Page;
  const LEVELS = { green: ["word-good", ""], orange: ["word-near", "warning"], red: ["word-full", "bad"] };
  const WINDOWS = { today: "Day", "this week": "Week", "this month": "Month" };
  const COMMANDS = [
    ["make status", "shows what runs, and the addresses"],
    ["make doctor", "checks everything from Docker to one real request; each FAIL has a hint"],
    ["make logs S=gateway-1", "follows the log of one service"],
    ["make rollout", "replaces replicas and gateway processes, one after another, without a failed request"],
    ["make scale N=5", "changes the number of replicas; GATEWAYS=3 that of gateway processes"],
    [".venv/bin/tollgate tenant usage", "shows what each tenant spent, against its limits"],
    ["scripts/manage-tenants.sh update TENANT --daily 50", "changes a tenant's limits"],
    ["scripts/rotate-keys.sh TENANT --grace 24h", "gives a tenant a new key; the old one works for one more day"],
    ["make backup", "writes one archive"],
    [".venv/bin/tollgate certificate reload", "gives nginx a renewed certificate"],
    ["make upgrade", "changes the LiteLLM release; it checks first and asks"],
  ];

  let panels = null;

  // ---- words and numbers

  const rounded = (value) => value.toLocaleString("en-US", { maximumSignificantDigits: 3 });

  function seconds(value) {
    const size = Math.abs(value);
    if (size >= 60) return (value < 0 ? "-" : "") + duration(size);
    return size < 1 && size > 0 ? `${rounded(value * 1000)} ms` : `${rounded(value)} s`;
  }

  // A value in the words of its unit, which is one of Grafana's.
  function measured(value, unit) {
    if (value === null) return "–";
    if (unit === "s") return seconds(value);
    if (unit === "currencyUSD") return usd(value);
    if (unit === "percentunit") return `${rounded(value * 100)} %`;
    if (unit === "bool_yes_no") return value ? "yes" : "no";
    const number = Math.abs(value) >= 1e6 ? large(value) : rounded(value);
    return unit === "reqps" || unit === "cps" ? `${number}/s` : number;
  }

  // A label of an axis: `digits` behind the point are enough to tell the labels apart.
  function labelled(unit) {
    const plain = (value, digits) => value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    if (unit === "s") return (value) => (value ? seconds(value) : "0");
    if (unit === "currencyUSD") return (value, digits) => "$" + plain(value, digits);
    if (unit === "percentunit") return (value, digits) => `${plain(value * 100, Math.max(0, digits - 2))} %`;
    return (value, digits) => (value >= 1e6 ? large(value) : plain(value, digits));
  }

  const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(bytes / 1e6))} MB`);

  function colour(value, steps) {
    return steps.filter(([from]) => from === null || (value !== null && value >= from)).pop()[1];
  }

  // ---- alerts

  function alertItem(alert) {
    const level = ["page", "ticket"].includes(alert.severity) ? alert.severity : "";
    const title = element("p", {}, element("strong", {}, alert.name), element("span", { class: `tag ${level}` }, alert.severity || "alert"));
    const about = element("p", { class: "quiet" }, `Since ${date(alert.since + "Z")}. `);
    if (alert.runbook) about.append("What to do: ", element("code", {}, alert.runbook));
    return element("li", {}, title, element("p", {}, alert.summary), element("p", { class: "quiet" }, alert.description), about);
  }

  function showAlerts(told) {
    const found = [];
    if (told.problem) found.push(element("p", {}, `Alerts are not known. ${told.problem}`));
    if (told.watchdog === false) {
      found.push(element("p", {}, "The alert Watchdog does not fire, although it always should. Prometheus evaluates no rules, so no alert can fire."));
    }
    if (told.firing.length) found.push(element("ul", { class: "alerts" }, ...told.firing.map(alertItem)));
    else if (!told.problem) found.push(element("p", { class: "quiet" }, "No alert fires."));
    at("alerts").replaceChildren(...found);
  }

  // ---- what runs

  function part(name, version, lines) {
    const facts = lines.filter((line) => line !== null).map((line) => element("p", { class: "quiet" }, line));
    return element("article", { class: "card" }, element("h3", {}, name), element("p", { class: "amount" }, version), ...facts);
  }

  const since = (iso, now) => `Runs for ${seconds(Math.max(0, new Date(now) - new Date(iso)) / 1000)}, since ${date(iso)}.`;

  function processPart(one, now) {
    const ledger = one.ledger;
    const route = one.route === "direct" ? "Route: direct. Models that only LiteLLM has go there." : "Route: LiteLLM serves every request.";
    const waiting = `Calls that wait for Postgres: ${count(ledger.waiting)}. Journal lag: ${seconds(ledger.lag_s)}.`;
    const away = [
      one.redis ? null : "Redis is away: this process counts limits alone.",
      one.listening ? null : "Postgres does not tell this process about changed keys.",
      ledger.failing ? `Calls do not reach Postgres: ${ledger.failing}.` : null,
      ledger.unwritten ? `The disk did not take ${count(ledger.unwritten)} lines of the journal.` : null,
      ledger.set_aside ? `Postgres refuses ${count(ledger.set_aside)} calls for their data.` : null,
    ];
    const running = `Requests that run in it: ${count(one.running)}, with the one of this page.`;
    return part(`Tollgate, ${one.name}`, one.version, [since(one.started, now), route, running, waiting, ...away]);
  }

  function storePart(name, told, now) {
    if (told.problem) return part(name, "–", [told.problem]);
    const room = told.most_bytes ? `${size(told.bytes)} of ${size(told.most_bytes)} used.` : `${size(told.bytes)} used.`;
    return part(name, told.version, [since(told.started, now), room]);
  }

  function showParts(told) {
    const names = told.nginx.servers.map((server) => server.name);
    const replicas = names.filter((name) => name.startsWith("litellm-")).length;
    const known = told.nginx.problem ? [] : [`nginx knows ${replicas} replicas and ${names.length - replicas} gateway processes.`];
    at("parts").replaceChildren(
      processPart(told.process, told.at),
      part("LiteLLM", told.litellm.version || "not known", ["The release of the last deploy.", ...known]),
      storePart("Postgres", told.postgres, told.at),
      storePart("Redis", told.redis, told.at),
    );
    at("servers-problem").hidden = !told.nginx.problem;
    at("servers-problem").textContent = told.nginx.problem ? `Drained servers are not known. ${told.nginx.problem}` : "";
    at("servers").replaceChildren(...told.nginx.servers.map((server) => element("li", { class: server.takes ? "" : "out" },
      server.takes ? `${server.name}: gets requests` : `${server.name}: drained or silent, gets no new requests`)));
  }

  // ---- panels

  function values(panel) {
    const lines = panel.series.map((one) => {
      const [level, word] = LEVELS[colour(one.values[0], panel.steps)] || ["", ""];
      const value = element("dd", { class: level }, measured(one.values[0], panel.unit));
      if (word) value.append(element("span", { class: "tag" }, word));
      return element("div", {}, element("dt", {}, one.name), value);
    });
    return element("dl", { class: "values" }, ...lines);
  }

  function bars(panel) {
    const highest = Math.max(...panel.series.map((one) => one.values[0] || 0), 0);
    return element("dl", { class: "values" }, ...panel.series.map((one) => element("div", {},
      element("dt", {}, one.name, share(highest ? (one.values[0] || 0) / highest : 0)),
      element("dd", {}, measured(one.values[0], panel.unit)))));
  }

  // Only a picture of the number beside it.
  function share(part) {
    const fill = element("span", { class: "s0" });
    fill.style.width = `${Math.max(1, part * 100)}%`;
    return element("div", { class: "bar", "aria-hidden": "true" }, fill);
  }

  const last = (values) => values.reduce((found, value) => (value === null ? found : value), null);

  // The lines of one series: a new one after each gap.
  function path(points) {
    let text = "";
    points.forEach((point, index) => {
      if (point !== null) text += (index > 0 && points[index - 1] !== null ? "L" : "M") + point[0].toFixed(1) + " " + point[1].toFixed(1);
    });
    return text;
  }

  function stacked(series) {
    const base = series[0].values.map(() => 0);
    return series.map((one) => one.values.map((value, index) => {
      const from = base[index];
      base[index] += value || 0;
      return [from, base[index]];
    }));
  }

  function lines(panel, width, times) {
    const stack = panel.stacked ? stacked(panel.series) : null;
    const all = stack ? stack.flat().map(([, to]) => to) : panel.series.flatMap((one) => one.values.filter((value) => value !== null));
    const highest = Math.max(0, ...all);
    const words = panel.series.map((one) => `${one.name} ${measured(last(one.values), panel.unit)}`).join(", ");
    const { svg, left, right, bottom, y } = frame(width, 170, highest, labelled(panel.unit), `${panel.title}: now ${words}`);
    const number = panel.series[0].values.length;
    const x = (index) => left + (number > 1 ? (index / (number - 1)) * (right - left) : 0);
    panel.series.forEach((one, place) => {
      if (!stack) {
        const points = one.values.map((value, index) => (value === null ? null : [x(index), y(value)]));
        svg.append(drawn("path", { class: `l${place % COLOURS}`, d: path(points) }));
        return;
      }
      const over = stack[place].map(([, to], index) => [x(index), y(to)]);
      const under = stack[place].map(([from], index) => [x(index), y(from)]).reverse();
      svg.append(drawn("path", { class: `area s${place % COLOURS}`, d: `${path(over)}${path(under).replace("M", "L")}Z` }));
    });
    for (const [anchor, place, moment] of [["start", left, times.since], ["end", right, times.until]]) {
      svg.append(drawn("text", { x: place, y: bottom + 18, "text-anchor": anchor }, date(new Date(moment * 1000).toISOString())));
    }
    return svg;
  }

  function panelCard(panel, times) {
    const card = element("article", { class: "card" }, element("h3", {}, panel.title));
    const about = element("p", { class: "about" }, panel.description);
    if (panel.kind !== "stat") card.append(about);
    if (panel.problem) card.append(element("p", { class: "empty" }, `Not known. ${panel.problem}`));
    else if (panel.series.length === 0) card.append(element("p", { class: "empty" }, "No data."));
    else if (panel.kind === "stat") card.append(values(panel));
    else if (panel.kind === "bargauge") card.append(bars(panel));
    else {
      card.append(element("div", { class: "chart" }, lines(panel, chartWidth(), times)));
      const names = panel.series.map((one) => `${one.name} · ${measured(last(one.values), panel.unit)}`);
      card.append(element("ul", { class: "legend small-legend" }, ...legend(names)));
    }
    if (panel.kind === "stat") card.append(about);
    if (panel.left_out) card.append(element("p", { class: "quiet" }, `${count(panel.left_out)} smaller ones are not shown.`));
    return card;
  }

  function chartWidth() {
    const columns = getComputedStyle(at("charts")).gridTemplateColumns.split(" ");
    return Math.max(260, (parseFloat(columns[0]) || 380) - 34);
  }

  function drawPanels() {
    if (panels === null) return;
    const cards = (wanted) => panels.panels.filter((panel) => (panel.kind === "stat") === wanted).map((panel) => panelCard(panel, panels));
    at("now").replaceChildren(...cards(true));
    at("charts").replaceChildren(...cards(false));
  }

  async function showPanels(get) {
    const told = await get("/console/panels");
    if (told === undefined) return;
    if (told === null && panels !== null) {
      const moment = date(new Date(panels.until * 1000).toISOString());
      at("panels-problem").textContent = `The gateway process gave no newer panels. These, and the alerts, are of ${moment}.`;
      at("panels-problem").hidden = false;
      return;
    }
    const none = "This gateway process gives no panels. The figures of this page without Prometheus are right all the same.";
    const away = told === null ? none : told.panels.length === 0 ? "This deployment has rendered no panels. `make deploy` renders them." : "";
    at("panels-problem").textContent = away;
    at("panels-problem").hidden = away === "";
    panels = told;
    showAlerts(told === null ? { firing: [], watchdog: null, problem: none } : told.alerts);
    at("charts-title").textContent = told === null ? "The last hours" : `The last ${rounded((told.until - told.since) / 3600)} hours`;
    drawPanels();
  }

  // ---- money

  const usage = (id) => element("code", {}, `.venv/bin/tollgate tenant usage ${id}`);

  function who(one) {
    const name = element("span", {}, one.name);
    if (one.state !== "active") name.append(element("span", { class: "tag" }, one.state));
    if (one.name !== one.id) name.append(element("br"), element("code", { class: "quiet" }, one.id));
    return name;
  }

  function againstLimit(window) {
    const spent = element("span", {}, usd(window.spent));
    if (window.limit === null) return spent;
    const part = Number(window.limit) ? Number(window.spent) / Number(window.limit) : 1;
    return element("div", {}, spent, ` of ${limit(window.limit)}`, bar(part, `Share of the limit, ${window.window}`));
  }

  const more = (number, what) => (number ? [element("p", { class: "quiet" }, `${count(number)} more ${what}. `, element("code", {}, ".venv/bin/tollgate tenant usage"), " shows all.")] : []);

  function endsAt(one, now) {
    if (Number(one.spent) >= Number(one.limit)) return element("span", { class: "word-full" }, "has ended");
    return one.ends === null || one.ends >= one.reopens ? "after it begins again" : until(one.ends, now);
  }

  function showEnding(money, now) {
    if (money.ending.length === 0) {
      at("ending").replaceChildren(element("p", { class: "quiet" }, "No tenant's budget ends before its window does, at the pace so far."));
      return;
    }
    const rows = money.ending.map((one) => [
      who(one), WINDOWS[one.window] || one.window, againstLimit(one),
      endsAt(one, now),
      until(one.reopens, now), usage(one.id),
    ]);
    const headings = [["Tenant"], ["Window"], ["Spent"], ["Ends at this pace"], ["Begins again"], ["Look closer"]];
    at("ending").replaceChildren(...table("Budgets that end soon", headings, rows), ...more(money.more_ending, "budgets"));
  }

  function showMoney(money, now) {
    if (money.problem) {
      for (const id of ["ending", "tenants", "models"]) at(id).replaceChildren(element("p", {}, `Not known. ${money.problem}`));
      return;
    }
    showEnding(money, now);
    const tenants = money.tenants.map((one) => [who(one), ...one.windows.map(againstLimit), count(one.requests), count(one.failed)]);
    const headings = [["Tenant"], ["Today"], ["This week"], ["This month"], ["Requests", "number"], ["Failed", "number"]];
    at("tenants").replaceChildren(...table("Money by tenant", headings, tenants), ...more(money.more_tenants, "tenants"));
    const models = money.models.map((one) => [one.model, usd(one.today), usd(one.month), count(one.requests), count(one.failed),
      large(one.input_tokens), large(one.output_tokens)]);
    const numbers = ["Today", "This month", "Requests", "Failed", "Tokens in", "Tokens out"].map((name) => [name, "number"]);
    at("models").replaceChildren(...table("Money by model", [["Model"], ...numbers], models), ...more(money.more_models, "models"));
  }

  // ---- refusals and failures

  function what(one) {
    const code = element("span", {}, one.code);
    if (one.failed) code.append(element("span", { class: "tag page" }, "failure"));
    return code;
  }

  function showRefusals(refusals) {
    if (refusals.length === 0) {
      at("refusals").replaceChildren(element("p", { class: "quiet" }, "Nothing was refused and nothing failed in the last seven days."));
      return;
    }
    const rows = refusals.map((one) => [
      date(one.at), `${one.tenant || "no tenant"}, ${one.key || "no key"}`, one.model || "–", String(one.status), what(one),
      element("span", {}, one.sentence, element("br"), element("code", { class: "quiet" }, one.request_id)),
    ]);
    const headings = [["Time"], ["Tenant and key"], ["Model"], ["Status", "number"], ["Code"], ["Reason and request id"]];
    at("refusals").replaceChildren(...table("Last refusals and failures", headings, rows));
  }

  // ---- the whole page

  function show(told) {
    const name = told.process.name;
    at("subtitle").textContent = `${name} answered. Each panel is one of Grafana's; other figures are of ${name}, Postgres, Redis and nginx.`;
    showParts(told);
    showMoney(told.money, told.at);
    showRefusals(told.refusals);
    at("commands").replaceChildren(...table("Commands", [["Command"], ["What it does"]],
      COMMANDS.map(([command, what]) => [element("code", {}, command), what])));
    at("moment").textContent = `As of ${date(told.at)}. The page asks again every 30 seconds while you look at it.`;
    if (panels === null) at("alerts").replaceChildren(element("p", { class: "quiet" }, "Asking Prometheus."));
  }

  function clear() {
    panels = null;
    for (const id of ["alerts", "parts", "servers", "now", "ending", "charts", "tenants", "models", "refusals", "commands"]) at(id).replaceChildren();
    for (const id of ["moment", "servers-problem", "panels-problem"]) at(id).textContent = "";
    at("servers-problem").hidden = at("panels-problem").hidden = true;
  }

  const subtitle = "What runs, what it costs, and what needs you. It changes nothing.";
  at("subtitle").textContent = subtitle;
  Page.session({ path: "/console/state", everyMs: 30000, show, more: showPanels, clear, title: "Console", subtitle });
  Page.watchWidth("charts", drawPanels);
})();

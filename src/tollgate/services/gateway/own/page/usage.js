// The page /usage: shows what GET /gateway/usage answers.
// Everything is put into the page as text, never as HTML.
"use strict";

(() => {
  const { COLOURS, at, element, drawn, usd, limit, count, large, date, until, bar, table, frame, legend } = Page;
  const WINDOWS = { day: "Today", week: "This week", month: "This month" };
  const UNITS = { minute: "this minute", hour: "this hour", day: "today" };
  const WHAT = { requests: "Requests", tokens: "Tokens", at_once: "Running at once" };
  const KINDS = { input: "input", output: "output", cache_read: "cache read" };

  let shown = null;

  // ---- words and numbers

  const price = (text) => "$" + Number(text).toLocaleString("en-US", { maximumFractionDigits: 6 });

  function size(tokens) {
    if (tokens === null) return "–";
    return tokens >= 1e6 ? tokens / 1e6 + "M" : tokens >= 1000 ? Math.round(tokens / 1000) + "k" : String(tokens);
  }

  function dayName(iso) {
    return new Date(iso + "T00:00:00Z").toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  }

  // ---- bars

  function state(share) {
    if (share >= 1) return element("span", { class: "word-full" }, "Limit reached. ");
    return share >= 0.8 ? element("span", { class: "word-near" }, "Nearly reached. ") : null;
  }

  function moneyCard(entry, now) {
    const whose = { tenant: "", key: ", this key", model: `, ${entry.model}` }[entry.scope];
    const name = WINDOWS[entry.window] + whose;
    const amount = element("p", { class: "amount", title: "$" + entry.spent }, usd(entry.spent));
    const card = element("article", { class: "card" }, element("h3", {}, name), amount);
    if (entry.limit === null) {
      card.append(element("p", { class: "quiet" }, "No limit."));
      return card;
    }
    amount.append(element("span", {}, ` of ${limit(entry.limit)}`));
    // The limiter also counts requests that run, so what is left decides.
    const share = Number(entry.limit) ? 1 - Number(entry.left) / Number(entry.limit) : 1;
    card.append(
      bar(share, `${name}: share of the limit`),
      element("p", { class: "quiet" }, state(share), `${usd(entry.left)} left. Resets ${until(entry.resets_at, now)}`,
        ` (${date(entry.resets_at)}).`),
    );
    return card;
  }

  function rateCard(entry, now) {
    const when = entry.window === null ? "" : ` ${UNITS[entry.window] || entry.window}`;
    const name = WHAT[entry.what] + when + (entry.scope === "key" ? ", this key" : "");
    const used = entry.used === null ? "?" : large(entry.used);
    const amount = element("p", { class: "amount" }, used, element("span", {}, ` of ${large(entry.limit)}`));
    const card = element("article", { class: "card" }, element("h3", {}, name), amount);
    if (entry.used !== null) card.append(bar(entry.used / entry.limit, `${name}: share of the limit`));
    const again = entry.resets_at === null ? null : `Resets ${until(entry.resets_at, now)}.`;
    if (again) card.append(element("p", { class: "quiet" }, again));
    return card;
  }

  // ---- the chart by day and model

  function series(days) {
    const totals = new Map();
    for (const day of days) {
      for (const [name, used] of Object.entries(day.models)) totals.set(name, (totals.get(name) || 0) + Number(used.spent));
    }
    const names = [...totals.entries()].sort((one, other) => other[1] - one[1]).map(([name]) => name);
    if (names.length <= COLOURS) return names.map((name) => ({ name, of: [name], total: totals.get(name) }));
    const top = names.slice(0, COLOURS - 1).map((name) => ({ name, of: [name], total: totals.get(name) }));
    const rest = names.slice(COLOURS - 1);
    const sum = rest.reduce((all, name) => all + totals.get(name), 0);
    return [...top, { name: `${rest.length} other models`, of: rest, total: sum }];
  }

  const spentOn = (day, one) => one.of.reduce((sum, name) => sum + Number((day.models[name] || { spent: 0 }).spent), 0);

  function axis(amount, digits) {
    return "$" + amount.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  function chart(days, all, width) {
    const highest = Math.max(...days.map((day) => Number(day.spent)));
    const sum = days.reduce((whole, day) => whole + Number(day.spent), 0);
    const title =
      `Spend by day and model over the last ${days.length} days: ${usd(sum)} in all, at most ${usd(highest)} a day.`;
    const height = width < 500 ? 190 : 230;
    const { svg, left, right, bottom, y } = frame(width, height, highest, axis, title);
    const slot = (right - left) / days.length;
    const every = Math.ceil(66 / slot);
    days.forEach((day, index) => {
      const x = left + index * slot;
      let base = 0;
      const group = drawn("g", {});
      group.append(drawn("title", {}, `${dayName(day.day)}: ${usd(day.spent)}, ${count(day.requests)} requests`));
      group.append(drawn("rect", { x, y: 10, width: slot, height: bottom - 10, "fill-opacity": 0 }));
      all.forEach((one, number) => {
        const spent = spentOn(day, one);
        if (spent <= 0) return;
        const tall = y(base) - y(base + spent);
        group.append(drawn("rect", {
          class: "s" + number, x: x + slot * 0.12, width: slot * 0.76, y: y(base + spent), height: Math.max(tall, 0.5),
        }));
        base += spent;
      });
      svg.append(group);
      if ((days.length - 1 - index) % every === 0) {
        const end = index === days.length - 1;
        const place = { x: end ? right : x + slot / 2, y: height - 6, "text-anchor": end ? "end" : "middle" };
        svg.append(drawn("text", place, dayName(day.day)));
      }
    });
    return svg;
  }

  function drawChart() {
    if (shown === null) return;
    const all = series(shown.days);
    at("chart").replaceChildren(chart(shown.days, all, Math.max(280, at("chart").clientWidth || 600)));
    at("legend").replaceChildren(...legend(all.map((one) => `${one.name} · ${usd(one.total)}`)));
  }

  // ---- the whole page

  function showDays(days) {
    const spent = days.reduce((sum, day) => sum + Number(day.spent), 0);
    const requests = days.reduce((sum, day) => sum + day.requests, 0);
    const failed = days.reduce((sum, day) => sum + day.failed, 0);
    at("days-sum").textContent =
      `${usd(spent)} for ${count(requests)} requests; ${count(failed)} of them failed. Days begin at 00:00 UTC.`;
    const rows = [...days].reverse().map((day) => [
      dayName(day.day), usd(day.spent), count(day.requests), count(day.failed), large(day.input_tokens),
      large(day.output_tokens), Object.entries(day.models).map(([name, used]) => `${name} ${usd(used.spent)}`).join(", "),
    ]);
    const right = ["Spent", "Requests", "Failed", "Tokens in", "Tokens out"].map((name) => [name, "number"]);
    at("days-table").replaceChildren(...table("Spend by day and model", [["Day"], ...right, ["Models"]], rows));
  }

  function showRefusals(told) {
    if (told.refusals.length === 0) {
      at("refusals").replaceChildren(element("p", { class: "quiet" }, "Nothing was refused in the last seven days."));
      return;
    }
    at("refusals").replaceChildren(element("ul", { class: "refusals" }, ...told.refusals.map((one) => {
      const about = [date(one.at), `status ${one.status}`];
      if (one.model) about.push(one.model);
      if (one.key) about.push(`key ${one.key}`);
      const id = element("p", { class: "quiet" }, about.join(" · ") + " · request ", element("code", {}, one.request_id));
      return element("li", {}, element("p", {}, one.sentence), id);
    })));
  }

  function keyCell(one) {
    const marks = [];
    if (one.yours) marks.push(element("span", { class: "tag" }, "yours"));
    if (one.state !== "active") marks.push(element("span", { class: "tag" }, one.state));
    return element("span", {}, one.name, ...marks);
  }

  function modelCells(model) {
    const told = model.tollgate;
    const name = element("span", {}, model.display_name);
    if (model.display_name !== model.id) name.append(element("br"), element("code", { class: "quiet" }, model.id));
    if (model.description) name.append(element("br"), element("span", { class: "quiet" }, model.description));
    const prices = Object.keys(KINDS).map((kind) => {
      if (told.price === null) return "–";
      if (told.free) return "free";
      return told.price[kind] === undefined ? "as input" : price(told.price[kind]);
    });
    const able = told.mode === "chat" ? told.capabilities.map((word) => word.replace("_", " ")).join(", ") : told.mode;
    return [name, ...prices, size(told.context_tokens), size(told.max_output_tokens), able];
  }

  function connectLines(lines) {
    const own = (line) => (line.startsWith("export ANTHROPIC_BASE_URL=") ? `export ANTHROPIC_BASE_URL=${location.origin}` : line);
    return lines.map(own).join("\n");
  }

  function show(told) {
    shown = told;
    const name = told.tenant_name || told.tenant;
    document.title = `Usage of ${name}`;
    at("title").textContent = name;
    const end = told.key_expires_at ? ` This key ends on ${date(told.key_expires_at)}.` : "";
    const ask = told.owner ? ` Questions about limits: ${told.owner}.` : "";
    at("subtitle").textContent = `Tenant ${told.tenant}, key ${told.key}.${end}${ask}`;
    at("money").replaceChildren(...told.money.map((entry) => moneyCard(entry, told.at)));
    at("soft").hidden = !(told.soft_limit && told.soft_limit.reached);
    if (told.soft_limit) {
      at("soft").textContent = `The soft limit of ${limit(told.soft_limit.limit)} is reached. Nothing is refused for it.`;
    }
    at("rates-section").hidden = told.rates.length === 0;
    at("rates").replaceChildren(...told.rates.map((entry) => rateCard(entry, told.at)));
    showDays(told.days);
    showRefusals(told);
    const keys = told.keys.map((one) => [keyCell(one), usd(one.spent), count(one.requests)]);
    at("keys").replaceChildren(...table("Spend by key, this month", [["Key"], ["Spent", "number"], ["Requests", "number"]], keys));
    const prices = Object.values(KINDS).map((kind) => [`$/M ${kind}`, "number"]);
    const sizes = [["Context", "number"], ["Longest answer", "number"], ["It can"]];
    at("models").replaceChildren(...table("Models, prices and sizes", [["Model"], ...prices, ...sizes], told.models.map(modelCells)));
    at("connect").textContent = connectLines(told.connect);
    at("moment").textContent = `As of ${date(told.at)}. A request appears one or two seconds after it has ended.`;
  }

  function clear() {
    shown = null;
    for (const id of ["money", "rates", "chart", "legend", "days-table", "refusals", "keys", "models", "connect"]) at(id).replaceChildren();
    for (const id of ["moment", "days-sum", "soft"]) at(id).textContent = "";
  }

  at("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(at("connect").textContent);
      at("told").textContent = at("copy").textContent = "Copied";
    } catch {
      // Without TLS a browser has no clipboard for pages.
      getSelection().selectAllChildren(at("connect"));
      at("told").textContent = at("copy").textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { at("copy").textContent = "Copy the lines"; }, 3000);
  });
  Page.session({
    path: "/gateway/usage", everyMs: 30000, show, clear, drawn: drawChart,
    title: "Usage", subtitle: "What your team has spent, and what it may still use.",
  });
  Page.watchWidth("chart", drawChart);
})();

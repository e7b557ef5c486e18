// What the pages /usage and /console share: elements, words and numbers, tables, the frame of a chart, and the key.
// Everything is put into a page as text, never as HTML.
"use strict";

const Page = (() => {
  const ROWS = 35;
  const COLOURS = 6;
  const SVG = "http://www.w3.org/2000/svg";

  const at = (id) => document.getElementById(id);

  function element(name, options, ...children) {
    const made = document.createElement(name);
    for (const [what, value] of Object.entries(options || {})) {
      if (what === "class") made.className = value;
      else made.setAttribute(what, value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  function drawn(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [what, value] of Object.entries(attributes)) made.setAttribute(what, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // ---- words and numbers

  function usd(text) {
    const amount = Number(text);
    if (amount > 0 && amount < 0.0001) return "<$0.0001";
    const digits = amount > 0 && amount < 1 ? 4 : 2;
    return "$" + amount.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  const limit = (text) => (Number.isInteger(Number(text)) ? "$" + Number(text).toLocaleString("en-US") : usd(text));
  const count = (number) => number.toLocaleString("en-US");

  function large(number) {
    if (number >= 1e9) return (number / 1e9).toFixed(2) + "B";
    return number >= 1e6 ? (number / 1e6).toFixed(2) + "M" : count(number);
  }

  function date(iso) {
    const options = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    if (iso.slice(0, 4) !== new Date().toISOString().slice(0, 4)) options.year = "numeric";
    return new Date(iso).toLocaleString("en-GB", { ...options, timeZone: "UTC" }) + " UTC";
  }

  function duration(seconds) {
    const minutes = Math.floor(seconds / 60);
    const days = Math.floor(minutes / 1440);
    const hours = Math.floor(minutes / 60) % 24;
    if (days) return `${days} d ${hours} h`;
    return hours ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
  }

  function until(iso, now) {
    const seconds = Math.max(0, (new Date(iso) - new Date(now)) / 1000);
    return seconds < 60 ? `in ${Math.ceil(seconds)} s` : `in ${duration(seconds)}`;
  }

  // ---- bars and tables

  function bar(share, label) {
    const level = share >= 1 ? "full" : share >= 0.8 ? "near" : "";
    const percent = Math.min(100, Math.max(share > 0 ? 1 : 0, share * 100));
    const fill = element("span");
    fill.style.width = percent + "%";
    const meter = { role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" };
    return element("div", { class: "bar " + level, ...meter, "aria-valuenow": String(Math.round(percent)) }, fill);
  }

  function table(caption, headings, rows) {
    const numbers = headings.map(([, kind]) => kind === "number");
    const head = headings.map(([text], index) => element("th", { scope: "col", class: numbers[index] ? "number" : "" }, text));
    const made = element("table", {}, element("caption", { class: "unseen" }, caption),
      element("thead", {}, element("tr", {}, ...head)));
    const body = element("tbody");
    const add = (cells) => body.append(element("tr", {}, ...cells.map((cell, index) =>
      index === 0 ? element("th", { scope: "row" }, cell) : element("td", { class: numbers[index] ? "number" : "" }, cell))));
    rows.slice(0, ROWS).forEach(add);
    made.append(body);
    if (rows.length <= ROWS) return [made];
    const more = element("button", { type: "button" }, `Show all ${count(rows.length)}`);
    more.addEventListener("click", () => {
      rows.slice(ROWS).forEach(add);
      more.remove();
      made.parentElement.focus();
    });
    return [made, more];
  }

  // ---- charts

  function step(highest) {
    const rough = highest / 3;
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
  }

  // The digits behind the point that the labels of an axis need.
  const digits = (tick) => Math.max(0, Math.min(6, Math.ceil(-Math.log10(tick)) + (String(tick).includes("25") ? 1 : 0)));

  // An empty chart with a labelled axis from zero to `highest`. `words(amount, digits)` is a label.
  function frame(width, height, highest, words, title) {
    const tick = highest > 0 ? step(highest) : 1;
    const top = highest > 0 ? Math.ceil(highest / tick - 1e-9) * tick : 1;
    const labels = [];
    for (let amount = 0; amount <= top + tick / 2; amount += tick) labels.push([amount, words(amount, digits(tick))]);
    const left = 12 + 7 * Math.max(...labels.map(([, text]) => text.length));
    const right = width - 4;
    const bottom = height - 24;
    const y = (amount) => bottom - (amount / top) * (bottom - 10);
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
    svg.append(drawn("title", {}, title));
    for (const [amount, text] of labels) {
      svg.append(drawn("line", { x1: left, x2: right, y1: y(amount), y2: y(amount) }));
      svg.append(drawn("text", { x: left - 6, y: y(amount) + 4, "text-anchor": "end" }, text));
    }
    return { svg, left, right, bottom, y };
  }

  function legend(words) {
    return words.map((text, number) => element("li", {}, element("i", { class: "s" + number, "aria-hidden": "true" }), text));
  }

  // Calls `draw` when the width of an element has changed.
  function watchWidth(id, draw) {
    let width = 0;
    new ResizeObserver(() => {
      if (at(id).clientWidth === width) return;
      width = at(id).clientWidth;
      draw();
    }).observe(at(id));
  }

  // ---- the key: in this closure, in no storage, no address and no attribute

  // `page`: `path` is asked every `everyMs`; `show(told)` shows its answer; `more(get)` may ask for more after it;
  // `clear()` empties the page; `title` and `subtitle` stand there before a key is known.
  function session(page) {
    let key = "";
    let moment = "";
    let timer = 0;

    const options = { cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", redirect: "error" };
    const ask = (path, asked) => fetch(path, { headers: { "x-api-key": asked }, ...options });

    function problem(words) {
      at("problem").textContent = words;
      at("problem").hidden = words === "";
    }

    function forget(words) {
      key = "";
      moment = "";
      clearTimeout(timer);
      at("ask").hidden = false;
      at("figures").hidden = at("actions").hidden = true;
      page.clear();
      document.title = at("title").textContent = page.title;
      at("subtitle").textContent = page.subtitle;
      problem(words);
      at("key").focus();
    }

    function shown(told, first) {
      moment = told.at;
      page.show(told);
      at("ask").hidden = true;
      at("figures").hidden = at("actions").hidden = false;
      if (page.drawn) page.drawn();
      problem("");
      if (first) at("title").focus();
      at("told").textContent = first ? "The figures are shown." : "";
    }

    // What `page.more` asks with. A failure is null; undefined if the key was forgotten or changed meanwhile.
    async function get(path) {
      const asked = key;
      try {
        const answer = await ask(path, asked);
        const told = await answer.json();
        return asked !== key ? undefined : answer.ok ? told : null;
      } catch {
        return asked !== key ? undefined : null;
      }
    }

    async function load(first) {
      clearTimeout(timer);
      const asked = key;
      at("show").disabled = at("refresh").disabled = true;
      let wait = page.everyMs;
      try {
        const answer = await ask(page.path, asked);
        const told = await answer.json();
        if (asked !== key) return;
        if (answer.ok) {
          shown(told, first);
          if (page.more) await page.more(get);
        } else if (answer.status === 401 || answer.status === 403 || first) {
          forget(told.error.message);
        } else {
          wait = 1000 * Math.max(5, Number(answer.headers.get("retry-after")) || 0);
          problem(`${told.error.message} The figures below are of ${date(moment)}.`);
        }
      } catch {
        if (asked !== key) return;
        const words = "The gateway cannot be reached from this browser.";
        if (moment === "") forget(words);
        else problem(`${words} The figures below are of ${date(moment)}.`);
      } finally {
        at("show").disabled = at("refresh").disabled = false;
        if (key !== "") timer = setTimeout(() => (document.hidden ? undefined : load(false)), wait);
      }
    }

    at("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      const typed = at("key").value.trim();
      at("key").value = "";
      if (!/^[!-~]{1,255}$/.test(typed)) {
        forget("This is not a key: a key has only letters, digits and signs, without blanks.");
        return;
      }
      key = typed;
      load(true);
    });
    at("refresh").addEventListener("click", () => load(false));
    at("forget").addEventListener("click", () => forget(""));
    document.addEventListener("visibilitychange", () => { if (!document.hidden && key !== "") load(false); });
    // A page that the browser keeps for its Back button must not keep the key.
    addEventListener("pagehide", () => {
      at("key").value = "";
      forget("");
    });
  }

  return { COLOURS, at, element, drawn, usd, limit, count, large, date, duration, until, bar, table, frame, legend, watchWidth, session };
})();

// The sales page: the filter, what is asked when, and where the answer goes. How answers look stands in sales-view.js.

import { ask } from "./api.js";
import { TimeChart } from "./charts.js";
import { Combobox } from "./combobox.js";
import { date, refill, status, tiles, waitingTiles } from "./figures.js";
import { keyForm } from "./key-form.js";
import * as look from "./sales-view.js";
import { byId, element, notice, skeleton } from "./view.js";

const ALL = "All countries";
const RENEW_EVERY = 60_000;
const TYPING = 500; // milliseconds after which a date is taken as typed to its end

let shown = null; // the answer on the page
let asking = new AbortController();
const filter = { country: "", from: "", to: "" };
const PARTS = Object.keys(filter);

const charts = {
  months: new TimeChart(byId("months"), { kind: "columns", what: "Net revenue by month", height: 260 }),
  quarters: new TimeChart(byId("quarters"), { kind: "columns", what: "Net revenue by quarter", height: 260 }),
  weeks: new TimeChart(byId("weeks"), { kind: "area", what: "Net revenue by week", height: 260 }),
};

const needsKey = keyForm("/v1/sales?top=1", () => byId("country").focus());

function query() {
  const chosen = new URLSearchParams();
  for (const part of PARTS) if (filter[part]) chosen.set(part, filter[part]);
  return chosen.size ? `?${chosen}` : "";
}

function fromAddress() {
  const given = new URLSearchParams(location.search);
  for (const part of PARTS) filter[part] = given.get(part) ?? "";
  load();
}

// Take over a change of the filter, and keep it in the address.
function choose(change) {
  const before = query();
  Object.assign(filter, change);
  if (query() !== before) history.pushState(null, "", `/sales${query()}`);
  load();
}

// The day that a date stands at while nothing was chosen: the first there is, or the last.
function bound(name) {
  return (name === "from" ? shown?.choices.first_day : shown?.choices.last_day) ?? "";
}

async function load() {
  showFilter();
  if (filter.from && filter.to && filter.from > filter.to) {
    byId("dates-error").textContent = "The first day lies after the last one. Turn them round.";
    for (const name of ["from", "to"]) byId(name).setAttribute("aria-invalid", "true");
    return;
  }
  asking.abort();
  const asked = (asking = new AbortController());
  byId("sales").setAttribute("aria-busy", "true");
  try {
    const told = await ask(`/v1/sales${query()}`, { signal: asked.signal });
    show(told);
    byId("live").textContent = look.summary(told);
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("sales").hidden = true;
    const locked = needsKey(error, load);
    byId("trouble").replaceChildren(...(locked ? [] : [notice(error.message, error.status === 404 || error.status === 422 ? null : load)]));
    status(error.status === 0 ? "Not connected" : locked ? "An API key is needed" : "There are no sales to show", false);
    if (!locked && !shown) knowChoices();
  } finally {
    if (asked === asking) byId("sales").setAttribute("aria-busy", "false");
  }
}

// A filter that the server refuses leaves the page without the choices there are: they are asked for without one.
async function knowChoices() {
  if (!query()) return;
  try {
    shown = await ask("/v1/sales?top=1");
    showFilter();
  } catch {
    shown = null; // the notice on the page has said what is wrong
  }
}

function show(told) {
  shown = told;
  byId("trouble").replaceChildren();
  byId("sales").hidden = false;
  status(`Sales up to ${date(told.as_of)}`, true);
  showFilter();
  byId("tiles").replaceChildren(...tiles(look.totals(told)));
  byId("charts").hidden = !told.totals.lines;
  if (!told.totals.lines) return byId("trouble").replaceChildren(look.nothing(told));
  showPeriods("months", "month", look.monthPoints(told));
  showPeriods("quarters", "quarter", look.quarterPoints(told));
  showPeriods("weeks", "week", look.weekPoints(told), [["Invoices", "invoices"], ["Pieces", "quantity"]]);
  refill("seasons", look.seasons(told));
  refill("countries", look.countries(told, (country) => choose({ country: country === filter.country ? "" : country })));
  refill("customers", look.customers(told));
}

function showPeriods(name, word, points, more) {
  const caption = `Net revenue by ${word}`;
  const says = element("p", "says", look.highest(points));
  refill(name, [says, charts[name].box, ...look.partialNote(points, word), look.periodNumbers(caption, word[0].toUpperCase() + word.slice(1), points, more)]);
  charts[name].show(points);
}

function showFilter() {
  if (document.activeElement !== byId("country")) byId("country").value = filter.country || ALL;
  for (const name of ["from", "to"]) {
    if (document.activeElement !== byId(name)) byId(name).value = filter[name] || bound(name);
    byId(name).removeAttribute("aria-invalid");
  }
  byId("dates-error").textContent = "";
  document.title = filter.country ? `Sales to ${filter.country}` : "Sales";
  if (!shown) return;
  const last = bound("to");
  const ranges = [
    ["All days", "", ""],
    ["Last 30 days", look.plus(last, -29), last],
    ["Last 90 days", look.plus(last, -89), last],
    [last.slice(0, 4), `${last.slice(0, 4)}-01-01`, last],
  ];
  for (const name of ["from", "to"]) Object.assign(byId(name), { min: bound("from"), max: last });
  const focused = [...byId("ranges").children].indexOf(document.activeElement);
  byId("ranges").replaceChildren(
    ...ranges.map(([name, from, to]) => {
      const chip = element("button", "", name);
      chip.type = "button";
      chip.setAttribute("aria-pressed", String(from === filter.from && (to || last) === (filter.to || last)));
      chip.addEventListener("click", () => choose({ from, to }));
      return chip;
    }),
  );
  byId("ranges").children[focused]?.focus();
}

function findCountries(text) {
  const names = [ALL, ...(shown?.choices.countries ?? [])];
  const searched = text === (filter.country || ALL) ? "" : text.toLowerCase(); // what stands there already hides nothing
  const revenue = new Map((shown?.countries ?? []).map((one) => [one.country, look.money(one.revenue)]));
  return names.filter((name) => name.toLowerCase().includes(searched)).map((name) => ({ value: name === ALL ? "" : name, text: name, note: revenue.get(name) ?? "" }));
}

new Combobox(byId("country"), byId("country-list"), {
  search: findCountries,
  choose: (option) => choose({ country: option.value }),
  none: (text) => `Nothing was sold to a country called “${text}”.`,
  failed: (error) => byId("trouble").replaceChildren(notice(error.message)),
});
byId("country").addEventListener("blur", () => {
  byId("country").value = filter.country || ALL;
});

for (const name of ["from", "to"]) {
  let typing = 0;
  const take = () => {
    clearTimeout(typing);
    const day = byId(name).value === bound(name) ? "" : byId(name).value;
    if (byId(name).validity.badInput || (day && day < "1900")) return; // half of a date
    if (day !== filter[name]) choose({ [name]: day });
  };
  byId(name).addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(take, TYPING);
  });
  byId(name).addEventListener("blur", take);
}

// A page that stays open shows the newest day too.
async function renew() {
  if (document.hidden || !shown || byId("sales").hidden) return;
  try {
    const told = await ask(`/v1/sales${query()}`, { signal: asking.signal });
    if (JSON.stringify(told) !== JSON.stringify(shown)) show(told);
    else status(`Sales up to ${date(told.as_of)}`, true);
  } catch (error) {
    if (error.name !== "AbortError" && !needsKey(error, load)) status("Not connected", false);
  }
}

window.addEventListener("popstate", fromAddress);
for (const name of ["months", "quarters", "weeks", "seasons", "countries", "customers"]) byId(name).append(skeleton());
byId("tiles").append(...waitingTiles(5));
fromAddress();
setInterval(renew, RENEW_EVERY);

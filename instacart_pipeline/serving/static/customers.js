// The customers page: the filter, what is asked when, and where the answer goes. How answers look stands in customers-view.js.

import { ask } from "./api.js";
import { date, refill, shortDate, status, tiles, waitingTiles } from "./figures.js";
import { keyForm } from "./key-form.js";
import * as look from "./customers-view.js";
import { byId, element, notice, skeleton } from "./view.js";

const RENEW_EVERY = 60_000;
const PARTS = ["week", "country", "segment", "profit_level", "center"];
const LISTS = ["segments", "centers", "levels", "sources", "countries", "ages"];

const narrow = matchMedia("(max-width: 719px)"); // the map is drawn for the width there is

let shown = null; // the answer on the page
let asking = new AbortController();
const filter = Object.fromEntries([...PARTS, "customer"].map((part) => [part, ""]));

const needsKey = keyForm("/v1/mart", () => byId("week").focus());

const written = (parts) => {
  const chosen = new URLSearchParams(parts.filter((part) => filter[part]).map((part) => [part, filter[part]]));
  return chosen.size ? `?${chosen}` : "";
};
const query = () => written(PARTS);

function fromAddress() {
  const given = new URLSearchParams(location.search);
  for (const part of Object.keys(filter)) filter[part] = given.get(part) ?? "";
  byId("user").value = filter.customer;
  load();
  lookUp();
}

// Take over a change of the filter, and keep it in the address.
function choose(change) {
  const [before, week] = [written(Object.keys(filter)), filter.week];
  Object.assign(filter, change);
  const after = written(Object.keys(filter));
  if (after !== before) history.pushState(null, "", `/customers${after}`);
  load();
  if (filter.week !== week) lookUp();
}

// What is chosen once more is no longer chosen.
const toggle = (part) => (value) => choose({ [part]: String(value) === filter[part] ? "" : String(value) });

async function load() {
  asking.abort();
  const asked = (asking = new AbortController());
  byId("customers").setAttribute("aria-busy", "true");
  showFilter();
  try {
    const told = await ask(`/v1/mart${query()}`, { signal: asked.signal });
    show(told);
    byId("live").textContent = look.summary(told);
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("customers").hidden = true;
    const locked = needsKey(error, () => [load(), lookUp()]);
    const said = error.code === "unavailable" ? look.nothingYet(error.message) : notice(error.message, error.status === 404 || error.status === 422 ? null : load);
    byId("trouble").replaceChildren(...(locked ? [] : [said]));
    status(error.status === 0 ? "Not connected" : locked ? "An API key is needed" : "There are no customers to show", false);
    if (!locked && !shown && query()) knowChoices();
  } finally {
    if (asked === asking) byId("customers").setAttribute("aria-busy", "false");
  }
}

// A filter that the server refuses leaves the page without the choices there are: they are asked for without one.
async function knowChoices() {
  try {
    shown = await ask("/v1/mart");
    showFilter();
  } catch {
    shown = null; // the notice on the page has said what is wrong
  }
}

function show(told) {
  shown = told;
  byId("trouble").replaceChildren(...(told.totals.customers ? [] : [look.nobody()]));
  byId("customers").hidden = false;
  status(look.whichWeek(told), true);
  byId("subtitle").textContent = `As of Monday, ${date(told.as_of)}`;
  document.title = `Customers as of ${date(told.as_of)}`;
  showFilter();
  byId("tiles").replaceChildren(...tiles(look.totals(told)));
  refill("segments", look.segments(told, toggle("segment")));
  showCenters();
  refill("levels", look.levels(told, toggle("profit_level")));
  refill("sources", look.sources(told));
  refill("countries", look.countries(told, toggle("country")));
  refill("ages", look.ages(told));
}

function showCenters() {
  refill("centers", look.centers(shown, toggle("center"), narrow.matches));
}

// The choices of each field: [value, text]; the first stands for no choice.
function options() {
  const { weeks, countries, segments, profit_levels: levels, centers } = shown?.choices ?? { weeks: [], countries: [], segments: [], profit_levels: [], centers: [] };
  return {
    week: weeks.length ? weeks.map((week, at) => [at ? week : "", shortDate(week)]) : [["", "The newest"]],
    country: [["", "All countries"], ...countries.map((name) => [name, name])],
    segment: [["", "All segments"], ...segments.map(({ segment, name }) => [String(segment), name])],
    profit_level: [["", "All levels"], ...levels.map((level) => [String(level), look.level(level)])],
    center: [["", "All centres"], ...centers.map(({ id, name }) => [String(id), name])],
  };
}

function showFilter() {
  for (const [part, choices] of Object.entries(options())) {
    const field = byId(part);
    if (part === "week" && filter.week === shown?.choices.weeks[0]) filter.week = "";
    // A choice that there is not is the server's to refuse: it stands there until another is made.
    const all = choices.some(([value]) => value === filter[part]) ? choices : [...choices, [filter[part], filter[part]]];
    const now = all.map((one) => one.join("\n")).join("\n");
    if (field.dataset.choices !== now) {
      field.replaceChildren(...all.map(([value, text]) => Object.assign(element("option", "", text), { value })));
      field.dataset.choices = now;
    }
    field.value = filter[part];
    field.classList.toggle("set", Boolean(filter[part]));
  }
  byId("clear").disabled = !query();
}

async function lookUp() {
  const [field, asked] = [byId("user"), filter.customer];
  byId("user-error").textContent = "";
  field.removeAttribute("aria-invalid");
  if (!asked) return byId("one").replaceChildren();
  try {
    const told = await ask(`/v1/mart/customers/${encodeURIComponent(asked)}${written(["week"])}`);
    if (asked === filter.customer) byId("one").replaceChildren(...look.one(told));
  } catch (error) {
    byId("one").replaceChildren();
    if (needsKey(error, () => [load(), lookUp()])) return;
    byId("user-error").textContent = error.message;
    field.setAttribute("aria-invalid", "true");
  }
}

for (const part of PARTS) byId(part).addEventListener("change", () => choose({ [part]: byId(part).value }));
byId("clear").addEventListener("click", () => {
  choose(Object.fromEntries(PARTS.map((part) => [part, ""])));
  byId("week").focus(); // the button that had the focus can't be pressed any more
});
byId("one-form").addEventListener("submit", (event) => {
  event.preventDefault();
  filter.customer = byId("user").value.trim();
  history.replaceState(null, "", `/customers${written(Object.keys(filter))}`);
  lookUp();
});

// A page that stays open shows the newest week too.
async function renew() {
  if (document.hidden || !shown || byId("customers").hidden) return;
  try {
    const told = await ask(`/v1/mart${query()}`, { signal: asking.signal });
    if (JSON.stringify(told) !== JSON.stringify(shown)) show(told);
    else status(look.whichWeek(told), true);
  } catch (error) {
    if (error.name !== "AbortError" && !needsKey(error, load)) status("Not connected", false);
  }
}

narrow.addEventListener("change", () => shown && showCenters());
window.addEventListener("popstate", fromAddress);
for (const name of LISTS) byId(name).append(skeleton());
byId("tiles").append(...waitingTiles(8));
fromAddress();
setInterval(renew, RENEW_EVERY);

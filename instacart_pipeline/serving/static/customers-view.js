// What customers look like: the answers of /v1/mart as bars, tables, a map and sentences. Amounts come as text and are shown to the cent, large totals to the dollar.

import { bars, hbar, numbers } from "./charts.js";
import { centersMap } from "./centers-map.js";
import { chooser, count, date, share } from "./figures.js";
import { element } from "./view.js";

const SHOWN = 10; // countries
const LEVELS = { 1: "up to $50", 2: "more than $50, below $150", 3: "$150 and more" };

const dollars = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });
const whole = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 0 });
export const money = (amount) => dollars.format(amount); // a text is rounded as the decimal it is
const large = (amount) => (Math.abs(Number(amount)) < 1e6 ? money(amount) : whole.format(amount)); // so that it fits where it stands large
const rate = (part) => (part === null ? "–" : `${(100 * part).toFixed(1)}%`);
const number = (value, digits = 1) => (value === null ? "–" : value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const plural = (many, one, more = `${one}s`) => `${count(many)} ${many === 1 ? one : more}`;
const km = (value) => (value === null ? "–" : `${number(value, 0)} km`);
export const level = (number) => `Level ${number}: ${LEVELS[number]}`;

export function totals({ totals: told }) {
  const each = told.orders ? `${number(told.items / told.orders, 2)} items each` : "";
  return [
    ["Revenue", large(told.revenue), "spend less refunds"],
    ["Gross margin", large(told.gross_margin), Number(told.revenue) > 0 && Number(told.gross_margin) >= 0 ? `${share(Number(told.gross_margin), Number(told.revenue))} of the revenue` : ""],
    ["Spend", large(told.spend), told.buyers ? `${money(Number(told.spend) / told.buyers)} a buyer` : ""],
    ["Refunds", large(told.refunds), Number(told.spend) > 0 ? `${share(Number(told.refunds), Number(told.spend))} of the spend` : ""],
    ["Customers", count(told.customers), "registered"],
    ["Buyers", count(told.buyers), told.customers ? `${share(told.buyers, told.customers)} of the customers` : ""],
    ["Orders", count(told.orders), each],
    ["Return rate", rate(told.return_rate), `${count(told.returns)} of ${plural(told.items, "item")}`],
  ];
}

// What a card of a segment compares: [name, value, how it is said].
const COMPARED = [
  ["Mean spend", (one) => Number(one.mean_spend), (one) => (one.mean_spend === null ? "–" : money(one.mean_spend))],
  ["Mean gross margin", (one) => Number(one.mean_gross_margin), (one) => (one.mean_gross_margin === null ? "–" : money(one.mean_gross_margin))],
  ["Mean orders", (one) => one.mean_orders, (one) => number(one.mean_orders, 2)],
  ["Return rate", (one) => one.return_rate, (one) => rate(one.return_rate)],
  ["Days since last order", (one) => one.mean_days_since_order, (one) => number(one.mean_days_since_order, 0)],
];

export function segments({ segments: told, choice }, choose) {
  if (!told.length) return [element("p", "hint", "There are no segments.")];
  const most = COMPARED.map(([, value]) => Math.max(...told.map((one) => value(one) ?? 0), 0));
  const card = (one) => {
    const lines = COMPARED.map(([name, value, said], at) => element("div", "", element("dt", "", name), element("dd", "", said(one)), hbar(value(one) ?? 0, most[at])));
    const name = chooser(one.name, `Show segment ${one.segment} alone`, () => choose(one.segment));
    const size = element("p", "", element("strong", "", count(one.customers)), ` ${one.customers === 1 ? "customer" : "customers"} · ${rate(one.share)}`);
    return element("li", `segment${one.segment === choice.segment ? " marked" : ""}`, element("h3", "", name), size, element("dl", "", ...lines));
  };
  const list = element("ul", "segments", ...told.map(card));
  list.role = "list"; // Safari forgets lists without bullets
  const head = ["Segment", "Customers", "Share", "Age", "Distance", "Orders", "Items", "Return rate", "Spend", "Gross margin", "Days since order", "Sessions"];
  const rows = told.map((one) => [
    `${one.segment}. ${one.name}`, count(one.customers), rate(one.share), number(one.mean_age), km(one.mean_distance_in_km), number(one.mean_orders, 2), number(one.mean_items, 2), rate(one.return_rate),
    one.mean_spend === null ? "–" : money(one.mean_spend), one.mean_gross_margin === null ? "–" : money(one.mean_gross_margin), number(one.mean_days_since_order, 0), number(one.mean_sessions, 2),
  ]);
  return [element("p", "says", "Found by K-means, which cuts any shop into parts; whether they are groups or slices of a continuum is said by the run (asset segmentation). Each bar compares a segment with the one that has the highest figure."), list, numbers("Segments: averages a customer", head, rows)];
}

export function centers({ centers: told, choice }, choose, narrow) {
  const ranked = told.filter((one) => one.id !== null).sort((a, b) => b.customers - a.customers).map((one, at) => ({ ...one, number: at + 1, mark: one.id === choice.center, said: `${plural(one.customers, "customer")}, ${rate(one.share)}` }));
  const homeless = told.find((one) => one.id === null);
  if (!ranked.length) return [element("p", "hint", "No distribution centre is known.")];
  const map = centersMap(ranked.filter((one) => one.latitude !== null), choose, narrow);
  const cell = (className, ...content) => element("td", className, ...content);
  const row = (one) => {
    const name = chooser(one.name, `Show customers near ${one.name} alone`, () => choose(one.id));
    const near = element("small", "narrow-only", one.near_share === null ? "" : `${km(one.mean_distance_in_km)} · ${rate(one.near_share)} near`);
    const made = element("tr", one.mark ? "marked" : "", cell("", String(one.number)), cell("", name, near), cell("number", count(one.customers)), cell("number wide-only", km(one.mean_distance_in_km)), cell("number wide-only", rate(one.near_share)));
    const dot = map?.querySelector(`[data-center="${one.id}"]`);
    for (const [event, on] of [["pointerenter", true], ["pointerleave", false], ["focusin", true], ["focusout", false]]) made.addEventListener(event, () => dot?.classList.toggle("on", on));
    return made;
  };
  const heads = [["", element("span", "quiet", "Number on the map")], ["", "Centre"], ["number", "Customers"], ["number wide-only", "Distance"], ["number wide-only", "Near"]].map(([className, content]) => Object.assign(element("th", className, content), { scope: "col" }));
  const caption = "Distribution centres: the customers to whom each is the nearest, their mean distance, and how many of them live at most 500 km away";
  const table = element("table", "", element("caption", "quiet", caption), element("thead", "", element("tr", "", ...heads)), element("tbody", "", ...ranked.map(row)));
  const lost = homeless ? [element("p", "says", `The place of ${plural(homeless.customers, "customer")} is not known.`)] : [];
  return [
    element("p", "says", "Each customer counts at the centre that is nearest as the crow flies. Distances are the mean of its customers; near is at most 500 km."),
    element("div", "centers", element("div", "map", ...(map ? [map] : []), ...lost), element("div", "scroll", table)),
  ];
}

export function levels({ profit_levels: told, choice }, choose) {
  const row = (one) => ({
    name: chooser(level(one.profit_level), `Show level ${one.profit_level} alone`, () => choose(one.profit_level)),
    said: count(one.customers),
    value: one.customers,
    note: `${rate(one.share)} · spent ${money(one.spend)} · return rate ${rate(one.return_rate)}`,
    mark: one.profit_level === choice.profit_level,
  });
  const rows = told.map((one) => [level(one.profit_level), count(one.customers), rate(one.share), money(one.spend), rate(one.return_rate)]);
  return [element("p", "says", "By what a customer spent in the last year; level 1 has those who bought nothing too."), even(told.map(row)), numbers("Profit levels", ["Level", "Customers", "Share", "Spend", "Return rate"], rows)];
}

export function sources({ traffic_sources: told }) {
  const name = (one) => one.source ?? "Not known";
  const row = (one) => ({ name: name(one), said: count(one.customers), value: one.customers, note: `${rate(one.share)} · spent ${money(one.spend)}` });
  const rows = told.map((one) => [name(one), count(one.customers), rate(one.share), money(one.spend), rate(one.return_rate)]);
  return [element("p", "says", "What brings a customer to the site most often."), bars(told.map(row)), numbers("Most frequent traffic source", ["Source", "Customers", "Share", "Spend", "Return rate"], rows)];
}

// Bars in an order of their own: none is the first.
function even(rows) {
  const list = bars(rows);
  list.classList.add("even");
  return list;
}

function returns(caption, word, told, name, marked = () => false) {
  const bought = told.filter((one) => one.items > 0);
  if (!bought.length) return [element("p", "hint", "Nothing was bought.")];
  const row = (one) => ({ name: name(one), said: rate(one.return_rate), value: one.return_rate, note: `${count(one.returns)} of ${plural(one.items, "item")} · ${plural(one.customers, "customer")}`, mark: marked(one) });
  const text = (made) => (typeof made === "string" ? made : made.textContent);
  const rows = told.map((one) => [text(name(one)), rate(one.return_rate), count(one.returns), count(one.items), count(one.customers), money(one.spend)]);
  return [even(bought.slice(0, SHOWN).map(row)), numbers(caption, [word, "Return rate", "Returns", "Items", "Customers", "Spend"], rows)];
}

export function countries({ countries: told, choice }, choose) {
  const name = (one) => (one.country === null ? "Not known" : chooser(one.country, `Show ${one.country} alone`, () => choose(one.country)));
  const says = told.length > SHOWN ? `The ${SHOWN} with the most customers. ` : "";
  return [element("p", "says", `${says}Of few items a rate says little.`), ...returns("Return rate by country", "Country", told, name, (one) => choice.country !== null && one.country === choice.country)];
}

export function ages({ age_bands: told }) {
  const name = ({ first, last }) => (first === null ? "Not known" : last === null ? `${first} and over` : first === 0 ? `Under ${last + 1}` : `${first} to ${last}`);
  return [element("p", "says", "Items returned, of those bought in the last year."), ...returns("Return rate by age", "Age", told, name)];
}

export function one(told) {
  const known = (value, said = String) => (value === null ? "–" : said(value));
  const facts = [
    ["Segment", `${told.segment}. ${told.segment_name}`],
    ["Profit level", level(told.profit_level)],
    ["Spend", money(told.spend)],
    ["Refunds", money(told.refunds)],
    ["Gross margin", money(told.gross_margin)],
    ["Orders", count(told.orders)],
    ["Items", count(told.items)],
    ["Returned", told.items ? `${count(told.returns)} (${rate(told.return_rate)})` : "–"],
    ["Last order", known(told.days_since_order, (days) => `${plural(days, "day")} before`)],
    ["Nearest centre", known(told.nearest_distribution_center)],
    ["Distance", known(told.distance_in_km, (distance) => `${number(distance, 2)} km`)],
    ["Country, state", [told.country, told.state].filter((text) => text !== null).join(", ") || "–"],
    ["Age, gender", [told.age, told.gender].filter((value) => value !== null).join(", ") || "–"],
    ["Registered", date(told.registered_at.slice(0, 10))],
    ["Sessions on the site", count(told.sessions)],
    ["Most frequent source", known(told.most_traffic_source)],
  ];
  return [
    element("h3", "", `Customer ${told.user_id}, as of ${date(told.as_of)}`),
    element("dl", "facts", ...facts.map(([name, value]) => element("div", "", element("dt", "", name), element("dd", "", value)))),
  ];
}

export function summary({ as_of: week, totals: told }) {
  return `${plural(told.customers, "customer")} as of ${date(week)}: revenue ${money(told.revenue)}, return rate ${rate(told.return_rate)}.`;
}

export function whichWeek({ as_of: week, choices: { weeks } }) {
  if (week !== weeks[0]) return `An older week; the newest is ${date(weeks[0])}`;
  return weeks.length > 1 ? `The newest of ${weeks.length} weeks` : "The only week so far";
}

// A text of the server, with the commands in it set as such.
export function nothingYet(text) {
  return element("div", "card empty", element("p", "", ...text.split("`").map((part, at) => (at % 2 ? element("code", "", part) : part))));
}

export function nobody() {
  return element("div", "card empty", element("p", "", "No customer is all of that. Choose less, or show all."));
}

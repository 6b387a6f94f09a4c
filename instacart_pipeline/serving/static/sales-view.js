// What the sales look like: the answer of /v1/sales as points, bars, tables and sentences. Amounts come as text and are shown to the penny.

import { bars, numbers } from "./charts.js";
import { chooser, count, date, monthName, share } from "./figures.js";
import { element } from "./view.js";

const DAY = 86_400_000;
const SHOWN = 10; // countries and customers
const BEST = 5; // products of a season
const pounds = new Intl.NumberFormat("en-GB", { style: "currency", currency: "GBP" });
const whole = new Intl.NumberFormat("en-GB", { style: "currency", currency: "GBP", maximumFractionDigits: 0 });
export const money = (amount) => pounds.format(amount); // a text is rounded as the decimal it is

const time = (day) => Date.parse(`${day}T00:00:00Z`);
export const dayOf = (at) => new Date(at).toISOString().slice(0, 10);
export const plus = (day, days) => dayOf(time(day) + days * DAY);
export function span({ first, last }) {
  if (first === last) return date(first);
  const [from, to] = [date(first).split(" "), date(last).split(" ")];
  if (from[2] !== to[2]) return `${from.join(" ")} to ${to.join(" ")}`;
  return `${from[1] === to[1] ? from[0] : `${from[0]} ${from[1]}`} to ${to.join(" ")}`;
}

// The part of a period that was added up, in words; nothing if that is all of it.
function only(first, last, covered) {
  if (first >= covered.first && last <= covered.last) return "";
  return `only ${span({ first: first > covered.first ? first : covered.first, last: last < covered.last ? last : covered.last })}`;
}

// Periods in which nothing was sold are not in the answer, but they are in time: `next(key)` is the key of the period after.
function filled(rows, key, next) {
  const made = [];
  for (const row of rows) {
    while (made.length && next(made.at(-1)[key]) < row[key]) made.push({ [key]: next(made.at(-1)[key]), revenue: "0.0000", quantity: 0, invoices: 0, partial: false });
    made.push(row);
  }
  return made;
}

const nextMonth = (month) => plus(`${month}-01`, 31).slice(0, 7);
const nextQuarter = (quarter) => (quarter.at(-1) === "4" ? `${Number(quarter.slice(0, 4)) + 1}Q1` : `${quarter.slice(0, 5)}${Number(quarter.at(-1)) + 1}`);

export function monthPoints({ months, covered }) {
  return filled(months, "month", nextMonth).map((row, at) => {
    const [year, number] = row.month.split("-").map(Number);
    const note = only(`${row.month}-01`, plus(`${nextMonth(row.month)}-01`, -1), covered);
    return { ...point(row, note), name: `${monthName(number)} ${year}`, label: monthName(number).slice(0, 3), under: at === 0 || number === 1 ? String(year) : "" };
  });
}

export function quarterPoints({ quarters, covered }) {
  return filled(quarters, "quarter", nextQuarter).map((row, at) => {
    const [year, number] = row.quarter.split("Q").map(Number);
    const first = `${year}-${String(number * 3 - 2).padStart(2, "0")}-01`;
    const note = only(first, plus(`${plus(first, 93).slice(0, 7)}-01`, -1), covered);
    return { ...point(row, note), name: `Q${number} ${year}`, label: `Q${number}`, under: at === 0 || number === 1 ? String(year) : "" };
  });
}

export function weekPoints({ weeks, covered }) {
  let before = "";
  return filled(weeks, "week_start", (day) => plus(day, 7)).map((row) => {
    const last = plus(row.week_start, 6);
    const [year, month] = last.split("-").map(Number); // a week is labelled by the month that begins in it
    const label = last.slice(0, 7) === before ? "" : monthName(month).slice(0, 3);
    const under = last.slice(0, 4) === before.slice(0, 4) ? "" : String(year);
    before = last.slice(0, 7);
    const note = [`${count(row.invoices)} ${row.invoices === 1 ? "invoice" : "invoices"}, ${count(row.quantity)} pieces`, only(row.week_start, last, covered)].filter(Boolean).join("; ");
    return { ...point(row, note), name: `Week of ${date(row.week_start)}`, label, under, invoices: row.invoices, quantity: row.quantity };
  });
}

function point(row, note) {
  return { value: Number(row.revenue), said: money(row.revenue), note, partial: row.partial };
}

export function highest(points) {
  if (points.length < 2) return "";
  const best = points.reduce((high, one) => (one.value > high.value ? one : high));
  return `Highest: ${best.name.replace(/^W/, "w")}, ${whole.format(best.value)}.`;
}

export function partialNote(points, word) {
  if (!points.some((one) => one.partial)) return [];
  const swatch = element("span", "swatch");
  swatch.setAttribute("aria-hidden", "true");
  return [element("p", "partial-note", swatch, `Dashed: only a part of the ${word} is in it.`)];
}

export function periodNumbers(caption, word, points, more = []) {
  const head = [word, "Net revenue", ...more.map(([name]) => name)];
  const named = (one) => (one.partial ? `${one.name} (in part)` : one.name);
  return numbers(caption, head, points.map((one) => [named(one), one.said, ...more.map(([, key]) => count(one[key]))]));
}

export function totals({ totals: told }) {
  const each = told.revenue_per_invoice;
  return [
    ["Net revenue", money(told.revenue)],
    ["Invoices", count(told.invoices)],
    ["Lines", count(told.lines)],
    ["Average per invoice", each === null ? "–" : money(each)],
    ["Known customers", count(told.customers)],
  ];
}

export function seasons({ seasons: told }) {
  const most = Math.max(...told.flatMap((one) => one.products.map((product) => Number(product.revenue))), 0);
  const title = (season) => season[0].toUpperCase() + season.slice(1);
  const called = (product) => product.description ?? `Product ${product.product_code}`;
  const parts = told.map(({ season, products }) =>
    element("div", "season", element("h3", "", title(season)), bars(products.slice(0, BEST).map((product) => ({ name: called(product), said: money(product.revenue), value: Number(product.revenue), note: `${product.product_code} · ${count(product.quantity)} pieces` })), most)),
  );
  const rows = told.flatMap(({ season, products }) => products.map((product) => [title(season), product.product_code, called(product), money(product.revenue), count(product.quantity)]));
  return [
    element("p", "says", "By net revenue, all years together. What was cancelled does not count, nor do postage and fees."),
    element("div", "seasons", ...parts),
    numbers("Best products of each season", ["Season", "Code", "Product", "Net revenue", "Pieces"], rows, 3),
  ];
}

export function countries({ countries: told, choice }, choose) {
  const value = (one) => Number(one.revenue);
  const all = told.reduce((sum, one) => sum + value(one), 0);
  // One that dwarfs the others would leave them no bars to compare: it is told apart.
  const apart = told.length > 2 && value(told[0]) > 4 * value(told[1]) ? told[0] : null;
  const shown = told.filter((one) => one !== apart && (one.rank <= SHOWN + (apart ? 1 : 0) || one.country === choice.country));
  const row = (one) => {
    const name = chooser(one.country, `Show ${one.country} alone`, () => choose(one.country));
    return { name, said: money(one.revenue), value: value(one), note: `${share(value(one), all)} · ${count(one.invoices)} invoices`.replace(/^ · /, ""), mark: one.country === choice.country };
  };
  const head = ["Country", "Net revenue", "Lines", "Invoices", "Known customers"];
  const rows = told.map((one) => [`${one.rank}. ${one.country}`, money(one.revenue), count(one.lines), count(one.invoices), count(one.customers)]);
  const first = apart ? [element("p", "says", "The first dwarfs the others: it is left out of the bars, which compare the rest."), apartRow(row(apart))] : [];
  return [...first, bars(shown.map(row)), numbers("Net revenue by country", head, rows)];
}

function apartRow({ name, said, note, mark }) {
  return element("p", `apart${mark ? " marked" : ""}`, element("span", "name", name), element("span", "share", said), element("span", "aisle", note));
}

export function customers({ customers: told, totals }) {
  if (!told.length) return [element("p", "hint", "No known customer bought anything.")];
  const together = told.slice(0, SHOWN).reduce((sum, one) => sum + Number(one.revenue), 0);
  const part = share(together, Number(totals.revenue));
  const row = (one) => ({ name: `Customer ${one.customer_id}`, said: money(one.revenue), value: Number(one.revenue), note: `${one.country} · ${count(one.invoices)} ${one.invoices === 1 ? "invoice" : "invoices"}` });
  return [
    element("p", "says", told.length < SHOWN || !part ? "Known customers alone." : `These ${SHOWN} bring ${part} of the net revenue. Known customers alone.`),
    bars(told.slice(0, SHOWN).map(row)),
    numbers("Customers with the highest net revenue", ["Customer", "Country", "Net revenue", "Invoices"], told.map((one) => [`${one.rank}. ${one.customer_id}`, one.country, money(one.revenue), count(one.invoices)]), 2),
  ];
}

export function summary({ choice, covered, totals }) {
  return `Sales to ${choice.country ?? "all countries"}, ${covered ? span(covered) : "no days"}: net revenue ${money(totals.revenue)}, ${count(totals.invoices)} invoices.`;
}

export function nothing({ choice, choices }) {
  const to = choice.country ? ` to ${choice.country}` : "";
  const days = choice.first && choice.last ? `, ${span(choice)}` : choice.first ? ` from ${date(choice.first)} on` : choice.last ? ` up to ${date(choice.last)}` : "";
  const records = choices.first_day ? `The records go from ${span({ first: choices.first_day, last: choices.last_day })}.` : "There are no sales in the records yet.";
  return element("div", "card empty", element("p", "", `Nothing was sold${to}${days}. ${records}`));
}

// What pages of figures share: numbers and dates in words, and putting answers in their places.

import { byId, element } from "./view.js";

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

export const monthName = (number) => MONTHS[number - 1];
export const count = (number) => number.toLocaleString("en-GB");
export const share = (part, all) => (all > 0 && part >= 0 ? `${((100 * part) / all).toFixed(1)}%` : "");

export function date(day) {
  const [year, month, of] = day.split("-").map(Number);
  return `${of} ${monthName(month)} ${year}`;
}

export function shortDate(day) {
  const [year, month, of] = day.split("-").map(Number);
  return `${of} ${monthName(month).slice(0, 3)} ${year}`;
}

// Totals: [name, value, note]; a note is optional.
export const tiles = (totals) => totals.map(([name, value, note]) => element("div", "card tile", element("dt", "", name), element("dd", "", value, ...(note ? [element("small", "", note)] : []))));

export const waitingTiles = (many) => Array.from({ length: many }, () => element("div", "card tile waiting"));

export function status(text, fine) {
  byId("status").classList.toggle("ok", fine);
  byId("status").classList.toggle("bad", !fine);
  if (byId("status-text").textContent !== text) byId("status-text").textContent = text;
}

// A name that chooses what it names.
export function chooser(name, title, choose) {
  const made = Object.assign(element("button", "link", name), { type: "button", title });
  made.dataset.choice = name;
  made.addEventListener("click", choose);
  return made;
}

// New content, with the numbers open if they were, and the focus where it was.
export function refill(name, content) {
  const place = byId(name);
  const open = place.querySelector("details")?.open;
  const focused = document.activeElement.closest?.("[data-choice]");
  const choice = focused && place.contains(focused) ? focused.dataset.choice : null;
  place.replaceChildren(...content);
  if (open) place.querySelector("details").open = true;
  if (choice !== null) [...place.querySelectorAll("[data-choice]")].find((one) => one.dataset.choice === choice)?.focus();
}

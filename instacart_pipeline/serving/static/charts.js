// Charts as SVG: columns, an area, and bars in a list. Drawn for the width there is, so that letters keep their size.
// Each point can be reached by mouse, by finger, and by arrow keys; what it says stands in a tip beside it.

import { element } from "./view.js";

const SVG = "http://www.w3.org/2000/svg";
const LETTER = 6.7; // pixels of a letter of an axis, generously

export function draw(tag, attributes, ...content) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...content);
  return made;
}

// Round numbers from the lowest to the highest value, zero among them: steps of 1, 2, 2.5 or 5 times a power of ten.
export function ticks(low, high, most) {
  const [from, to] = [Math.min(low, 0), Math.max(high, 0)];
  const rough = (to - from || 1) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((one) => one * power >= rough * 0.999) * power;
  const found = [];
  for (let at = Math.floor(from / step + 1e-9); at <= Math.ceil(to / step - 1e-9) || found.length < 2; at += 1) found.push(at * step);
  return found;
}

// A chart over time in `place`. `points`: [{name, value, said, note, label, under, partial}]: `label` and `under` stand below the axis,
// the rest in the tip. `kind` is "columns" or "area"; `what` names the chart for those who hear it.
export class TimeChart {
  constructor(place, { kind, what, height }) {
    Object.assign(this, { place, kind, what, height, points: [], at: 0, width: 0 });
    this.tip = element("div", "tip");
    this.tip.setAttribute("aria-hidden", "true"); // the point's own name says the same
    this.box = element("div", "chart");
    new ResizeObserver(() => this.box.clientWidth !== this.width && this.draw()).observe(this.box);
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("pointerleave", () => this.leave());
    this.box.addEventListener("focusout", () => this.leave());
  }

  show(points) {
    this.points = points;
    this.at = Math.min(this.at, Math.max(points.length - 1, 0));
    if (!this.box.isConnected) this.place.prepend(this.box);
    this.draw();
  }

  draw() {
    const { points, height } = this;
    this.width = this.box.clientWidth;
    if (!points.length || this.width < 80) return this.box.replaceChildren();
    const focused = this.box.contains(document.activeElement) && document.activeElement.matches(".hit");
    const values = points.map((point) => point.value);
    const inThousands = Math.max(...values.map(Math.abs)) >= 10_000;
    const marks = ticks(Math.min(...values), Math.max(...values), height > 200 ? 5 : 4);
    const written = marks.map((mark) => (mark / (inThousands ? 1000 : 1)).toLocaleString("en-GB"));
    const left = Math.max(...written.map((text) => text.length)) * LETTER + 10;
    const [top, bottom, right] = [30, 40, 4];
    const inner = { width: this.width - left - right, height: height - top - bottom };
    const [low, high] = [marks[0], marks[marks.length - 1]];
    const y = (value) => top + ((high - value) / (high - low)) * inner.height;
    const band = inner.width / points.length;
    const x = (at) => left + band * (at + 0.5);

    const svg = draw("svg", { width: this.width, height, role: "group", "aria-label": `${this.what}. The arrow keys go from one to the next.` });
    svg.append(draw("text", { class: "unit", x: 0, y: 12 }, inThousands ? "£ thousand" : "£"));
    marks.forEach((mark, at) => {
      svg.append(draw("line", { class: mark === 0 ? "zero" : "grid", x1: left, x2: this.width - right, y1: y(mark), y2: y(mark) }));
      svg.append(draw("text", { class: "tick", x: left - 8, y: y(mark) + 4, "text-anchor": "end" }, written[at]));
    });
    svg.append(...this.labels(x, band, height - bottom));
    svg.append(...(this.kind === "columns" ? this.columns(x, y, band) : this.area(x, y)));
    this.hits = points.map((point, at) => {
      const said = [point.name, point.said, point.note].filter(Boolean).join(", ");
      const hit = draw("rect", { class: "hit", x: left + band * at, y: top - 8, width: band, height: inner.height + 8, rx: 4, role: "img", "aria-label": said, tabindex: at === this.at ? 0 : -1 });
      hit.addEventListener("pointerenter", () => this.enter(at, x, y));
      hit.addEventListener("focus", () => this.enter(at, x, y));
      return hit;
    });
    svg.append(...this.hits);
    this.box.replaceChildren(svg, this.tip);
    this.leave();
    if (focused) this.hits[this.at].focus();
  }

  // As many labels as fit: a month that comes too close to the one before it is left out, a year moves along.
  labels(x, band, base) {
    const made = [];
    let free = [-Infinity, -Infinity];
    this.points.forEach((point, at) => {
      [point.label, point.under].forEach((text, row) => {
        const half = ((text?.length ?? 0) * LETTER) / 2;
        const middle = Math.min(row ? Math.max(x(at), free[row] + half) : x(at), this.width - half - 1);
        if (!text || middle - half < free[row]) return;
        free[row] = middle + half + (row ? 9 : 5);
        made.push(draw("text", { class: row ? "tick year" : "tick", x: middle, y: base + 17 + row * 15, "text-anchor": "middle" }, text));
      });
    });
    return made;
  }

  columns(x, y, band) {
    const wide = Math.min(band * 0.72, 64);
    return this.points.map((point, at) => {
      const [top, bottom] = [y(Math.max(point.value, 0)), y(Math.min(point.value, 0))];
      return draw("rect", { class: `shape column${point.partial ? " partial" : ""}`, x: x(at) - wide / 2, y: top, width: wide, height: Math.max(bottom - top, point.value ? 1 : 0), rx: Math.min(3, wide / 4) });
    });
  }

  area(x, y) {
    const { points } = this;
    const spots = points.map((point, at) => `${x(at)},${y(point.value)}`);
    const made = [draw("path", { class: "fill", d: `M${x(0)},${y(0)}L${spots.join("L")}L${x(points.length - 1)},${y(0)}Z` })];
    for (let at = 1; at < points.length; at += 1) {
      const partial = points[at].partial || points[at - 1].partial;
      made.push(draw("path", { class: `line${partial ? " partial" : ""}`, d: `M${spots[at - 1]}L${spots[at]}` }));
    }
    return made.concat(points.map((point, at) => draw("circle", { class: `shape spot${point.partial ? " partial" : ""}`, cx: x(at), cy: y(point.value), r: point.partial || points.length === 1 ? 4 : 3.5 })));
  }

  enter(at, x, y) {
    this.leave();
    const point = this.points[at];
    this.box.querySelectorAll(".shape")[at].classList.add("on");
    this.tip.replaceChildren(element("strong", "", point.said), element("span", "", point.name), ...(point.note ? [element("span", "", point.note)] : []));
    this.tip.classList.add("shown");
    const half = this.tip.offsetWidth / 2;
    this.tip.style.left = `${Math.min(Math.max(x(at), half), this.width - half) - half}px`;
    this.tip.style.top = `${Math.max(y(Math.max(point.value, 0)) - this.tip.offsetHeight - 10, -8)}px`;
  }

  leave() {
    this.tip.classList.remove("shown");
    this.box.querySelector(".shape.on")?.classList.remove("on");
  }

  key(event) {
    const last = this.points.length - 1;
    const to = { ArrowRight: Math.min(this.at + 1, last), ArrowLeft: Math.max(this.at - 1, 0), Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.leave();
    if (to === undefined) return;
    event.preventDefault();
    this.hits[this.at].setAttribute("tabindex", -1);
    this.at = to;
    this.hits[to].setAttribute("tabindex", 0);
    this.hits[to].focus();
  }
}

// One bar: as long as `value` is compared with `most`.
export function hbar(value, most) {
  const width = most > 0 && value > 0 ? Math.max((value / most) * 100, 0.5) : 0;
  return draw("svg", { class: "hbar", "aria-hidden": "true" }, draw("rect", { class: "track", width: "100%", height: "100%", rx: 4 }), draw("rect", { class: "length", width: `${width}%`, height: "100%", rx: 4 }));
}

// A list of bars, each with its name and number in letters. `rows`: [{name, note, said, value, mark}]; `name` is text or an element.
export function bars(rows, most = Math.max(...rows.map((row) => row.value), 0)) {
  const list = element("ul", "items sold");
  list.role = "list"; // Safari forgets lists without bullets
  const marked = rows.some((row) => row.mark);
  rows.forEach(({ name, note, said, value, mark }, at) => {
    list.append(element("li", mark ? "marked" : marked || at ? "" : "best", element("span", "name", name), element("span", "share", said), element("span", "aisle", note), hbar(value, most)));
  });
  return list;
}

// The numbers of a chart for those who would rather read them. `head` and rows are texts; all columns but the first `texts` are numbers.
export function numbers(caption, head, rows, texts = 1) {
  const cell = (tag) => (text, at) => element(tag, at < texts ? "" : "number", text);
  const named = head.map(cell("th"));
  named.forEach((one) => (one.scope = "col"));
  const table = element("table", "", element("caption", "quiet", caption), element("thead", "", element("tr", "", ...named)), element("tbody", "", ...rows.map((row) => element("tr", "", ...row.map(cell("td"))))));
  const scroll = element("div", "scroll", table);
  scroll.tabIndex = 0;
  scroll.role = "region";
  scroll.setAttribute("aria-label", caption);
  return element("details", "numbers", element("summary", "", "The numbers"), scroll);
}

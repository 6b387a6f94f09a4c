// A map of the distribution centres as SVG: degrees as they are, narrowed as the land is at that latitude. A dot's area is its customers.
// For the eye and the mouse alone; the table beside it says the same, and chooses by keyboard too.

import { draw } from "./charts.js";

// The coast and borders of the contiguous United States, coarsely: [degrees east, degrees north].
const LAND = [
  [-124.7, 48.4], [-123.1, 48.2], [-122.8, 49], [-95.2, 49], [-94.6, 48.7], [-92, 48.3], [-89.6, 48], [-88.4, 48.3], [-84.9, 46.9], [-84.6, 46.5], [-87.4, 46.5], [-90.4, 46.6],
  [-87.6, 45.1], [-88, 43], [-87.5, 41.7], [-86.5, 42.1], [-86.3, 43.9], [-85.1, 45.3], [-83.4, 45.2], [-83.3, 44.3], [-83.9, 43.9], [-82.6, 44], [-82.5, 43], [-83.1, 42.1], [-83.4, 41.7], [-82.5, 41.4], [-79.8, 42.3],
  [-78.9, 42.9], [-79.1, 43.3], [-76.8, 43.6], [-76.3, 44.2], [-74.8, 45], [-71.5, 45], [-70.3, 45.9], [-70, 46.7], [-69.2, 47.5], [-68.3, 47.4], [-67.8, 47.1], [-67.8, 45.7], [-67, 44.8],
  [-68.8, 44.4], [-70.2, 43.6], [-70.8, 42.8], [-70.7, 42.2], [-70, 41.7], [-71.4, 41.5], [-73.7, 40.9], [-72, 41], [-74, 40.6], [-74, 39.7], [-74.9, 38.9], [-75.5, 39.5], [-75.1, 38.4], [-75.9, 37.2],
  [-76.4, 39.1], [-76.4, 37.9], [-76, 36.8], [-75.5, 35.3], [-76.6, 34.7], [-77.9, 33.9], [-79.2, 33.2], [-80.9, 32], [-81.4, 30.7], [-81.3, 29.8], [-80.5, 28.3], [-80, 26.8], [-80.4, 25.2], [-81.7, 25.9],
  [-82.7, 27.7], [-82.7, 28.9], [-83.9, 30], [-85.3, 29.7], [-86.5, 30.4], [-88.1, 30.3], [-89.6, 30.2], [-89.3, 29.1], [-91.3, 29.3], [-93.8, 29.7], [-94.8, 29.3], [-96.6, 28.3], [-97.4, 27.3], [-97.1, 25.9],
  [-99.1, 26.4], [-99.5, 27.5], [-100.7, 29.1], [-101.4, 29.8], [-102.7, 29.7], [-103.2, 29], [-104.5, 29.6], [-106.5, 31.8], [-108.2, 31.8], [-108.2, 31.3], [-111.1, 31.3], [-114.8, 32.5], [-117.1, 32.5],
  [-118.4, 33.8], [-120.6, 34.6], [-121.9, 36.6], [-122.5, 37.8], [-123.8, 39.3], [-124.4, 40.4], [-124.1, 41.9], [-124.5, 42.9], [-124, 44.8], [-124, 46.2],
];
// Units of a drawing, which scales with the page: for a narrow one it has fewer, so that its letters stay as large.
const DRAWN = { wide: 520, rim: 26, largest: 24, smallest: 4 };
const NARROW = { wide: 330, rim: 22, largest: 17, smallest: 3 };

function bounds(places) {
  const around = (values, least) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const rim = Math.max((least - (high - low)) / 2, 2);
    return [low - rim, high + rim];
  };
  const [west, east] = around(places.map(([x]) => x), 20);
  const [south, north] = around(places.map(([, y]) => y), 10);
  return { west, east, south: Math.max(south, -90), north: Math.min(north, 90) };
}

// `centers`: [{id, number, name, latitude, longitude, customers, said, mark}], those whose place is known. `choose(id)` takes one;
// `narrow` is whether the page is. Gives nothing if there are none.
export function centersMap(centers, choose, narrow) {
  if (!centers.length) return null;
  const { wide, rim, largest, smallest } = narrow ? NARROW : DRAWN;
  const american = centers.every(({ longitude: x, latitude: y }) => x > -125 && x < -66 && y > 24 && y < 50);
  const edge = bounds(american ? LAND : centers.map((one) => [one.longitude, one.latitude]));
  const shrunk = Math.cos((((edge.south + edge.north) / 2) * Math.PI) / 180);
  const scale = (wide - 2 * rim) / ((edge.east - edge.west) * shrunk);
  const high = (edge.north - edge.south) * scale + 2 * rim;
  const x = (longitude) => rim + (longitude - edge.west) * shrunk * scale;
  const y = (latitude) => rim + (edge.north - latitude) * scale;

  const svg = draw("svg", { viewBox: `0 0 ${wide} ${high.toFixed(0)}`, role: "img", "aria-label": `A map of ${centers.length} distribution centres; the table has their names and numbers.` });
  svg.append(...graticule(edge, x, y, wide, high));
  if (american) svg.append(draw("path", { class: "land", d: `M${LAND.map(([east, north]) => `${x(east).toFixed(1)},${y(north).toFixed(1)}`).join("L")}Z` }));
  const most = Math.max(...centers.map((one) => one.customers), 1);
  const dots = centers.map((one) => ({ ...one, x: x(one.longitude), y: y(one.latitude), r: Math.max(largest * Math.sqrt(one.customers / most), smallest) }));
  // The largest first, so that none hides a smaller one.
  for (const dot of [...dots].sort((a, b) => b.r - a.r)) svg.append(drawn(dot, beside(dot, dots), choose));
  return svg;
}

function graticule({ west, east, south, north }, x, y, wide, high) {
  const made = [];
  const step = east - west > 90 ? 30 : east - west > 15 ? 10 : 5;
  for (let at = Math.ceil(west / step) * step; at <= east; at += step) {
    made.push(draw("line", { class: "grid", x1: x(at), x2: x(at), y1: 8, y2: high - 18 }), draw("text", { class: "tick", x: x(at), y: high - 4, "text-anchor": "middle" }, `${Math.abs(at)}°${at < 0 ? "W" : at > 0 ? "E" : ""}`));
  }
  for (let at = Math.ceil(south / step) * step; at <= north; at += step) {
    made.push(draw("line", { class: "grid", x1: 26, x2: wide - 4, y1: y(at), y2: y(at) }), draw("text", { class: "tick", x: 0, y: y(at) + 4 }, `${Math.abs(at)}°${at < 0 ? "S" : at > 0 ? "N" : ""}`));
  }
  return made;
}

// Where a dot's number stands: in it if it is large and alone, else beside it, where it comes least near to other dots.
function beside(dot, dots) {
  const others = dots.filter((one) => one !== dot);
  const room = (x, y) => Math.min(...others.map((one) => Math.hypot(one.x - x, one.y - y) - one.r), 1000);
  if (dot.r > 10 && room(dot.x, dot.y) > 8) return [dot.x, dot.y];
  const away = dot.r + 9;
  const places = [0, 1, 2, 3, 4, 5, 6, 7].map((at) => [dot.x + away * Math.cos((at * Math.PI) / 4), dot.y + away * Math.sin((at * Math.PI) / 4)]);
  return places.reduce((best, one) => (room(...one) > room(...best) + 0.5 ? one : best));
}

function drawn(dot, [x, y], choose) {
  const made = draw("g", { class: `center${dot.mark ? " marked" : ""}${dot.customers ? "" : " none"}`, "data-center": dot.id }, draw("title", {}, `${dot.name}: ${dot.said}`), draw("circle", { cx: dot.x, cy: dot.y, r: dot.r }), draw("text", { x, y }, String(dot.number)));
  made.addEventListener("click", () => choose(dot.id));
  return made;
}

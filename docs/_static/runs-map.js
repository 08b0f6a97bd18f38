// All runs in the p-V plane: a dot at its volume and pressure, coloured by its measured R T; lines of equal R T.
const root = document.getElementById("runs-map"), SVG = "http://www.w3.org/2000/svg";
const log = Math.log10, grids = DATA.grids;
const runs = grids.flatMap((grid, g) => grid.p.map((p, i) => ({grid, g, i, x: log(grid.V[i]), y: log(p), heat: log(grid.RT[i])})));
const wide = 720, high = 460, frame = {left: 58, right: wide - 12, top: 14, bottom: high - 42};
let x0, x1, y0, y1, coldest, hottest, own, ring, shown = [], at = null;
const px = x => frame.left + (frame.right - frame.left) * (x - x0) / (x1 - x0);
const py = y => frame.bottom - (frame.bottom - frame.top) * (y - y0) / (y1 - y0);
const written = x => { const [a, e] = x.toExponential(2).split("e"); return Math.abs(e) < 3 ? Number(x.toPrecision(3)).toString() : `${Number(a)}·10${[...String(Number(e))].map(c => "⁰¹²³⁴⁵⁶⁷⁸⁹"["0123456789".indexOf(c)] || "⁻").join("")}`; };

function node(parent, name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

// Isotherms R T = p V are straight lines of slope -1; a run lies on its own if p V = R T.
function isotherm(heat) {
  const from = Math.max(x0, heat - y1), to = Math.min(x1, heat - y0);
  return from < to ? {x1: px(from), y1: py(heat - from), x2: px(to), y2: py(heat - to)} : null;
}
const mix = (one, other, share) => `color-mix(in oklab, var(--gas-${other}) ${Math.round(100 * share)}%, var(--gas-${one}))`;
function tint(heat) {
  const warm = (heat - coldest) / (hottest - coldest || 1);
  return warm < 0.5 ? mix("cold", "mild", 2 * warm) : mix("mild", "hot", 2 * warm - 1);
}

const controls = document.createElement("div");
controls.className = "choices";
const svg = document.createElementNS(SVG, "svg");
svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
svg.setAttribute("tabindex", "0");
svg.setAttribute("role", "application");
const words = document.createElement("p");
words.className = "small";
words.setAttribute("role", "status");

// Switches: protocols with their optimisers, and grids that are controls.
const kinds = new Map();
for (const grid of grids) {
  const control = grid.name.startsWith("control-");
  const key = control ? "controls" : `${DATA.protocols[grid.protocol]}, ${DATA.optimizers[grid.optimizer]}`;
  if (!kinds.has(key)) kinds.set(key, {grids: new Set(), on: !control});
  kinds.get(key).grids.add(grid);
}
for (const [name, kind] of kinds) {
  const label = document.createElement("label"), box = document.createElement("input");
  box.type = "checkbox";
  box.checked = kind.on;
  box.addEventListener("change", () => { kind.on = box.checked; update(); });
  label.append(box, ` ${name}`);
  controls.append(label);
}

// The plane of the runs that are switched on.
function draw() {
  const span = (key, room) => { const all = shown.map(run => run[key]); return [Math.min(...all) - room, Math.max(...all) + room]; };
  [x0, x1] = span("x", 0.15);
  [y0, y1] = span("y", 0.15);
  [coldest, hottest] = span("heat", 0);
  svg.replaceChildren();
  const inside = node(node(svg, "defs", {}), "clipPath", {id: "runs-map-frame"});
  node(inside, "rect", {x: frame.left, y: frame.top, width: frame.right - frame.left, height: frame.bottom - frame.top});
  for (let k = Math.ceil(x0); k <= x1; k++) {
    node(svg, "line", {class: "grid", x1: px(k), x2: px(k), y1: frame.top, y2: frame.bottom});
    node(svg, "text", {x: px(k), y: frame.bottom + 16, "text-anchor": "middle"}, written(10 ** k));
  }
  for (let k = Math.ceil(y0); k <= y1; k++) {
    node(svg, "line", {class: "grid", x1: frame.left, x2: frame.right, y1: py(k), y2: py(k)});
    node(svg, "text", {x: frame.left - 5, y: py(k) + 4, "text-anchor": "end"}, written(10 ** k));
  }
  node(svg, "text", {class: "name", x: (frame.left + frame.right) / 2, y: high - 6, "text-anchor": "middle"}, "volume V (½r² for SGD)");
  node(svg, "text", {class: "name", x: 14, y: high / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${high / 2})`}, "pressure p (weight decay)");
  const lines = node(svg, "g", {"clip-path": "url(#runs-map-frame)"});
  const step = hottest - coldest > 4 ? 1 : 0.5;
  for (let k = Math.ceil(coldest / step); k * step <= hottest; k++) {
    const line = isotherm(k * step);
    if (!line) continue;
    node(lines, "line", {class: "isotherm", ...line, style: `stroke:${tint(k * step)}`});
    node(lines, "text", {x: line.x2 - 6, y: line.y2 - 8, "text-anchor": "end"}, `RT = ${written(10 ** (k * step))}`);
  }
  node(svg, "rect", {class: "frame", x: frame.left, y: frame.top, width: frame.right - frame.left, height: frame.bottom - frame.top});
  own = node(svg, "line", {class: "own", "clip-path": "url(#runs-map-frame)"});
  const dots = node(svg, "g", {});
  for (const run of shown) {
    const filled = run.grid.ok[run.i], look = filled ? `fill:${tint(run.heat)}` : `fill:none;stroke:${tint(run.heat)}`;
    node(dots, "circle", {cx: px(run.x).toFixed(1), cy: py(run.y).toFixed(1), r: filled ? 3 : 2.5, style: look});
  }
  ring = node(svg, "circle", {class: "ring", r: 7});
}

function update() {
  const on = new Set([...kinds.values()].filter(kind => kind.on).flatMap(kind => [...kind.grids]));
  shown = runs.filter(run => on.has(run.grid));
  if (!shown.includes(at)) at = null;
  if (shown.length) draw(); else svg.replaceChildren();
  mark();
}

function mark() {
  if (!shown.length) { words.textContent = "No run is switched on."; return; }
  ring.style.display = own.style.display = at ? "" : "none";
  const good = shown.filter(run => run.grid.ok[run.i]).map(run => run.x + run.y - run.heat).sort((a, b) => a - b);
  const middle = good.length ? 10 ** good[Math.floor(good.length / 2)] : NaN;
  const summary = `${shown.length} runs in the p-V plane; median pV/(RT) ${middle.toFixed(2)} over the ${good.length} that count.`;
  svg.setAttribute("aria-label", `${summary} Arrow keys go from run to run.`);
  if (!at) { words.textContent = `${summary} Point at a run, or use the arrow keys.`; return; }
  const {grid, i} = at, line = isotherm(at.heat);
  ring.setAttribute("cx", px(at.x));
  ring.setAttribute("cy", py(at.y));
  if (line) for (const key in line) own.setAttribute(key, line[key]);
  words.textContent = `${grid.name}: ${DATA.protocols[grid.protocol]}, ${DATA.optimizers[grid.optimizer]}, ` +
    `${grid.protocol === "fixed-lr" ? "learning rate" : "effective learning rate"} ${written(grid.rate[i])}, p = ${written(grid.p[i])}, V = ${written(grid.V[i])}, ` +
    `T = ${written(grid.RT[i] / grid.R)}, pV/(RT) = ${(10 ** (at.x + at.y - at.heat)).toFixed(2)}${grid.ok[i] ? "" : " (does not count: see the page of its grid)"}.`;
}

svg.addEventListener("pointermove", event => {
  const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const far = run => Math.hypot(px(run.x) - place.x, py(run.y) - place.y);
  const next = shown.reduce((best, run) => best && far(best) <= far(run) ? best : run, null);
  if (next && far(next) < 24 && next !== at) { at = next; mark(); }
});
svg.addEventListener("keydown", event => {
  const move = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
  if (event.key === "Escape") at = null;
  else if (move && shown.length) at = shown[((at ? shown.indexOf(at) : move > 0 ? -1 : 0) + move + shown.length) % shown.length];
  else return;
  event.preventDefault();
  mark();
});
root.append(controls, svg, words);
update();

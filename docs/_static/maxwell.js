// A rectangle over entropy surfaces, the same in all: slopes of S/R over it, and their difference.
const root = document.getElementById("maxwell"), count = DATA.lr.length;
const x = DATA.lr.map(Math.log), y = DATA.wd.map(Math.log);
const CELL = 22, SIDE = CELL * count, LOW = -0.75, HIGH = 2, number = v => v.toFixed(2).replace("-0.00", "0.00").replace("-", "−");
let box = {i0: 0, i1: count - 1, j0: 0, j1: count - 1};

function node(parent, name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

// S/R = s(log lr·wd) + c (log lr - log wd)/2 over the rectangle: c by differences within each diagonal of equal lr·wd,
// which no s enters, and the mean slope of s from what is left. Slopes of S/R are s' + c/2 and s' - c/2.
function slopes(values) {
  const cells = [], diagonals = new Map();
  for (let i = box.i0; i <= box.i1; i++)
    for (let j = box.j0; j <= box.j1; j++) {
      const s = values[i * count + j];
      if (s === null) continue;
      const cell = {u: x[i] + y[j], v: (x[i] - y[j]) / 2, s};
      cells.push(cell);
      if (!diagonals.has(i + j)) diagonals.set(i + j, []);
      diagonals.get(i + j).push(cell);
    }
  const mean = (of, key) => of.reduce((sum, cell) => sum + cell[key], 0) / of.length;
  let top = 0, bottom = 0;
  for (const cell of cells) {
    const same = diagonals.get([...diagonals.keys()].find(key => diagonals.get(key).includes(cell)));
    cell.dv = cell.v - mean(same, "v");
    cell.ds = cell.s - mean(same, "s");
    top += cell.dv * cell.ds;
    bottom += cell.dv ** 2;
  }
  const c = top / bottom, free = cells.length - diagonals.size - 1;
  const error = free > 3 ? Math.sqrt(cells.reduce((sum, cell) => sum + (cell.ds - c * cell.dv) ** 2, 0) / free / bottom) : NaN;
  const um = mean(cells, "u"), rest = mean(cells.map(cell => ({r: cell.s - c * cell.v})), "r");
  const along = cells.reduce((sum, cell) => sum + (cell.u - um) * (cell.s - c * cell.v - rest), 0) / cells.reduce((sum, cell) => sum + (cell.u - um) ** 2, 0);
  return {lr: along + c / 2, wd: along - c / 2, c, error, runs: cells.length};
}

const panels = DATA.surfaces.map(surface => {
  const figure = document.createElement("figure"), caption = document.createElement("figcaption");
  const title = document.createElement("strong");
  title.textContent = surface.title;
  caption.append(title, document.createElement("br"), surface.words);
  const svg = node(figure, "svg", {viewBox: `0 0 ${SIDE + 34} ${SIDE + 110}`, role: "img"});
  const known = surface.values.filter(v => v !== null), low = Math.min(...known), high = Math.max(...known);
  const map = node(svg, "g", {transform: "translate(28 4)", class: "map"});
  for (let i = 0; i < count; i++)
    for (let j = 0; j < count; j++) {
      const value = surface.values[i * count + j], at = {x: i * CELL, y: SIDE - (j + 1) * CELL, width: CELL, height: CELL};
      node(map, "rect", {class: "cell", ...at, "fill-opacity": value === null ? 0 : 0.08 + 0.8 * (value - low) / (high - low)});
    }
  node(map, "text", {x: SIDE / 2, y: SIDE + 15, "text-anchor": "middle"}, "log η →");
  node(map, "text", {x: -8, y: SIDE / 2, "text-anchor": "middle", transform: `rotate(-90 -8 ${SIDE / 2})`}, "log λ →");
  const chosen = node(map, "rect", {class: "chosen"});
  const bars = node(svg, "g", {transform: `translate(28 ${SIDE + 28})`});
  const place = v => SIDE * (Math.min(HIGH, Math.max(LOW, v)) - LOW) / (HIGH - LOW);
  for (const v of [0, 1]) node(bars, "line", {class: v ? "one" : "zero", x1: place(v), x2: place(v), y1: 0, y2: 64});
  for (const v of [0, 1]) node(bars, "text", {x: place(v), y: 77, "text-anchor": "middle"}, v ? "R" : "0");
  const rows = ["lr", "wd"].map((key, k) => [key, node(bars, "rect", {class: key, y: 2 + 20 * k, height: 14}), node(bars, "text", {y: 14 + 20 * k})]);
  const range = node(bars, "line", {class: "range", y1: 51, y2: 51}), dot = node(bars, "circle", {class: "difference", cy: 51, r: 4});
  const said = node(bars, "text", {y: 55});
  figure.append(caption);

  function show() {
    const found = slopes(surface.values);
    for (const [name, value] of Object.entries({x: box.i0 * CELL, y: SIDE - (box.j1 + 1) * CELL, width: (box.i1 - box.i0 + 1) * CELL, height: (box.j1 - box.j0 + 1) * CELL}))
      chosen.setAttribute(name, value);
    const label = (text, at, words) => {
      const left = at > SIDE * 0.6;
      text.setAttribute("x", left ? at - 6 : at + 6);
      text.setAttribute("text-anchor", left ? "end" : "start");
      text.textContent = words;
    };
    for (const [key, bar, text] of rows) {
      const ends = [place(0), place(found[key])];
      bar.setAttribute("x", Math.min(...ends));
      bar.setAttribute("width", Math.abs(ends[1] - ends[0]));
      text.setAttribute("x", place(0) + (found[key] > 0 ? -4 : 4));
      text.setAttribute("text-anchor", found[key] > 0 ? "end" : "start");
      text.textContent = number(found[key]);
    }
    const half = Number.isFinite(found.error) ? 2 * found.error : 0;
    range.setAttribute("x1", place(found.c - half));
    range.setAttribute("x2", place(found.c + half));
    dot.setAttribute("cx", place(found.c));
    const sum = `${number(found.c)}${half > 0.005 ? ` ± ${number(half)}` : ""}`;
    label(said, place(found.c + (place(found.c) > SIDE * 0.6 ? -half : half)), sum);
    svg.setAttribute("aria-label", `${surface.title}, ${found.runs} runs: slope of S/R in log learning rate ${number(found.lr)}, in log weight decay ${number(found.wd)}, difference ${sum}`);
    return `${surface.title} ${sum}`;
  }

  const cellAt = event => {
    const shape = map.getScreenCTM().inverse(), at = new DOMPoint(event.clientX, event.clientY).matrixTransform(shape);
    const whole = v => Math.min(count - 1, Math.max(0, Math.floor(v)));
    return [whole(at.x / CELL), whole((SIDE - at.y) / CELL)];
  };
  let from = null;
  map.addEventListener("pointerdown", event => { from = cellAt(event); map.setPointerCapture(event.pointerId); event.preventDefault(); });
  map.addEventListener("pointermove", event => { if (from) choose(from, cellAt(event)); });
  for (const name of ["pointerup", "pointercancel"]) map.addEventListener(name, () => { from = null; words(); });
  return {figure, show};
});

// Two corners; a rectangle has at least two cells each way.
function choose(one, other) {
  const ends = (a, b) => { const low = Math.min(a, b, count - 2); return [low, Math.max(a, b, low + 1)]; };
  [box.i0, box.i1] = ends(one[0], other[0]);
  [box.j0, box.j1] = ends(one[1], other[1]);
  for (const panel of panels) panel.show();
}

const status = document.createElement("p");
status.setAttribute("role", "status");
status.className = "small";
function words() {
  const found = panels.map(panel => panel.show()).join(", ");
  status.textContent = `${box.i1 - box.i0 + 1} learning rates × ${box.j1 - box.j0 + 1} weight decays. Difference of the slopes in units of R: ${found}.`;
}

// The keyboard: arrows move the rectangle, with Shift its upper right corner.
const group = document.createElement("div");
group.className = "panels";
group.tabIndex = 0;
group.setAttribute("role", "group");
group.setAttribute("aria-label", "Entropy surfaces with a rectangle: arrow keys move it, with Shift they resize it");
group.addEventListener("keydown", event => {
  const [di, dj] = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key] || [];
  if (di === undefined) return;
  event.preventDefault();
  const next = {...box, i1: box.i1 + di, j1: box.j1 + dj};
  if (!event.shiftKey) { next.i0 += di; next.j0 += dj; }
  if (next.i0 < 0 || next.j0 < 0 || next.i1 >= count || next.j1 >= count || next.i1 <= next.i0 || next.j1 <= next.j0) return;
  choose([next.i0, next.j0], [next.i1, next.j1]);
  words();
});
group.append(...panels.map(panel => panel.figure));
root.append(group, status);
words();

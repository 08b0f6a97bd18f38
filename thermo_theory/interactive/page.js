"use strict";
const byId = id => document.getElementById(id);
const PROCESSES = ["isobar", "isochore", "isotherm", "adiabat"];
const POINTS = 41;

// The stationary state at fixed learning rate, and the same weights under the other protocols.
function stationary(settings) {
  const law = LAWS[settings.optimizer];
  const v = {...settings, r: law.radius(settings), T: law.temperature(settings)};
  v.eta_eff = law.effective_rate(v);
  v.p = law.pressure(v);
  v.V = law.volume(v);
  v.R = law.gas_constant(v);
  const gas = GAS.state(v.d, v.T);
  v.U = gas.energy;
  v.S_sphere = gas.entropy;
  v.C_V = gas.heat;
  v.S = law.entropy(v);
  v.gamma = INDEX(v);
  v.forgetting = law.forgetting(v);
  return v;
}

// Learning rate and weight decay a share of the way along a process; the adiabat is found by its entropy.
function moved(start, process, factor, share) {
  const change = Math.pow(factor, share);
  if (process !== "adiabat") {
    const power = LAWS[start.optimizer].processes[process];
    return {...start, eta: start.eta * change, lam: start.lam * Math.pow(change, power)};
  }
  const next = {...start, lam: start.lam * change};
  let low = Math.log(start.eta) - 20, high = Math.log(start.eta) + 20;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (stationary({...next, eta: Math.exp(middle)}).S < start.S) low = middle; else high = middle;
  }
  return {...next, eta: share === 0 ? start.eta : Math.exp((low + high) / 2)};
}

const path = (start, process, factor) =>
  Array.from({length: POINTS}, (_, i) => stationary(moved(start, process, factor, i / (POINTS - 1))));

// The same schedule in so many iterations (SGD): the norm follows its equation of motion, the directions the noise they
// see. In each of the short stretches learning rate and weight decay stay, and the trajectory is exact.
const STRETCHES = 400;

function lagging(start, process, factor, iterations) {
  const law = LAWS[start.optimizer], out = [start];
  let norm = start.r;
  for (let i = 0; i <= STRETCHES; i++) {
    const now = moved(start, process, factor, i / STRETCHES);
    const half = i === 0 || i === STRETCHES ? 0.5 : 1;  // a stretch lies about its point
    norm = TRAJECTORY({...now, r0: norm, t: half * iterations / STRETCHES});
    const v = {...now, r: norm};
    v.T = BATH(v);
    v.p = law.pressure(v);
    v.V = law.volume(v);
    v.S_sphere = GAS.state(v.d, v.T).entropy;
    v.S = law.entropy(v);
    out.push(v);
  }
  return out;
}

// Numbers in words ---------------------------------------------------------------------------------
const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
function written(x) {
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "–";
  const size = Math.abs(x);
  if (x !== 0 && (size < 1e-3 || size >= 1e6)) {
    const [digits, power] = x.toExponential(2).split("e");
    const raised = [...String(Math.abs(power))].map(c => RAISED[c]).join("");
    return `${digits.replace("-", "−")}·10${power < 0 ? "⁻" : ""}${raised}`;
  }
  const digits = size >= 999.5 ? x.toFixed(0) : x.toPrecision(3);
  return digits.replace("-", "−").replace(/\B(?=(\d{3})+$)/g, /^-?\d{5,}$/.test(digits) ? "\u202f" : "");
}

function fill(cell, value) {
  cell.innerHTML = "";
  if (value === undefined) { cell.textContent = "held"; return; }
  const data = document.createElement("data");
  data.value = value;
  data.textContent = written(value);
  cell.append(data);
}

// Pictures -----------------------------------------------------------------------------------------
function node(parent, name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function axis(values, log) {
  let low = Math.min(...values), high = Math.max(...values);
  const least = log ? 0.3 : Math.max(1e-9, 0.02 * Math.max(Math.abs(low), Math.abs(high)));
  if (high - low < least) { const middle = (low + high) / 2; low = middle - least / 2; high = middle + least / 2; }
  const room = 0.08 * (high - low);
  low -= room; high += room;
  const ticks = [];
  if (log) {
    const step = Math.max(1, Math.ceil((high - low) / 4));
    for (let k = Math.floor(low) - 1; k <= high; k++)
      for (const digit of high - low > 3 ? [1] : high - low > 1.5 ? [1, 3] : [1, 2, 5]) {
        const place = k + Math.log10(digit);
        if (place >= low && place <= high && (digit > 1 || k % step === 0)) ticks.push([place, written(digit * Math.pow(10, k))]);
      }
  } else {
    const raw = (high - low) / 3, size = Math.pow(10, Math.floor(Math.log10(raw)));
    const step = [1, 2, 5, 10].find(m => m * size >= raw) * size;
    for (let x = Math.ceil(low / step) * step; x <= high; x += step) ticks.push([x, ticksWritten(x, step)]);
  }
  return {low, high, ticks: ticks.slice(0, 7)};
}

function ticksWritten(x, step) {
  const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  if (Math.abs(x) < step / 2) return "0";
  return Math.abs(x) >= 1e6 ? written(x) : x.toFixed(places).replace("-", "−");
}

// The name of a process beside the end of its line, inside the frame and clear of the names before it.
function tag(svg, key, x, y, frame, names) {
  const toLeft = x > (frame.left + frame.right) / 2, below = y > (frame.top + frame.bottom) / 2;
  const at = {x: x + (toLeft ? -8 : 8), y: Math.min(frame.bottom - 6, Math.max(frame.top + 12, y + (below ? 14 : -8)))};
  if (names.some(other => Math.abs(other.x - at.x) < 60 && Math.abs(other.y - at.y) < 13)) return;
  names.push(at);
  node(svg, "text", {class: "tag", ...at, "text-anchor": toLeft ? "end" : "start"}, key);
}

function plane(svg, paths, late, chosen, x, y, logX, names) {
  svg.replaceChildren();
  const left = 62, right = 350, top = 24, bottom = 262;
  const values = (pick, log) => [...Object.values(paths).flat(), ...late].map(s => log ? Math.log10(s[pick]) : s[pick]);
  const across = axis(values(x, logX), logX), up = axis(values(y, true), true);
  const px = s => left + (right - left) * ((logX ? Math.log10(s[x]) : s[x]) - across.low) / (across.high - across.low);
  const py = s => bottom - (bottom - top) * (Math.log10(s[y]) - up.low) / (up.high - up.low);
  for (const [place, text] of across.ticks) {
    const at = left + (right - left) * (place - across.low) / (across.high - across.low);
    node(svg, "line", {class: "grid", x1: at, x2: at, y1: top, y2: bottom});
    node(svg, "text", {x: at, y: bottom + 16, "text-anchor": "middle"}, text);
  }
  for (const [place, text] of up.ticks) {
    const at = bottom - (bottom - top) * (place - up.low) / (up.high - up.low);
    node(svg, "line", {class: "grid", x1: left, x2: right, y1: at, y2: at});
    node(svg, "text", {x: left - 5, y: at + 4, "text-anchor": "end"}, text);
  }
  node(svg, "rect", {class: "frame", x: left, y: top, width: right - left, height: bottom - top});
  node(svg, "text", {class: "name", x: (left + right) / 2, y: 296, "text-anchor": "middle"}, names[0]);
  node(svg, "text", {class: "name", x: left, y: top - 8, "text-anchor": "middle"}, names[1]);
  for (const key of [...PROCESSES.filter(k => k !== chosen), chosen]) {
    const line = paths[key].map(s => `${px(s).toFixed(1)},${py(s).toFixed(1)}`).join(" ");
    node(svg, "polyline", {class: key === chosen ? "chosen" : "other", points: line});
  }
  if (late.length) {
    const line = late.map(s => `${px(s).toFixed(1)},${py(s).toFixed(1)}`).join(" ");
    node(svg, "polyline", {class: "late", points: line});
  }
  const placed = [];
  for (const key of [chosen, ...PROCESSES.filter(k => k !== chosen)]) {
    const end = paths[key][POINTS - 1];
    tag(svg, key, px(end), py(end), {left, right, top, bottom}, placed);
  }
  const along = paths[chosen], first = along[0], last = along[along.length - 1];
  const before = along[along.length - 3];
  const angle = Math.atan2(py(last) - py(before), px(last) - px(before)) * 180 / Math.PI;
  node(svg, "circle", {class: "now", cx: px(first), cy: py(first), r: 5});
  node(svg, "path", {class: "after", d: "M5 0 L-6 -6 L-6 6 Z", transform: `translate(${px(last)} ${py(last)}) rotate(${angle || 0})`});
  svg.setAttribute("aria-label", `${chosen}: ${names[1]} from ${written(first[y])} to ${written(last[y])}, ` +
    `${names[0]} from ${written(first[x])} to ${written(last[x])}`);
}

// The page -----------------------------------------------------------------------------------------
const INPUTS = ["eta", "lam", "d", "sigma", "beta", "factor", "iterations"];

function read() {
  const v = {optimizer: byId("optimizer").value, process: byId("process").value};
  for (const name of INPUTS) {
    const input = byId(name), place = Number(input.value);
    v[name] = "log" in input.dataset ? Math.pow(10, place) : place;
    if ("whole" in input.dataset) v[name] = Math.round(v[name]);
  }
  return v;
}

function sentence(now, next) {
  const heat = now.T * now.d;
  const how = heat < 0.1 ? "cold: the directions keep close to the minimum and γ is near its cold value"
    : heat < 3 ? "warm: the directions explore much of the sphere" : "hot: the directions are nearly free";
  const change = Math.abs(next.S - now.S) < 1e-6 * Math.max(1, Math.abs(now.S)) ? "leaves the entropy as it is"
    : `${next.S < now.S ? "takes" : "adds"} ${written(Math.abs(next.S - now.S))} nats of entropy`;
  return `The gas is ${how} (T·d = ${written(heat)}). The ${now.process} ${change}, and brings the loss from ` +
    `${written(now.U)} to ${written(next.U)}.`;
}

function rule(v) {
  const power = LAWS[v.optimizer].processes[v.process];
  if (v.process === "adiabat")
    return power === null ? "Weight decay leads; the learning rate follows so that S is constant. At low temperature it does not move."
      : `Weight decay leads; the learning rate follows so that S is constant, at low temperature as λ to the power 1/${power}.`;
  if (power === 0) return "Weight decay is constant.";
  return `Weight decay is proportional to the learning rate to the power ${String(power).replace("-", "−")}.`;
}

// How far behind the norm ends.
function pace(late, next, iterations) {
  const place = byId("pace");
  place.textContent = "";
  if (!late.length) return;
  const end = late[late.length - 1], behind = Math.log(end.r / next.r), cell = document.createElement("span");
  const lag = `(log r is ${written(Math.abs(behind))} too ${behind < 0 ? "small" : "large"})`;
  fill(cell, end.V);
  place.append(`In ${written(iterations)} iterations (dashed) the volume ends at `, cell,
    Math.abs(behind) < 0.05 ? `: slow enough for the norm ${lag}.`
      : `; the norm lags ${lag}: too fast to be quasi-static.`,
    " Directions are assumed to follow at once; they may not.");
}

function show() {
  const v = read(), law = LAWS[v.optimizer], now = stationary(v);
  for (const name of INPUTS) {
    const text = name === "beta" ? v.beta.toFixed(2) : written(v[name]);
    document.querySelector(`output[for=${name}]`).textContent = text;
    byId(name).setAttribute("aria-valuetext", text);
  }
  byId("beta").disabled = !law.uses_momentum;
  byId("beta").parentElement.classList.toggle("off", !law.uses_momentum);
  byId("leads").textContent = v.process === "adiabat" ? "weight decay" : "learning rate";
  byId("rule").textContent = rule(v);
  const paths = {};
  for (const key of PROCESSES) paths[key] = path(now, key, v.factor);
  const next = paths[v.process][POINTS - 1];
  for (const row of byId("state").tBodies[0].rows) {
    fill(row.cells[1], now[row.dataset.name]);
    fill(row.cells[2], next[row.dataset.name]);
  }
  byId("words").textContent = sentence(now, next);
  for (const row of byId("times").tBodies[0].rows) {
    const times = RELAXATION[row.dataset.name];
    for (const [cell, of] of [[2, times.norm], [3, times.directions]]) {
      if (v.optimizer === "sgd") fill(row.cells[cell], of && of(now));
      else row.cells[cell].textContent = "–";
    }
  }
  const other = byId("other");
  other.textContent = v.optimizer === "sgd" ? "" : `${law.title}: derived at fixed LR; a free direction decorrelates in `;
  if (v.optimizer !== "sgd") { const cell = document.createElement("span"); fill(cell, now.forgetting); other.append(cell, " iterations."); }
  byId("steps").textContent = Math.max(now.eta_eff, 1 / now.forgetting) > 0.1
    ? `they are not (effective learning rate ${written(now.eta_eff)}, free directions decorrelate in ` +
      `${written(now.forgetting)} iterations); a run would differ from this page, or diverge.`
    : `the effective learning rate is ${written(now.eta_eff)}, and the relative error of the numbers is about a quarter to a half of it.`;
  const late = v.optimizer === "sgd" ? lagging(now, v.process, v.factor, v.iterations) : [];
  byId("iterations").disabled = v.optimizer !== "sgd";
  byId("iterations").parentElement.classList.toggle("off", v.optimizer !== "sgd");
  pace(late, next, v.iterations);
  plane(byId("pv"), paths, late, v.process, "V", "p", true, ["V", "p"]);
  plane(byId("ts"), paths, late, v.process, "S", "T", false, ["S", "T"]);
}

byId("controls").addEventListener("input", show);
byId("controls").addEventListener("submit", event => event.preventDefault());
show();

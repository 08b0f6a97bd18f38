// The page -----------------------------------------------------------------------------------------
const byId = id => document.getElementById(id);

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

function fill(cell, value) {
  cell.innerHTML = "";
  if (value === undefined) { cell.textContent = "held"; return; }
  const data = document.createElement("data");
  data.value = value;
  data.textContent = written(value);
  cell.append(data);
}

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
  const how = heat < 0.3 ? "cold: the directions keep close to the minimum and γ is near its cold value"
    : heat < 3 ? "warm: the directions explore much of the sphere"
    : "hot: the directions are nearly free, the loss can rise no further, so C_V goes to 0 and γ = 1 + R/C_V becomes large";
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
  if (!late.length || warning(late[0])) return;
  const end = late[late.length - 1], behind = Math.log(end.r / next.r), cell = document.createElement("span");
  const lag = `(log r is ${written(Math.abs(behind))} too ${behind < 0 ? "small" : "large"})`;
  fill(cell, end.V);
  place.append(`In ${written(iterations)} iterations (dashed) the volume ends at `, cell,
    Math.abs(behind) < 0.05 ? `: slow enough for the norm ${lag}.`
      : `; the norm lags ${lag}: too fast to be quasi-static.`,
    " Directions are assumed to follow at once; they may not.");
}

// All of the page from its sliders; while a process runs, the gas keeps the lines that it started from.
function show(keep) {
  const v = read(), law = LAWS[v.optimizer], now = stationary(v);
  for (const name of INPUTS) {
    label(name, name === "beta" ? v.beta.toFixed(2) : name === "d" && v.d < 1000 ? String(v.d) : written(v[name]));
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
  byId("valid").textContent = warning(now);
  byId("state").classList.toggle("off", Boolean(warning(now)));
  const late = v.optimizer === "sgd" ? lagging(now, v.process, v.factor, v.iterations) : [];
  byId("iterations").disabled = v.optimizer !== "sgd";
  byId("iterations").parentElement.classList.toggle("off", v.optimizer !== "sgd");
  pace(keep === true ? [] : late, next, v.iterations);  // what has run is in the words of the gas
  if (keep !== true) gas.set(v, v.process, v.factor, {paths, late});
  const state = [...INPUTS, "optimizer", "process"].map(name => `${name}=${byId(name).value}`).join("&");
  clearTimeout(saving);
  if (keep !== undefined) saving = setTimeout(() => history.replaceState(null, "", `#${state}`), 300);
}

// The address holds the state: places of the sliders, by name.
let saving = 0;
function restore() {
  const state = new URLSearchParams(location.hash.slice(1));
  for (const name of [...INPUTS, "optimizer", "process"]) if (state.has(name)) byId(name).value = state.get(name);
  show();
}

function place(name, value) {
  byId(name).value = "log" in byId(name).dataset ? Math.log10(value) : value;
  label(name, written(value));
}

function label(name, text) {
  document.querySelector(`output[for=${name}]`).textContent = text;
  byId(name).setAttribute("aria-valuetext", text);
}

const gas = liveGas(document.querySelector(".live-gas"), {
  factor: () => read().factor,
  iterations: () => read().iterations,
  chosen: process => { byId("process").value = process === "quench" ? "isobar" : process; },
  moved: (now, done) => { place("eta", now.eta); place("lam", now.lam); if (done) show(true); },
});
byId("controls").addEventListener("input", () => show(false));
byId("controls").addEventListener("submit", event => event.preventDefault());
addEventListener("hashchange", restore);
restore();

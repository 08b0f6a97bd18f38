// The walkers --------------------------------------------------------------------------------------
// Each is the weights w of a network trained alone: exact steps of SGD on L = 1 - w_d/|w|, with normal gradient noise
// along the sphere. The generator has a seed, so that what a test sees is what it saw before.
class Walkers {
  constructor(count, d, seed) {
    Object.assign(this, {count, d, seed, spare: null, w: new Float64Array(count * d), kick: new Float64Array(d)});
  }

  uniform() {
    let x = this.seed = this.seed + 0x6D2B79F5 | 0;
    x = Math.imul(x ^ x >>> 15, x | 1);
    x ^= x + Math.imul(x ^ x >>> 7, x | 61);
    return ((x ^ x >>> 14) >>> 0) / 4294967296;
  }

  normal() {
    if (this.spare !== null) { const x = this.spare; this.spare = null; return x; }
    let x, y, s;
    do { x = 2 * this.uniform() - 1; y = 2 * this.uniform() - 1; s = x * x + y * y; } while (s >= 1 || s === 0);
    s = Math.sqrt(-2 * Math.log(s) / s);
    this.spare = y * s;
    return x * s;
  }

  // About the minimum, at the norm that is expected.
  start(v) {
    const {w, d} = this, wide = Math.sqrt(Math.min(v.T, 1));
    for (let at = 0; at < w.length; at += d) {
      let square = 0;
      for (let k = 0; k < d; k++) { w[at + k] = wide * this.normal() + (k === d - 1 ? 1 : 0); square += w[at + k] ** 2; }
      for (let k = 0; k < d; k++) w[at + k] *= v.r / Math.sqrt(square);
    }
  }

  // w <- w - eta (g + lam w); g is (gradient + noise at unit norm, made tangent)/|w|.
  run({eta, lam, sigma}, steps) {
    const {w, d, kick} = this;
    for (let at = 0; at < w.length; at += d)
      for (let step = 0; step < steps; step++) {
        let square = 0, along = 0;
        for (let k = 0; k < d; k++) {
          kick[k] = sigma * this.normal() - (k === d - 1 ? 1 : 0);
          square += w[at + k] * w[at + k];
          along += w[at + k] * kick[k];
        }
        const push = eta / Math.sqrt(square), keep = 1 - eta * lam + push * along / square;
        for (let k = 0; k < d; k++) w[at + k] = keep * w[at + k] - push * kick[k];
      }
  }

  // The state of the ensemble. Its entropy is that of the von Mises-Fisher law with the walkers' mean loss.
  observe(v) {
    const {w, d, count} = this;
    let square = 0, inverse = 0, log = 0, loss = 0;
    for (let at = 0; at < w.length; at += d) {
      let y = 0;
      for (let k = 0; k < d; k++) y += w[at + k] * w[at + k];
      square += y; inverse += 1 / y; log += Math.log(y) / 2; loss += 1 - w[at + d - 1] / Math.sqrt(y);
    }
    const law = LAWS.sgd, seen = {...v, r: Math.sqrt(square / count), U: loss / count};
    seen.T = BATH({...v, r: Math.sqrt(count / inverse)});
    seen.p = law.pressure(seen);
    seen.V = law.volume(seen);
    seen.S_sphere = entropyAt(d, seen.U);
    seen.S = law.entropy({...seen, r: Math.exp(log / count)});
    seen.Z = seen.p * seen.V / (law.gas_constant(seen) * seen.T);
    return seen;
  }
}

// The live gas -------------------------------------------------------------------------------------
const GREETING = "Each dot is a network trained by SGD. A button changes the learning rate or weight decay: slowly, and the " +
  "gas stays on the line; all at once (quench), and it does not.";
const HOME = {optimizer: "sgd", eta: 0.05, lam: 0.05, d: 3, sigma: 1.5};
const SEED = 2511, SLOWEST = 1e5;  // the longest relaxation, in iterations, that is worth watching
const ROADS = ["isotherm", "adiabat", "isobar"];
const LEADS = {adiabat: "weight decay"};
const KEPT = {isotherm: "temperature", adiabat: "entropy", isobar: "weight decay", isochore: "norm"};

// Why these settings cannot be watched, or nothing.
function unwatchable(v) {
  if (v.optimizer !== "sgd") return `The walkers run plain SGD; the numbers below are those of ${LAWS[v.optimizer].title}.`;
  if (v.d > 50) return `The walkers have up to 50 weights; the numbers below are those of ${written(v.d)}.`;
  if (warning(stationary(v))) return "No walkers: the formulas would not describe them.";
  const slow = RELAXATION["fixed-lr"].norm(v);
  return slow > SLOWEST ? `The norm relaxes in ${written(slow)} iterations: too slow to watch. Raise η or λ.` : "";
}

// What is wrong with formulas for small steps at these settings, or nothing.
function warning(v) {
  const product = 1 / v.forgetting;
  if (product >= 2) return `Nothing is stationary here: at ηλ = ${written(product)} weight decay alone reverses the weights and makes them grow.`;
  const what = v.eta_eff >= product ? `the effective learning rate is ${written(v.eta_eff)}` : `directions decorrelate in ${written(v.forgetting)} iterations`;
  return Math.max(v.eta_eff, product) > 0.1 ? `Outside the range of the formulas, which need small steps: ${what}.` : "";
}

// The component: `root` holds the canvas, the planes, buttons and words. options: settings, factor(process), iterations(),
// fixed (axes that stay), moved(settings, done), called while a process runs.
function liveGas(root, options) {
  const find = name => root.querySelector(name), still = matchMedia("(prefers-reduced-motion: reduce)");
  const canvas = find("canvas"), pen = canvas.getContext("2d"), words = find(".gas-words"), numbers = find(".gas-numbers");
  const planes = [new Plane(find("[data-plane=pv]"), "V", "p", true), new Plane(find("[data-plane=ts]"), "S", "T", false)];
  let now, walkers, trail, mean, ramp = null, why = "", paused = false, seen = true, last = 0, unit = 0, frame = null, running = 0;

  function paths(start, factor) {
    const found = {};
    for (const key of options.fixed ? ROADS : PROCESSES) found[key] = path(start, key, factor);
    return found;
  }

  // Axes that stay show what the processes reach from the settings, and how far a quench throws the temperature.
  const home = stationary(options.settings || HOME), reach = [];
  if (options.fixed) {
    for (const factor of [4, 1 / 4]) reach.push(...Object.values(paths(home, factor)).flat());
    frame = [...reach, ...[4, 1 / 4].map(factor => ({...home, T: BATH({...home, eta: home.eta * factor})}))];
  }

  // Axes, lines and arrows for a process from the settings; `shown` are lines that a page has already.
  function aim(process, factor, shown) {
    const view = {chosen: process, frame, ...(shown || {paths: paths(stationary(now), factor)})};
    for (const plane of planes) plane.draw(view);
  }

  // Other settings at once, as a hand at the sliders has it.
  function set(settings, process, factor, shown) {
    const other = !now || now.d !== settings.d || now.sigma !== settings.sigma;
    now = settings;
    ramp = null;
    why = unwatchable(now);
    root.classList.toggle("gas-off", Boolean(why));
    if (!walkers || walkers.d !== now.d && !why) { walkers = new Walkers(why ? 0 : Number(root.dataset.count), why ? 3 : now.d, SEED); mean = null; }
    if (!why && (other || !mean)) {
      walkers.start(stepped(now));
      walkers.run(now, 200);
      trail = [];
      mean = null;
      unit = 0;
    }
    aim(process, factor, shown);
    words.textContent = why || GREETING;
    if (why) for (const plane of planes) plane.move([], null);
    if (!why && still.matches) settle(Math.min(20000, 5 * RELAXATION["fixed-lr"].norm(now)));
    draw();
    wake();
  }

  const outside = v => {
    const lies = key => { const all = reach.map(s => Math.log(s[key])), x = Math.log(v[key]); return Math.max(Math.min(...all) - x, x - Math.max(...all)); };
    return Math.max(lies("V"), lies("p"), lies("T"));
  };

  // A process from where the sliders are: slowly, or all at once. With fixed axes it turns round before it leaves them.
  function play(name) {
    if (why) return;
    const sudden = name === "quench", process = sudden ? "isobar" : name, start = stationary(now);
    let factor = options.factor();
    if (frame) {
      const far = change => outside(stationary(moved(start, process, change, 1)));
      if (far(factor) > 1e-6 && far(1 / factor) < far(factor)) factor = 1 / factor;
    }
    const iterations = sudden ? 1 : Math.min(options.iterations(), SLOWEST);
    ramp = {start, process, factor, iterations, done: 0, sudden};
    trail = mean ? [{...mean, p: now.lam}] : [];
    aim(process, factor);
    const lead = `${LEADS[process] || "learning rate"} × ${short(factor)}`;
    const pace = sudden ? "at once" : `in ${written(iterations)} iterations`;
    const slow = RELAXATION["fixed-lr"].norm(moved(start, process, factor, 1));
    words.textContent = sudden
      ? `Quench: ${lead} ${pace}. The temperature jumps off the line; the norm follows in about ${written(slow)} iterations, and entropy is produced.`
      : `${process[0].toUpperCase()}${process.slice(1)}: ${lead} ${pace}, ${KEPT[process]} constant. ` +
        (iterations > 4 * slow ? "Slow enough: the walkers stay on the line." : `The norm needs ${written(slow)} iterations: too fast, the walkers leave the line.`);
    if (still.matches) {
      while (ramp) advance(25);
      settle(Math.min(20000, 5 * slow));
      draw();
    }
    pause(false);
  }

  function advance(steps) {
    if (ramp) {
      ramp.done = Math.min(ramp.iterations, ramp.done + steps);
      const {start, process, factor, iterations, done} = ramp;
      now = {...now, ...pick(moved(start, process, factor, done / iterations))};
      if (done === iterations) ramp = null;
      if (options.moved) options.moved(now, !ramp);
    }
    walkers.run(now, steps);
    look();
  }

  const pick = ({eta, lam}) => ({eta, lam});

  // Means over a few frames: 800 walkers alone scatter by a few per cent.
  function look() {
    const seenNow = walkers.observe(now), share = mean ? 0.25 : 1;
    if (!mean) mean = seenNow;
    for (const key in seenNow) if (typeof seenNow[key] === "number") mean[key] += share * (seenNow[key] - mean[key]);
    Object.assign(mean, pick(now), {p: seenNow.p});
    trail.push({V: mean.V, p: mean.p, S: mean.S, T: mean.T});
    if (trail.length > 600) trail = trail.filter((_, i) => i % 2 || i === trail.length - 1);
  }

  function settle(steps) {
    for (let left = Math.round(steps); left > 0; left -= 50) { walkers.run(now, Math.min(50, left)); look(); }
  }

  function number(name, key, theory) {
    const size = Math.abs(mean[key]) < 0.01 ? 1 : 2;
    const text = x => key === "Z" ? x.toFixed(2) : size === 1 ? written(x) : x.toPrecision(size);
    return `<span><i>${name}</i> ${text(mean[key])} <span class="gas-theory">(${text(theory[key])})</span></span>`;
  }

  function draw() {
    const style = getComputedStyle(root), wide = canvas.clientWidth, high = canvas.clientHeight, dots = devicePixelRatio || 1;
    if (!wide) return;
    if (canvas.width !== Math.round(wide * dots) || canvas.height !== Math.round(high * dots)) {
      canvas.width = Math.round(wide * dots);
      canvas.height = Math.round(high * dots);
    }
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    pen.clearRect(0, 0, wide, high);
    if (why || !mean) return;
    const ink = style.color, theory = stepped(now);
    const scale = ["cold", "mild", "hot"].map(name => style.getPropertyValue(`--gas-${name}`).trim());
    const view = planes[0].view, states = frame || Object.values(view.paths).flat();
    const largest = Math.max(...states.map(s => s.r), frame ? 0 : mean.r), room = Math.min(wide, high) / 2 - 14;
    const wanted = room / largest;
    unit = unit ? unit + 0.08 * (wanted - unit) : wanted;
    const [coldest, hottest] = [Math.min, Math.max].map(of => Math.log(of(...states.map(s => s.T))));
    const warm = Math.min(1, Math.max(0, (Math.log(mean.T) - coldest) / (hottest - coldest || 1)));
    const colour = warm < 0.5 ? mix(scale[0], scale[1], 2 * warm) : mix(scale[1], scale[2], 2 * warm - 1), x0 = wide / 2, y0 = high / 2, {w, d} = walkers;
    const ball = unit * mean.r;
    pen.globalAlpha = 0.12;
    pen.fillStyle = colour;
    circle(x0, y0, ball, true);
    pen.globalAlpha = 0.7;
    pen.strokeStyle = ink;
    pen.lineWidth = 1.5;
    circle(x0, y0, ball);
    pen.setLineDash([4, 4]);
    pen.lineWidth = 1;
    circle(x0, y0, unit * theory.r);
    pen.setLineDash([]);
    const press = 4 + 12 * Math.min(1, Math.max(0, share(states, "p", now.lam)));
    for (let i = 0; i < 16; i++) {
      const angle = (i + 0.5) * Math.PI / 8, c = Math.cos(angle), s = Math.sin(angle), tip = ball + 3, end = tip + press;
      pen.beginPath();
      pen.moveTo(x0 + c * end, y0 + s * end);
      pen.lineTo(x0 + c * tip, y0 + s * tip);
      pen.moveTo(x0 + c * (tip + 4) - s * 3, y0 + s * (tip + 4) + c * 3);
      pen.lineTo(x0 + c * tip, y0 + s * tip);
      pen.lineTo(x0 + c * (tip + 4) + s * 3, y0 + s * (tip + 4) - c * 3);
      pen.stroke();
    }
    // Seen from 50 degrees off the minimum; in more than three dimensions all that is not towards it is one length.
    const up = Math.sin(0.87), near = Math.cos(0.87);
    pen.fillStyle = colour;
    for (let at = 0; at < w.length; at += d) {
      const z = w[at + d - 1];
      let x = w[at], y = w[at + 1];
      if (d > 3) {
        let square = 0;
        for (let k = 0; k < d - 1; k++) square += w[at + k] ** 2;
        const stretch = Math.sqrt(square) / Math.hypot(x, y);
        x *= stretch; y *= stretch;
      }
      pen.globalAlpha = near * z + up * y > 0 ? 0.75 : 0.2;
      pen.fillRect(x0 + unit * x - 1.5, y0 - unit * (up * z - near * y) - 1.5, 3, 3);
    }
    pen.globalAlpha = 1;
    const [px, py] = [x0, y0 - ball * up];
    pen.beginPath();
    pen.moveTo(px - 5, py); pen.lineTo(px + 5, py); pen.moveTo(px, py - 5); pen.lineTo(px, py + 5);
    pen.stroke();
    for (const plane of planes) plane.move(trail, mean);
    numbers.innerHTML = [["pV/RT", "Z"], ["T", "T"], ["V", "V"], ["U", "U"]].map(([name, key]) => number(name, key, theory)).join(" ");
  }

  function share(states, key, value) {
    const [low, high] = [Math.min, Math.max].map(of => Math.log(of(...states.map(s => s[key]))));
    return (Math.log(value) - low) / (high - low || 1);
  }

  function circle(x, y, size, filled) {
    pen.beginPath();
    pen.arc(x, y, size, 0, 2 * Math.PI);
    if (filled) pen.fill(); else pen.stroke();
  }

  function tick(time) {
    running = 0;
    if (paused || why || still.matches || document.hidden || !seen) return;
    // As fast as the norm relaxes in a third of a second, if 800 walkers can.
    const wanted = Math.max(1500, 3 * RELAXATION["fixed-lr"].norm(now)), most = 60 * 180 / now.d;
    const steps = Math.min(wanted, most) * Math.min(0.05, last ? (time - last) / 1000 : 0.016);
    last = time;
    advance(Math.max(1, Math.round(steps)));
    draw();
    wake();
  }

  function wake() {
    if (!running && !paused && !why && !still.matches) running = requestAnimationFrame(tick);
  }

  function pause(stop) {
    paused = stop;
    last = 0;
    const button = find("[data-pause]");
    button.textContent = paused ? "▶" : "❚❚";
    button.setAttribute("aria-label", paused ? "run" : "pause");
    wake();
  }

  for (const button of root.querySelectorAll("[data-process]"))
    button.addEventListener("click", () => { if (options.chosen) options.chosen(button.dataset.process); play(button.dataset.process); });
  find("[data-pause]").addEventListener("click", () => pause(!paused));
  document.addEventListener("visibilitychange", () => { last = 0; wake(); });
  still.addEventListener("change", () => { last = 0; wake(); });
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(canvas);
  new IntersectionObserver(all => { seen = all[all.length - 1].isIntersecting; last = 0; wake(); }).observe(root);
  // For tests: states of the ensemble, so many steps apart.
  const states = (count, apart) => Array.from({length: count}, () => { walkers.run(now, apart); return walkers.observe(now); });
  return Object.assign(root, {gas: {set, play, settle, states, mean: () => mean, busy: () => Boolean(ramp)}}).gas;
}

function mix(one, other, share) {
  const parts = colour => [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16));
  const from = parts(one), to = parts(other);
  return `rgb(${from.map((x, i) => Math.round(x + share * (to[i] - x))).join(",")})`;
}

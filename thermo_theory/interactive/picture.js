// Numbers as text ----------------------------------------------------------------------------------
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

const short = x => written(x).replace(/(\.\d*?)0+(?=·|$)/, "$1").replace(/\.(?=·|$)/, "");

// Planes of state ----------------------------------------------------------------------------------
function node(parent, name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

// An axis that holds these values (logarithms, on a log scale), with at most so many ticks.
function axis(values, log, most) {
  let low = Math.min(...values), high = Math.max(...values);
  const least = log ? 0.3 : Math.max(1e-9, 0.02 * Math.max(Math.abs(low), Math.abs(high)));
  if (high - low < least) { const middle = (low + high) / 2; low = middle - least / 2; high = middle + least / 2; }
  const room = 0.08 * (high - low);
  low -= room; high += room;
  const choices = log ? [[1, 2, 5], [1, 3], [1]].map(digits => decades(low, high, digits, 1)) : [];
  if (log) choices.push(decades(low, high, [1], Math.ceil((high - low) / most)));
  else {
    const raw = (high - low) / most, size = Math.pow(10, Math.floor(Math.log10(raw)));
    const step = [1, 2, 5, 10].find(m => m * size >= raw) * size, ticks = [];
    for (let x = Math.ceil(low / step) * step; x <= high; x += step) ticks.push([x, ticksWritten(x, step)]);
    choices.push(ticks);
  }
  return {low, high, ticks: choices.find(ticks => ticks.length <= most) || choices[choices.length - 1]};
}

function decades(low, high, digits, step) {
  const ticks = [];
  for (let k = Math.floor(low) - 1; k <= high; k++)
    for (const digit of digits) {
      const place = k + Math.log10(digit);
      if (place >= low && place <= high && k % step === 0) ticks.push([place, short(digit * Math.pow(10, k))]);
    }
  return ticks;
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

// A plane of two state variables, in the pixels that it has: the processes from a state, and what the walkers do.
class Plane {
  constructor(svg, x, y, logX) {
    Object.assign(this, {svg, x, y, logX, view: null, trail: [], now: null});
    const fit = () => this.view && svg.clientWidth !== this.width && this.draw(this.view);
    new ResizeObserver(() => requestAnimationFrame(fit)).observe(svg);
  }

  // paths by process, the chosen one, what lags behind it, and states that set the axes (or those drawn do).
  draw(view) {
    const {svg, x, y, logX} = this, {paths, chosen, late = [], frame} = view;
    this.view = view;
    this.width = svg.clientWidth || 340;
    const height = Math.round(this.width < 260 ? this.width : Math.min(0.85 * this.width, 280)), small = this.width < 260;
    const box = this.box = {left: small ? 40 : 58, right: this.width - 8, top: 22, bottom: height - 34};
    const shown = frame || [...Object.values(paths).flat(), ...late];
    const across = axis(shown.map(s => logX ? Math.log10(s[x]) : s[x]), logX, Math.floor((box.right - box.left) / 38));
    const up = axis(shown.map(s => Math.log10(s[y])), true, Math.floor((box.bottom - box.top) / 28));
    const px = place => box.left + (box.right - box.left) * (place - across.low) / (across.high - across.low);
    const py = place => box.bottom - (box.bottom - box.top) * (place - up.low) / (up.high - up.low);
    const inside = (place, low, high) => Math.min(high, Math.max(low, place));  // what leaves the frame is drawn at its edge
    this.at = s => [inside(px(logX ? Math.log10(s[x]) : s[x]), box.left, box.right), inside(py(Math.log10(s[y])), box.top, box.bottom)];
    this.line = states => states.map(s => this.at(s).map(place => place.toFixed(1)).join(",")).join(" ");
    svg.setAttribute("viewBox", `0 0 ${this.width} ${height}`);
    svg.style.height = `${height}px`;
    svg.replaceChildren();
    for (const [place, text] of across.ticks) {
      node(svg, "line", {class: "grid", x1: px(place), x2: px(place), y1: box.top, y2: box.bottom});
      node(svg, "text", {x: px(place), y: box.bottom + 15, "text-anchor": "middle"}, text);
    }
    for (const [place, text] of up.ticks) {
      node(svg, "line", {class: "grid", x1: box.left, x2: box.right, y1: py(place), y2: py(place)});
      node(svg, "text", {x: box.left - 5, y: py(place) + 4, "text-anchor": "end"}, text);
    }
    node(svg, "rect", {class: "frame", x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top});
    node(svg, "text", {class: "name", x: (box.left + box.right) / 2, y: height - 4, "text-anchor": "middle"}, x);
    node(svg, "text", {class: "name", x: box.left, y: box.top - 8, "text-anchor": "middle"}, y);
    const others = PROCESSES.filter(key => key !== chosen && paths[key]);
    for (const key of [...others, chosen])
      node(svg, "polyline", {class: key === chosen ? "chosen" : "other", points: this.line(paths[key])});
    if (late.length) node(svg, "polyline", {class: "late", points: this.line(late)});
    const placed = [];
    if (small) node(svg, "text", {class: "tag", x: box.right, y: box.top - 8, "text-anchor": "end"}, chosen);
    else for (const key of [chosen, ...others]) tag(svg, key, ...this.at(paths[key][POINTS - 1]), box, placed);
    const along = paths[chosen], first = along[0], last = along[along.length - 1];
    const [toX, toY] = this.at(last), [fromX, fromY] = this.at(along[along.length - 3]);
    const angle = Math.atan2(toY - fromY, toX - fromX) * 180 / Math.PI;
    node(svg, "path", {class: "after", d: "M5 0 L-6 -6 L-6 6 Z", transform: `translate(${toX} ${toY}) rotate(${angle || 0})`});
    const [atX, atY] = this.at(first);
    this.course = node(svg, "polyline", {class: "trail"});
    this.dot = node(svg, "circle", {class: "now", cx: atX, cy: atY, r: 5});
    svg.setAttribute("aria-label", `${chosen}: ${y} from ${written(first[y])} to ${written(last[y])}, ` +
      `${x} from ${written(first[x])} to ${written(last[x])}`);
    this.move(this.trail, this.now);
  }

  // The way the walkers came, and where they are.
  move(trail, now) {
    Object.assign(this, {trail, now});
    if (!now) return;
    this.course.setAttribute("points", this.line(trail));
    const [x, y] = this.at(now);
    this.dot.setAttribute("cx", x);
    this.dot.setAttribute("cy", y);
  }
}

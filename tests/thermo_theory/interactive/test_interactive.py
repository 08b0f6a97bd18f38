"""The interactive page, read back in Chromium: its numbers are Python's, and it fits screens and keyboards."""

import html
import json
import math
import random
import re

import numpy as np
import pytest
from chromium import CHROMIUM, browse, needed
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from thermo_theory import FixedELR, FixedLR, FixedSphere, derive, vmf
from thermo_theory.interactive import gas, page
from thermo_theory.interactive.model import NAMES, formulas
from thermo_theory.interactive.tracing import Trace, arrow, traced

# Ensembles at several settings: states so far apart that they are independent.
WALKERS = """<pre id="found"></pre><script>
const runs = SETTINGS.map(v => {
  gas.set({optimizer: "sgd", ...v}, "isobar", 0.25);
  gas.settle(4 / (v.eta * v.lam));
  return gas.states(16, Math.round(1 / (v.eta * v.lam))).map(({T, V, U, S, Z}) => ({T, V, U, S, Z}));
});
byId("found").textContent = JSON.stringify(runs);
</script></body>"""

# One process in the part for other pages, without motion: it ends before the click returns.
CLICK = """<pre id="found"></pre><script>
const root = document.querySelector(".live-gas"), picture = () => root.querySelector("canvas").toDataURL();
const found = {start: {...root.gas.mean()}, states: {}};
const one = picture();
setTimeout(() => {
  found.still = one === picture();
  for (const name of ["isotherm", "isotherm", "adiabat", "adiabat", "isobar", "isobar", "quench"]) {
    root.querySelector(`[data-process=${name}]`).click();
    (found.states[name] ||= []).push({...root.gas.mean()});
  }
  found.words = root.querySelector(".gas-words").textContent;
  document.getElementById("found").textContent = JSON.stringify(found);
}, 1000);
</script></body>"""

# Moves the sliders as a hand does, and reads what the page shows after each move.
HARNESS = """<pre id="found"></pre><script>
const found = SETTINGS.map(setting => {
  for (const name in setting) byId(name).value = setting[name];
  byId("eta").dispatchEvent(new Event("input", {bubbles: true}));
  const cell = (row, i) => { const data = row.cells[i].querySelector("data"); return data && Number(data.value); };
  const last = row => [cell(row, row.cells.length - 2), cell(row, row.cells.length - 1)];
  const rows = id => [...byId(id).tBodies[0].rows].map(row => [row.dataset.name, last(row)]);
  const table = id => Object.fromEntries(rows(id));
  const data = byId("other").querySelector("data");
  const late = byId("pace").querySelector("data");
  const number = data => data && Number(data.value);
  const shown = {state: table("state"), times: table("times"), forgetting: number(data), late: number(late)};
  const warned = byId("valid").textContent;
  return {read: read(), ...shown, warned, off: document.querySelector(".gas-off .gas-words")?.textContent};
});
byId("found").textContent = JSON.stringify(found);
</script></body>"""

SHAPES = """<!DOCTYPE html><html><meta charset="utf-8"><body>{frames}<pre id="found"></pre><script>
addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement;
    const wide = [...page.querySelectorAll("main *")].filter(part => !part.closest(".scroll, svg")
      && part.getBoundingClientRect().right > root.clientWidth + 1).map(part => part.tagName + "." + part.className);
    const style = page.defaultView.getComputedStyle(page.body);
    return {{
      width: root.clientWidth, scroll: root.scrollWidth, wide, ink: style.color, paper: style.backgroundColor,
      loaded: page.defaultView.performance.getEntriesByType("resource").length,
      labels: [...page.querySelectorAll("input, select")].map(part => part.labels.length),
      lines: [...page.querySelectorAll("svg")].map(part => part.querySelectorAll("polyline").length),
      spoken: [...page.querySelectorAll("svg")].map(part => part.getAttribute("aria-label")),
      stays: [...page.querySelectorAll(".lead")].map(part => page.defaultView.getComputedStyle(part).position),
    }};
  }});
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script></body></html>"""

WIDTHS = (320, 390, 1280)
browser = [pytest.param(None, marks=needed)]


def settings():
    """Places of the sliders, at random and at the ends."""
    draw = random.Random(10)
    ranges = {"eta": (-5, 1), "lam": (-6, 0), "d": (0.48, 8), "sigma": (-3, 3), "factor": (-3, 3), "iterations": (1, 9)}
    out = []
    for optimizer in NAMES:
        for process in ("isobar", "isochore", "isotherm", "adiabat"):
            for _ in range(2):
                places = {name: round(draw.uniform(*ends), 2) for name, ends in ranges.items()}
                out.append(
                    {"optimizer": optimizer, "process": process, "beta": round(draw.uniform(0, 0.99), 2), **places}
                )
    for end in (0, 1):
        out.append(
            {"optimizer": "sgd", "process": "adiabat", "beta": 0} | {name: ends[end] for name, ends in ranges.items()}
        )
    # Steps that are large: by lr·wd, and by the effective learning rate.
    for eta, lam, sigma in ((0.5, -0.3, 0), (-1, -1, -2)):
        more = {"eta": eta, "lam": lam, "sigma": sigma, "d": 1, "factor": -0.5, "iterations": 3}
        out.append({"optimizer": "sgd", "process": "isobar", "beta": 0} | more)
    return out


def few(text, count):
    """The same with fewer walkers: a test waits for them."""
    assert 'data-count="800"' in text
    return text.replace('data-count="800"', f'data-count="{count}"')


def found_in(document):
    return json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', document, re.S).group(1)))


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """What the page shows at every setting."""
    folder = tmp_path_factory.mktemp("interactive")
    text = few(page(), 10).replace("</body>", HARNESS.replace("SETTINGS", json.dumps(settings())))
    (folder / "page.html").write_text(text, encoding="utf-8")
    document, console = browse(folder / "page.html", folder)
    assert console == []
    return found_in(document)


def state(optimizer, eta, lam, d, sigma, beta):
    """The stationary state, by the package."""
    of = FixedLR if optimizer == "sgd" else FixedLR.with_optimizer(optimizer)
    values = {"eta": eta, "lam": lam, "d": d, "sigma": sigma, "beta": beta, "beta1": beta}
    norm, heat = (one(**{name: values[name] for name in one.arguments}) for one in (of.radius, of.temperature))
    energy, entropy = vmf.energy(d=d, T=heat), vmf.entropy(d=d, T=heat) + (d - 1) * math.log(norm)
    # What p, V and R are is stated in the words of the derivations' tests: AdamW's gas has V = r.
    volume, constant = (norm, d - 1) if optimizer == "adamw" else (norm**2 / 2, (d - 1) / 2)
    pressure = lam * sigma * math.sqrt((d - 1) / d) if optimizer == "adamw" else lam
    heat_capacity = vmf.heat_capacity(d=d, T=heat)
    return {
        "T": heat, "p": pressure, "V": volume, "S": entropy, "U": energy, "C_V": heat_capacity, "R": constant,
        "gamma": 1 + constant / heat_capacity if heat_capacity else math.inf, "r": norm, "eta": eta, "lam": lam,
        "eta_eff": 2 * heat / sigma**2,
    }  # fmt: skip


def after(setting):
    """Learning rate and weight decay at the end of a schedule: what is constant is solved for, not read off a power."""
    names = ("optimizer", "eta", "lam", "d", "sigma", "beta")
    start = {name: setting[name] for name in names}
    factor, process = setting["factor"], setting["process"]
    kept = {"isobar": "lam", "isochore": "r", "isotherm": "T", "adiabat": "S"}[process]
    held = state(**start)[kept]
    lead, follow = ("lam", "eta") if process == "adiabat" else ("eta", "lam")
    start[lead] *= factor
    if process != "isobar":

        def off(log):
            value = state(**{**start, follow: math.exp(log)})[kept]
            return value - held if process == "adiabat" else math.log(value / held)

        middle = math.log(start[follow])
        start[follow] = math.exp(brentq(off, middle - 30, middle + 30, xtol=1e-14, rtol=1e-14, maxiter=300))
    return start


@pytest.mark.parametrize("_", browser)
def test_numbers_are_those_of_python(_, moved):
    assert len(moved) == len(settings()) > 40
    for seen in moved:
        setting = {
            name: value for name, value in seen["read"].items() if name not in ("process", "factor", "iterations")
        }
        now = state(**setting)
        for name, value in now.items():
            close(seen["state"][name][0], value, setting, name)


@pytest.mark.parametrize("_", browser)
def test_schedules_end_where_what_stays_stays(_, moved):
    for seen in moved:
        end = after(seen["read"])
        for name, value in state(**end).items():
            close(seen["state"][name][1], value, seen["read"], name, 2e-7)


@pytest.mark.parametrize("_", browser)
def test_fast_schedules_lag_as_their_equation_of_motion_has_it(_, moved):
    seen_late = 0
    for seen in moved:
        v, start = seen["read"], seen["state"]["r"][0]
        if v["optimizer"] != "sgd":
            assert seen["late"] is None
            continue
        if v["process"] == "adiabat":  # no power law between the ends
            continue
        if max(v["eta"] / start**2, v["eta"] * v["lam"]) > 0.1:  # a warning stands in its place
            assert seen["late"] is None
            continue
        ends = {name: seen["state"][name] for name in ("eta", "lam")}

        def slope(share, fourth, ends=ends, v=v, start=start):
            # d r^4/dt = 2 r^2 d(r^2)/dt = 2 eta^2 tr Sigma - 4 eta lambda r^4, by hand; r^4 in units of its start.
            eta, lam = (one[0] * (one[1] / one[0]) ** share for one in ends.values())
            push = 2 * eta**2 * v["sigma"] ** 2 * (v["d"] - 1) / start**4
            return v["iterations"] * (push - 4 * eta * lam * fourth)

        found = solve_ivp(slope, (0, 1), [1.0], method="LSODA", rtol=1e-8, atol=1e-12).y[0, -1]
        assert seen["late"] == pytest.approx(start**2 * math.sqrt(found) / 2, rel=0.002), v
        seen_late += 1
    assert seen_late >= 6


def close(shown, value, setting, name, tolerance=1e-9):
    # S is a difference of large numbers: (d - 1) log r less as much, so it is right relative to d.
    room = tolerance * (setting["d"] * 30 if name == "S" else 0)
    if not math.isfinite(value):
        assert shown is None or not math.isfinite(shown), (setting, name)
    else:
        assert shown == pytest.approx(value, rel=tolerance, abs=room), (setting, name)


@pytest.mark.parametrize("_", browser)
def test_relaxation_times(_, moved):
    seen_sgd = 0
    for seen in moved:
        v, norm = seen["read"], seen["state"]["r"][0]
        if v["optimizer"] != "sgd":
            assert seen["times"]["fixed-lr"] == [None, None]
            assert seen["forgetting"] > 0
            continue
        seen_sgd += 1
        rate = v["eta"] / norm**2
        free = derive("direction-relaxation", FixedLR).claim(eta=v["eta"], lam=v["lam"])
        wanted = {
            "fixed-lr": [FixedLR.relaxation_time(eta=v["eta"], lam=v["lam"]), free],
            "fixed-elr": [FixedELR.relaxation_time(eta_eff=rate, lam=v["lam"], r=norm), free],
            "fixed-sphere": [None, FixedSphere.relaxation_time(eta=v["eta"], d=v["d"], sigma=v["sigma"], r=norm)],
        }
        for protocol, times in wanted.items():
            assert seen["times"][protocol] == [time and pytest.approx(time, rel=1e-9) for time in times]
    assert seen_sgd >= 8


@pytest.mark.parametrize("_", browser)
def test_where_steps_are_large_a_warning_stands_above_the_numbers(_, moved):
    warned = 0
    for seen in moved:
        v = seen["read"]
        product = v["eta"] * v["lam"]
        if v["optimizer"] == "sgd":
            norm = FixedLR.radius(eta=v["eta"], lam=v["lam"], sigma=v["sigma"], d=v["d"])
            large = max(product, v["eta"] / norm**2) > 0.1
            assert bool(seen["warned"]) == large, v
            assert ("Nothing is stationary" in seen["warned"]) == (product >= 2)
            assert not large or seen["off"]  # and no walkers
            warned += large
    assert warned >= 3


#: Walkers at these settings, at low temperature and with small steps.
ENSEMBLES = [
    {"eta": 0.05, "lam": 0.05, "sigma": 1.5, "d": 3},
    {"eta": 0.02, "lam": 0.1, "sigma": 1.5, "d": 3},
    {"eta": 0.06, "lam": 0.06, "sigma": 3.0, "d": 10},
]


@pytest.mark.parametrize("_", browser)
def test_walkers_means_are_those_of_theory(_, tmp_path):
    text = few(page(), 400).replace("</body>", WALKERS.replace("SETTINGS", json.dumps(ENSEMBLES)))
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    document, console = browse(tmp_path / "page.html", tmp_path)
    assert console == []
    for v, states in zip(ENSEMBLES, found_in(document), strict=True):
        volume = derive("finite-step", FixedLR).claim(**v, h=1.0)
        gas_constant = (v["d"] - 1) / 2
        heat = v["lam"] * volume / gas_constant  # p V/R: the law that steps of this size sample
        noise = v["eta"] * v["sigma"] ** 2 / (4 * volume)
        wanted = {
            "V": volume, "T": noise, "Z": heat / noise, "U": vmf.energy(d=v["d"], T=heat),
            "S": vmf.entropy(d=v["d"], T=heat) + gas_constant * math.log(2 * volume),
        }  # fmt: skip
        for name, value in wanted.items():
            found = np.array([state[name] for state in states])
            error = found.std(ddof=1) / math.sqrt(len(found))
            # The correction for finite steps is of first order: its square is left.
            room = 4 * error + (v["eta"] / (2 * volume)) ** 2 * (gas_constant if name == "S" else value)
            assert found.mean() == pytest.approx(value, abs=room), (v, name, error)
            assert error < 0.02 * (gas_constant if name == "S" else value)


@pytest.mark.parametrize("_", browser)
def test_processes_of_the_part_for_other_pages(_, tmp_path):
    text = f'<!DOCTYPE html><meta charset="utf-8"><body><div style="width:360px">{few(gas(), 100)}</div>{CLICK}'
    (tmp_path / "part.html").write_text(text, encoding="utf-8")
    document, console = browse(tmp_path / "part.html", tmp_path, "--force-prefers-reduced-motion")
    assert console == []
    seen = found_in(document)
    assert seen["still"]
    start, states = seen["start"], seen["states"]

    def ratio(name, key):
        before = {"isotherm": start, "adiabat": states["isotherm"][1], "isobar": states["adiabat"][1]}[name]
        there, back = (state[key] / before[key] for state in states[name])
        assert back == pytest.approx(1, rel=0.1)  # the second press leads back
        return there

    # Slow processes, by a factor of 4 (from the formulas in words: V ~ (eta/lam)^1/2, T ~ (eta lam)^1/2).
    changes = {
        ("isotherm", "T"): 1, ("isotherm", "V"): 1 / 4, ("isotherm", "p"): 4,
        ("adiabat", "T"): 1 / 2, ("adiabat", "V"): 2, ("adiabat", "p"): 1 / 4,
        ("isobar", "T"): 1 / 2, ("isobar", "V"): 1 / 2, ("isobar", "p"): 1,
    }  # fmt: skip
    for (name, key), factor in changes.items():
        assert ratio(name, key) == pytest.approx(factor, rel=0.06), (name, key)
    # A quench ends where the isobar ends.
    assert states["quench"][0]["V"] == pytest.approx(states["isobar"][0]["V"], rel=0.05)
    assert "Quench" in seen["words"]


def test_the_part_for_other_pages_is_small_and_keeps_its_names():
    (code,) = re.findall(r"<script>(.*?)</script>", gas(), flags=re.DOTALL)
    assert len(code.encode()) < 40_000
    assert code.startswith("(() => {")
    assert code.endswith("})();")
    assert "prefers-reduced-motion" in code


def test_the_address_holds_the_state(tmp_path):
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH (Debian: apt install chromium)")
    ends = """<pre id="found"></pre><script>
    location.hash = "eta=-2&lam=-1.5&process=adiabat";
    setTimeout(() => {
      const first = read();
      byId("sigma").value = 0.5;
      byId("sigma").dispatchEvent(new Event("input", {bubbles: true}));
      setTimeout(() => { byId("found").textContent = JSON.stringify([first, location.hash]); }, 1000);
    }, 500);
    </script></body>"""
    (tmp_path / "page.html").write_text(few(page(), 10).replace("</body>", ends), encoding="utf-8")
    document, _ = browse(tmp_path / "page.html", tmp_path)
    first, address = found_in(document)
    assert (first["eta"], first["process"]) == (0.01, "adiabat")
    assert [part in address for part in ("eta=-2&lam=-1.5", "sigma=0.5", "process=adiabat")] == [True] * 3


@pytest.mark.parametrize("options", [pytest.param((), marks=needed), pytest.param(("dark",), marks=needed)])
def test_it_fits_phones_and_nights(options, tmp_path):
    source = html.escape(few(page(), 10), quote=True)
    frames = "".join(f'<iframe style="width:{w}px;height:800px;border:0" srcdoc="{source}"></iframe>' for w in WIDTHS)
    (tmp_path / "frames.html").write_text(SHAPES.format(frames=frames), encoding="utf-8")
    night = ["--blink-settings=preferredColorScheme=0"] if options else []
    document, console = browse(tmp_path / "frames.html", tmp_path, *night)
    assert console == []
    for width, seen in zip(WIDTHS, found_in(document), strict=True):
        assert (seen["width"], seen["scroll"], seen["wide"], seen["loaded"]) == (width, width, [], 0)
        assert seen["lines"] == [6, 6]
        assert seen["stays"] == ["static" if width > 1200 else "sticky"]  # on a phone the sliders stay in view
        assert all("isobar" in words for words in seen["spoken"])
        assert seen["labels"] == [1] * 9  # each control is a native one with a label: keys and readers know it
        ink, paper = (np.mean([float(x) for x in re.findall(r"[\d.]+", seen[of])[:3]]) for of in ("ink", "paper"))
        assert (ink > paper + 150) if options else (paper > ink + 150)


def test_a_trace_says_what_it_cannot():
    with pytest.raises(TypeError):
        traced(lambda x: {"y": np.cos(x)}, ("x",))
    with pytest.raises(TypeError):
        traced(lambda x: {"y": np.where(x, 1, 2)}, ("x",))
    with pytest.raises(TypeError, match="JavaScript"):
        arrow(derive("vmf-energy").claim)


def test_a_trace_in_place_makes_a_new_variable():
    def program(x):
        y = np.full_like(x, 3.0)
        y *= x
        y += -2.0
        return {"y": y}

    assert traced(program, ("x",)).splitlines()[1] == "  return {y: ((3.0*x)+(-2.0))};"
    assert isinstance(np.ones_like(Trace("x", [])), Trace)


def test_every_optimiser_has_every_formula():
    assert {key: set(formulas(key)) for key in NAMES} == {key: set(formulas("sgd")) for key in NAMES}

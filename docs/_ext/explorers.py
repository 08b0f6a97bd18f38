"""What a reader moves: the Maxwell relation over entropy surfaces, and all runs in the p-V plane; from summaries."""

import json
from pathlib import Path

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from empirics.claims.maxwell import reference_slopes
from thermo_theory import FixedLR, vmf
from thermo_theory.protocols import OPTIMIZERS, PROTOCOLS
from thermo_theory.relations.coordinates import state
from thermo_theory.relations.paths import law

DOCS = Path(__file__).parents[1]
SUMMARIES = DOCS / "results" / "summaries"
#: Measured surfaces: summary, title, what is seen.
MEASURED = (
    ("digits", "digits network", "measured: nearest neighbours of 400 snapshots"),
    ("control-eps", "control with eps = 0.01", "measured: not scale-invariant, so the relation must fail"),
)


def summary(name):
    """Return what is stored of an experiment, its numbers as arrays."""
    content = json.loads((SUMMARIES / f"{name}.json").read_text(encoding="utf-8"))
    columns = content.get("runs", {})
    kind = {key: None if isinstance(value[0], str) else float for key, value in columns.items()}
    content["runs"] = {key: np.array(value, dtype=kind[key]) for key, value in columns.items()}
    return content


# ------------------------------------------------------------------------------------------------- entropy surfaces
def rounded(values, digits=5):
    """Numbers for JSON; what is not finite is null."""
    return [None if not np.isfinite(x) else float(f"{x:.{digits}g}") for x in np.ravel(values)]


def surfaces():
    """Return S/R over log lr and log weight decay: of three gases in theory, and as measured."""
    digits = summary("digits")
    lr, decay = (np.unique(digits["runs"][key]) for key in ("lr", "weight_decay"))
    d = digits["attrs"]["dimension"]
    across, up = np.meshgrid(lr, decay, indexing="ij")
    constant = (d - 1) / 2

    def gas(coldest):
        # The noise for which T d is this in the corner of the grid; it rises tenfold towards the opposite one.
        sigma = coldest / d / FixedLR.temperature(eta=lr[0], lam=decay[0], sigma=1.0, d=d)
        given = {"eta": across, "lam": up, "sigma": sigma, "d": d}
        directions = vmf.entropy(d=d, T=FixedLR.temperature(**given))
        return (directions + (d - 1) * np.log(FixedLR.radius(**given))) / constant

    (_, _), path = reference_slopes(law("fixed-lr"))
    found = [
        ("low-temperature gas", "theory: the exact gas, T·d up to 0.01", gas(0.001)),
        ("warm gas", "theory: the exact gas, T·d from 1 to 10, a curved surface", gas(1.0)),
        ("path entropy", "theory: what neighbours next in time give", path[0] * np.log(across) + path[1] * np.log(up)),
    ]
    for name, title, words in MEASURED:
        runs = summary(name)["runs"]
        values = np.full(across.shape, np.nan)
        place = np.searchsorted(lr, runs["lr"] * 0.999), np.searchsorted(decay, runs["weight_decay"] * 0.999)
        values[place] = runs["entropy"] / ((summary(name)["attrs"]["dimension"] - 1) / 2)
        found.append((title, words, values))
    return {
        "lr": rounded(lr),
        "wd": rounded(decay),
        "surfaces": [{"title": a, "words": b, "values": rounded(c - np.nanmean(c), 6)} for a, b, c in found],
    }


# ------------------------------------------------------------------------------------------------------- all runs
#: Of a grid with more runs every second, third, ... is drawn, so that the page stays light.
MOST = 60


def grids():
    """Return, for every summary with runs, their places in the p-V plane and their temperatures times R."""
    found = []
    for path in sorted(SUMMARIES.glob("*.json")):
        content = summary(path.stem)
        runs = content["runs"]
        if not {"protocol", "optimizer", "radius_sq", "temperature", "weight_decay"} <= runs.keys():
            continue
        protocol, optimizer = str(runs["protocol"][0]), str(runs["optimizer"][0])
        try:
            pressure, volume, constant = state(law(protocol, optimizer))
        except (LookupError, ValueError):
            continue  # no equation of state is derived
        d = content["attrs"]["dimension"]
        with np.errstate(invalid="ignore"):
            values = {"lam": runs["weight_decay"], "r": np.sqrt(runs["radius_sq"]), "d": d, "T": runs["temperature"]}
            values["sigma"] = np.sqrt(runs["grad_variance_unit"] / (d - 1)) if "grad_variance_unit" in runs else np.nan
        if protocol == "fixed-sphere" or not set(pressure.arguments) <= values.keys():
            continue  # its pressure is R T/V by definition
        place = [one(**{name: values[name] for name in one.arguments}, invalid="nan") for one in (pressure, volume)]
        heat = constant(d=d) * runs["temperature"]
        rate = "lr" if "lr" in runs else "effective_lr"
        keep = np.all([np.isfinite(one) & (one > 0) for one in (*place, heat)], axis=0)  # all are shown as logarithms
        keep &= np.char.not_equal(runs["status"].astype(str), "diverged")
        keep = np.flatnonzero(keep)
        if not keep.size:
            continue
        keep = keep[:: -(-keep.size // MOST)]
        found.append({
            "name": path.stem, "protocol": protocol, "optimizer": optimizer,
            "ok": [int(x) for x in (runs["status"][keep] == "ok")],
            "R": constant(d=d),
            **{key: rounded(value[keep], 3) for key, value in
               {"p": place[0], "V": place[1], "RT": heat, "rate": runs[rate]}.items()},
        })  # fmt: skip
    return {
        "grids": found,
        "protocols": {key: PROTOCOLS[key].title for key in PROTOCOLS},
        "optimizers": {"sgd": "SGD"} | {key: title for key, (title, _) in OPTIMIZERS.items()},
    }


# ------------------------------------------------------------------------------------------------------ directives
def part(name):
    """Return a part of a page: its numbers, and the script that draws them."""
    numbers = json.dumps(surfaces() if name == "maxwell" else grids(), separators=(",", ":"), ensure_ascii=False)
    code = (DOCS / "_static" / f"{name}.js").read_text(encoding="utf-8")
    words = "This picture needs JavaScript; the numbers behind it are on the pages of the results."
    frame = f'<div class="explorer" id="{name}"><noscript>{words}</noscript></div>'
    return f"{frame}\n<script>(() => {{\nconst DATA = {numbers};\n{code}}})();</script>"


class Explorer(SphinxDirective):
    """``{maxwell}`` and ``{runs-map}``: parts of a page that a script draws from numbers beside it."""

    def run(self):
        """Return the part; the page is written again when a summary changes."""
        for path in SUMMARIES.glob("*.json"):
            self.env.note_dependency(str(path))
        return [nodes.raw("", part(self.name), format="html")]


def setup(app: Sphinx):
    """Register them."""
    app.add_directive("maxwell", Explorer)
    app.add_directive("runs-map", Explorer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

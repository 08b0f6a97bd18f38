"""What a reader moves on the site: slopes over a rectangle of an entropy surface, and runs in the p-V plane."""

import html
import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from chromium import browse, needed

from empirics.claims.fits import within_orbits

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    not find_spec("sphinx"), reason="the extra docs is not installed (make docs installs it)"
)

KEYS = """<pre id="found"></pre><script>
const press = (part, key, shiftKey) => part.dispatchEvent(new KeyboardEvent("keydown", {key, shiftKey}));
const labels = () => [...document.querySelectorAll("#maxwell svg")].map(svg => svg.getAttribute("aria-label"));
const group = document.querySelector("#maxwell .panels"), found = {whole: labels()};
for (const key of ["ArrowLeft", "ArrowLeft", "ArrowDown"]) press(group, key, true);
press(group, "ArrowUp");
found.less = labels();
const svg = document.querySelector("#runs-map svg"), words = document.querySelector("#runs-map .small");
found.map = svg.getAttribute("aria-label");
press(svg, "ArrowRight");
found.run = words.textContent;
for (const box of document.querySelectorAll("#runs-map input")) if (box.checked) box.click();
found.none = words.textContent;
document.getElementById("found").textContent = JSON.stringify(found);
</script></body>"""


@pytest.fixture(scope="module")
def explorers():
    sys.path.insert(0, str(ROOT / "docs" / "_ext"))
    try:
        yield __import__("explorers")
    finally:
        sys.path.remove(str(ROOT / "docs" / "_ext"))


@pytest.fixture(scope="module")
def found(explorers, tmp_path_factory):
    """What the browser shows."""
    folder = tmp_path_factory.mktemp("explorers")
    parts = explorers.part("maxwell") + explorers.part("runs-map")
    (folder / "parts.html").write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{parts}{KEYS}', encoding="utf-8")
    document, console = browse(folder / "parts.html", folder)
    assert console == []
    return json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', document, re.S)[1]))


def difference(data, surface, rates=slice(None), decays=slice(None)):
    """The slope along the orbits as the claims fit it; S/R gains half of it in log(lr/wd)."""
    lr, decay = np.meshgrid(np.log(data["lr"]), np.log(data["wd"]), indexing="ij")
    values, orbit = np.array(surface["values"], float).reshape(lr.shape), np.add.outer(*map(np.arange, lr.shape))
    columns = (orbit.astype(float), (lr - decay) / 2, values)
    return within_orbits(*(one[rates, decays].ravel() for one in columns))


@pytest.mark.parametrize("_", [pytest.param(None, marks=needed)])
def test_differences_of_slopes_are_those_of_the_claims(_, explorers, found):
    data = explorers.surfaces()
    # The rectangle: two learning rates and a weight decay fewer at the upper ends, then one step up.
    for shown, part in ((found["whole"], {}), (found["less"], {"rates": slice(0, 5), "decays": slice(1, 7)})):
        for surface, label in zip(data["surfaces"], shown, strict=True):
            value = float(re.search(r"difference (−?[\d.]+)", label)[1].replace("−", "-"))
            assert value == pytest.approx(difference(data, surface, **part).value, abs=0.006), label
    theory = [difference(data, surface).value for surface in data["surfaces"][:3]]
    assert theory == pytest.approx([1, 1, 1], abs=1e-4)  # whatever the surface: R
    control = difference(data, data["surfaces"][-1])
    assert control.low > 1.05  # no scale invariance, no Maxwell relation


@pytest.mark.parametrize("_", [pytest.param(None, marks=needed)])
def test_runs_are_found_by_the_keyboard(_, explorers, found):
    assert re.search(r"\d+ runs in the p-V plane; median pV/\(RT\) [01]\.\d\d", found["map"])
    assert re.search(r"^\S+: .*learning rate .*, p = .*, V = .*, T = .*, pV/\(RT\) = \d\.\d\d", found["run"])
    assert found["none"] == "No run is switched on."


def test_places_are_those_of_the_summaries(explorers):
    for one in explorers.grids()["grids"]:  # a network without weight decay has no place on a log scale
        assert min(*one["p"], *one["V"], *one["RT"], 1) > 0, one["name"]
    (grid,) = [one for one in explorers.grids()["grids"] if one["name"] == "digits"]
    runs = explorers.summary("digits")["runs"]
    assert grid["p"] == pytest.approx(runs["weight_decay"], rel=5e-3)
    assert grid["V"] == pytest.approx(runs["radius_sq"] / 2, rel=5e-3)
    assert grid["RT"] == pytest.approx(600 * runs["temperature"], rel=5e-3)  # R = 1,200 directions/2

"""Every reader can distinguish the colours of figures, and an image has them in light and in dark."""

import io
import itertools
import re

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from thermo_theory import palette

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
EYES = {
    "ordinary": np.eye(3),
    "deuteranope": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanope": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
SETTINGS = {"light": palette.LIGHT, "dark": palette.DARK}
DRAWN = ("ink", "muted", "series-1", "series-2", "series-3", "series-4")


def linear(colour):
    """Linear RGB of a colour as it stands in a style sheet."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* of linear RGB."""
    share = XYZ @ rgb / WHITE
    f = np.where(share > (6 / 29) ** 3, np.cbrt(share), share * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def closest(colours, eye):
    """Smallest CIE76 distance between any two, as an eye sees them."""
    seen = [lab(np.clip(np.array(EYES[eye]) @ linear(one), 0, 1)) for one in colours]
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("eye", EYES)
def test_any_two_colours_are_far_apart(setting, eye):
    assert closest([SETTINGS[setting][name] for name in DRAWN], eye) >= 20


def test_red_beside_green_would_be_seen():
    assert closest(["#d62728", "#2ca02c"], "ordinary") > 100 > 20 > closest(["#b04a00", "#6b7a00"], "deuteranope")


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", DRAWN)
def test_lines_have_contrast_and_words_more(setting, name):
    dark, light = sorted(XYZ[1] @ linear(SETTINGS[setting][one]) for one in (name, "paper"))
    assert (light + 0.05) / (dark + 0.05) >= (3 if name.startswith("series") else 4.5)


def test_an_image_follows_its_reader_and_loses_nothing():
    with rc_context(palette.STYLE):
        figure = Figure()
        axes = figure.subplots()
        axes.plot([0, 1 / 3, 1], [0, 2 / 3, 1], "o-")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Description": "digest", "Date": None})
    before, after = buffer.getvalue(), palette.adaptive(buffer.getvalue())
    for setting in SETTINGS.values():
        assert palette.css(setting) in after
    body = after[after.index("</style>") :]
    assert not [value for value in palette.LIGHT.values() if value in body]
    for tag in (r"<use\b", r"<path\b", r"<g\b", r"<clipPath\b"):
        assert len(re.findall(tag, after)) == len(re.findall(tag, before))
    assert "digest" in after
    assert not re.search(r' [xyd]="[^"]*\.\d{3}', after)
    points = [np.array(re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', one), dtype=float) for one in (before, after)]
    assert len(points[0]) > 3
    assert np.abs(points[0] - points[1]).max() <= 0.00501

"""Networks small enough to mix: how the Gibbs claims fail, and what the gas in its own potential predicts of it."""

from tables import cell, directions, find, folded, reached, section, table
from unit import FORMS, beside, drawn

#: Experiments: what each is, and its looks in the figure.
SHOWN = {
    "tiny-rms": ("its own noise", "o", "#d55e00"),
    "tiny-rms-tanh": ("tanh", "^", "#cc79a7"),
    "tiny-layer": ("LayerNorm", "v", "#000000"),
    "tiny-rms-added-90": ("isotropic noise added, 0.9", "P", "#0072b2"),
    "tiny-rms-added-99": ("isotropic noise added, 0.99", "X", "#009e73"),
}
NAMES = tuple(SHOWN)


def matrix(found):
    """A line for each experiment with the claims of the page."""
    rows = []
    for name, one in found.items():
        cells = [f"`{name}`", SHOWN[name][0], str(directions(one.dataset))]
        rows.append([*cells, *(cell(find(one.verdicts, *asked)) for *asked, _ in FORMS)])
    return table(["experiment", "", "m", *(name for *_, name in FORMS)], rows)


def draw(found):
    """Measured moments over those that H and Sigma predict."""
    drawn(found, SHOWN, "tiny")


def parts(found):
    """What words/tiny.md asks for."""
    every = [line for name, one in found.items() for line in folded(name, section(one, reached(one.verdicts)))]
    return {"matrix": folded("Every experiment: V1 to V6", matrix(found)), "beside": beside(found), "every": every}

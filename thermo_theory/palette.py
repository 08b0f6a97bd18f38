"""The colours of every figure, in light and in dark: of the book, of reports, of the site and of what a probe plots.

Figures are drawn in the light colours. `adaptive` then turns them into variables, so that an SVG image follows the
setting of its reader. Any two colours differ for an ordinary eye, a deuteranope and a protanope by 20 in CIE L*a*b* and
more (`tests/thermo_theory/test_palette.py`); series have a shape or a dash of their own besides.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

__all__ = [
    "DARK",
    "DASHES",
    "FAINT",
    "INK",
    "LIGHT",
    "MARKERS",
    "MUTED",
    "PAPER",
    "SERIES",
    "STYLE",
    "adaptive",
    "alt_of",
    "css",
    "in_variables",
]

#: Colours by their names in style sheets: ink for words and theory, muted for axes and what is left out.
LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "muted": "#59636e",
    "faint": "#e9ecef",
    "series-1": "#0b62a8",
    "series-2": "#c2410c",
    "series-3": "#15a378",
    "series-4": "#4b1261",
}
DARK: Mapping[str, str] = {
    "paper": "#14171b",
    "ink": "#e7eaee",
    "muted": "#a3acb7",
    "faint": "#2a3038",
    "series-1": "#63b0f2",
    "series-2": "#ff8a4a",
    "series-3": "#2b8a5c",
    "series-4": "#b513ec",
}

PAPER, INK, MUTED, FAINT, *_SERIES = LIGHT.values()
#: Blue, vermilion, green, purple.
SERIES = tuple(_SERIES)
MARKERS = ("o", "^", "s", "D")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (2, 1)), "-.")

#: What all figures have in common; matplotlib's names.
STYLE: dict[Any, Any] = {
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": f"cycler(color={list(SERIES)})",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "font.family": "sans-serif",
    "font.size": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.4,
    "mathtext.fontset": "dejavusans",
    "savefig.facecolor": PAPER,
    "svg.fonttype": "path",
    "svg.hashsalt": "thermo-theory",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


def css(colours: Mapping[str, str]) -> str:
    """Write colours as declarations of a style sheet.

    Examples
    --------
    >>> css({"ink": "#1b1f24", "paper": "#ffffff"})
    '--ink: #1b1f24; --paper: #ffffff;'
    """
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


def in_variables(svg: str) -> str:
    """Put the variables of a style sheet in place of the light colours.

    Examples
    --------
    >>> in_variables('<path style="stroke: #0b62a8"/>')
    '<path style="stroke: var(--series-1)"/>'
    """
    for name, value in LIGHT.items():
        svg = svg.replace(value, f"var(--{name})")
    return svg


def adaptive(svg: str) -> str:
    """Make matplotlib's SVG an image that is light or dark as its reader wants it, and lighter in bytes.

    Parameters
    ----------
    svg : str
        A document, drawn in the light colours.

    Returns
    -------
    str
        The same with colours as variables, coordinates to a hundredth of a point, and each style written once.
    """
    svg = in_variables(re.sub(r"\s*<!--.*?-->", "", svg, flags=re.DOTALL))
    svg = re.sub(r'(?<= (?:d|x|y)=")[^"]*|(?<=translate\()[^)]*', lambda found: _rounded(found[0]), svg)
    names = {name: f"i{i}" for i, name in enumerate(dict.fromkeys(re.findall(r' id="([^"]*)"', svg)))}
    svg = re.sub(r'( id="|"#|url\(#)([^")]*)', lambda found: found[1] + names.get(found[2], found[2]), svg)
    styles = {text: f"s{i}" for i, text in enumerate(dict.fromkeys(re.findall(r' style="([^"]*)"', svg)))}
    svg = re.sub(r' style="([^"]*)"', lambda found: f' class="{styles[found[1]]}"', svg)
    # Markers of one series say once how they look.
    same = r'<g( clip-path="[^"]*")?>((?:\s*<use [^>]*( class="\w+")/>)(?:\s*<use [^>]*\3/>)*\s*)</g>'
    svg = re.sub(same, lambda found: f"<g{found[1] or ''}{found[3]}>{found[2].replace(found[3], '')}</g>", svg)
    rules = [f":root {{ {css(LIGHT)} }}", f"@media (prefers-color-scheme: dark) {{ :root {{ {css(DARK)} }} }}"]
    rules += [f".{name} {{ {text} }}" for text, name in styles.items()]
    opening = re.search(r"<svg\b[^>]*>", svg)
    assert opening, "no SVG"
    svg = svg[: opening.end()] + "\n<style>" + "\n".join(rules) + "</style>" + svg[opening.end() :]
    return "\n".join(line.strip() for line in svg.splitlines()) + "\n"


def alt_of(svg: str) -> str:
    """Return the sentence that a figure carries for a reader who does not see it; empty if it has none.

    Examples
    --------
    >>> alt_of("<svg><title>T &lt; 1</title></svg>")
    'T < 1'
    """
    found = re.search(r"<title>(.*?)</title>", svg, re.DOTALL)
    return html.unescape(found[1]) if found else ""


def _rounded(numbers: str) -> str:
    return re.sub(r"\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), numbers)

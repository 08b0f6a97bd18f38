"""From a matplotlib figure to SVG inside a page: readable in light, in dark and in print, with no file beside it.

Figures are drawn in the light colours of the palette. In the SVG each becomes a CSS variable of the page, so that the
reader's light or dark setting reaches the figures too.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from thermo_theory.palette import STYLE, in_variables

__all__ = ["Picture", "canvas", "named", "picture", "symbols_on"]

# Points of type against a width of 281 points: drawn at 350 px on a phone, text comes out a quarter larger, in px.
_STYLE: dict[Any, Any] = STYLE | {
    "axes.facecolor": "none",
    "axes.labelsize": 9,
    "figure.facecolor": "none",
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "savefig.facecolor": "none",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
}


#: The most marks of one kind in a figure: more hide each other, and take megabytes of the page.
MARKS = 3000


@dataclass(frozen=True)
class Picture:
    """A figure of the page."""

    title: str  # what is drawn, a few words
    message: str  # what the figure shows, in a sentence: its label for a reader who does not see it
    caption: str  # how to read it
    svg: str  # the drawing


@contextmanager
def canvas(height: float = 3.0) -> Iterator[tuple[Figure, Axes]]:
    """Give an empty figure in the page's style with its axes; it is not known to pyplot and leaves nothing behind.

    Parameters
    ----------
    height : float
        In inches; the width is always 3.9 inches (281 points).

    Yields
    ------
    tuple of matplotlib.figure.Figure and matplotlib.axes.Axes
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(3.9, height), layout="constrained")
        yield figure, figure.subplots()


def picture(figure: Figure, title: str, message: str, caption: str) -> Picture:
    """Turn a figure into an SVG element that can stand in a page; call it inside `canvas`."""
    buffer = io.StringIO()
    caption += _thinned(figure)
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = in_variables(text)
    viewbox = re.search(r'viewBox="[^"]+"', text)
    opening = f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {viewbox.group(0) if viewbox else ""} role="img"'
    opening += f' aria-label="{html.escape(message, quote=True)}">'
    text = re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1)
    return Picture(title, message, caption, re.sub(r"\n\s*", "\n", text).strip())


def _thinned(figure: Figure) -> str:
    """Leave out marks where there are more than `MARKS`, evenly; returns what the caption has to say of it."""
    counts = [1]
    for axes in figure.axes:
        for line in axes.lines:
            points = len(np.atleast_1d(line.get_xdata()))
            if points > MARKS and line.get_marker() not in (None, "None", "none", "", " "):
                counts.append(points)
                line.set_markevery(-(-points // MARKS))
        for marks in axes.collections:
            segments = marks.get_segments() if isinstance(marks, LineCollection) else None
            counts.append(len(np.asarray(marks.get_offsets())) if segments is None else len(segments))
            if (every := -(-counts[-1] // MARKS)) < 2:
                continue
            if isinstance(marks, LineCollection) and segments is not None:
                marks.set_segments(segments[::every])
                continue
            for name in ("offsets", "array", "facecolor", "edgecolor", "sizes"):
                values = getattr(marks, f"get_{name}", lambda: None)()
                if values is not None and len(values) == counts[-1]:
                    getattr(marks, f"set_{name}")(values[::every])
    return f" Of {max(counts):,} marks at most {MARKS:,} are drawn." if max(counts) > MARKS else ""


def named(drawn: Picture, name: str) -> Picture:
    """Put a name that is unique on the page before the identifiers within a picture: the page holds several."""
    return replace(drawn, svg=re.sub(r'\bid="|xlink:href="#|url\(#', rf"\g<0>{name}-", drawn.svg))


def symbols_on(rgba: np.ndarray | tuple[float, ...]) -> str:
    """Return black or white, whichever reads better on a filled cell of this colour, RGB or RGBA in [0, 1].

    Examples
    --------
    >>> symbols_on((1.0, 1.0, 0.5)), symbols_on((0.1, 0.0, 0.3))
    ('#000000', '#ffffff')
    """
    red, green, blue = (float(c) / 12.92 if c <= 0.04045 else ((float(c) + 0.055) / 1.055) ** 2.4 for c in rgba[:3])
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    # Equal contrast (WCAG) against black and white is at 0.179.
    return "#000000" if luminance > 0.179 else "#ffffff"

"""Puts the page together, and its parts for other pages: tables, styles, scripts."""

from __future__ import annotations

import re
from html import escape
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from thermo_theory.interactive.model import NAMES, script
from thermo_theory.protocols import PROTOCOLS

__all__ = ["ROWS", "gas", "page", "panel"]

#: What the table of the state shows: the key in the script, the symbol, its name, and what it is in training.
ROWS = (
    ("T", "<i>T</i>", "temperature", "effective learning rate times noise"),
    ("p", "<i>p</i>", "pressure", "weight decay"),
    ("V", "<i>V</i>", "volume", "half the squared norm of the weights"),
    ("S", "<i>S</i>", "entropy, nats", "of the weights' distribution"),
    ("U", "<i>U</i>", "energy", "mean loss above the minimum"),
    ("C_V", "<i>C</i><sub>V</sub>", "heat capacity", "rise of the loss with the noise"),
    ("gamma", "γ", "adiabatic index", "1 + R/C<sub>V</sub>"),
    ("R", "<i>R</i>", "gas constant", "half the number of directions"),
    ("r", "<i>r</i>", "", "norm of the weights"),
    ("eta_eff", "η<sub>eff</sub>", "", "effective learning rate"),
    ("eta", "η", "", "learning rate"),
    ("lam", "λ", "", "weight decay"),
)


def _version() -> str:
    try:
        return version("thermo-theory")
    except PackageNotFoundError:  # run from a folder of sources
        return ""


def _read(*names: str) -> str:
    folder = files("thermo_theory.interactive")
    return "\n".join((folder / name).read_text(encoding="utf-8").rstrip() for name in names)


def _filled(text: str, parts: dict[str, str]) -> str:
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part)
    return text


def _panel() -> str:
    """Return the sliders, the gas and the tables."""
    parts = {
        "gas": _read("gas.html"),
        "optimizers": "".join(f'<option value="{key}">{escape(title)}</option>' for key, title in NAMES.items()),
        "rows": "".join(
            f'<tr data-name="{key}"><th scope="row">{symbol} {name} <small>{meaning}</small></th>'
            '<td class="number"></td><td class="number"></td></tr>'
            for key, symbol, name, meaning in ROWS
        ),
        "protocols": "".join(
            f'<tr data-name="{key}"><th scope="row">{escape(protocol.title)}</th><td>{escape(protocol.fixed)}</td>'
            '<td class="number"></td><td class="number"></td></tr>'
            for key, protocol in reversed(PROTOCOLS.items())
        ),
    }
    return _filled(_read("panel.html"), parts)


def _part(styles: str, markup: str, code: str) -> str:
    """Return a part of somebody's page, without comments and indents; its names stay its own."""
    code = re.sub(r"^ *//.*\n|  // .*$|^ +", "", code, flags=re.MULTILINE)
    return f"<style>\n{styles}\n</style>\n{markup}\n<script>(() => {{\n{code}\n}})();</script>\n"


def gas() -> str:
    """Return the live gas alone, to be put into a page.

    Returns
    -------
    str
        Style, markup and script, which load nothing.

    Examples
    --------
    >>> part = gas()
    >>> [part.count(f'data-process="{name}"') for name in ("isotherm", "adiabat", "isobar", "quench")]
    [1, 1, 1, 1]
    >>> len(part) < 45_000
    True
    """
    code = "\n".join([_read("theory.js"), script(["sgd"]), _read("picture.js", "gas.js", "embed.js")])
    return _part(_read("gas.css"), _read("gas.html"), code)


def panel() -> str:
    """Return the gas with its sliders and tables, to be put into a page.

    Returns
    -------
    str
        Style, markup and script, which load nothing.
    """
    return _part(_read("gas.css", "panel.css"), _panel(), _code())


def _code() -> str:
    return "\n".join([_read("theory.js"), script(), _read("picture.js", "gas.js", "page.js")])


def page() -> str:
    """Return the page.

    Returns
    -------
    str
        HTML that loads nothing.

    Examples
    --------
    >>> text = page()
    >>> text.startswith("<!DOCTYPE html>"), "http" in text.replace("http://www.w3.org/2000/svg", "")
    (True, False)
    """
    parts = {
        "style": _read("page.css", "gas.css", "panel.css"),
        "script": _code(),
        "version": escape(_version()),
        "panel": _panel(),
    }
    return _filled(_read("page.html"), parts)

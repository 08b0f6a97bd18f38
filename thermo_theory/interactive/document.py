"""Puts the page together: its tables, its style, its script."""

from __future__ import annotations

from html import escape
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from thermo_theory.interactive.model import NAMES, script
from thermo_theory.protocols import PROTOCOLS

__all__ = ["ROWS", "page"]

#: What the table of the state shows: the key in the script, the symbol, its name, and what it is in training.
ROWS = (
    ("T", "<i>T</i>", "temperature", "effective learning rate times noise"),
    ("p", "<i>p</i>", "pressure", "weight decay"),
    ("V", "<i>V</i>", "volume", "half the squared norm of the weights"),
    ("S", "<i>S</i>", "entropy, nats", "of the weights' distribution"),
    ("U", "<i>U</i>", "energy", "mean loss above the minimum"),
    ("C_V", "<i>C</i><sub>V</sub>", "heat capacity", "rise of the loss with the noise"),
    ("gamma", "γ", "adiabatic index", "1 + R/C_V"),
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
    folder = files("thermo_theory.interactive")
    parts = {
        "style": (folder / "page.css").read_text(encoding="utf-8"),
        "script": script() + "\n" + (folder / "page.js").read_text(encoding="utf-8"),
        "version": escape(_version()),
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
    text = (folder / "page.html").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part)
    return text

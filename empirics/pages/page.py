"""Write the page: HTML, Markdown or JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Literal

import jinja2
import numpy as np
from markupsafe import Markup

from empirics.pages.evidence import Evidence
from empirics.pages.sections import runs_table, sections, summary

__all__ = ["FORMATS", "report"]

FORMATS = ("html", "markdown", "json")


def _version() -> str:
    try:
        return installed_version("thermo-theory")
    except PackageNotFoundError:
        return "(not installed)"


def _code(text: str) -> Markup:
    """Set what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))


def _cell(text: str) -> str:
    """Keep a table's cell on its line of Markdown."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def _template(name: str, escaped: bool) -> jinja2.Template:
    loader = jinja2.PackageLoader("empirics.pages", "templates")
    room = jinja2.Environment(loader=loader, autoescape=escaped, undefined=jinja2.StrictUndefined)
    room.filters |= {"code": _code, "cell": _cell}
    return room.get_template(name)


def _title(every: Sequence[Any]) -> str:
    names = ", ".join(dict.fromkeys(Evidence(verdicts.runs).name for verdicts in every))
    return f"Is SGD an ideal gas? The runs of {names}"


def _html(every: Sequence[Any]) -> str:
    loader = jinja2.PackageLoader("empirics.pages", "templates")
    style = loader.get_source(jinja2.Environment(autoescape=True), "style.css")[0]
    return _template("page.html", escaped=True).render(
        title=_title(every),
        version=_version(),
        style=Markup(style),
        sections=sections(every),
    )


def _markdown(every: Sequence[Any]) -> str:
    text = _template("page.md", escaped=False).render(title=_title(every), version=_version(), sections=sections(every))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _plain(value: Any) -> Any:
    """Return what JSON can hold; what is not a finite number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _json(every: Sequence[Any]) -> str:
    reports = []
    for verdicts in every:
        evidence = Evidence(verdicts.runs)
        reports.append(
            {
                "name": evidence.name,
                "summary": summary(evidence),
                "attributes": evidence.dataset.attrs,
                **json.loads(verdicts.to_json()),
                "runs": runs_table(evidence),
                "provenance": getattr(verdicts.runs, "provenance", None) or {},
            }
        )
    made = {"thermo_theory": _version(), "experiments": reports}
    return json.dumps(_plain(made), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def report(
    verdicts: Any,
    path: str | Path,
    format: Literal["html", "markdown", "json"] = "html",  # noqa: A002
) -> Path:
    """Write a page that says what was claimed, what was measured, and how it was run.

    Parameters
    ----------
    verdicts : Verdicts or list of Verdicts
        What `empirics.compare` returns; several are put on one page.
    path : path-like
        The file to write; its folder is made if it is not there.
    format : {"html", "markdown", "json"}
        One self-contained page with figures, the same in words and tables, or the numbers.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If the format is none of these, there is nothing to report, or the path is a folder.
    """
    every = [verdicts] if hasattr(verdicts, "runs") else list(verdicts)
    path = Path(path)
    if format not in FORMATS:
        raise ValueError(f"format {format!r} is none of {', '.join(FORMATS)}")
    if not every:
        raise ValueError("no verdicts to report: give what empirics.compare returns")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file, as {path / 'report.html'}")
    text = {"html": _html, "markdown": _markdown, "json": _json}[format](every)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and renamed: a page is whole or the one before.
    aside = path.with_name(path.name + ".partial")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
    return path

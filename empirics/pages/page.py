"""Write the page: HTML, Markdown or JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Literal

import jinja2
from markupsafe import Markup

from empirics.pages.evidence import RunEvidence
from empirics.pages.jsonform import made_by, to_json
from empirics.pages.sections import sections
from empirics.pages.words import OPTIMIZER_WORDS
from empirics.running.files import write_atomic
from thermo_theory.palette import DARK, LIGHT, css

__all__ = ["FORMATS", "report"]

FORMATS = ("html", "markdown", "json")

# More names of folders than this do not fit into a title.
_MOST_NAMED = 4


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
    names = list(dict.fromkeys(RunEvidence(verdicts.runs).name for verdicts in every))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    trainers = sorted({name for verdicts in every for name in RunEvidence(verdicts.runs).optimizers})
    who = OPTIMIZER_WORDS.get(trainers[0], trainers[0]) if len(trainers) == 1 else "training"
    return f"Is {who} an ideal gas? The runs of {', '.join(names[:_MOST_NAMED])}{more}"


def _html(every: Sequence[Any]) -> str:
    style = _template("style.css", escaped=False).render(light=css(LIGHT), dark=css(DARK))
    return _template("page.html", escaped=True).render(
        title=_title(every),
        version=made_by(),
        style=Markup(style),
        sections=sections(every),
    )


def _markdown(every: Sequence[Any]) -> str:
    text = _template("page.md", escaped=False).render(title=_title(every), version=made_by(), sections=sections(every))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def report(
    verdicts: Any,
    path: str | Path,
    format: Literal["html", "markdown", "json"] | None = None,  # noqa: A002
) -> Path:
    """Write a page that shows what was claimed, what was measured, and how it was run.

    Parameters
    ----------
    verdicts : Verdicts or list of Verdicts
        What `empirics.compare` returns; several are put on one page.
    path : path-like
        The file to write; its folder is made if it is not there.
    format : {"html", "markdown", "json"}, optional
        One self-contained page with figures, the same in words and tables, or the numbers, as the schema that
        `empirics.pages.schema` returns describes them. Default: by the ending ``.md`` or ``.json`` of the path; any
        other is HTML.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If the format is none of these, there is nothing to report, the runs are not known, or the path is a folder.
    """
    every = [*verdicts] if isinstance(verdicts, Iterable) and not hasattr(verdicts, "runs") else [verdicts]
    path = Path(path)
    chosen = format or {".md": "markdown", ".json": "json"}.get(path.suffix.lower(), "html")
    if chosen not in FORMATS:
        raise ValueError(f"format {format!r} is none of {', '.join(FORMATS)}")
    if not every:
        raise ValueError("no verdicts to report: give what empirics.compare returns")
    runs = [getattr(one, "runs", None) for one in every]
    if not all(hasattr(getattr(one, "dataset", one), "variables") for one in runs):
        raise ValueError(
            "a page needs verdicts with their runs, not read from JSON: give what empirics.compare returns"
        )
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file, as {path / 'report.html'}")
    text = {"html": _html, "markdown": _markdown, "json": to_json}[chosen](every)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode("utf-8"))
    return path

"""Verbs that judge runs: `import`, `compare` and `report`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from empirics.cli.app import (
    FAILED,
    PROGRAM,
    ClaimFiles,
    ProtocolName,
    RequestError,
    app,
    examples,
    say,
)

if TYPE_CHECKING:
    from empirics.claims import Verdicts


_SUFFIXES: dict[str, Literal["html", "markdown", "json"]] = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".json": "json",
}


class TableFormat(StrEnum):
    """How `compare` prints."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


class PageFormat(StrEnum):
    """What `report` writes."""

    HTML = "html"
    MARKDOWN = "markdown"
    JSON = "json"


@app.command(
    "import",
    help=(
        "Read somebody else's runs: a table with one row a run (CSV, TSV, Parquet, NetCDF), or trace folders of the "
        "paper's own code. Says which claims a missing column takes away."
    ),
    epilog=examples(
        "import mine.csv --protocol fixed-lr --out runs/mine",
        "import mine.csv --protocol fixed-lr --out runs/mine --map weight_decay=wd --dimension 43692",
    ),
)
def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The table or folder.", show_default=False)],
    protocol: Annotated[ProtocolName, typer.Option(help="How the runs were trained.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder for the results.", show_default=False)],
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="NAME=COLUMN", help="A column with another name; repeatable.", show_default=False
        ),
    ] = None,
    dimension: Annotated[
        int | None, typer.Option(help="Number of scale-invariant weights, if no column says it.", show_default=False)
    ] = None,
    optimizer: Annotated[str, typer.Option(help="The optimiser, if no column says it.")] = "sgd",
) -> None:
    """Import runs.

    Raises
    ------
    RequestError
        If a --map is not NAME=COLUMN.
    """
    columns = {}
    for pair in mapping or ():
        name, equals, column = pair.partition("=")
        if not (name and equals and column):
            raise RequestError(f"import: --map {pair} must be NAME=COLUMN, as --map weight_decay=wd")
        if name in columns:
            raise RequestError(f"import: --map gives two columns for {name}")
        columns[name] = column
    import empirics

    runs = empirics.import_runs(path, out, protocol.value, dimension=dimension, optimizer=optimizer, columns=columns)
    print(runs)
    if ignored := runs.provenance["imported"]["ignored"]:
        say(f"columns that no claim uses: {', '.join(ignored)}")
    _say_what_is_lost(empirics.compare(runs))
    say(f"next: {PROGRAM} compare {out}, {PROGRAM} report {out}")


def _say_what_is_lost(verdicts: Verdicts) -> None:
    """Tell which claims cannot be judged on imported runs, and for want of what."""
    lost: dict[tuple[str, str], None] = {(v.claim, v.reason): None for v in verdicts if v.verdict == "not measured"}
    for claim, reason in lost:
        say(f"{claim} cannot be judged, or not in every form: {reason}")


@app.command(
    help="Judge runs against the theory. Prints every claim with its interval and a verdict.",
    epilog=examples(
        "compare runs/digits",
        "compare runs/digits --format json",
        "compare runs/digits --strict",
        "compare runs/digits --claims mine.py",
    ),
)
def compare(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished run.", show_default=False)],
    form: Annotated[TableFormat, typer.Option("--format", help="How to print.")] = TableFormat.TABLE,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if a symmetry or physics claim disagrees.")
    ] = False,
    claims: ClaimFiles = None,
) -> None:
    """Print verdicts.

    Raises
    ------
    Exit
        With 1 if it is strict and a claim disagrees, or if the code of a claim fails.
    """
    verdicts = _compared(folder, claims or ())
    printed = {
        TableFormat.TABLE: verdicts.__repr__,
        TableFormat.JSON: verdicts.to_json,
        TableFormat.MARKDOWN: verdicts.to_markdown,
    }
    print(printed[form]())
    for error in verdicts.errors:
        say(f"{PROGRAM}: {error}")
    against = [v for v in verdicts if v.kind in ("symmetry", "physics") and v.verdict == "disagrees"]
    if strict and against:
        say(f"--strict: {'; '.join(f'{v.claim} {v.title}: disagrees' for v in against)}")
    if verdicts.errors or (strict and against):
        raise typer.Exit(FAILED)


@app.command(
    help=(
        "Write the page about one run or several. Verdicts in words, figures, how it was run: one file, which loads "
        "nothing."
    ),
    epilog=examples(
        "report runs/digits",
        "report runs/digits --out page.html",
        "report runs/a runs/b --out both.html",
        "report runs/digits --format markdown --out page.md",
        "report runs/digits --claims mine.py",
    ),
)
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders of finished runs.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="The file, by default report.html in the first folder.", show_default=False)
    ] = None,
    form: Annotated[
        PageFormat | None,
        typer.Option("--format", help="What to write, by default what the file's ending says.", show_default=False),
    ] = None,
    claims: ClaimFiles = None,
) -> None:
    """Write a page about one run or several.

    Raises
    ------
    RequestError
        If the file cannot be what was asked for.
    Exit
        With 1 if the code of a claim fails; the page is there and says so.
    """
    if out is not None and out.is_dir():
        raise RequestError(f"report: --out {out} is a folder; give a file, as {out / 'report.html'}")
    wanted = f".{form.value}" if form is not None else out.suffix.lower() if out is not None else ".html"
    if wanted not in _SUFFIXES:
        raise RequestError(f"report: --out {out} ends in none of {', '.join(_SUFFIXES)}; give --format")
    chosen = _SUFFIXES[wanted]
    ending = next(suffix for suffix, name in _SUFFIXES.items() if name == chosen)
    target = out if out is not None else folders[0] / f"report{ending}"
    verdicts = [_compared(folder, claims or (), "report") for folder in folders]
    import empirics

    print(empirics.report(verdicts if len(verdicts) > 1 else verdicts[0], target, format=chosen))
    for error in dict.fromkeys(error for one in verdicts for error in one.errors):
        say(f"{PROGRAM}: {error}")
    if any(one.errors for one in verdicts):
        raise typer.Exit(FAILED)


def _compared(folder: Path, files: Sequence[Path] = (), verb: str = "compare") -> Verdicts:
    """Load runs and judge them; of claims whose code fails the verdicts keep a line each.

    Raises
    ------
    RequestError
        If a file with claims cannot be used.
    """
    import empirics
    from empirics.claims import ClaimError, ClaimWarning

    runs = empirics.load(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClaimWarning)
        try:
            return empirics.compare(runs, claims=files)
        except ClaimError as error:
            raise RequestError(f"{verb}: {error}") from None

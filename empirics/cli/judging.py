"""Verbs that judge runs: `import`, `compare` and `report`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
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


#: How `compare` prints, and what `report` writes, by the extension of its file.
TableFormat = Literal["table", "json", "markdown"]
PageFormat = Literal["html", "markdown", "json"]
_SUFFIXES: dict[str, PageFormat] = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".json": "json",
}


@app.command(
    "import",
    help=(
        "Import runs trained elsewhere. Reads tables (CSV, TSV, JSON, JSON lines, npz, Parquet, NetCDF) with a row per "
        "run, per step or per number, and folders of runs (Lightning, Hydra, W&B, TensorBoard, Trainer states, "
        "DeepOBS, checkpoints, trace folders of the paper's own code); reports how the columns were understood, and "
        "which claims cannot be judged, and why."
    ),
    epilog=examples(
        "import mine.csv --protocol fixed-lr --dry-run",
        "import lightning_logs --protocol fixed-lr --dimension 43692 --out runs/mine",
        "import mine.csv --protocol fixed-lr --out runs/mine --map weight_decay=wd --map radius_sq=norm^2",
        "import mine.csv --protocol fixed-lr --out runs/mine --map names.toml",
    ),
)
def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The table or folder.", show_default=False)],
    protocol: Annotated[ProtocolName, typer.Option(help="The training protocol of the runs.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="The folder for the results; not with --dry-run.", show_default=False)
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=COLUMN|FILE.toml",
            help=(
                "Use COLUMN as NAME (COLUMN^2: its square; a number: for all runs; nothing: no column), or as the "
                "lines of a file say; repeatable."
            ),
            show_default=False,
        ),
    ] = None,
    dimension: Annotated[
        int | None,
        typer.Option(help="d, one more than the number of directions, if not in a column.", show_default=False),
    ] = None,
    optimizer: Annotated[str, typer.Option(help="The optimiser, if not in a column.")] = "sgd",
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Of checkpoints: the tensors to read, by name, e.g. '*.conv?.weight'; repeatable.",
            show_default=False,
        ),
    ] = None,
    spheres: Annotated[
        str | None,
        typer.Option(
            metavar="one|tensor|filter",
            help="Of checkpoints: what is scale-invariant by itself; default: one, all tensors together.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what was found and what can be judged; write nothing.")
    ] = False,
) -> None:
    """Import runs.

    Raises
    ------
    RequestError
        If --out is missing, or a mapping is wrong.
    ExperimentError
        If the runs cannot be read.
    """
    columns = _mapping(mapping or ())
    if out is None and not dry_run:
        raise RequestError("import: give --out DIR for the results, or --dry-run to see what would be imported")
    from empirics.importing import free_folder, survey

    if out is not None and not dry_run:
        free_folder(out)
    found = survey(
        path,
        protocol,
        dimension=dimension,
        optimizer=optimizer,
        columns=columns,
        weights=weights or (),
        spheres=spheres,
    )
    if out is None or dry_run:
        print("\n".join([repr(found), *found.judged()]))
        if found.problem is not None:
            raise found.problem
        return
    print(found.write(out))
    for line in [*found.notes(), *found.judged()]:
        say(line)
    if found.assigned.ignored:
        say(f"columns ignored because no claim uses them: {', '.join(found.assigned.ignored)}")
    say(f"next: {PROGRAM} compare {out}, {PROGRAM} report {out}")


def _mapping(words: Sequence[str]) -> dict[str, str]:
    """Read which column is to be used as what, from the words of the command and the files that they name."""
    from empirics.experiment import parsed_toml

    columns: dict[str, str] = {}
    for word in words:
        name, equals, column = word.partition("=")
        pairs = [(name, column)] if equals and name else []
        if not equals and word.endswith(".toml"):
            try:
                content = parsed_toml(Path(word).read_text(encoding="utf-8-sig"), word)
            except (OSError, ValueError) as error:
                raise RequestError(f"import: cannot read --map {word}: {str(error).splitlines()[0]}") from None
            pairs = list(content.items())
            for name, column in pairs:
                if isinstance(column, bool) or not isinstance(column, str | int | float):
                    raise RequestError(f"import: --map {word}: {name} must be the name of a column, in quotes")
        if not pairs:
            raise RequestError(
                f"import: --map {word} must be NAME=COLUMN, for example --map weight_decay=wd, or a file FILE.toml"
            )
        for name, column in pairs:
            if name in columns:
                raise RequestError(f"import: --map maps two columns to {name}")
            columns[name] = str(column)
    return columns


@app.command(
    help=(
        "Judge runs against the theory. Prints what the verdicts come to and a line for each claim; with --verbose "
        "every form of each claim, its reason and the diagnostics."
    ),
    epilog=examples(
        "compare runs/digits",
        "compare runs/digits --verbose",
        "compare runs/digits --format json",
        "compare runs/digits --strict",
        "compare runs/digits --claims mine.py",
    ),
)
def compare(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished run.", show_default=False)],
    form: Annotated[TableFormat, typer.Option("--format", help="Output format.")] = "table",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if a symmetry or physics claim disagrees.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print every form of each claim, its reason and the diagnostics.")
    ] = False,
    claims: ClaimFiles = None,
) -> None:
    """Print verdicts.

    Raises
    ------
    Exit
        With 1 if --strict is given and a claim disagrees, or if the code of a claim fails.
    """
    verdicts = _compared(folder, claims or ())
    others = {"json": verdicts.to_json, "markdown": verdicts.to_markdown}
    print(others[form]() if form in others else verdicts.to_text(verbose))
    for error in verdicts.errors:
        say(f"{PROGRAM}: {error}")
    against = verdicts.strict_failures if strict else []
    if against:
        say(f"--strict: {'; '.join(f'{v.claim} {verdicts.title(v)}: disagrees' for v in against)}")
    if verdicts.errors or against:
        raise typer.Exit(FAILED)


@app.command(
    help=(
        "Write a page about one or several runs. "
        "The page is a single self-contained file with verdicts, figures and provenance."
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
        Path | None, typer.Option(help="The file; default: report.html in the first folder.", show_default=False)
    ] = None,
    form: Annotated[
        PageFormat | None,
        typer.Option("--format", help="Output format; default: by the extension of the file.", show_default=False),
    ] = None,
    claims: ClaimFiles = None,
) -> None:
    """Write a page about one or several runs.

    Raises
    ------
    RequestError
        If the file has the wrong extension or is a folder.
    Exit
        With 1 if the code of a claim fails; the page is written and reports it.
    """
    if out is not None and out.is_dir():
        raise RequestError(f"report: --out {out} is a folder; give a file, for example {out / 'report.html'}")
    wanted = f".{form}" if form is not None else out.suffix.lower() if out is not None else ".html"
    if wanted not in _SUFFIXES:
        raise RequestError(f"report: --out {out} must end in one of {', '.join(_SUFFIXES)}, or give --format")
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
    """Load runs and judge them; the verdicts list the claims whose code fails."""
    import empirics
    from empirics.claims import ClaimError, ClaimWarning

    runs = empirics.load(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClaimWarning)
        try:
            return empirics.compare(runs, claims=files)
        except ClaimError as error:
            raise RequestError(f"{verb}: {error}") from None

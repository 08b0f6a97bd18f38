"""Shared by all verbs: the application, its exit codes, and how it reports."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import typer

PROGRAM = "thermo-theory"
DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
DEBUG = "THERMO_THEORY_DEBUG"

#: The training protocols.
ProtocolName = Literal["fixed-lr", "fixed-elr", "fixed-sphere"]

app = typer.Typer(
    name=PROGRAM,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class RequestError(Exception):
    """The request was wrong; the message is shown to the user."""


def say(message: str) -> None:
    """Print a message that is not a result, to stderr."""
    print(message, file=sys.stderr, flush=True)


def examples(*lines: str) -> str:
    """Write examples for a verb's help, one per line (the first character stops re-wrapping)."""
    return "\b\nExamples:\n" + "\n".join(f"  {PROGRAM} {line}" for line in lines)


def shipped() -> dict[str, Path]:
    """Find the experiments that come with the package: installed with it, or in its checkout."""
    home = Path(__file__).resolve().parents[1]
    for folder in (home / "experiments", home.parent / "experiments"):
        found = {path.stem: path for path in sorted(folder.glob("*.toml"))}
        if found:
            return found
    return {}


# The program -------------------------------------------------------------------------------------------
def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            print(f"{PROGRAM} {version(PROGRAM)}")
        except PackageNotFoundError:
            print(f"{PROGRAM} (not installed)")
        raise typer.Exit(DONE)


@app.callback(
    invoke_without_command=True,
    help="Thermodynamics of SGD on scale-invariant networks: derive, train, compare, report.",
    epilog=examples("demo", "derive radius", "run experiments/digits.toml --out runs/digits", "report runs/digits"),
)
def _program(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=f"Print tracebacks (also: {DEBUG}=1).")] = False,
) -> None:
    """Handle the options of the program itself."""
    context.obj["debug"] = context.obj["debug"] or debug
    if context.invoked_subcommand is None:
        print(context.get_help())


#: Files with user-defined claims.
ClaimFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--claims",
        metavar="FILE.py",
        help="A Python file with your own claims (it is executed); repeatable.",
        show_default=False,
    ),
]


def missing(error: ModuleNotFoundError) -> str:
    """Name the extra that installs a missing module."""
    module = (error.name or "a package").split(".")[0]
    extra = "cluster" if module in ("dask", "distributed") else "empirics"
    return f"this needs {module}, which is not installed: pip install '{PROGRAM}[{extra}]'"

"""The command line: ``thermo-theory VERB``. Results go to stdout, progress and messages to stderr.

Exit codes: 0 done; 1 a failure while working, or ``--strict`` and a symmetry or physics claim disagrees; 2 the request
was wrong (one line says what, where and what would be right; nothing is written); 130 interrupted.

What is heavy (torch, xarray, matplotlib) is imported inside the verbs that need it: `list` and `derive` need none.
"""

from __future__ import annotations

import difflib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from empirics.claims import Verdicts

__all__ = ["app", "main"]

PROGRAM = "thermo-theory"
DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
_SUFFIXES: dict[str, Literal["html", "markdown", "json"]] = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".json": "json",
}
_DEBUG = "THERMO_THEORY_DEBUG"

app = typer.Typer(
    name=PROGRAM,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class RequestError(Exception):
    """The request was wrong; the message is the line the user sees."""


class ProtocolName(StrEnum):
    """The training protocols."""

    FIXED_LR = "fixed-lr"
    FIXED_ELR = "fixed-elr"
    FIXED_SPHERE = "fixed-sphere"


class TableFormat(StrEnum):
    """How `compare` prints."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


class BenchFormat(StrEnum):
    """How `bench` prints."""

    TABLE = "table"
    JSON = "json"


class PageFormat(StrEnum):
    """What `report` writes."""

    HTML = "html"
    MARKDOWN = "markdown"
    JSON = "json"


def _say(message: str) -> None:
    """Tell the user something that is not a result."""
    print(message, file=sys.stderr, flush=True)


def _examples(*lines: str) -> str:
    """Write examples for a verb's help, one a line (the first character stops re-wrapping)."""
    return "\b\nExamples:\n" + "\n".join(f"  {PROGRAM} {line}" for line in lines)


@contextmanager
def _resumable(folder: Path, again: str = "") -> Iterator[None]:
    """Say how to go on after Ctrl-C.

    Yields
    ------
    None

    Raises
    ------
    Exit
        With the code of an interruption.
    """
    try:
        yield
    except KeyboardInterrupt:
        if (folder / "experiment.toml").is_file():
            _say(f"\ninterrupted; to continue: {again or f'{PROGRAM} resume {folder}'}")
        else:
            _say("\ninterrupted before anything was written")
        raise typer.Exit(INTERRUPTED) from None


def _executor(cluster: str | None) -> AbstractContextManager[Executor | None]:
    """Connect to a cluster, if one is asked for."""
    if cluster is None:
        return nullcontext()
    from empirics.cluster import connected

    return connected(cluster)


def _shipped() -> dict[str, Path]:
    """Find the experiments that come with the package: installed with it, or in its checkout."""
    home = Path(__file__).resolve().parent
    for folder in (home / "experiments", home.parent / "experiments"):
        found = {path.stem: path for path in sorted(folder.glob("*.toml"))}
        if found:
            return found
    return {}


# Verbs -------------------------------------------------------------------------------------------
def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            print(f"{PROGRAM} {version(PROGRAM)}")
        except PackageNotFoundError:
            print(f"{PROGRAM} (not installed)")
        raise typer.Exit(DONE)


@app.callback(
    invoke_without_command=True,
    help="Thermodynamics of SGD on scale-invariant networks: derive, train, compare, look.",
    epilog=_examples("demo", "derive radius", "run experiments/digits.toml --out runs/digits", "report runs/digits"),
)
def _program(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=f"Print tracebacks; so does {_DEBUG}=1.")] = False,
) -> None:
    """Hold what belongs to every verb."""
    context.obj["debug"] = context.obj["debug"] or debug
    if context.invoked_subcommand is None:
        print(context.get_help())


#: Where the shards of a run are done.
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Do the shards on a Dask cluster: local:N for N processes here, or tcp://HOST:PORT of its scheduler.",
        show_default=False,
    ),
]

#: Files with claims of the user's own.
ClaimFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--claims",
        metavar="FILE.py",
        help="A Python file with claims of your own, which is executed; repeatable.",
        show_default=False,
    ),
]


@app.command(
    "list",
    help="List derivations, claims, networks and experiments.",
    epilog=_examples("list", "list --claims mine.py"),
)
def list_everything(claims: ClaimFiles = None) -> None:
    """Print what there is, a line each."""
    from empirics.data import DATASETS
    from empirics.models import MODELS
    from thermo_theory import derivations

    def block(title: str, lines: Sequence[str]) -> None:
        print(title, *(f"  {line}" for line in lines), "", sep="\n")

    known = _claims(claims or ())  # before anything is printed: a wrong file is refused at once
    block(f"derivations ({PROGRAM} derive NAME --protocol PROTOCOL)", repr(derivations()).splitlines())
    block(f"claims ({PROGRAM} compare DIR)", known)
    block("networks ([model] name)", MODELS.names)
    block("data sets ([data] name)", DATASETS.names)
    block(f"experiments ({PROGRAM} run FILE)", [f"{name}  {path}" for name, path in _shipped().items()])


def _claims(files: Sequence[Path]) -> list[str]:
    """List the claims with where they come from, or say what has to be installed to know them.

    Raises
    ------
    RequestError
        If a file of the user's cannot be used.
    """
    try:
        from empirics import claims
    except ModuleNotFoundError as error:
        return [_missing(error)]
    try:
        known = claims.claims(files).values()
    except claims.ClaimError as error:
        raise RequestError(f"list: {error}") from None
    return [f"{one.name}  {one.title} ({', '.join(one.protocols)})  from {one.origin}" for one in known]


@app.command(
    help="Print a derivation. Every step with what was done and why, and what it was checked against.",
    epilog=_examples(
        "derive radius",
        "derive maxwell --protocol fixed-elr",
        "derive temperature --optimizer adamw",
        "derive adiabatic-index --latex",
    ),
)
def derive(
    name: Annotated[str, typer.Argument(help="Its name, as `list` shows it.", show_default=False)],
    protocol: Annotated[
        ProtocolName | None, typer.Option(help="The training protocol, by default fixed-lr where there are several.")
    ] = None,
    optimizer: Annotated[
        str, typer.Option(help="The optimiser: sgd, momentum, nesterov, adamw or adam-l2; the last four at fixed-lr.")
    ] = "sgd",
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """Print a derivation.

    Raises
    ------
    RequestError
        If there is no such derivation.
    """
    import thermo_theory

    if latex and markdown:
        raise RequestError("derive: give one of --latex and --markdown, not both")
    refusals = []
    for candidate, held in _candidates(name, protocol, optimizer):
        try:
            found = thermo_theory.derive(candidate, held)
        except LookupError as error:
            refusals.append(str(error.args[0]).replace("derivations() lists them", f"`{PROGRAM} list` shows them"))
            continue
        print(found.to_latex() if latex else found.to_markdown() if markdown else found)
        return
    raise RequestError(f"derive: {refusals[0]}")


def _candidates(name: str, protocol: ProtocolName | None, optimizer: str) -> list[tuple[str, str | None]]:
    """List what a name may stand for, the likeliest first: pairs of name and protocol that `derive` takes.

    Raises
    ------
    RequestError
        If there is no such optimiser, or none but SGD under the protocol.
    """
    from thermo_theory import PROTOCOLS

    # Without a protocol: the one derivation of that name, or the one at fixed LR where there are several.
    chosen = PROTOCOLS[(protocol or ProtocolName.FIXED_LR).value]
    if optimizer == "sgd":
        return [(name, None), (name, chosen.key)] if protocol is None else [(name, chosen.key)]
    try:
        key = chosen.with_optimizer(optimizer).key
    except ValueError as error:
        raise RequestError(f"derive: {error}") from None
    return [(name, key), (f"{name}-{optimizer}", None)]


@app.command(
    help=(
        "From training to the page in a minute or two. Trains a small network on images of digits over a grid of "
        "learning rates and weight decays, compares it with the theory, prints verdicts and writes a page."
    ),
    epilog=_examples("demo", "demo --out /tmp/digits"),
)
def demo(
    out: Annotated[Path, typer.Option(help="The folder for the results and the page.")] = Path("runs/digits"),
) -> None:
    """Go from an experiment to the page.

    Raises
    ------
    RequestError
        If the experiment is not part of the installation.
    """
    from empirics.experiment import Experiment

    shipped = _shipped()
    if "digits" not in shipped:
        raise RequestError(
            "demo: this installation has no experiments/digits.toml; run a file of yours with `run FILE`"
        )
    experiment = Experiment.from_file(shipped["digits"])
    import empirics

    with _resumable(out, f"{PROGRAM} demo --out {out}"):
        runs = empirics.run(experiment, out)
        verdicts = empirics.compare(runs)
        print(verdicts)
        page = empirics.report(verdicts, out / "report.html")
    print(f"\nThe page with figures, to open in a browser:\n{page}")


@app.command(
    help="Train what an experiment file describes. A folder that holds the same experiment is continued.",
    epilog=_examples(
        "run experiments/digits.toml",
        "run mine.toml --out runs/mine --device cuda",
        "run mine.toml --cluster local:4",
        "run mine.toml --out /shared/runs/mine --cluster tcp://10.0.0.1:8786",
    ),
)
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The experiment, a TOML file.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="The folder for the results, by default runs/NAME.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
    cluster: Cluster = None,
) -> None:
    """Train a grid of runs."""
    from empirics.experiment import Experiment

    experiment = Experiment.from_file(file)  # before torch is imported: a wrong file is refused at once
    import empirics

    folder = out if out is not None else Path("runs") / experiment.name
    with _resumable(folder), _executor(cluster) as executor:
        empirics.run(experiment, folder, device=device, executor=executor)
        print(empirics.status(folder))
    _say(f"next: {PROGRAM} compare {folder}, {PROGRAM} report {folder}")


@app.command(
    help="Continue an interrupted run. It comes to the same numbers as one that was never interrupted.",
    epilog=_examples("resume runs/digits"),
)
def resume(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Its folder.", show_default=False)],
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
    cluster: Cluster = None,
) -> None:
    """Continue a run."""
    import empirics

    if empirics.status(folder).finished:
        _say("nothing to do: the run is finished")
        cluster = None
    with _resumable(folder), _executor(cluster) as executor:
        empirics.resume(folder, device=device, executor=executor)
        print(empirics.status(folder))


@app.command(help="Say what is done, running and missing in a folder.", epilog=_examples("status runs/digits"))
def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.", show_default=False)],
) -> None:
    """Print the state of a run."""
    import empirics

    print(empirics.status(folder))


@app.command(
    "import",
    help=(
        "Read somebody else's runs: a table with one row a run (CSV, TSV, Parquet, NetCDF), or trace folders of the "
        "paper's own code. Says which claims a missing column takes away."
    ),
    epilog=_examples(
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
        _say(f"columns that no claim uses: {', '.join(ignored)}")
    _say_what_is_lost(empirics.compare(runs))
    _say(f"next: {PROGRAM} compare {out}, {PROGRAM} report {out}")


def _say_what_is_lost(verdicts: Verdicts) -> None:
    """Tell which claims cannot be judged on imported runs, and for want of what."""
    lost: dict[tuple[str, str], None] = {(v.claim, v.reason): None for v in verdicts if v.verdict == "not measured"}
    for claim, reason in lost:
        _say(f"{claim} cannot be judged, or not in every form: {reason}")


@app.command(
    help="Judge runs against the theory. Prints every claim with its interval and a verdict.",
    epilog=_examples(
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
        _say(f"{PROGRAM}: {error}")
    against = [v for v in verdicts if v.kind in ("symmetry", "physics") and v.verdict == "disagrees"]
    if strict and against:
        _say(f"--strict: {'; '.join(f'{v.claim} {v.title}: disagrees' for v in against)}")
    if verdicts.errors or (strict and against):
        raise typer.Exit(FAILED)


@app.command(
    help=(
        "Write the page about one run or several. Verdicts in words, figures, how it was run: one file, which loads "
        "nothing."
    ),
    epilog=_examples(
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
        _say(f"{PROGRAM}: {error}")
    if any(one.errors for one in verdicts):
        raise typer.Exit(FAILED)


class ScheduleKind(StrEnum):
    """Processes that a schedule follows."""

    ISOTHERM = "isotherm"
    ISOBAR = "isobar"
    ISOCHORE = "isochore"
    ADIABAT = "adiabat"
    COOLDOWN = "cooldown"
    ENTROPY_RATE = "entropy-rate"


class ScheduleFormat(StrEnum):
    """How `schedule` prints."""

    TABLE = "table"
    JSON = "json"


@app.command(
    help=(
        "Say what a schedule of learning rate and weight decay will do: both step by step, with temperature, norm and "
        "entropy, and how many steps it needs at least to be slow beside relaxation."
    ),
    epilog=_examples(
        "schedule cooldown --lr 0.1 --weight-decay 5e-4 --factor 0.01 --steps 100000",
        "schedule adiabat --optimizer adamw --lr 1e-3 --weight-decay 0.1 --factor 8 --steps 10000",
        "schedule entropy-rate --rate -1e-5 --along isochore --lr 0.1 --weight-decay 5e-4 --steps 100000",
        "schedule isotherm --lr 0.1 --weight-decay 5e-4 --factor 4 --steps 100000 --out plan.png",
    ),
)
def schedule(
    kind: Annotated[
        ScheduleKind, typer.Argument(metavar="KIND", help="What stays, or what is chosen.", show_default=False)
    ],
    lr: Annotated[float, typer.Option(help="The learning rate at the start.", show_default=False)],
    weight_decay: Annotated[float, typer.Option(help="The weight decay at the start.", show_default=False)],
    steps: Annotated[int, typer.Option(help="Steps in which they change.", show_default=False)],
    factor: Annotated[
        float | None,
        typer.Option(help="By how much lr changes; on an adiabat weight decay.", show_default=False),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="dS/dt of entropy-rate, in (d-1)/2 nats a step.", show_default=False),
    ] = None,
    along: Annotated[str, typer.Option(help="What stays under entropy-rate: isotherm, isobar or isochore.")] = "isobar",
    hold: Annotated[int, typer.Option(help="Steps before they change.")] = 0,
    shape: Annotated[
        str | None,
        typer.Option(help="log, linear, cosine or sqrt; by default log, for a cooldown linear.", show_default=False),
    ] = None,
    correct: Annotated[
        bool, typer.Option(help="Let weight decay fall with lr in a cooldown, so that gradients do not grow.")
    ] = True,
    optimizer: Annotated[str, typer.Option(help="sgd, momentum, nesterov, adamw or adam-l2.")] = "sgd",
    momentum: Annotated[float, typer.Option(help="Of SGD with momentum.")] = 0.0,
    index: Annotated[
        float | None, typer.Option(help="Adiabatic index, by default its limit in the cold.", show_default=False)
    ] = None,
    relaxation_steps: Annotated[
        float | None,
        typer.Option(
            help="Measured relaxation time of the loss at the start; else that of the slowest well, 1/(4 lr wd).",
            show_default=False,
        ),
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(help="Noise a direction at unit norm; adam-l2 alone needs it.", show_default=False)
    ] = None,
    dimension: Annotated[
        int | None, typer.Option(help="Scale-invariant weights; adam-l2 alone needs it.", show_default=False)
    ] = None,
    points: Annotated[int, typer.Option(help="Rows of the table.")] = 11,
    form: Annotated[ScheduleFormat, typer.Option("--format", help="How to print.")] = ScheduleFormat.TABLE,
    out: Annotated[Path | None, typer.Option(help="A PNG to draw it in.", show_default=False)] = None,
) -> None:
    """Print what a schedule will do.

    Raises
    ------
    RequestError
        If the schedule cannot be what was asked for.
    """
    from empirics.schedules.command import Request, show

    if out is not None and out.suffix.lower() != ".png":
        raise RequestError(f"schedule: --out {out} must end in .png")
    request = Request(
        kind=kind.value,
        lr=lr,
        weight_decay=weight_decay,
        steps=steps,
        factor=factor,
        rate=rate,
        along=along,
        hold=hold,
        shape=shape,
        correct=correct,
        optimizer=optimizer,
        momentum=momentum,
        index=index,
        relaxation_steps=relaxation_steps,
        sigma=sigma,
        dimension=dimension,
        points=points,
    )
    try:
        print(show(request, as_json=form is ScheduleFormat.JSON, out=out))
    except ValueError as error:
        raise RequestError(f"schedule: {error}") from None
    if out is not None:
        _say(f"drawn: {out}")


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


@app.command(
    help=(
        "Measure speed on this machine, as ratios: ours against a plain reference, in turns, on one thread, in "
        "processor time. Names: isotropic, isotropic-1000, digits, resnet18, measured-run, neighbours; by default all."
    ),
    epilog=_examples("bench isotropic digits", "bench --quick", "bench neighbours --format json"),
)
def bench(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Which.", show_default=False)] = None,
    form: Annotated[BenchFormat, typer.Option("--format", help="How to print.")] = BenchFormat.TABLE,
    quick: Annotated[bool, typer.Option("--quick", help="Less work and fewer rounds, for a look.")] = False,
) -> None:
    """Print ratios.

    Raises
    ------
    RequestError
        If there is no such benchmark.
    """
    import json
    from dataclasses import asdict

    from empirics.bench import NAMES, table
    from empirics.bench import bench as held

    rows = []
    try:
        for row in held(names or NAMES, quick):
            _say(f"{row.name}: {row.ratio:.1f} times as fast as the reference")
            rows.append(row)
    except LookupError as error:
        raise RequestError(f"bench: {error.args[0]}") from None
    print(json.dumps([asdict(row) for row in rows], indent=1) if form is BenchFormat.JSON else table(rows))


# Errors ------------------------------------------------------------------------------------------
def _missing(error: ModuleNotFoundError) -> str:
    """Say which extra holds a module that is not installed."""
    module = (error.name or "a package").split(".")[0]
    extra = "cluster" if module in ("dask", "distributed") else "empirics"
    return f"this needs {module}, which is not installed: pip install '{PROGRAM}[{extra}]'"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _usage(error: Any) -> str:
    """Turn a command line that could not be read into one line."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    message = _one_line(error.format_message()).replace("Value error, ", "").rstrip(".")
    near = []
    if message.startswith("No such command") and "Did you mean" not in message and context is not None:
        near = difflib.get_close_matches(message.split("'")[1], list(context.command.commands), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{path}: {message}{hint} (see {path} --help)"


def _failed(error: Exception, debug: bool) -> int:
    """Report an exception in one line and return the exit code it stands for."""
    from empirics.experiment import ExperimentError
    from empirics.files import FullDiskError

    if debug:
        traceback.print_exception(error)
    if hasattr(error, "format_message"):  # click's usage errors, wherever this version of typer keeps click
        _say(_usage(error))
        return WRONG
    if isinstance(error, RequestError | ExperimentError):
        _say(f"{PROGRAM}: {_one_line(str(error))}")
        return WRONG
    if isinstance(error, FullDiskError):
        _say(f"{PROGRAM}: {_one_line(str(error))}")
        return FAILED
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith(("empirics", "thermo_theory")):
        _say(f"{PROGRAM}: {_missing(error)}")
        return FAILED
    hint = "" if debug else f" (traceback: {PROGRAM} --debug ..., or {_DEBUG}=1)"
    _say(f"{PROGRAM}: {type(error).__name__}: {_one_line(str(error)) or 'no message'}{hint}")
    return FAILED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after the program's name; those of this process by default.

    Returns
    -------
    int
        The exit code.

    Examples
    --------
    >>> main(["derive", "ideal-gas-law", "--latex", "--markdown"])
    2
    """
    settings = {"debug": os.environ.get(_DEBUG, "") not in ("", "0")}
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(words, prog_name=PROGRAM, standalone_mode=False, obj=settings)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe has seen enough; what is left in the buffer must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        _say("\ninterrupted")
        return INTERRUPTED
    except Exception as error:
        return _failed(error, settings["debug"])
    return code if isinstance(code, int) else DONE


if __name__ == "__main__":
    sys.exit(main())

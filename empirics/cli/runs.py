"""Verbs that train: `demo`, `run`, `resume` and `status`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from empirics.cli.app import (
    INTERRUPTED,
    PROGRAM,
    RequestError,
    app,
    examples,
    say,
    shipped,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor


@contextmanager
def _resumable(folder: Path, again: str = "") -> Iterator[None]:
    """Print how to continue after Ctrl-C, and exit with the code of an interruption."""
    try:
        yield
    except KeyboardInterrupt:
        if (folder / "experiment.toml").is_file():
            say(f"\ninterrupted; to continue: {again or f'{PROGRAM} resume {folder}'}")
        else:
            say("\ninterrupted before anything was written")
        raise typer.Exit(INTERRUPTED) from None


def _executor(cluster: str | None, device: str) -> AbstractContextManager[Executor | None]:
    """Connect to a cluster, if one is asked for."""
    if cluster is None:
        return nullcontext()
    from empirics.running.cluster import connected

    return connected(cluster, device)


#: Where the shards of a run are computed.
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help=(
            "Run the shards on a Dask cluster: local:N for N local processes, with --device cuda on a GPU each, or "
            "tcp://HOST:PORT of its scheduler."
        ),
        show_default=False,
    ),
]


@app.command(
    help=(
        "Go from training to a report in a minute or two. Trains a small network on images of digits over a grid of "
        "learning rates and weight decays, compares it with the theory, prints the verdicts and writes a page."
    ),
    epilog=examples("demo", "demo --out /tmp/digits"),
)
def demo(
    out: Annotated[Path, typer.Option(help="The folder for results and page.")] = Path("runs/digits"),
) -> None:
    """Train, compare and report."""
    from empirics.experiment import Experiment

    known = shipped()
    if "digits" not in known:
        raise RequestError(
            "demo: this installation has no experiments/digits.toml; use `run FILE` with a file of your own"
        )
    experiment = Experiment.from_file(known["digits"])
    import empirics

    with _resumable(out, f"{PROGRAM} demo --out {out}"):
        runs = empirics.run(experiment, out)
        verdicts = empirics.compare(runs)
        print(verdicts)
        page = empirics.report(verdicts, out / "report.html")
    print(f"\nThe page with figures, to open in a browser:\n{page}")


@app.command(
    help="Train the runs of an experiment file. A folder that holds the same experiment is continued.",
    epilog=examples(
        "run experiments/digits.toml",
        "run mine.toml --out runs/mine --device cuda",
        "run mine.toml --cluster local:4",
        "run mine.toml --out /shared/runs/mine --cluster tcp://10.0.0.1:8786",
    ),
)
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The experiment, a TOML file.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="The folder for the results; default: runs/NAME.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
    cluster: Cluster = None,
) -> None:
    """Train a grid of runs."""
    from empirics.experiment import Experiment
    from empirics.experiment.schema import naming

    experiment = Experiment.from_file(file)  # before torch is imported: a wrong file is refused at once
    import empirics

    folder = out if out is not None else experiment.folder
    with naming(file), _resumable(folder), _executor(cluster, device) as executor:
        empirics.run(experiment, folder, device=device, executor=executor)
        print(empirics.status(folder))
    say(f"next: {PROGRAM} compare {folder}, {PROGRAM} report {folder}")


@app.command(
    help="Continue an interrupted run. The results are the same as without the interruption.",
    epilog=examples("resume runs/digits"),
)
def resume(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the run.", show_default=False)],
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
    cluster: Cluster = None,
) -> None:
    """Continue a run."""
    import empirics

    if empirics.status(folder).finished:
        say("nothing to do: the run is finished")
        cluster = None
    with _resumable(folder), _executor(cluster, device) as executor:
        empirics.resume(folder, device=device, executor=executor)
        print(empirics.status(folder))


@app.command(help="Show what is done, running and missing in a folder.", epilog=examples("status runs/digits"))
def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.", show_default=False)],
) -> None:
    """Print the status of a run."""
    import empirics

    print(empirics.status(folder))

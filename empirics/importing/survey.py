"""What was found in somebody's files, before anything is written: columns, means, what is lost, what can be judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from empirics import results
from empirics.claims import Verdicts, compare
from empirics.experiment import ExperimentError
from empirics.importing.averages import Averages
from empirics.importing.foreign import Foreign
from empirics.importing.names import GUESSED, Assigned
from empirics.results import ASIDE, EXPERIMENT, STORE, VARIABLES, Runs

__all__ = ["Survey", "free_folder"]

#: Columns that are not used, and runs of which something is noted, that are listed.
LISTED, FEW = 30, 3

#: What no claim rests on.
BESIDE = ("accuracy", "test_accuracy", "test_loss")

#: A run shorter than this share of the median is mentioned.
SHORT = 0.5


@dataclass(frozen=True, repr=False)
class Survey:
    """What a file or folder holds; prints as `thermo-theory import --dry-run` does.

    Attributes
    ----------
    foreign
        The runs as they were read.
    assigned
        Which of their columns is which of ours.
    noticed
        What was noticed about the columns together.
    averaged
        What was made of the series of each run.
    runs
        The runs under our names, if they could be read.
    problem
        Else what is wrong or missing.
    """

    foreign: Foreign
    assigned: Assigned
    noticed: list[str] = field(default_factory=list)
    averaged: list[Averages] = field(default_factory=list)
    runs: Runs | None = None
    problem: ExperimentError | None = None

    def read(self) -> Runs:
        """Return the runs.

        Raises
        ------
        ExperimentError
            If they could not be read: the `problem`.
        """
        if self.runs is None:
            raise self.problem or ExperimentError(f"{self.foreign.source} holds no runs")
        return self.runs

    def write(self, out: str | Path) -> Runs:
        """Write the runs to a results folder, as `import_runs` does."""
        folder, runs = free_folder(out), self.read()
        folder.mkdir(parents=True, exist_ok=True)
        results.write(runs.tree, folder)
        return Runs(folder, runs.tree, None, runs.provenance)

    def __repr__(self) -> str:
        found = self.foreign
        lines = [
            f"{found.source}: {found.form}, {_count(found.runs, 'run')} in {_count(found.files, 'file')}",
            "columns:",
        ]
        named = [(f'{ours} = "{one}"', ours, one) for ours, one in self.assigned.named.items()]
        width = max((len(text) for text, _, _ in named), default=0)
        for text, ours, one in named:
            units = f"{VARIABLES[ours].units}; " if ours in VARIABLES and VARIABLES[ours].units != "1" else ""
            lines.append(f"  {text:<{width}}  # {units}{one.how}{', ' * bool(one.why)}{one.why}")
        if self.assigned.ignored:
            lines.append(f"not used: {_listed(self.assigned.ignored)}")
        lines += self.notes()
        return "\n".join(lines)

    def notes(self) -> list[str]:
        """Lines on what was guessed, set aside, averaged and lost."""
        lines = [f"set aside: {column}: {why}" for column, why in self.assigned.aside.items()]
        if guessed := self.guesses():
            lines.append(f"guessed from the names, to be checked: {', '.join(guessed)}")
        lines += [f"note: {note}" for note in self.noticed]
        seen: dict[str, list[str]] = {}
        for run in self.foreign.runs:
            for note in run.notes:
                seen.setdefault(note, []).append(run.place)
        lines += [f"note: {note} ({_listed(places, FEW)})" for note, places in seen.items()]
        lines += [self._series()] if self.averaged else []
        lines += [f"lost: {what}" for what in self.foreign.lost]
        if self.runs is not None and "status" in self.runs.dataset:
            lines.append("status: " + ", ".join(f"{n} {name}" for name, n in self.runs.status_counts().items()))
            data = self.runs.dataset
            words = zip(self.foreign.runs, data["status"].values, data["reason"].values, strict=True)
            bad = [f"{run.place}: {status}: {reason}" for run, status, reason in words if status != "ok"]
            lines += [f"left out: {text}" for text in bad[:FEW]] + ["left out: ..."] * (len(bad) > FEW)
        return lines

    def guesses(self) -> list[str]:
        """Columns that claims rest on and whose meaning was guessed, as ``name = column``."""
        named = self.assigned.named.items()
        return [f"{ours} = {one}" for ours, one in named if one.how == GUESSED and ours not in BESIDE]

    def _series(self) -> str:
        """Describe what was made of the series."""
        logged = [means for means in self.averaged if means.points > 1]
        if not any(len(one.step) > 1 for run in self.foreign.runs for one in run.series.values()):
            return "final values only: burn-in, drift and block errors of the runs cannot be known from them"
        if not logged:
            return "series: of no quantity that shows whether the runs are stationary (radius_sq, grad_sq, loss)"
        points = np.array([means.points for means in logged])
        cut = np.array([means.left_out / means.points for means in logged])
        times = np.array([means.time for means in logged])
        text = (
            f"series: of {len(logged)} of {_count(self.averaged, 'run')}, {_span(points, 0)} points; "
            f"burn-in leaves out {_span(100 * cut, 0)} %"
        )
        if np.isfinite(times).any():
            text += f"; autocorrelation time {_span(times[np.isfinite(times)], 1)} points"
        else:
            text += "; too few points to know drift or block errors"
        if len(short := np.flatnonzero(points < SHORT * np.median(points))):
            places = [run.place for run, means in zip(self.foreign.runs, self.averaged, strict=True) if means in logged]
            text += f"; less than half as long as the others: {_listed([places[i] for i in short], FEW)}"
        return text

    def judged(self, verdicts: Verdicts | None = None) -> list[str]:
        """Lines on which claims can be judged on these runs and which cannot, as the claims themselves say.

        Parameters
        ----------
        verdicts
            The verdicts, if they are there already.
        """
        if self.runs is None:
            return []
        able: dict[str, Counter[str]] = {}
        lost: dict[str, dict[str, None]] = {}
        for row in compare(self.runs) if verdicts is None else verdicts:
            if row.verdict in ("not measured", "refused"):
                lost.setdefault(row.claim, {})[row.reason] = None
            else:
                able.setdefault(row.claim, Counter())[row.kind] += 1
        words = ", ".join(f"{name} ({', '.join(kinds)})" for name, kinds in able.items())
        lines = [f"can be judged: {words or 'nothing'}"]
        return lines + [f"{name} cannot be judged (fully): {'; '.join(reasons)}" for name, reasons in lost.items()]


def free_folder(out: str | Path) -> Path:
    """Return a folder for results: new, empty, or from an earlier import, killed or not.

    Raises
    ------
    ExperimentError
        If it holds anything else.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ExperimentError(f"{folder} is a file; give a folder for the results")
    if folder.is_dir() and not all(path.name.startswith(STORE) and path.suffix == ASIDE for path in folder.iterdir()):
        if (folder / EXPERIMENT).exists():
            raise ExperimentError(f"{folder} holds an experiment; give another folder for imported runs")
        if not (folder / STORE).is_dir():
            raise ExperimentError(f"{folder} is not empty; give another folder for imported runs")
    return folder


def _count(things: Sized, name: str) -> str:
    """Write a number of things."""
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def _listed(names: Iterable[str], most: int = LISTED) -> str:
    """Some names, and how many more there are."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


def _span(values: np.ndarray, places: int) -> str:
    """Smallest and largest of some numbers."""
    low, high = f"{values.min():.{places}f}", f"{values.max():.{places}f}"
    return low if low == high else f"{low} to {high}"

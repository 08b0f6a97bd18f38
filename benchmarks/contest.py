"""How programs are timed against each other, and what a row of the result holds.

Times are processor time of this process, the minimum of several rounds, with all programs in turns: other work on the
machine then affects all of them alike, and little. The first round of each compiles and warms up and does not count;
its duration is reported.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

__all__ = ["NAMES", "Contest", "Peak", "Row", "at_least", "bench", "seconds_of", "table"]

#: The benchmarks, each a module of this package with a function ``contests(quick)``.
NAMES = ("isotropic", "isotropic-1000", "digits", "resnet18", "ensembles", "measured-run", "neighbours")


@dataclass(frozen=True)
class Contest:
    """One comparison."""

    name: str  # of the row
    work: str  # a description of it
    unit: str  # of what `ours` and `reference` return, e.g. "s per step of 49 runs"
    ours: Callable[[], float]  # runs one round and returns the processor time (s) per unit of work
    reference: Callable[[], float]  # the same
    goal: float  # the ratio to reach
    rivals: Mapping[str, Callable[[], float]] = field(default_factory=dict)  # other ways to do the work
    parts: Mapping[str, Callable[[], float]] = field(
        default_factory=dict
    )  # of the work, for scale: they do not compete
    missing: Sequence[str] = ()  # rivals that are not installed
    remarks: Callable[[], Mapping[str, str]] = dict  # how the others' results compare with ours, after the last round
    flops: float | None = None  # operations of the matrix products of one unit of work; None without any
    bytes: float | None = None  # that one unit must read or write at least once; None where all fits the cache
    rounds: int = 5  # per program
    warm: bool = True  # whether a first round that does not count is needed; not without compiled code


@dataclass(frozen=True)
class Peak:
    """Measured peak of one thread of this machine: float32 matrix products and copies in memory."""

    gemm: float  # operations (additions, multiplications) per second of a product of squares of 1,024 rows
    memory: float  # bytes per second, read and written, of a copy of 128 MB

    @classmethod
    def measured(cls, rounds: int = 5) -> "Peak":
        """Measure both, as the best of some rounds."""
        size, length = 1024, 2**24
        a = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
        source, target = np.ones(length), np.zeros(length)
        product, copy = np.empty_like(a), []
        multiply = []
        for _ in range(rounds):
            multiply.append(seconds_of(lambda: np.matmul(a, a, out=product)))
            copy.append(seconds_of(lambda: np.copyto(target, source)))
        return cls(2 * size**3 / min(multiply), 2 * source.nbytes / min(copy))


@dataclass(frozen=True)
class Row:
    """The outcome of a contest; times in `unit`.

    Attributes
    ----------
    ours, reference, rivals, parts
        Minimum times; `parts` of the work, measured for scale, are not in `ratio`.
    ratio, strongest
        The best of the others divided by ours, and its name: ``"reference"`` or a rival's.
    missing
        Names of rivals that are not installed.
    remarks
        How the results of the others compare with ours.
    gemm_share, memory_share
        Fraction of this machine's measured peak, of matrix products and of memory traffic, that ours reaches; None
        where the work contains hardly any.
    gemm_peak, memory_peak
        Those peaks, in operations and bytes per second.
    first
        Wall-clock seconds of our first round, including compilation where the code is not yet cached on disk.
    """

    name: str
    ours: float
    reference: float
    rivals: dict[str, float]
    parts: dict[str, float]
    missing: list[str]
    remarks: dict[str, str]
    ratio: float
    strongest: str
    unit: str
    threads: int
    device: str
    goal: float
    gemm_share: float | None
    memory_share: float | None
    gemm_peak: float
    memory_peak: float
    rounds: int
    first: float
    work: str


def seconds_of(work: Callable[[], Any], repeats: int = 1) -> float:
    """Processor time (s) per call, averaged over some repeats.

    >>> seconds_of(lambda: time.sleep(0.2)) < 0.1
    True
    """
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats


def held(contest: Contest, peak: Peak, device: str) -> Row:
    """Run a contest: all programs in turns."""
    clock = time.perf_counter()
    ours = [contest.ours()]
    first = time.perf_counter() - clock
    others = {"reference": contest.reference, **contest.rivals, **contest.parts}
    theirs = {name: [program()] for name, program in others.items()}
    if contest.warm:
        ours, theirs = [], {name: [] for name in others}
    while len(ours) < contest.rounds:
        ours.append(contest.ours())
        for name, program in others.items():
            theirs[name].append(program())
    mine, best = min(ours), {name: min(times) for name, times in theirs.items()}
    strongest = min(("reference", *contest.rivals), key=best.__getitem__)
    return Row(
        name=contest.name,
        ours=mine,
        reference=best["reference"],
        rivals={name: best[name] for name in contest.rivals},
        parts={name: best[name] for name in contest.parts},
        missing=list(contest.missing),
        remarks=dict(contest.remarks()),
        ratio=best[strongest] / mine,
        strongest=strongest,
        unit=contest.unit,
        threads=1,
        device=device,
        goal=contest.goal,
        gemm_share=None if contest.flops is None else contest.flops / mine / peak.gemm,
        memory_share=None if contest.bytes is None else contest.bytes / mine / peak.memory,
        gemm_peak=peak.gemm,
        memory_peak=peak.memory,
        rounds=contest.rounds,
        first=first,
        work=contest.work,
    )


def bench(names: Sequence[str] = NAMES, quick: bool = False) -> Iterator[Row]:
    """Run benchmarks on one thread.

    Parameters
    ----------
    names
        Any of `NAMES`; default: all.
    quick
        Less work and fewer rounds, for a first impression.

    Yields
    ------
    Row
        One or more per name, as soon as they are measured.

    Raises
    ------
    LookupError
        If there is no such benchmark; raised before any of them runs.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise LookupError(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    return _rows(tuple(dict.fromkeys(names)), quick)


def _rows(names: Sequence[str], quick: bool) -> Iterator[Row]:
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from empirics.running.provenance import session

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), torch.no_grad():
            peak, device = Peak.measured(), f"cpu: {session('cpu', {})['machine']['cpu']}"
            for name in names:
                for contest in import_module(f"benchmarks.{name.replace('-', '_')}").contests(quick):
                    yield held(contest, peak, device)
    finally:
        torch.set_num_threads(before)


def table(rows: Sequence[Row]) -> str:
    """Format rows as tables in Markdown: the ratio to the strongest of the others, then every one of them.

    >>> row = Row("a", 2e-3, 0.1, {"torch.compile": 0.08}, {"a copy": 1e-3}, ["JAX"], {"reference": "1 % off"}, 40.0,
    ...           "torch.compile", "s per step", 1, "cpu", 40.0, 0.25, None, 1e11, 1e10, 5, 0.1, "steps")
    >>> print(table([row]))
    | benchmark | ours | strongest of the others | ratio | goal | of GEMM | of memory | unit |
    |---|---|---|---|---|---|---|---|
    | `a` | 0.002 | 0.08 | 40.0 | 40 | 25 % | - | s per step |
    <BLANKLINE>
    | benchmark | program | time | times ours | remark |
    |---|---|---|---|---|
    | `a` | torch.compile | 0.08 | 40.0 | |
    | `a` | reference | 0.1 | 50.0 | 1 % off |
    | `a` | a copy | 0.001 | 0.50 | part of the work |
    <BLANKLINE>
    `a`: steps
    not installed: JAX
    one thread of cpu; peak: 100 GFLOP/s float32 GEMM, 10 GB/s of memory
    """
    if not rows:
        return ""

    def share(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.0f} %"

    lines = [
        "| benchmark | ours | strongest of the others | ratio | goal | of GEMM | of memory | unit |",
        "|---" * 8 + "|",
    ]
    for row in rows:
        numbers = f"{row.ours:.3g} | {row.ratio * row.ours:.3g} | {row.ratio:.1f} | {row.goal:g}"
        lines.append(f"| `{row.name}` | {numbers} | {share(row.gemm_share)} | {share(row.memory_share)} | {row.unit} |")
    lines += ["", "| benchmark | program | time | times ours | remark |", "|---" * 5 + "|", *map(_others, rows), ""]
    lines += [f"`{row.name}`: {row.work}" for row in rows]
    missing = dict.fromkeys(name for row in rows for name in row.missing)
    last = rows[-1]
    peaks = f"{last.gemm_peak / 1e9:.0f} GFLOP/s float32 GEMM, {last.memory_peak / 1e9:.0f} GB/s of memory"
    lines += [f"not installed: {', '.join(missing)}"] * bool(missing)
    return "\n".join([*lines, f"one thread of {last.device}; peak: {peaks}"])


def _others(row: Row) -> str:
    """All others of a row, the fastest first, then parts of the work."""
    rivals = sorted({"reference": row.reference, **row.rivals}.items(), key=lambda pair: pair[1])
    remarks = dict.fromkeys(row.parts, "part of the work") | row.remarks
    return "\n".join(
        f"| `{row.name}` | {name} | {time:.3g} | {time / row.ours:.{1 if time > row.ours else 2}f} | "
        f"{f'{remarks[name]} ' if name in remarks else ''}|"
        for name, time in [*rivals, *row.parts.items()]
    )


def at_least(least: float) -> Callable[[str], float]:
    """Type of a number on a command line, for argparse: finite, and not below `least`.

    Examples
    --------
    >>> at_least(1)("2.5")
    2.5
    """

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text!r} must be a number of at least {least:g}")
        return value

    return read

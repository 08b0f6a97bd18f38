"""How two programs are timed against each other, and what a row of the result says.

Processor time of this process, the shortest of several rounds each, ours and the reference in turns: other work on the
machine then disturbs all of them alike, and little. The first round of each compiles and warms up and does not count;
its duration is reported.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

__all__ = ["NAMES", "Contest", "Peak", "Row", "bench", "seconds_of", "table"]

#: The benchmarks, each a module of this package with a function ``contests(quick)``.
NAMES = ("isotropic", "isotropic-1000", "digits", "resnet18", "measured-run", "neighbours")


@dataclass(frozen=True)
class Contest:
    """One comparison.

    Attributes
    ----------
    name, work
        The row's name and what is done, in words.
    unit
        Of the numbers that `ours` and `reference` return, e.g. ``"s per step of 49 runs"``.
    ours, reference
        Each does a round and returns the processor time (s) that one unit of work took.
    goal
        The ratio that was aimed at.
    rivals
        Other ways to do the same work, by name, timed like the reference.
    flops
        Operations of a unit that its matrix products need, additions and multiplications; None where there are none.
    bytes
        Bytes of a unit that must be read or written at least once; None where all fits into a cache.
    rounds
        How many each.
    warm
        Whether a first round of each is needed that does not count: not where compiled code has no part.
    """

    name: str
    work: str
    unit: str
    ours: Callable[[], float]
    reference: Callable[[], float]
    goal: float
    rivals: Mapping[str, Callable[[], float]] = field(default_factory=dict)
    flops: float | None = None
    bytes: float | None = None
    rounds: int = 5
    warm: bool = True


@dataclass(frozen=True)
class Peak:
    """What one thread of this machine does at best, measured: float32 matrix products and copies in memory.

    Attributes
    ----------
    gemm
        Operations per second (additions and multiplications) of a product of two square matrices of 1,024 rows.
    memory
        Bytes per second, read and written, of a copy of 128 MB.
    """

    gemm: float
    memory: float

    @classmethod
    def measured(cls, rounds: int = 5) -> "Peak":
        """Measure them."""
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
    ours, reference, rivals, ratio
        The shortest times, and by how much ours is faster than the best of the others.
    gemm_share, memory_share
        What ours reaches of this machine's measured peak of matrix products, and of memory traffic; None where the work
        holds none to speak of.
    gemm_peak, memory_peak
        Those peaks, in operations and bytes per second.
    first
        Seconds by the clock of our first round, compiling included where the code is not yet on disk.
    """

    name: str
    ours: float
    reference: float
    rivals: dict[str, float]
    ratio: float
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
    """Processor time (s) of a call, the mean over some repeats.

    >>> seconds_of(lambda: time.sleep(0.2)) < 0.1
    True
    """
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats


def held(contest: Contest, peak: Peak, device: str) -> Row:
    """Hold a contest."""
    clock = time.perf_counter()
    ours = [contest.ours()]
    first = time.perf_counter() - clock
    others = {"reference": contest.reference, **contest.rivals}
    theirs = {name: [program()] for name, program in others.items()}
    if contest.warm:
        ours, theirs = [], {name: [] for name in others}
    while len(ours) < contest.rounds:
        ours.append(contest.ours())
        for name, program in others.items():
            theirs[name].append(program())
    mine, best = min(ours), {name: min(times) for name, times in theirs.items()}
    return Row(
        name=contest.name,
        ours=mine,
        reference=best["reference"],
        rivals={name: best[name] for name in contest.rivals},
        ratio=min(best.values()) / mine,
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
        Which, of `NAMES`; all by default.
    quick
        Less work and fewer rounds, for a look.

    Yields
    ------
    Row
        One or more a name, as they come.

    Raises
    ------
    LookupError
        If there is no such benchmark; before any of them runs.
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
            peak, device = Peak.measured(), f"cpu: {session('cpu')['machine']['cpu']}"
            for name in names:
                for contest in import_module(f"benchmarks.{name.replace('-', '_')}").contests(quick):
                    yield held(contest, peak, device)
    finally:
        torch.set_num_threads(before)


def table(rows: Sequence[Row]) -> str:
    """Write rows for people: a line each, and what they were measured on.

    >>> row = Row("a", 2e-3, 0.1, {}, 50.0, "s per step", 1, "cpu", 40.0, 0.25, None, 1e11, 1e10, 5, 0.1, "steps")
    >>> print(table([row]))
    name       ours       reference  ratio    goal    of GEMM   of memory  unit
    a          0.002      0.1        50.0     40      25 %      -          s per step
    <BLANKLINE>
    a: steps
    one thread of cpu; peak: 100 GFLOP/s float32 GEMM, 10 GB/s of memory
    """
    if not rows:
        return ""

    def share(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.0f} %"

    width = max(9, *(len(row.name) for row in rows))
    lines = [f"{'name':{width}s}  ours       reference  ratio    goal    of GEMM   of memory  unit"]
    for row in rows:
        numbers = f"{row.ours:<9.3g}  {row.reference:<9.3g}  {row.ratio:<7.1f}  {row.goal:<6g}"
        shares = f"{share(row.gemm_share):8s}  {share(row.memory_share):9s}"
        lines.append(f"{row.name:{width}s}  {numbers}  {shares}  {row.unit}")
    lines += ["", *(f"{row.name}: {row.work}" for row in rows)]
    last = rows[-1]
    peaks = f"{last.gemm_peak / 1e9:.0f} GFLOP/s float32 GEMM, {last.memory_peak / 1e9:.0f} GB/s of memory"
    return "\n".join([*lines, f"one thread of {last.device}; peak: {peaks}"])

"""A whole run of ResNet-18 with its measurements, of the paper's length: ours, and as the paper's code does it.

The reference takes 1,000,000 steps, and at 200 of them 4,000 more gradients, from which noise and mean gradient are
estimated. Ours measures during training: squared norms at every step, a second minibatch at each of 4,000 snapshots.
Both are computed from the measured times of a step and of a gradient, since a run would take days.
"""

from benchmarks.contest import Contest, seconds_of
from benchmarks.resnet18 import TOGETHER, ensemble, one_run

STEPS, EVALUATIONS, GRADIENTS, SNAPSHOTS = 1_000_000, 200, 4_000, 4_000


def hours(step: float, more: float, times: int) -> float:
    """Hours per run, given the seconds per step, and the seconds and the number of extra evaluations.

    The paper's run at 96 ms per step and per gradient, 26.7 h of steps and 21.3 h of evaluations:

    >>> round(hours(0.096, 0.096, EVALUATIONS * GRADIENTS), 1)
    48.0
    """
    return (STEPS * step + times * more) / 3600


def contests(quick: bool) -> list[Contest]:
    """One run; for ours, a quarter of the time of four that advance together."""
    plain, snapshot, reference = ensemble(spacing=50), ensemble(spacing=1), one_run()
    steps = 1 if quick else 2

    def ours() -> float:
        bare, measured = seconds_of(plain.step, steps) / TOGETHER, seconds_of(snapshot.step, steps) / TOGETHER
        return hours(bare, max(measured - bare, 0.0), SNAPSHOTS)

    def theirs() -> float:
        return hours(seconds_of(reference.step, steps), seconds_of(reference.gradient, steps), EVALUATIONS * GRADIENTS)

    return [
        Contest(
            name="measured-run",
            work=f"a run of ResNet-18, {STEPS:,} steps with {SNAPSHOTS:,} snapshots and all measurements, one of "
            f"{TOGETHER} that advance together, against as many steps of one run and {EVALUATIONS} evaluations of "
            f"{GRADIENTS:,} gradients; computed from the measured times of single steps",
            unit="h per run",
            ours=ours,
            reference=theirs,
            goal=5.0,
            rounds=2 if quick else 4,
        )
    ]

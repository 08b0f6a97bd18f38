"""A whole run of ResNet-18 with its measurements, of the paper's length: ours, and the way of the paper's code.

The reference takes 1,000,000 steps, and at 200 of them 4,000 gradients more, of which noise and mean gradient are made.
Ours measures as it goes: squared norms at every step, a second minibatch at each of 4,000 snapshots. Both are computed
from the measured time of a step and of a gradient; nobody waits for a day.
"""

from benchmarks.contest import Contest, seconds_of
from benchmarks.resnet18 import TOGETHER, Ours, Reference

STEPS, EVALUATIONS, GRADIENTS, SNAPSHOTS = 1_000_000, 200, 4_000, 4_000


def hours(step: float, more: float, times: int) -> float:
    """Hours of a run, given seconds of a step and of what comes beside the steps so many times.

    The paper's run at 96 ms per step and a gradient, 26.7 h of steps and 21.3 h of evaluations:

    >>> round(hours(0.096, 0.096, EVALUATIONS * GRADIENTS), 1)
    48.0
    """
    return (STEPS * step + times * more) / 3600


def contests(quick: bool) -> list[Contest]:
    """One run; ours is a quarter of four that advance together."""
    plain, snapshot, reference = Ours(spacing=50), Ours(spacing=1), Reference()
    steps = 1 if quick else 2

    def ours() -> float:
        bare, measured = seconds_of(plain.step, steps) / TOGETHER, seconds_of(snapshot.step, steps) / TOGETHER
        return hours(bare, max(measured - bare, 0.0), SNAPSHOTS)

    def theirs() -> float:
        return hours(seconds_of(reference.step, steps), seconds_of(reference.gradient, steps), EVALUATIONS * GRADIENTS)

    return [
        Contest(
            name="measured-run",
            work=f"a run of ResNet-18 of {STEPS:,} steps with {SNAPSHOTS:,} snapshots and all measurements, one of "
            f"{TOGETHER} that advance together, against as many steps of one run and {EVALUATIONS} evaluations of "
            f"{GRADIENTS:,} gradients; from the measured times of single steps",
            unit="h a run",
            ours=ours,
            reference=theirs,
            goal=5.0,
            rounds=2 if quick else 4,
        )
    ]

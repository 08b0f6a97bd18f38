"""Perceptrons on digits over 49 runs: our step with its sums, and other ways to take the same steps with the same sums.

Each is given our minibatches, ours draws them. Before anything is timed, every rival takes `CHECKED` steps beside ours.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from benchmarks.contest import Contest, seconds_of
from benchmarks.networks import experiment
from benchmarks.rivals import Rival, Start, loop, perceptrons
from empirics.data.loading import load
from empirics.training.ensemble import Ensemble
from empirics.training.record import Raw

RUNS, BATCH = 49, 64
#: Steps of a call of a rival, each time the same ones; minibatches of others are ours alone.
WINDOW = 60
#: Steps that every rival takes beside ours before it is timed: few, since a ReLU that switches by rounding turns a run
#: onto another path.
CHECKED = 4
#: Allowed relative difference of the sums of the first step, whose weights are the same, and of ``|w|²`` later. Float32
#: rounds to 6e-8; a learning rate or a weight decay that is wrong by 1 % moves ``|w|²`` by 4e-5 in these steps.
TOLERANCE = 1e-5
SUMS = (Raw.RADIUS_SQ, Raw.GRAD_SQ, Raw.LOSS, Raw.RADIAL)


def ensemble(hidden: Sequence[int], device: str = "cpu", graph: bool = False) -> Ensemble:
    """The demo's experiment with other widths; no snapshot is due in the steps that are timed."""
    model = {"name": "mlp", "hidden": list(hidden)}
    times = {"spacing": 60, "snapshots": 80, "burn_in": 10**7}
    plan = experiment({"name": "digits"}, model, runs=RUNS, batch=BATCH, graph=graph, **times)
    return Ensemble(plan, plan.runs, load(plan.data), device)


def start_of(ours: Ensemble) -> Start:
    """What rivals begin from."""
    samples, (head, *_) = ours.feeds.samples, ours.frozen
    weights = [w.clone() for w in ours.start().weights]
    return Start(weights, head[0], samples.inputs, samples.labels, ours.rate, ours.weight_decay)


def minibatches(ours: Ensemble, steps: int) -> Tensor:
    """Numbers of the samples of our first steps, shape (step, run, sample)."""
    drawn = [ours.feeds.train._indices.at(k).view(RUNS, BATCH).clone() for k in range(steps)]
    return torch.stack(drawn)


def difference(ours: Ensemble, rival: Rival) -> float:
    """Largest relative difference from our sums: of the first step, and of ``|w|²`` after it.

    Raises
    ------
    AssertionError
        If it is more than `TOLERANCE`: the rival does something else.
    """
    state = ours.start()
    for _ in range(CHECKED):
        ours.advance(state)
    mine = state.raw[:CHECKED, SUMS].double()
    theirs = rival(minibatches(ours, CHECKED)).double()
    mine = mine[..., : theirs.shape[2]]  # a loop has the first run alone
    # w · g is 0 up to rounding, so its size is that of its factors.
    scale = torch.stack([*mine[:, :3].unbind(1), (mine[:, 0] * mine[:, 1]).sqrt()], 1)
    apart = ((theirs - mine).abs() / scale).amax(2)
    worst = float(torch.cat([apart[0], apart[:, 0]]).max())
    assert worst <= TOLERANCE, f"its sums differ from ours by {worst:.1e} (limit {TOLERANCE})"
    return worst


def flops(hidden: Sequence[int], features: int = 61, classes: int = 10) -> int:
    """Operations of the matrix products of one step of one run: forward, and gradients of weights and signals.

    >>> flops((16,)) == 2 * 64 * (2 * 61 * 16 + 2 * 16 * 10)
    True
    """
    widths = (features, *hidden)
    layers = [into * out for into, out in pairwise(widths)]
    return 2 * BATCH * (2 * sum(layers) + sum(layers[1:]) + 2 * hidden[-1] * classes)


def contests(quick: bool) -> Iterator[Contest]:
    """One hidden layer of 16, and two wider networks; each is made, and its rivals checked, when it is due."""
    for hidden, goal in (((16,), 2.5), ((64, 64), 2.0), ((256,), 2.0)):
        name = "digits" if hidden == (16,) else f"digits-{'-'.join(map(str, hidden))}"
        yield _contest(name, hidden, goal, 3 if quick else 9)


def _contest(name: str, hidden: Sequence[int], goal: float, rounds: int) -> Contest:
    ours, calls = ensemble(hidden), max(1, 64 // max(hidden))
    start, rows, state = start_of(ours), minibatches(ours, WINDOW), ours.start()
    rivals, missing = perceptrons(start)
    alone = loop(start)
    ways = {"reference": alone, **rivals}
    apart = {way: f"after {CHECKED} steps {difference(ours, rival):.0e} from ours" for way, rival in ways.items()}

    def advance() -> None:
        for _ in range(WINDOW):
            ours.advance(state)

    def timed(work: Callable[[], object], runs: int = 1) -> Callable[[], float]:
        return lambda: runs * seconds_of(work, calls) / WINDOW

    return Contest(
        name=name,
        work=f"MLP {list(hidden)} on digits, batch {BATCH}, {RUNS} runs: minibatches, gradients, update, and the sums "
        "of |w|², |g|², loss and w·g of every step; reference: nn.Module "
        "and torch.optim.SGD, one run at a time. Others are given the minibatches",
        unit=f"s per step of {RUNS} runs",
        ours=timed(advance),
        reference=timed(partial(_summed, alone, rows), RUNS),
        rivals={way: timed(partial(_summed, rival, rows)) for way, rival in rivals.items()},
        missing=missing,
        remarks=lambda: apart,
        goal=goal,
        flops=RUNS * flops(hidden),
        rounds=rounds,
    )


def _summed(rival: Rival, rows: Tensor) -> Tensor:
    return rival(rows).double().sum(0)

"""The scaling symmetry in floating point: discrete runs with anisotropic, heavy-tailed minibatches, outside sympy."""

import math

import numpy as np
import pytest

from thermo_theory import FixedELR, FixedLR, FixedSphere, derive

DIMENSION, BATCHES, STEPS = 6, 16, 200


def losses(seed):
    """Minibatch losses ``s_b (-a_b.u + u.A_b u/2)`` of the direction u; their sizes are heavy-tailed."""
    rng = np.random.default_rng(seed)
    pulls = rng.normal(size=(BATCHES, DIMENSION)) + 2 * np.eye(DIMENSION)[0]
    bends = rng.normal(size=(BATCHES, DIMENSION, DIMENSION))
    sizes = np.abs(rng.standard_t(2, size=BATCHES)) + 0.1
    return pulls, bends + bends.transpose(0, 2, 1), sizes


def gradient(w, batch, problem):
    pulls, bends, sizes = problem
    norm = np.sqrt(np.sum(w * w))
    u = w / norm
    steep = 0.2 * bends[batch] @ u - pulls[batch]
    return sizes[batch] * (steep - u * np.sum(u * steep)) / norm


def trained(protocol, w, rate, held, order, problem):
    for batch in order:
        g = gradient(w, batch, problem)
        if protocol == "fixed-sphere":
            moved = w - rate * g
            w = held * (moved / np.sqrt(np.sum(moved * moved)))
        else:
            eta = rate * np.sum(w * w) if protocol == "fixed-elr" else rate
            w = w - eta * (g + held * w)
    return w


PAIRS = {
    "fixed-lr": lambda rate, held, c: (c**2 * rate, held / c**2),
    "fixed-elr": lambda rate, held, c: (rate, held / c**2),
    "fixed-sphere": lambda rate, held, c: (c**2 * rate, c * held),
}
HELD = {"fixed-lr": (0.03, 0.2), "fixed-elr": (0.03, 0.2), "fixed-sphere": (0.03, 1.3)}


@pytest.mark.parametrize("protocol", PAIRS)
@pytest.mark.parametrize("c", [2.0, 0.25, 1024.0])
def test_a_rescaled_run_is_the_same_bit_for_bit_if_c_is_a_power_of_two(protocol, c):
    rng, problem = np.random.default_rng(1), losses(2)
    start, order = rng.normal(size=DIMENSION), rng.integers(BATCHES, size=STEPS)
    rate, held = HELD[protocol]
    one = trained(protocol, start, rate, held, order, problem)
    other = trained(protocol, c * start, *PAIRS[protocol](rate, held, c), order, problem)
    assert (other == c * one).all()


@pytest.mark.parametrize("protocol", PAIRS)
def test_and_up_to_round_off_for_any_c(protocol):
    c = 1.7
    rng, problem = np.random.default_rng(3), losses(4)
    start, order = rng.normal(size=DIMENSION), rng.integers(BATCHES, size=50)
    rate, held = (x / 10 if protocol != "fixed-sphere" else x for x in HELD[protocol])
    one = trained(protocol, start, rate, held, order, problem)
    other = trained(protocol, c * start, *PAIRS[protocol](rate, held, c), order, problem)
    assert np.abs(other / c - one).max() < 1e-10


def entropy(sample, neighbour=1):
    """Nearest-neighbour estimate of the entropy of weights, up to a constant: biased, scale-equivariant."""
    units = sample / np.linalg.norm(sample, axis=1, keepdims=True)
    distances = np.linalg.norm(units[:, None] - units[None], axis=2) + 1e9 * np.eye(len(units))
    nearest = np.sort(distances, axis=1)[:, neighbour - 1]
    log_norm = np.log(np.linalg.norm(sample, axis=1)).mean()
    return (DIMENSION - 1) * (np.log(nearest).mean() + log_norm)


def stationary_sample(protocol, rate, held, seed, count=60):
    """Ends of runs long enough to have forgotten their start, which is the same for all rates."""
    rng, problem = np.random.default_rng(seed), losses(5)
    start = np.ones(DIMENSION)
    return np.array(
        [trained(protocol, start, rate, held, rng.integers(BATCHES, size=400), problem) for _ in range(count)]
    )


def test_the_maxwell_relation_of_a_biased_estimate_holds_along_an_orbit_at_fixed_lr():
    rate, held, c = 0.02, 1.2, 1.5
    one = entropy(stationary_sample("fixed-lr", rate, held, 6))
    other = entropy(stationary_sample("fixed-lr", c**2 * rate, held / c**2, 6))
    # dS/dlog eta - dS/dlog lambda = R: log eta grows by 2 log c and log lambda falls by as much.
    slope = (other - one) / (2 * math.log(c))
    claimed = derive("maxwell-from-symmetry", FixedLR).claim(R=(DIMENSION - 1) / 2)
    assert slope == pytest.approx(claimed, rel=1e-6)


def test_the_slope_with_weight_decay_at_fixed_elr():
    rate, held, c = 0.05, 1.2, 2.0
    one, other = (entropy(stationary_sample("fixed-elr", rate, x, 7)) for x in (held, held / c**2))
    claimed = derive("maxwell-from-symmetry", FixedELR).claim(R=(DIMENSION - 1) / 2)
    assert (other - one) / (-2 * math.log(c)) == pytest.approx(claimed, rel=1e-6)


def test_the_slope_with_the_norm_on_the_sphere():
    rate, norm, c = 0.03, 1.3, 1.7
    one, other = (entropy(stationary_sample("fixed-sphere", rate * x**2, norm * x, 8)) for x in (1.0, c))
    claimed = derive("maxwell-from-symmetry", FixedSphere).claim(R=(DIMENSION - 1) / 2)
    assert (other - one) / math.log(c) == pytest.approx(claimed, rel=1e-6)


def test_two_estimates_differ_by_the_same_bias_all_along_an_orbit():
    """Independent minibatches on the orbit: the biases agree in distribution, here within 5 standard errors."""
    rate, held = 0.02, 1.2
    gaps = []
    for c, seed in ((1.0, 9), (2.0, 10)):
        samples = [stationary_sample("fixed-lr", c**2 * rate, held / c**2, seed + 20 * k, 30) for k in range(8)]
        gaps.append([entropy(sample, 1) - entropy(sample, 3) for sample in samples])
    one, other = np.array(gaps)
    error = math.hypot(one.std(ddof=1), other.std(ddof=1)) / math.sqrt(8)
    assert abs(one.mean()) > 10 * error  # the estimates are far apart: at least one of them is biased,
    assert abs(one.mean() - other.mean()) < 5 * error  # and by the same all along the orbit


@pytest.mark.parametrize("protocol", [FixedLR, FixedELR, FixedSphere])
def test_no_more_is_assumed_than_is_needed(protocol):
    assert derive("scaling-symmetry", protocol).assumptions == ("scale invariance",)
    assert set(derive("maxwell-from-symmetry", protocol).assumptions) <= {"scale invariance", "stationarity"}


@pytest.mark.parametrize(
    ("name", "protocol"),
    [(name, p) for name in ("scaling-symmetry", "maxwell-from-symmetry") for p in (FixedLR, FixedELR, FixedSphere)]
    + [("estimator-bias", None)],
)
def test_every_step_holds(name, protocol):
    known = derive(name, protocol)
    assert len(known.verify()) == len(known.steps)
    assert known.kind == "symmetry"

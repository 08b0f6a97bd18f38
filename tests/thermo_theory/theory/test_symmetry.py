"""The scaling symmetry in floating point: discrete runs with anisotropic, heavy-tailed minibatches, outside sympy."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats
from scipy.spatial import cKDTree

from thermo_theory import FixedELR, FixedLR, FixedSphere, derive
from thermo_theory.engine.evaluate import holds
from thermo_theory.symbols import R, S_w, d, eq, w
from thermo_theory.symbols.vectors import DifferentialEntropyOf, EntropyOf, Expectation, NormEntropyOf
from thermo_theory.theory.optimizers import LINEAR
from thermo_theory.theory.symmetry import in_polar_coordinates
from thermo_theory.worlds.discrete import runs_world

DIMENSION, BATCHES, STEPS = 6, 16, 200

OTHERS = [FixedLR.with_optimizer(name) for name in LINEAR]
MOMENTUM, NESTEROV, ADAMW, ADAM_L2 = OTHERS


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
    """The weights after these minibatches; buffers start empty."""
    first = second = np.zeros(DIMENSION)
    for batch in order:
        g = gradient(w, batch, problem)
        if protocol is FixedSphere:
            moved = w - rate * g
            w = held * (moved / np.sqrt(np.sum(moved * moved)))
        elif protocol in (MOMENTUM, NESTEROV):
            g = g + held * w
            first = 0.5 * first + g
            w = w - rate * (g + 0.5 * first if protocol is NESTEROV else first)
        elif protocol in (ADAMW, ADAM_L2):
            g = g + held * w if protocol is ADAM_L2 else g
            first, second = 0.5 * first + 0.5 * g, 0.75 * second + 0.25 * g * g
            w = (w if protocol is ADAM_L2 else (1 - rate * held) * w) - rate * first / np.sqrt(second)
        else:
            eta = rate * np.sum(w * w) if protocol is FixedELR else rate
            w = w - eta * (g + held * w)
    return w


#: Powers of c by which the learning rate and what else is held change (by hand), and values of both.
RESCALED = {
    FixedLR: (2, -2, 0.02, 1.2),
    FixedELR: (0, -2, 0.05, 1.2),
    FixedSphere: (2, 1, 0.03, 1.3),
    MOMENTUM: (2, -2, 0.01, 1.2),
    NESTEROV: (2, -2, 0.01, 1.2),
    ADAMW: (1, -1, 0.05, 1.2),
    ADAM_L2: (1, -2, 0.02, 2.0),
}
EVERY = pytest.mark.parametrize("protocol", RESCALED, ids=lambda protocol: protocol.key)


def rescaled(protocol, c):
    up, down, rate, held = RESCALED[protocol]
    return c**up * rate, c**down * held


@EVERY
@pytest.mark.parametrize("c", [2.0, 0.25, 1024.0])
def test_a_rescaled_run_is_the_same_bit_for_bit_if_c_is_a_power_of_two(protocol, c):
    rng, problem = np.random.default_rng(1), losses(2)
    start, order = rng.normal(size=DIMENSION), rng.integers(BATCHES, size=STEPS)
    one = trained(protocol, start, *rescaled(protocol, 1), order, problem)
    other = trained(protocol, c * start, *rescaled(protocol, c), order, problem)
    assert (other == c * one).all()


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
    if protocol is FixedSphere:
        start *= held
    return np.array(
        [trained(protocol, start, rate, held, rng.integers(BATCHES, size=400), problem) for _ in range(count)]
    )


@EVERY
def test_the_maxwell_relation_of_a_biased_estimate_holds_along_an_orbit(protocol):
    c, (up, down, _, _) = 1.5, RESCALED[protocol]
    one, other = (entropy(stationary_sample(protocol, *rescaled(protocol, x), 6, 30)) for x in (1, c))
    # How far the variable moves whose slope has the factor 1: log eta, or what is held beside the effective rate.
    moved = (down if protocol in (FixedELR, FixedSphere) else up) * math.log(c)
    claimed = derive("maxwell-from-symmetry", protocol).claim(R=(DIMENSION - 1) / 2)
    assert (other - one) / moved == pytest.approx(claimed, rel=1e-6)


def test_two_estimates_differ_by_the_same_bias_all_along_an_orbit():
    """Independent minibatches on the orbit: the biases agree in distribution, here within 5 standard errors."""
    rate, held = 0.02, 1.2
    gaps = []
    for c, seed in ((1.0, 9), (2.0, 10)):
        samples = [stationary_sample(FixedLR, c**2 * rate, held / c**2, seed + 20 * k, 30) for k in range(8)]
        gaps.append([entropy(sample, 1) - entropy(sample, 3) for sample in samples])
    one, other = np.array(gaps)
    error = math.hypot(one.std(ddof=1), other.std(ddof=1)) / math.sqrt(8)
    assert abs(one.mean()) > 10 * error  # the estimates are far apart: at least one of them is biased,
    assert abs(one.mean() - other.mean()) < 5 * error  # and by the same all along the orbit


# What is derived ---------------------------------------------------------------------------------

DERIVED = [("maxwell-from-symmetry", protocol) for protocol in RESCALED] + [("maxwell-differential-entropy", FixedLR)]


@pytest.mark.parametrize(
    ("name", "protocol"),
    [pair if pair[1] in (FixedLR, FixedSphere) else pytest.param(*pair, marks=pytest.mark.long) for pair in DERIVED],
)
def test_no_more_is_assumed_than_is_needed_and_the_worlds_of_runs_are_not_blind(name, protocol):
    """The claim is false wherever an assumption is not granted, and so is one with d for d - 1."""
    known = derive(name, protocol)
    assert set(known.assumptions) <= {"scale invariance", "stationarity", "eps = 0"}
    claim, world = known.claim.equation, runs_world(protocol.rule)
    assert not holds(eq(claim.lhs, claim.rhs.subs(R, d / 2)), world(1, known.assumptions)).holds
    for dropped in known.assumptions:
        granted = [assumption for assumption in known.assumptions if assumption != dropped]
        assert not holds(claim, world(1, granted)).holds, dropped


# Two entropies -----------------------------------------------------------------------------------


def test_polar_coordinates_of_a_differential_entropy():
    """An anisotropic Gaussian in R^3: densities of its direction and of its norm given the direction are known."""
    spread = np.array([1.0, 2.0, 0.5])
    nodes, weights = np.polynomial.hermite_e.hermegauss(50)
    points = np.stack(np.meshgrid(nodes, nodes, nodes), axis=-1).reshape(-1, 3) * np.sqrt(spread)
    weights = np.prod(np.stack(np.meshgrid(weights, weights, weights), axis=-1).reshape(-1, 3), axis=1)
    weights /= weights.sum()
    norms = np.linalg.norm(points, axis=1)
    stretch = ((points / norms[:, None]) ** 2 / spread).sum(axis=1)
    of_direction = weights @ (1.5 * np.log(stretch)) + math.log(4 * math.pi * math.sqrt(spread.prod()))

    def density(log_r):
        return stats.chi(3).pdf(math.exp(log_r)) * math.exp(log_r)

    of_norm = integrate.quad(lambda x: -density(x) * math.log(density(x)), -12, 2.5)[0]
    split = in_polar_coordinates(eq(S_w, DifferentialEntropyOf(w))).rhs
    split = split.replace(EntropyOf, lambda _: of_direction).replace(NormEntropyOf, lambda _: of_norm)
    split = split.replace(Expectation, lambda _: 2 * (weights @ np.log(norms))).subs(d, 3)
    assert float(split) == pytest.approx(3 / 2 * math.log(2 * math.pi * math.e) + math.log(spread.prod()) / 2, abs=5e-3)


def gas_entropies(eta, lam, n, size=1000):
    """S and S_w of the isotropic gas at sigma = 1: directions are even, and r^2 is a Markov chain of its own."""
    logs = np.linspace(-3.5, 3.5, size) + math.log(eta * (n - 1) / lam) / 20  # a grid that does not scale with r
    y = np.exp(logs)
    kicks = (y[:, None] - (1 - eta * lam) ** 2 * y) * y / eta**2
    moves = stats.chi2(n - 1).pdf(kicks) * y / eta**2 * y[:, None] * (logs[1] - logs[0])
    law = np.full(size, 1 / size)
    for _ in range(200):
        law = moves @ law
        law /= law.sum()
    of_norm = -(special.xlogy(law, law).sum()) + math.log((logs[1] - logs[0]) / 2)
    sphere = math.log(2 * math.pi ** (n / 2) / math.gamma(n / 2))
    return np.array([sphere + (n - 1) * (law @ logs) / 2, sphere + n * (law @ logs) / 2 + of_norm])


def test_the_two_entropies_of_the_isotropic_gas_have_slopes_that_differ_by_d_and_by_d_minus_1():
    n, eta, lam, step = 7, 0.3, 0.6, 0.05
    by_rate, by_decay = (
        (gas_entropies(eta * up, lam * across, n) - gas_entropies(eta / up, lam / across, n)) / (2 * step)
        for up, across in ((math.exp(step), 1), (1, math.exp(step)))
    )
    names = ("maxwell-from-symmetry", "maxwell-differential-entropy")
    claimed = [derive(name, FixedLR).claim(R=(n - 1) / 2) for name in names]
    assert claimed == [3, 3.5]
    assert by_rate - by_decay == pytest.approx(claimed, abs=2e-3)


def test_the_differential_entropy_of_the_isotropic_gas_is_that_of_simulated_weights():
    n, eta, lam, rng = 4, 0.2, 0.5, np.random.default_rng(11)
    sample = rng.normal(size=(40_000, n))
    for _ in range(100):
        norms = np.linalg.norm(sample, axis=1, keepdims=True)
        kick = rng.normal(size=sample.shape)
        kick -= sample * (kick * sample).sum(axis=1, keepdims=True) / norms**2
        sample = (1 - eta * lam) * sample - eta * kick / norms
    # Kozachenko and Leonenko's estimate, from the third neighbours.
    distances = cKDTree(sample).query(sample, 4)[0][:, 3]
    ball = n / 2 * math.log(math.pi) - math.lgamma(n / 2 + 1)
    estimate = n * np.log(distances).mean() + ball + special.digamma(len(sample)) - special.digamma(3)
    s, s_w = gas_entropies(eta, lam, n)
    assert estimate == pytest.approx(s_w, abs=0.03)
    assert abs(estimate - s) > 0.3

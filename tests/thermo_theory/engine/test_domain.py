"""Every claim that takes numbers: where it is evaluated it is true of its worlds, elsewhere it is refused."""

import math
import re

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from scipy.integrate import solve_ivp
from scipy.linalg import solve_continuous_lyapunov
from sympy.core.function import AppliedUndef

from thermo_theory import FixedELR, FixedLR, FixedSphere, derive
from thermo_theory.engine.derivation import registered
from thermo_theory.engine.evaluate import evaluate
from thermo_theory.engine.world import DIGITS, NotInterpreted, World
from thermo_theory.symbols import argument_name, glossary
from thermo_theory.symbols.averages import averages
from thermo_theory.symbols.vectors import Expectation, Generator
from thermo_theory.worlds.optimizers import updated

#: Claims about functions, differentials, vectors, maps: there is no number to put in.
WITHOUT_NUMBERS = set(
    """gibbs-distribution first-law second-law potentials maxwell-relations potential thermodynamic-integration
    vmf-riccati scaling-symmetry momentum-symmetry nesterov-symmetry adamw-symmetry adam-l2-symmetry estimator-bias
    signsgd-symmetry lion-symmetry normalised-sgd-symmetry muon-symmetry lars-symmetry lamb-symmetry
    real-gas ornstein-uhlenbeck probability-currents implicit-potential-adiabat entropy-of-schedule""".split()  # noqa: SIM905
)
KEYS = sorted(registered())
#: The index of the gas with coupled decay is 2, whatever the degree.
NUMERIC = [key for key in KEYS if key[0] not in {*WITHOUT_NUMBERS, "coupled-homogeneous-gas"}]


def of(key):
    """The derivation of a name and a protocol."""
    return derive(key[0], registered()[key].protocol)


def atoms(claim):
    """The symbol or average behind each argument."""
    known = {info.argument: one for one, info in {**glossary, **averages}.items()}
    return {name: known[name] for name in claim.arguments}


def sides(relation, claim, values):
    """Both sides of a relation at numbers, put in by sympy."""
    named = relation.xreplace({one: sp.Symbol(name) for name, one in atoms(claim).items()})
    return sp.lambdify(list(values), named.args)(*values.values())


def inside(claim, values):
    """Where every relation of the domain holds, and room to the edge, so that round-off does not decide."""
    good = True
    for relation in claim.domain:
        left, right = sides(relation, claim, values)
        far = np.abs(left - right) > 1e-6 * (np.abs(left) + np.abs(right))
        kept = {sp.Eq: ~far, sp.Lt: left < right, sp.Le: left < right}.get(relation.func, left > right)
        good = good & kept & (far | (relation.func is sp.Eq))
    return np.broadcast_to(good, next(iter(values.values())).shape)


def points(claim, rng, count=400):
    """Arguments of any size, each in the domain of its symbol."""
    values = {}
    for name, one in atoms(claim).items():
        domain = {**glossary, **averages}[one].domain
        size = 10 ** rng.uniform(-3, 3 if name != "gamma" else 1, count)  # powers of 1000 overflow
        low = 0 if math.isinf(domain.low) else domain.low
        values[name] = low + (size if math.isinf(domain.high) else rng.uniform(0, domain.high, count))
        if math.isinf(domain.low):
            values[name] *= rng.choice([1, -1], count)
    if sp.Eq in {relation.func for relation in claim.domain}:
        values["p"][::2] = values["lam"][::2]
    return values


def sign_of_left(claim, values):
    """Sign of the left-hand side, mean squares and what is positive being small numbers; 0 if it may have any."""
    left = claim.equation.lhs
    if left.has(sp.Derivative, Generator):
        return 0
    small = [*left.atoms(Expectation), *(one for one in left.atoms(AppliedUndef, sp.Symbol) if one.is_positive)]
    kept = {one: sp.Symbol(name) for name, one in atoms(claim).items()}
    left = left.xreplace({**dict.fromkeys(small, sp.Float(1e-9)), **kept})
    if left.has(AppliedUndef) or left.free_symbols - set(kept.values()):
        return 0
    return np.sign(sp.lambdify(sp.symbols(claim.arguments), left)(*values.values()))


@pytest.mark.parametrize("key", NUMERIC, ids=", ".join)
def test_a_claim_has_a_value_in_its_domain_and_none_outside(key):
    claim = of(key).claim
    assert claim.arguments
    values = points(claim, np.random.default_rng(len(KEYS)))
    good = inside(claim, values)
    within = {name: array[good] for name, array in values.items()}
    assert good.sum() >= 20
    result = claim(**within)
    assert np.isfinite(result).all()
    assert (result * sign_of_left(claim, within) >= 0).all()
    assert np.isnan(claim(**values, invalid="nan")).tolist() == (~good).tolist()
    named = {name for relation in claim.domain for name, one in atoms(claim).items() if relation.has(one)}
    for where in np.flatnonzero(~good)[:5]:
        outside = {name: float(array[where]) for name, array in values.items()}
        with pytest.raises(ValueError, match="must") as error:
            claim(**outside)
        said = {name for name in named if re.search(rf"\b{name}\b", str(error.value))}
        assert said
        message = str(error.value)
        for name in said:
            assert repr(outside[name]).removesuffix(".0") in message  # as it was written, not -0.10000000000000001


@pytest.mark.parametrize("key", NUMERIC, ids=", ".join)
def test_a_claim_has_the_digits_of_its_equation(key):
    claim = of(key).claim
    values = points(claim, np.random.default_rng(3))
    where = np.flatnonzero(inside(claim, values))[:8]
    right = claim.equation.rhs.removeO()
    for index in where:
        given = {name: float(array[index]) for name, array in values.items()}
        world = World({one: mp.mpf(given[name]) for name, one in atoms(claim).items()})
        try:
            with mp.workdps(DIGITS + 20):
                exact = float(evaluate(right, world))
        except NotInterpreted:
            assert key[0] == "vmf-heat-capacity", "its A is a function; test_vmf_numeric compares it"
            return
        assert claim(**given) == pytest.approx(exact, rel=1e-9, abs=0), given


@pytest.mark.parametrize("key", NUMERIC, ids=", ".join)
def test_a_claim_takes_numbers_of_any_kind(key):
    claim = of(key).claim
    values = points(claim, np.random.default_rng(5), 800)
    few = {name: np.float32(array[inside(claim, values)][:4]) for name, array in values.items()}
    wanted = claim(**few)
    assert (wanted.dtype, wanted.shape) == (np.float64, (4,))
    assert claim(**{name: list(map(float, array)) for name, array in few.items()}).tolist() == wanted.tolist()
    first = {name: array[0] for name, array in few.items()}
    for given in (first, {name: np.array(one) for name, one in first.items()}):
        assert isinstance(claim(**given), float)
        assert claim(**given) == pytest.approx(wanted[0], rel=1e-14)
    assert claim(**{name: array[:0] for name, array in few.items()}).shape == (0,)
    name, *others = claim.arguments
    column = claim(**{one: first[one] for one in others}, **{name: np.full((3, 1), first[name])})
    assert column == pytest.approx(np.full((3, 1), wanted[0]), rel=1e-14)
    whole = {name: 2 if name.startswith(("d", "N", "B")) else 1 for name in claim.arguments}
    real = {name: float(number) for name, number in whole.items()}
    assert claim(**whole, invalid="nan") == pytest.approx(claim(**real, invalid="nan"), nan_ok=True)


@pytest.mark.parametrize("key", NUMERIC, ids=", ".join)
def test_the_worlds_lie_in_the_domain_and_have_the_value(key):
    found = of(key)
    claim, equation, met = found.claim, found.claim.equation, 0
    variable = next((order.variables[0] for order in equation.atoms(sp.Order)), None)

    def number(value):
        return np.array(value.tolist(), dtype=float) if isinstance(value, mp.matrix) else float(value)

    for maker in found.worlds:
        world = maker(0, found.assumptions)
        if variable is not None:
            world = world.at({variable: mp.mpf(10) ** (6 if argument_name(variable) == "d" else -6)})
        try:
            with mp.workdps(DIGITS):
                left = number(evaluate(equation.lhs, world))
                given = {name: number(evaluate(one, world)) for name, one in atoms(claim).items()}
        except NotInterpreted:
            continue
        met += 1
        assert claim(**given) == pytest.approx(left, rel=1e-5 if variable is not None else 1e-8)
    assert met


@pytest.mark.parametrize("key", [key for key in KEYS if key[0] in WITHOUT_NUMBERS], ids=", ".join)
def test_what_has_no_numbers_to_give_says_so(key):
    claim = of(key).claim
    with pytest.raises(TypeError, match="no right-hand side that can be evaluated"):
        claim(**dict.fromkeys(claim.arguments, 0.5))


# Where the edges are -------------------------------------------------------------------------------


def grows(rule, eta, lam, beta):
    """Whether second moments of an optimiser without mean gradients grow: the map of one step, no formula."""
    w, v = (updated(rule, *unit, 0.0, eta, lam, beta) for unit in np.eye(2))
    step = np.array([[w[0], v[0]], [w[1], v[1]]])
    return max(abs(np.linalg.eigvals(step))) > 1


@pytest.mark.parametrize("rule", ["sgd", "momentum", "nesterov", "adamw", "adam-l2"])
def test_exact_steps_have_a_stationary_norm_where_they_are_stable(rule):
    protocol = FixedLR.with_optimizer(rule) if rule != "sgd" else FixedLR
    names = {
        "sgd": ["compressibility"],
        "nesterov": ["nesterov-balance"],
    }
    claims = [derive(name).claim for name in names.get(rule, [])]
    claims += [derive("norm-balance", protocol).claim] if rule != "sgd" else []
    # Adam's normaliser is that of small steps in the chord under L2, which has another bound.
    claims += [derive("chord", protocol).claim] if rule != "adam-l2" else []
    rng, seen = np.random.default_rng(2), set()
    for _ in range(120):
        eta, lam, unit, size = 10 ** rng.uniform(-2, 1.5, 4)
        beta = rng.uniform() if rule != "sgd" else 0.0
        shrink, taken = (eta / unit, lam) if rule == "adam-l2" else (eta, lam)
        bad = grows(rule, shrink, taken, beta)
        values = {"eta": eta, "lam": lam, "beta": beta, "beta1": beta, "adam_unit": unit, "grad_sq": size}
        values |= {"grad_mean_sq": size, "grad_variance": unit}
        for claim in claims:
            found = claim(**{name: values[name] for name in claim.arguments}, invalid="nan")
            assert bad == math.isnan(found), values
            seen.add(bad)
    assert seen == {True, False}


@pytest.mark.parametrize("step", [0.1, 1.0, 1.9, 1.999, 2.001, 3.0])
def test_a_finite_step_has_a_spread_where_it_does_not_overshoot(step):
    h, sigma, R, p = 1.7, 0.6, 2.5, 0.03
    eta_eff, spread = step / h, 0.0
    for _ in range(20_000):  # E x^2 of x' = (1 - eta_eff h) x - eta_eff xi
        spread = min((1 - eta_eff * h) ** 2 * spread + (eta_eff * sigma) ** 2, 1e6)
    values = {"R": R, "T": eta_eff * sigma**2 / 2, "eta_eff": eta_eff, "h": h}
    for protocol, held in ((FixedELR, {"p": p}), (FixedSphere, {"V": p})):
        claim = derive("finite-step", protocol).claim
        if spread == 1e6:
            with pytest.raises(ValueError, match=r"eta_eff\*h < 2 must hold, got eta_eff = .*, h = 1\.7"):
                claim(**values, **held)
        else:
            assert claim(**values, **held) == pytest.approx(R * h * spread / p, rel=1e-9)
    # At fixed LR the norm grows until the step is short enough.
    volume = derive("finite-step", FixedLR).claim(d=6, eta=50.0, lam=0.01, sigma=0.1, h=h)
    assert 50 / (2 * volume) * h < 2


@pytest.mark.parametrize("ramp", [-0.0399, -0.02, 0.01, 0.3, -0.0401, -0.05])
def test_a_ramp_is_followed_where_it_is_not_too_steep(ramp):
    eta, lam, end = 0.1, 0.1, 4000.0

    def behind(time):  # z = r^4 over its equilibrium, which goes as exp(ramp t)
        relaxing = solve_ivp(
            lambda t, z: 4 * eta * lam * (1 - z) - ramp * z, (0, time), [1.0], "LSODA", rtol=1e-10, atol=1e-12
        )
        return -math.log(relaxing.y[0, -1]) / 4

    claim = derive("quasi-static").claim
    if abs(behind(end) - behind(2 * end)) > 0.01 and ramp < -4 * eta * lam:
        with pytest.raises(ValueError, match=r"ramp > -4\*eta\*lam must hold"):
            claim(eta=eta, lam=lam, ramp=ramp)
    else:
        assert claim(eta=eta, lam=lam, ramp=ramp) == pytest.approx(behind(40 * end), rel=1e-5)


@pytest.mark.parametrize("share", [-0.99, 0.5, 0.999, 1.001, -2.0])
def test_coupled_blocks_have_a_steady_state_where_their_well_is_one(share):
    h, eta1, eta2, T1, T2 = 1.3, 0.2, 0.5, 2.0, 1.0
    rates, k = np.diag([eta1, eta2]), share * h
    pull = rates @ np.array([[h, k], [k, h]])
    claim = derive("driven-steady-state").claim
    values = {"T1": T1, "T2": T2, "eta1": eta1, "eta2": eta2, "h": h, "coupling": k}
    if min(np.linalg.eigvals(pull).real) < 0:
        with pytest.raises(ValueError, match=r"Abs\(coupling\) < h must hold, got coupling = .*, h = 1\.3"):
            claim(**values)
    else:
        covariance = solve_continuous_lyapunov(pull, 2 * rates @ np.diag([T1, T2]))
        # The heat that block 1 takes from its bath: eta_1 (T_1 h - E (dL/dx_1)^2).
        force = np.array([h, k])
        assert claim(**values) == pytest.approx(eta1 * (T1 * h - force @ covariance @ force), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        (
            "volume-fluctuations",
            {"R": 2, "T": 0.1, "eta": 0.1, "lam": 0.01, "p": 0.02},
            "p = lam must hold, got lam = 0.01, p = 0.02",
        ),
        ("adiabat", {"V": 1, "V0": 2, "p0": 1, "gamma": 1.0}, "gamma must be > 1, got 1"),
        (
            "driven-steady-state",
            {"T1": 2, "T2": 1, "eta1": 1, "eta2": 1, "h": 1.5, "coupling": -1.5},
            r"Abs\(coupling\) < h must hold, got coupling = -1.5, h = 1.5",
        ),
        ("weight-averaging", {"R": 2, "T": 0.1, "N": 0.5}, "N must be >= 1, got 0.5"),
        ("jastrzebski-2017", {"B": 0.5, "eta": 0.1, "r": 1, "sigma1": 1}, "B must be >= 1, got 0.5"),
        ("mandt-2017", {"B": 0, "eta": 0.1, "Sigma1_ij": 1, "h_i": 1, "h_j": 1}, "B must be >= 1, got 0"),
        ("vmf-low-temperature", {"d": 10, "T": [0.05, 0.2]}, r"T\*d < 1 must hold, got T = 0.2, d = 10.0 at index 1"),
        ("configurational-temperature", {"T": 1, "laplacian": -1}, "laplacian must be >= 0, got -1"),
        ("length-scale", {"R": 2, "T": 0.01, "V": 1, "eps": 1, "stretch": 1}, "eps.*stretch.* must hold, got R = 2.0"),
        ("ito-radius", {"eta": 1, "lam": -1, "r": 1, "tr_Sigma": 1}, "lam must be >= 0, got -1"),
    ],
)
def test_refusals_name_argument_value_and_domain(name, values, said):
    with pytest.raises(ValueError, match=said):
        derive(name, FixedLR if name == "ito-radius" else None).claim(**values)


def test_the_series_in_its_domain_is_closer_than_its_last_term():
    from thermo_theory import vmf

    claim = derive("vmf-low-temperature").claim
    for d in (2, 4, 7, 30, 1000):
        T = np.array([0.01, 0.1, 0.2]) / d
        last = np.abs(T**3 * (d - 3) * (d + 1) * (d + 3) / 16)
        assert (np.abs(claim(d=d, T=T) - vmf.adiabatic_index(d=d, T=T)) < last).all()
        assert claim(d=d, T=0.999 / d) > 1  # C_p > C_V


def test_averages_that_can_be_negative_or_zero_are_taken():
    given = {"eta": 0.1, "lam": 0.1, "grad_sq": 1.0}
    assert derive("virial-with-remainder").claim(**given, grad_dot_w=-0.2) == pytest.approx(0.025 + 0.99 * 0.1)
    balance = derive("momentum-balance").claim
    assert balance(eta=0.1, beta=0.5, grad_sq=1.0, grad_dot_buffer=-0.3) == pytest.approx(0.1 * 0.7 / (2 * 0.5))
    thermometer = derive("step-thermometer").claim
    assert thermometer(T=2.0, laplacian=3.0, eta_eff=0.5, curvature_mean_grad=-4.0) == pytest.approx(5.0)
    assert thermometer(T=2.0, laplacian=-3.0, eta_eff=0.5, curvature_mean_grad=40.0) == pytest.approx(4.0)
    still = derive("compressibility").claim(eta=0.1, lam=0.1, grad_mean_sq=0.0, grad_variance=1.0)
    assert still == pytest.approx(1 / 0.995)

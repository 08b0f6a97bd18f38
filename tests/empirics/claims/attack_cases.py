"""For every form of every claim: tables on which it holds, and the same with one violation that it must see."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import xarray as xr
from gas_parts import mixture, mixture_table
from gas_states import state_table
from scipy.integrate import solve_ivp
from well_table import HESSIAN, NOISE, RATES, well_table

from empirics.claims import Table
from empirics.claims.adiabat import FIXED_ELR, FIXED_LR
from empirics.claims.compressibility import IDEAL, NOISE_SLOPE
from empirics.claims.edge import EDGE
from empirics.claims.fluctuations import ENTROPY, FLUCTUATIONS
from empirics.claims.implicit import FLUCTUATIONS as OWN_FLUCTUATIONS
from empirics.claims.implicit import SHAPE
from empirics.claims.implicit import THERMOMETER as OWN_THERMOMETER
from empirics.claims.maxwell import RELATIONS
from empirics.claims.mixture import LAW, TEMPERATURES
from empirics.claims.potential import DIRECTIONS, RADIUS
from empirics.claims.radius import FORMULA, SLOPE, SLOPES
from empirics.claims.thermometer import GIBBS
from empirics.claims.trajectory import AREA
from empirics.claims.virial import LAW as VIRIAL
from empirics.results import Runs

#: Dimension, noise and grid of the gas: cold, with steps small enough for all claims.
D, SIGMA, LEVELS = 20, 1.0, (7, 7)
PROTOCOLS = ("fixed-lr", "fixed-elr", "fixed-sphere")


def gas(rng, protocol):
    """A true table of the isotropic gas."""
    return state_table(rng, protocol, D, levels=LEVELS, sigma=SIGMA)


def hot(data):
    """The temperature is 10 % too high."""
    return data.assign(temperature=1.1 * data["temperature"])


def maxwell(data):
    """The entropy gains 10 % too much."""
    return data.assign(entropy=1.1 * data["entropy"])


def unbound(data):
    """log r has slopes of 0.28 and -0.28, the norm in balance."""
    log_moved = 0.03 * np.log(data["lr"] / data["weight_decay"])
    grown = np.exp(2 * log_moved)
    keep = {name: data[name] * grown for name in ("radius_sq", "grad_sq", "grad_variance", "grad_mean_sq")}
    unit = {name: data[name] * grown**2 for name in ("grad_variance_unit", "grad_mean_sq_unit")}
    return data.assign(keep | unit | {"log_radius": data["log_radius"] + log_moved})


def unbound_at_elr(data):
    """log r has a slope of -0.45."""
    log_moved = 0.05 * np.log(data["weight_decay"])
    grown = np.exp(2 * log_moved)
    unit = {name: data[name] * grown for name in ("grad_variance_unit", "grad_mean_sq_unit")}
    radius = {"radius_sq": data["radius_sq"] * grown, "log_radius": data["log_radius"] + log_moved}
    return data.assign(unit | radius)


def noisier(data):
    """The noise is shown 21 % too large, r^2 by the formula 10 %."""
    return data.assign({name: 1.21 * data[name] for name in ("grad_variance", "grad_variance_unit")})


def not_adiabatic(data):
    """The slope of the entropy is off by a tenth of R."""
    moved = 0.1 * (D - 1) / 2 * np.log(data["weight_decay" if "lr" in data.coords else "effective_lr"])
    return data.assign({name: data[name] + moved for name in ("entropy_sphere", "entropy")})


def steeper(data):
    """The entropy of the directions moves by a tenth more."""
    sphere = data["entropy_sphere"]
    moved = 0.1 * (sphere - sphere.mean())
    return data.assign(entropy_sphere=sphere + moved, entropy=data["entropy"] + moved)


def wider(data):
    """The loss fluctuates by a tenth more than it should."""
    return data.assign(loss_variance=1.1 * data["loss_variance"])


def curved(data):
    """The curvature is a tenth too large, T by it a tenth too small."""
    return data.assign(laplacian=1.1 * data["laplacian"])


def stiffer(data):
    """p V grows with V^0.1 at fixed T, by the noise."""
    volume = data["radius_sq"] / data["radius_sq"].mean()
    return data.assign(grad_variance=data["grad_variance"] * volume**-0.1)


def trajectory(rng, protocol, slower=1.0, runs=24):
    """Runs that started off by a factor of 3 to 5: their radius by integrating the update's own drift, with noise."""
    data = state_table(rng, protocol, D, levels=(runs // 3, 3), sigma=0.3, span=(3e-3, 3e-2))
    rate = data["lr" if protocol == "fixed-lr" else "effective_lr"].values
    decay, start = data["weight_decay"].values, np.resize([3.0, 5.0, 1 / 3], data.sizes["run"])
    noise, final = (data["grad_variance_unit"] + data["grad_mean_sq_unit"]).values, data["radius_sq"].values
    log_radius, times = [], []
    for eta, lam, square, far, last in zip(rate, decay, noise, start, final, strict=True):

        def drift(t, y, eta=eta, lam=lam, square=square):
            lr = eta if protocol == "fixed-lr" else eta * y
            return -2 * lr * lam * y + lr**2 * square / y

        end = 5 / (4 * eta * lam if protocol == "fixed-lr" else 2 * eta * lam * last)
        steps = np.linspace(0, end, 401)[1:]
        way = solve_ivp(drift, (0, end), [last * far**2], t_eval=steps, rtol=1e-9, atol=1e-12).y[0]
        log_radius.append(np.log(way) / 2 + 0.002 * rng.standard_normal(400))
        times.append(slower * steps)
    trace = xr.Dataset({"log_radius": (("run", "step"), log_radius), "training_step": (("run", "step"), times)})
    return Runs(None, xr.DataTree.from_dict({"/summary": data, "/trace": trace}), None, {})


def planted(rng, protocol, change):
    """A table of the gas with something planted in it."""
    return change(gas(rng, protocol))


WITH_REST = mixture(np.random.default_rng(3), rest=6, place=1.5)


def virial(rng, noise=1.0):
    """A simulated gas of which six weights are no sphere; its numbers scatter, the noise is shown so much larger."""
    data = WITH_REST.dataset
    names = ("grad_variance", "radial_gradient", "radius_sq")
    scattered = {n: data[n] * (1 + 0.003 * rng.standard_normal(data.sizes["run"])) for n in names}
    scattered["grad_variance"] = scattered["grad_variance"] * noise
    groups = {f"/{name}": WITH_REST.tree[name].to_dataset() for name in WITH_REST.tree.children}
    return Runs(None, xr.DataTree.from_dict(groups | {"/summary": data.assign(scattered)}), None, {})


@cache
def _well(seed, hessian, noise):
    return well_table(hessian=hessian * HESSIAN, noise=noise * NOISE, seed=seed)


def well(rng, hessian=1.0, noise=1.0):
    """Simulated SGD in a quadratic well; H or Sigma are shown by a factor too large."""
    return _well(int(rng.integers(2**31)), hessian, noise)


def at_edge(rng, factor=1.0):
    """Runs whose batch sharpness is this factor times that at the edge, and scatters by 1 %."""
    data = _well(0, 1.0, 1.0)
    scatter = 1 + 0.01 * rng.standard_normal(len(RATES))
    return data.assign(batch_sharpness=factor * 2 / data["effective_lr"] * scatter)


def part_noisier(rng):
    """The noise of one part of four is shown 10 % too large."""
    return mixture_table(rng, out_of_balance=1.1)


def part_hotter(rng):
    """One part of four is 10 % hotter."""
    return mixture_table(rng, heat=(1.0, 1.1, 1.0, 1.0))


@dataclass(frozen=True)
class Case:
    """A form of a claim, what the truth is, and one way to be wrong that it must see: functions and what they take.

    `levels` is the grid of the runs, in their order.
    """

    claim: str
    protocol: str
    title: str
    planted: str
    truth: tuple
    wrong: tuple
    levels: tuple = LEVELS


def _of_states(claim, protocol, title, change):
    return Case(claim, protocol, title, change.__doc__, (gas, protocol), (planted, protocol, change))


def _of_well(form, words, hessian, noise):
    return Case("V10", "fixed-sphere", form, words, (well,), (well, hessian, noise), (len(RATES), 1))


def cases():
    """All of them, the claims in order."""
    late = "The way takes a tenth longer."
    found = [
        Case("V0", p, AREA, late, (trajectory, p), (trajectory, p, 1.1), (8, 3)) for p in ("fixed-lr", "fixed-elr")
    ]
    found += [
        _of_states("V1", "fixed-lr", SLOPES, unbound),
        _of_states("V1", "fixed-lr", FORMULA, noisier),
        _of_states("V1", "fixed-elr", SLOPE, unbound_at_elr),
    ]
    found += [_of_states("V2", p, DIRECTIONS, hot) for p in PROTOCOLS]
    found += [_of_states("V2", p, RADIUS, hot) for p in PROTOCOLS[:2]]
    found += [_of_states("V3", p, RELATIONS[p].forms[1], maxwell) for p in PROTOCOLS]
    adiabats = zip(PROTOCOLS, (FIXED_LR, FIXED_ELR), strict=False)
    found += [_of_states("V4", p, form, not_adiabatic) for p, form in adiabats]
    found += [_of_states("V5", p, ENTROPY, steeper) for p in PROTOCOLS]
    found += [_of_states("V5", p, FLUCTUATIONS, wider) for p in PROTOCOLS]
    found += [_of_states("V6", p, GIBBS, curved) for p in PROTOCOLS]
    return [
        *found,
        Case("V7", "fixed-lr", LAW, part_noisier.__doc__, (mixture_table,), (part_noisier,)),
        Case("V7", "fixed-lr", TEMPERATURES, part_hotter.__doc__, (mixture_table,), (part_hotter,)),
        _of_states("V8", "fixed-lr", IDEAL, curved),
        _of_states("V8", "fixed-lr", NOISE_SLOPE, stiffer),
        Case("V9", "fixed-lr", VIRIAL, "The noise is shown 10 % too small.", (virial,), (virial, 0.9), (7, 5)),
        *(_of_well(form, "The noise is shown 10 % too large.", 1.0, 1.1) for form in (SHAPE, OWN_FLUCTUATIONS)),
        _of_well(OWN_THERMOMETER, "The Hessian is shown 10 % too large.", 1.1, 1.0),
        Case("V11", "fixed-sphere", EDGE, "It is 10 % too large.", (at_edge,), (at_edge, 1.1), (len(RATES), 1)),
    ]


def table_of(runs):
    """What a claim is given of runs of one protocol."""
    data, tree = getattr(runs, "dataset", runs), getattr(runs, "tree", None)
    chosen = list(range(data.sizes["run"]))
    trace = tree["trace"].to_dataset() if tree is not None and "trace" in tree.children else None
    return Table.of(data.assign_attrs(protocol=str(data["protocol"].values[0])), trace, tree, chosen)

"""Thermodynamics from Gibbs' distribution: potentials, Maxwell relations, heat capacities, the second law.

The states are the patches of the sphere on which the weights lie: patch i has the loss E(i), the area m(i) and the
probability rho(i). What is shown holds for any number of patches, so for the sphere.

>>> from thermo_theory import derive
>>> derive("free-energy").claim(T=0.5, Z=2.0)
-0.34...
>>> derive("heat-capacities").claim(C_V=3.0, R=2.0)
5.0
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.differentials import Change, Partial
from thermo_theory.protocols import FixedELR, FixedLR, FixedSphere, Protocol
from thermo_theory.symbols import (
    C_0,
    C_V,
    V0,
    C_p,
    F,
    F_trial,
    G,
    G_trial,
    H,
    R,
    S,
    S_sphere,
    T,
    U,
    V,
    V_trial,
    Z,
    current,
    d,
    eq,
    force,
    gamma,
    heat_in,
    lam,
    p,
    p0,
    r,
    t,
    var_L,
)
from thermo_theory.theory.stochastic import PAPER, free_energy
from thermo_theory.worlds.densities import circle_world, flow_world, regularised_world, trial_world
from thermo_theory.worlds.sgd import sgd_world
from thermo_theory.worlds.thermodynamics import (
    Area,
    Energy,
    Gap,
    Probability,
    Stationary,
    adiabat_world,
    alpha,
    heat_bath_world,
    i,
    maximum_entropy_world,
    n,
    path_world,
    system_world,
)

CALLEN = "Callen 1985, Thermodynamics and an Introduction to Thermostatistics"
JAYNES = "Jaynes 1957, Information Theory and Statistical Mechanics"


def _over_states(term: sp.Expr) -> sp.Sum:
    return sp.Sum(term, (i, 1, n))


_rho = Probability(i)


def _energy(chain: Chain) -> Step:
    return chain.definition(eq(U, _over_states(_rho * Energy(i))), "the internal energy is the mean loss")


def _entropy(chain: Chain) -> Step:
    each = _rho * (sp.log(_rho) - sp.log(Area(i)))
    return chain.definition(eq(S, -_over_states(each)), "differential entropy: rho/m is the density in patch i")


def _norm(chain: Chain) -> Step:
    return chain.definition(eq(_over_states(_rho), sp.S.One), "probabilities add up to one")


def _gibbs(chain: Chain, density: sp.Expr = _rho) -> Step:
    return chain.assumption("Gibbs law", eq(density, Area(i) * sp.exp(-Energy(i) / T) / Z))


# The distribution --------------------------------------------------------------------------------


@derivation(
    "gibbs-distribution",
    source=f"{JAYNES}; {PAPER}, Sec. 2",
    summary="Of all densities with the same mean loss, exp(-L/T)/Z has the largest entropy; uniform at high "
    "temperature, concentrated on the lowest-loss state at low temperature",
    worlds=[maximum_entropy_world, heat_bath_world],
)
def _gibbs_distribution(chain: Chain) -> None:
    entropy, energy = _entropy(chain), _energy(chain)
    total = chain.definition(eq(sp.Symbol("N", positive=True), _over_states(_rho)), "the total probability")
    merit = entropy.add(
        energy,
        total,
        weights=(-1 / T, -alpha),
        because="Lagrange: the multipliers 1/T and alpha fix the energy and the total probability",
    )
    best = merit.vary(_rho).nothing_gained()
    density = best.solve_for(_rho)
    whole = _norm(chain).put_into_terms(density).open_sums()
    density = density.substitute(whole.solve_for(alpha))
    density = density.simplify()
    density.heat_up(T, because="at high temperature the density is uniform over the sphere")
    gap = chain.definition(eq(Energy(i), Energy(1) + Gap(i)), "gaps above the lowest loss, which is that of patch 1")
    lowest = density.at_state(i, 1).split_lowest()
    lowest = lowest.put_into_terms(gap).open_sums()
    lowest.cool_down(T, because="at zero temperature the gas is in its ground state")
    states = chain.definition(eq(Z, _over_states(Area(i) * sp.exp(-Energy(i) / T))), "the partition function")
    density.substitute(states.flip())


@derivation(
    "free-energy",
    source=f"{CALLEN}, Sec. 16",
    summary="The Helmholtz energy U - T S of a Gibbs density is -T log Z",
    worlds=[system_world],
)
def _free_energy(chain: Chain) -> None:
    entropy, energy, norm = _entropy(chain), _energy(chain), _norm(chain)
    log = _gibbs(chain).take_logarithm()
    entropy = entropy.put_into_terms(log).open_sums()
    entropy = entropy.substitute(energy.flip(), norm)
    free = chain.definition(eq(F, U - T * S), "the free part of the energy, not bound as heat")
    free.substitute(entropy).expand()


# First and second law ----------------------------------------------------------------------------


@derivation(
    "first-law",
    source=f"{CALLEN}, Sec. 1.8, 2.1; {PAPER}, Sec. 2",
    summary="The loss changes by heat less work, dU = dQ - p dV, and the heat is T dS",
    worlds=[system_world],
)
def _first_law(chain: Chain) -> None:
    energy, entropy, norm = _energy(chain), _entropy(chain), _norm(chain)
    energy = energy.take_differential().open_sums()
    work = chain.definition(
        eq(
            p * Change(V),
            -_over_states(_rho * Change(Energy(i)) - T * _rho * Change(Area(i)) / Area(i)),
        ),
        "work: the losses and areas change with the volume",
    )
    heat = chain.definition(eq(heat_in, Change(U) + p * Change(V)), "heat: the energy that enters, other than work")
    split = heat.solve_for(Change(U), because="the first law")
    heat = heat.substitute(energy).substitute(work).open_sums()
    entropy = entropy.take_differential()
    log = _gibbs(chain).take_logarithm()
    entropy = entropy.put_into_terms(log).open_sums()
    whole = norm.take_differential()
    entropy = entropy.substitute(whole).scale(T)
    same = heat.flip().equate(entropy.flip(), because="heat is T dS")
    split.substitute(same)


@derivation(
    "second-law",
    source="H-theorem of the Fokker-Planck equation: Risken 1989, The Fokker-Planck Equation, Sec. 6.1",
    summary="F = U - T S never rises during relaxation at a constant effective learning rate; per iteration it falls "
    "by eta_eff times the mean square of grad(L + T log rho)",
    worlds=[flow_world(FixedELR.key), circle_world],
)
def _second_law(chain: Chain) -> None:
    rate = chain.claim("stationary-distribution", about=sp.Derivative(free_energy(t), t))
    held = chain.assumption(
        "constant effective learning rate",
        eq(sp.Derivative(sp.Function("F")(t), t), sp.Derivative(free_energy(t), t)),
        "the temperature stays what it is, and F = U - T S changes by the density alone",
    )
    velocity = chain.claim("stationary-distribution", about=current)
    falls = held.substitute(rate)
    squares = falls.substitute(velocity.isolate(force), because="probability flows down the slope of L + T log rho")
    squares.never_rises(because="the second law: F never rises while directions relax")
    falls.scale(-1, because="how fast it falls")


# Potentials --------------------------------------------------------------------------------------


@derivation(
    "potentials",
    source=f"{CALLEN}, Ch. 5",
    summary="H, F and G by Legendre transform of U, with their natural variables",
    worlds=[system_world],
)
def _potentials(chain: Chain) -> None:
    energy = chain.claim("first-law")
    enthalpy = chain.definition(eq(H, U + p * V), "enthalpy: V is exchanged for p")
    free = chain.definition(eq(F, U - T * S), "Helmholtz energy: S is exchanged for T")
    gibbs = chain.definition(eq(G, U - T * S + p * V), "Gibbs energy: both are exchanged")
    energy.read_off(S)
    energy.read_off(V)
    changes: list[Step] = []
    for potential, natural in ((enthalpy, (S, p)), (free, (T, V)), (gibbs, (T, p))):
        change = potential.take_differential()
        change = change.substitute(energy)
        changes.append(change)
        for variable in natural:
            change.read_off(variable)
    again = gibbs.substitute(enthalpy.flip(), because="in either order: the enthalpy, less what is bound as heat")
    again.take_differential().substitute(changes[0], because="natural variables T and p, those of fixed ELR")


@derivation(
    "maxwell-relations",
    source=f"{CALLEN}, Ch. 7",
    summary="The four Maxwell relations, one for each of U, H, F and G; that of G last, the one of fixed ELR",
    worlds=[system_world],
)
def _maxwell_relations(chain: Chain) -> None:
    for potential, one, other in ((U, S, V), (H, S, p), (F, T, V), (G, T, p)):
        by_one = chain.claim("potentials", about=Partial(potential, one, other))
        by_other = chain.claim("potentials", about=Partial(potential, other, one))
        by_one.equal_mixed(by_other)


# Heat capacities ---------------------------------------------------------------------------------


def _ideal(chain: Chain) -> Step:
    return chain.assumption("ideal gas law", eq(p * V, R * T))


@derivation(
    "heat-capacities",
    source=f"{CALLEN}, Sec. 3.4, 7.5",
    summary="The heat capacity of an ideal gas is larger by R at constant pressure than at constant volume",
    worlds=[system_world],
)
def _heat_capacities(chain: Chain) -> None:
    law = _ideal(chain)
    first = chain.claim("first-law")
    at_volume = chain.definition(eq(C_V, Partial(U, T, V)), "heat capacity at constant volume")
    at_pressure = chain.definition(eq(C_p, T * Partial(S, T, p)), "heat capacity at constant pressure")
    by_heat = first.at_constant(T, V)
    at_volume = at_volume.substitute(by_heat, because="at constant volume no work is done")
    at_pressure = at_pressure.change_held(p, V)
    mixed = chain.claim("maxwell-relations", about=Partial(S, V, T))
    by_temperature = law.solve_for(p).partial_of(T, V)
    expansion = law.solve_for(V).partial_of(T, p)
    at_pressure = at_pressure.substitute(mixed, by_temperature, expansion)
    at_pressure = at_pressure.substitute(law.solve_for(p))
    at_pressure.substitute(at_volume.solve_for(Partial(S, T, V)))


@derivation(
    "loss-fluctuations",
    source="Gibbs 1902, Elementary Principles in Statistical Mechanics, Ch. VII",
    summary="The variance of the loss is T^2 times the heat capacity at constant volume",
    worlds=[system_world],
)
def _loss_fluctuations(chain: Chain) -> None:
    energy, norm = _energy(chain), _norm(chain)
    variance = chain.definition(eq(var_L, _over_states(_rho * (Energy(i) - U) ** 2)), "the mean square deviation")
    capacity = chain.definition(eq(C_V, Partial(U, T, V)), "heat capacity at constant volume")
    loss = chain.definition(eq(Partial(Energy(i), T, V), 0), "no loss depends on the temperature")
    area = chain.definition(eq(Partial(Area(i), T, V), 0), "nor does an area")
    mean = energy.flip()
    variance = variance.open_sums().substitute(mean, norm)
    shares = _gibbs(chain).take_logarithm().take_differential().at_constant(T, V)
    shares = shares.substitute(loss, area).scale(_rho, because="how the probability of a state changes")
    added = norm.take_differential().at_constant(T, V, because="probabilities still add up to one")
    added = added.put_into_terms(shares).open_sums().substitute(mean, norm)
    growth = energy.take_differential().at_constant(T, V).put_into_terms(loss, shares).open_sums()
    growth = growth.substitute(mean, added.solve_for(Partial(Z, T, V)))
    second = variance.solve_for(_over_states(_rho * Energy(i) ** 2))
    capacity.substitute(growth).substitute(second).scale(T**2).flip()


@derivation(
    "adiabat",
    source=f"{CALLEN}, Sec. 3.4",
    summary="Along constant entropy p V^gamma is constant, if C_V is",
    worlds=[adiabat_world],
    domain=[gamma > 1],
)
def _adiabat(chain: Chain) -> None:
    law = _ideal(chain)
    pressure = law.solve_for(p)
    first = chain.claim("first-law")
    at_volume = chain.definition(eq(C_V, Partial(U, T, V)), "heat capacity at constant volume")
    at_volume = at_volume.substitute(first.at_constant(T, V))
    by_temperature = at_volume.solve_for(Partial(S, T, V))
    mixed = chain.claim("maxwell-relations", about=Partial(S, V, T))
    by_volume = mixed.substitute(pressure.partial_of(T, V))
    cooling = by_temperature.exchange(by_volume, T, V, S)
    constant = chain.assumption("constant heat capacity", eq(C_V, C_0), "C_V is everywhere what it was at the start")
    curve, pressure_of = sp.Function("T", positive=True)(V), sp.Function("p", positive=True)
    cooling = cooling.along_path(curve).substitute(constant)
    start = law.at_once({T: curve.subs(V, V0), p: p0, V: V0}, because="the start lies on the adiabat")
    temperature = cooling.solve_ode(curve, start=start.solve_for(curve.subs(V, V0)))
    pushed = law.at_once({T: curve, p: pressure_of(V)}, because="so does every other point").solve_for(pressure_of(V))
    push = pushed.substitute(temperature).simplify()
    index = chain.definition(eq(gamma, C_p / C_V), "the adiabatic index")
    index = index.substitute(chain.claim("heat-capacities", about=C_p), constant)
    push.substitute(index.solve_for(C_0))


@derivation(
    "thermodynamic-integration",
    source="this toolkit",
    summary="Entropy differences from the mean loss alone: S rises by dU/T + p dV/T along any path of Gibbs states",
    worlds=[path_world],
)
def _thermodynamic_integration(chain: Chain) -> None:
    first = chain.claim("first-law")
    entropy = first.solve_for(Change(S)).expand()
    entropy.integrate_along(t, because="only dU, T, p and dV are needed, no density")


# The regularised loss ----------------------------------------------------------------------------


@derivation(
    "regularised-loss",
    source=f"{PAPER}, Sec. 3",
    summary="p V is the L2 penalty, G the regularised loss with an entropy bonus; its minimum over V is p V = R T",
    worlds=[regularised_world],
)
def _regularised_loss(chain: Chain) -> None:
    pressure = chain.definition(eq(p, lam), "weight decay is the pressure")
    volume = chain.definition(eq(V, r**2 / 2), "half the squared norm is the volume")
    penalty = pressure.multiply(volume, because="p V is the L2 penalty")
    of_volume = {name: sp.Function(name)(V) for name in "GUS"}
    merit = chain.definition(
        eq(of_volume["G"], of_volume["U"] + p * V - T * of_volume["S"]), "Gibbs energy at any volume"
    )
    merit.substitute(penalty, because="the regularised loss with an entropy bonus")
    same = chain.assumption("scale invariance", eq(of_volume["U"], U), "the loss is the same at every norm")
    room = chain.definition(
        eq(of_volume["S"], S_sphere + R * sp.log(2 * V)), "a sphere of radius r has r^(d-1) times the area"
    )
    merit = merit.substitute(same, room)
    merit.minimise_over(V).solve_for(V)


# What is minimised -------------------------------------------------------------------------------


@derivation(
    "pressure",
    protocol=FixedSphere,
    source=f"{PAPER}, Sec. 3",
    summary="The projection on the sphere acts as a weight decay of (d - 1) T/r^2",
    worlds=[sgd_world("fixed-sphere", ensemble=True)],
)
def _pressure(chain: Chain, protocol: Protocol) -> None:
    law = chain.claim("ideal-gas-law", protocol)
    volume = chain.definition(eq(V, r**2 / 2), "every weight has the norm r")
    directions = chain.definition(eq(R, (d - 1) / 2), "the gas constant")
    law = law.substitute(volume, directions)
    law.solve_for(p)


def _potential(chain: Chain, protocol: Protocol) -> None:
    on_sphere = protocol is FixedSphere
    trial_sum = _over_states(_rho * Energy(i) + T * _rho * (sp.log(_rho) - sp.log(Area(i))))
    stationary = Stationary(i)
    own_sum = _over_states(stationary * Energy(i) + T * stationary * (sp.log(stationary) - sp.log(Area(i))))
    words = "of any density" + (" on the sphere" if on_sphere else ", at any volume; T and p are held")
    trial = chain.definition(
        eq(F_trial, trial_sum) if on_sphere else eq(G_trial, trial_sum + p * V_trial - R * T * sp.log(2 * V_trial)),
        words,
    )
    own = chain.definition(
        eq(F, own_sum) if on_sphere else eq(G, own_sum + p * V - R * T * sp.log(2 * V)), "of the stationary density"
    )
    whole = _norm(chain)
    own_whole = chain.definition(eq(_over_states(stationary), sp.S.One), "so do the stationary ones")
    log = _gibbs(chain, stationary).take_logarithm()
    loss = log.solve_for(Energy(i)).expand()
    trial = trial.put_into_terms(loss).open_sums()
    own = own.put_into_terms(loss).open_sums()
    trial, own = trial.substitute(whole), own.substitute(own_whole)
    excess = trial.add(own, weights=(-1,))
    if not on_sphere:
        law = chain.claim("ideal-gas-law", protocol)
        excess = excess.substitute(law.solve_for(p))
    excess = excess.gather_logarithms()
    bound = excess.bound_logarithms()
    bound.substitute(whole, own_whole, because="so the stationary density is the minimum")
    excess.solve_for(F_trial if on_sphere else G_trial)


# The registry ------------------------------------------------------------------------------------

_MINIMISED = {
    FixedSphere: "The stationary density minimises F on the sphere: the excess is T times the relative entropy",
    FixedELR: "The stationary density and volume minimise G at this T and p",
    FixedLR: "The stationary density and volume minimise G at the stationary T and p; the protocol does not fix T, "
    "which follows the noise at each volume, so G may rise during relaxation",
}

for _protocol, _summary in _MINIMISED.items():
    derivation(
        "potential",
        protocol=_protocol,
        source=f"{PAPER}, Sec. 3; relative entropy: Kullback and Leibler 1951",
        summary=_summary,
        worlds=[trial_world(_protocol.key)],
    )(_potential)

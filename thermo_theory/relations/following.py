"""How fast the energy of directions follows a temperature that changes: what a schedule has to wait for.

A free direction is slow, and need not follow: its law is uniform at any temperature. What counts is the heat capacity
that relaxes in a time, and for a well of any curvature that is bounded.

>>> from thermo_theory.relations.paths import law
>>> following(law("fixed-lr"))(eta=0.1, lam=0.01)  # that of the norm, 1/(4 eta lambda); a free direction takes 1,000
250.0
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from thermo_theory.engine.derivation import derive
from thermo_theory.engine.formula import Formula
from thermo_theory.protocols import Protocol
from thermo_theory.relations.paths import forgetting
from thermo_theory.symbols import C_V, R, eq, reduced, relaxation

__all__ = ["following", "slowest", "weighted_time"]


@cache
def weighted_time() -> sp.Expr:
    """Relaxation time of the energy, weighted with the heat capacity, over that of a free direction.

    Returns
    -------
    sympy.Expr
        ``(C_V/R) tau/tau_free`` as a function of ``reduced``, ``y = d T/h`` in a well ``h (1 - mu.w)`` in many
        dimensions.

    Notes
    -----
    If T changes slowly the mean energy is behind by ``C_V tau dT/dt``, where ``C_V tau = int Cov(L(0), L(t)) dt/T^2``
    by linear response: entropy is produced at ``C_V tau (dlog T/dt)^2``. In many dimensions the mean cosine a closes:
    on the sphere ``da/dt = eta_eff h (1 - a^2 - y a)``, which stands still where U of "vmf-large-dimension" has it and
    relaxes there at ``eta_eff h (2a + y)``; a free direction decorrelates at ``eta_eff h y`` ("relaxation-time").
    C_V/R is that derivation's. The test integrates ``int Cov dt`` for the diffusion itself, in d = 10 to 1,000.

    **Assumes** isotropic, homogeneous noise, the Gibbs law, one well. **Source**: this toolkit; the response of a gas
    to a slow change: Salamon & Berry 1983, Phys. Rev. Lett. 51, 1127.

    Examples
    --------
    >>> weighted_time().subs(reduced, sp.Rational(3, 2))
    6/25
    """
    said = {step.equation.lhs: step.equation.rhs for step in derive("vmf-large-dimension").steps}
    energy = next(right for left, right in reversed(said.items()) if str(left.func) == "U")
    cosine, heat = 1 - energy.removeO(), said[C_V / R].removeO()
    # Drift of the mean cosine, in units of the time of a free direction; its slope where it stands still.
    a = sp.Dummy("a")
    slope = sp.diff((1 - a**2 - reduced * a) / reduced, a).subs(a, cosine)
    return sp.simplify(-heat / slope)


@cache
def slowest() -> sp.Expr:
    """Largest value of `weighted_time` over all curvatures of the well and all temperatures.

    Returns
    -------
    sympy.Expr

    Examples
    --------
    >>> slowest()  # where d T = 2 h/sqrt(3)
    1/4
    """
    share = weighted_time()
    places = sp.solveset(sp.diff(share, reduced), reduced, sp.Interval.open(0, sp.oo))
    return sp.Max(*(sp.simplify(share.subs(reduced, place)) for place in places))


@cache
def following(of: Protocol) -> Formula:
    """Time in which directions follow the temperature, weighted with their heat capacity, in the slowest well there is.

    Parameters
    ----------
    of : Protocol
        Fixed LR, with any optimiser.

    Returns
    -------
    Formula
        A quarter of `forgetting` (more in few dimensions: 0.257 of it in d = 50, 0.29 in d = 10, 0.48 in d = 3): for
        SGD 1/(4 eta lambda), as the norm's. Networks with several basins can be slower.

    Examples
    --------
    >>> from thermo_theory.relations.paths import law
    >>> following(law("fixed-lr", "adamw"))(eta=0.1, lam=1e-3)
    2500.0
    """
    return Formula(eq(relaxation, slowest() * forgetting(of).equation.rhs))

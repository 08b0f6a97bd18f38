"""Earlier views of SGD as a thermal system, as special cases of ours.

>>> from thermo_theory import derive
>>> derive("jastrzebski-2017").claim(eta=0.1, B=10, sigma1=2.0, r=1.0)
0.02
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, derivation
from thermo_theory.protocols import FixedSphere
from thermo_theory.symbols import C_ii, C_ij, Sigma1_ij, Sigma_ij, T, batch, eq, eta, sigma, sigma1
from thermo_theory.theory.gases.linear_regression import MANDT, _lyapunov, _potential
from thermo_theory.worlds.beyond import batch_world, linear_world

__all__: list[str] = []


@derivation(
    "jastrzebski-2017",
    source="Jastrzebski et al. 2017, arXiv 1711.04623; here from temperature at fixed sphere",
    summary="The temperature is proportional to learning rate over batch size",
    worlds=[batch_world],
    domain=[batch >= 1],
)
def _jastrzebski(chain: Chain) -> None:
    heat = chain.claim("temperature", FixedSphere)
    mean = chain.assumption("independent examples", eq(sigma, sigma1 / sp.sqrt(batch)), "a batch averages over them")
    heat.substitute(mean, because="temperature is proportional to learning rate over batch size")


@derivation(
    "chaudhari-soatto-2018",
    source="Chaudhari & Soatto 2018, arXiv 1710.11029, Sec. 3; here from ornstein-uhlenbeck",
    summary="SGD minimises the mean of an implicit potential minus T S; its curvature along mode i is that of the loss "
    "times sigma^2/Sigma_ii, so it is the loss only if the noise is isotropic",
    worlds=[linear_world()],
)
def _chaudhari_soatto(chain: Chain) -> None:
    balance, potential = _lyapunov(chain), _potential(chain)
    variance = balance.along_modes(same=True).solve_for(C_ii)
    apart = chain.assumption("commuting noise", eq(Sigma_ij, 0), "no noise from one mode to another")
    mixed = balance.along_modes().substitute(apart).solve_for(C_ij)
    heat = chain.definition(eq(T, eta * sigma**2 / 2), "the mean temperature of the noise")
    potential.curvature_of_mode(mixed).substitute(
        heat,
        variance,
        because="on average SGD minimises this potential with an entropy, not the loss: its curvature is h_i times "
        "a ratio",
    )


@derivation(
    "mandt-2017",
    source=f"{MANDT}; here from ornstein-uhlenbeck",
    summary="Stationary covariance of SGD near a minimum, in the eigenbasis of the Hessian",
    worlds=[linear_world()],
    domain=[batch >= 1],
)
def _mandt(chain: Chain) -> None:
    balance = _lyapunov(chain)
    spread = balance.along_modes().solve_for(C_ij)
    mean = chain.assumption("independent examples", eq(Sigma_ij, Sigma1_ij / batch), "a batch averages over them")
    spread.substitute(mean)

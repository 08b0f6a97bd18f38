"""The three training protocols.

A protocol is what is held fixed: the learning rate, the effective learning rate, or the sphere. Its formulas are the
claims of derivations, under the names that the derivations have:

>>> FixedLR.temperature(eta=0.1, lam=1e-3, sigma=2.0, d=101)
0.001414...
>>> FixedSphere.temperature.equation
Eq(T, eta*sigma**2/(2*r**2))
"""

from __future__ import annotations

from dataclasses import dataclass

from thermo_theory.derivation import derive
from thermo_theory.formula import Formula

__all__ = ["PROTOCOLS", "FixedELR", "FixedLR", "FixedSphere", "Protocol"]


@dataclass(frozen=True)
class Protocol:
    """A training protocol.

    Attributes
    ----------
    key : str
        Its name in files and on the command line.
    title : str
        Its name in words.
    update : str
        One step, in words and symbols.
    fixed : str
        What it holds fixed, in thermodynamics.
    """

    key: str
    title: str
    update: str
    fixed: str

    def __str__(self) -> str:
        return self.title

    @property
    def radius(self) -> Formula:
        """Stationary norm of the weights."""
        return derive("radius", self).claim

    @property
    def temperature(self) -> Formula:
        """Temperature of the Gibbs distribution of the directions."""
        return derive("temperature", self).claim

    @property
    def ideal_gas_law(self) -> Formula:
        """``p V = R T``."""
        return derive("ideal-gas-law", self).claim

    @property
    def maxwell(self) -> Formula:
        """How the entropy depends on what is held fixed."""
        return derive("maxwell", self).claim


FixedSphere = Protocol("fixed-sphere", "fixed sphere", "w <- r0 (w - eta g)/|w - eta g|", "temperature and volume")
FixedELR = Protocol("fixed-elr", "fixed ELR", "w <- w - eta_eff r^2 (g + lambda w)", "temperature and pressure")
FixedLR = Protocol("fixed-lr", "fixed LR", "w <- w - eta (g + lambda w)", "T and p, set together by eta and lambda")

#: The protocols by key.
PROTOCOLS = {protocol.key: protocol for protocol in (FixedSphere, FixedELR, FixedLR)}

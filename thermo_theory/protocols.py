"""The three training protocols.

A protocol names the quantities that are held fixed: the learning rate, the effective learning rate, or the sphere. Its
formulas are the claims of derivations, under the names that the derivations have:

>>> FixedLR.temperature(eta=0.1, lam=1e-3, sigma=2.0, d=101)
0.001414...
>>> FixedSphere.temperature.equation
Eq(T, eta*sigma**2/(2*r**2))
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from thermo_theory.engine.derivation import Derivation, derive
from thermo_theory.engine.formula import Formula
from thermo_theory.renamed import newer
from thermo_theory.updates import Update

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
        One step, as `thermo_theory.updates.Update` reads it.
    fixed : str
        What it holds fixed, in thermodynamics.
    optimizer : str
        "sgd", or one of the names that `with_optimizer` takes.
    """

    key: str
    title: str
    update: str
    fixed: str
    optimizer: str = "sgd"

    def with_optimizer(self, name: str) -> Protocol:
        """Return the protocol with another optimiser in place of SGD.

        Parameters
        ----------
        name : str
            "sgd", "momentum", "nesterov", "adamw", "adam-l2", "signsgd", "lion", "normalised-sgd", "muon", "lars" or
            "lamb". Weight decay is decoupled, but for momentum, Adam with L2, and LARS and LAMB, which have it within
            their trust ratio.

        Returns
        -------
        Protocol

        Raises
        ------
        ValueError
            If the optimiser is unknown, or the protocol is not fixed LR.

        Examples
        --------
        >>> print(FixedLR.with_optimizer("adamw"))
        fixed LR, AdamW
        """
        if name == "sgd":
            return self
        if name not in OPTIMIZERS:
            near = difflib.get_close_matches(str(name), OPTIMIZERS, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(OPTIMIZERS)}"
            raise ValueError(f"no optimiser is called {name!r}; {hint}")
        if self.key != "fixed-lr":
            raise ValueError(f"other optimisers are derived for fixed LR, not for {self}")
        title, update = OPTIMIZERS[name]
        return replace(self, key=f"{self.key}/{name}", title=f"{self.title}, {title}", update=update, optimizer=name)

    @property
    def angle(self) -> Formula:
        """Angle between the weights before and after a step, in radians (fixed LR)."""
        return derive("angle", self).claim

    @property
    def chord(self) -> Formula:
        """Root mean square of a step over that of the weights, ``2 sin(angle/2)`` (fixed LR)."""
        return derive("chord", self).claim

    @property
    def rotation(self) -> Formula:
        """The older name of `chord`."""
        return derive(newer("thermo_theory.Protocol.rotation"), self).claim

    def __str__(self) -> str:
        return self.title

    @property
    def rule(self) -> Update:
        """The update, read."""
        return Update.parsed(self.update)

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
        """``p V = R T``, for AdamW and Adam with L2 in their own coordinates."""
        return self.equation_of_state.claim

    @property
    def equation_of_state(self) -> Derivation:
        """The derivation of ``p V = R T``, with what p, V and R are under this protocol and optimiser."""
        return derive(f"{self.optimizer}-gas") if self.optimizer.startswith("adam") else derive("ideal-gas-law", self)

    @property
    def symmetry(self) -> Formula:
        """What a step does to weights c times as large, at rates changed to match: c times what it does to w."""
        if self.optimizer == "sgd":
            return derive("scaling-symmetry", self).claim
        return derive(f"{self.optimizer}-symmetry").claim

    @property
    def trajectory(self) -> Formula:
        """Norm of the weights after a time, from any start."""
        return derive("radius-trajectory", self).claim

    @property
    def relaxation_time(self) -> Formula:
        """Iterations in which what relaxes under this protocol comes closer to its stationary value by a factor e."""
        return derive("relaxation-time", self).claim

    @property
    def pressure(self) -> Formula:
        """Weight decay that would hold the norm as the projection does (fixed sphere only)."""
        return derive("pressure", self).claim

    @property
    def potential(self) -> Formula:
        """What the stationary state minimises: the excess of any other density and volume."""
        return derive("potential", self).claim

    @property
    def maxwell(self) -> Formula:
        """How the entropy depends on the quantities that the protocol holds fixed."""
        return derive("maxwell", self).claim


_ADAM = "m = beta1*m + (1 - beta1)*{g}; q = beta2*q + (1 - beta2)*{g}**2"

#: Other optimisers: title, and the update.
OPTIMIZERS = {
    "momentum": ("momentum", "v = beta*v + g + lam*w; w = w - eta*v"),
    "nesterov": ("Nesterov", "v = beta*v + g + lam*w; w = w - eta*(g + lam*w + beta*v)"),
    "adamw": ("AdamW", f"{_ADAM.format(g='g')}; w = (1 - eta*lam)*w - eta*m/(sqrt(q) + eps)"),
    "adam-l2": ("Adam with L2", f"{_ADAM.format(g='(g + lam*w)')}; w = w - eta*m/(sqrt(q) + eps)"),
    "signsgd": ("signSGD", "w = (1 - eta*lam)*w - eta*sign(g)"),
    "lion": (
        "Lion",
        "u = beta1*v + (1 - beta1)*g; v = beta2*v + (1 - beta2)*g; w = (1 - eta*lam)*w - eta*sign(u)",
    ),
    "normalised-sgd": ("normalised SGD", "w = (1 - eta*lam)*w - eta*g/norm(g)"),
    "muon": (
        "Muon",
        "v = mu*v + (1 - mu)*g; w = (1 - eta*lam)*w - eta*scale*msign(mu*v + (1 - mu)*g)",
    ),
    "lars": ("LARS", "u = g + lam*w; w = w - eta*norm(w)*u/norm(u)"),
    "lamb": ("LAMB", f"{_ADAM.format(g='g')}; u = m/(sqrt(q) + eps) + lam*w; w = w - eta*norm(w)*u/norm(u)"),
}

FixedSphere = Protocol("fixed-sphere", "fixed sphere", "w = r0*(w - eta*g)/norm(w - eta*g)", "temperature and volume")
FixedELR = Protocol("fixed-elr", "fixed ELR", "w = w - eta_eff*norm(w)**2*(g + lam*w)", "temperature and pressure")
FixedLR = Protocol("fixed-lr", "fixed LR", "w = w - eta*(g + lam*w)", "T and p, set together by eta and lambda")

#: The protocols by key.
PROTOCOLS = {protocol.key: protocol for protocol in (FixedSphere, FixedELR, FixedLR)}

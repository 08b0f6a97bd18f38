"""A workbench for your own optimiser: what follows from its update alone, derived and checked step by step.

>>> mine = Optimizer("v = beta*v + (1-beta)*g; w = w - eta*(sign(v) + lam*w)")
>>> mine.degree, mine.maxwell.equation
(0, Eq(eta*Derivative(S(eta, lambda), eta) - lambda*Derivative(S(eta, lambda), lambda), 2*R))
>>> mine.radius(eta=0.02, lam=0.05, D=500.0)  # sqrt(eta D/(2 lam))
10.0
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import sympy as sp

from thermo_theory.engine.chain import Chain, Step
from thermo_theory.engine.checking import Evidence
from thermo_theory.engine.derivation import Derivation
from thermo_theory.engine.formula import Formula
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.symbols import angle, chord, degree, eq, eta, g, lam, own, r0, taken, w
from thermo_theory.symbols.vectors import Dot, Vec, is_tensor
from thermo_theory.theory.homogeneous import NAMES
from thermo_theory.theory.symmetry import (
    THIS_TOOLKIT,
    _one_step,
    maxwell_fixed_lr,
    maxwell_on_the_sphere,
    scaling_symmetry,
)
from thermo_theory.updates import Update, UpdateError
from thermo_theory.worlds.discrete import course, index, runs_world
from thermo_theory.worlds.homogeneous import KINDS, gas_world, length_world, memory_world

__all__ = ["Optimizer", "collect_decay"]

#: How a step is written whose decay is of a kind that is known; u is what is made of the gradient.
_STEPS = {
    "decoupled": "w = w - eta*(u + lam*w)",
    "coupled": "the same step of g + lam*w in the place of g",
    "trust": "w = w - eta*norm(w)*(u + lam*w)/norm(u + lam*w)",
}

#: Names by which an expression is printed, and by which a text is read.
_PRINTED = {
    "Sign": "sign",
    "MatrixSign": "msign",
    "Dot": "dot",
    "Clip": "clip",
    "Abs": "abs",
    "Min": "min",
    "Max": "max",
}


@operation("collect the weight decay")
def collect_decay(equation: sp.Eq, weights: sp.Expr, kept: sp.Expr, rate: sp.Symbol) -> sp.Eq:
    """Write a step as what is kept of the weights, and the rest: the learning rate times a direction.

    Raises
    ------
    OperationError
        If the rest is not a multiple of the learning rate.
    """
    rest = sp.expand(equation.rhs - kept * weights)
    direction = sp.expand(-rest / rate)
    # A buffer after the step is a function of the rates; the direction may be one of it.
    made = direction.atoms(sp.core.function.AppliedUndef)
    if direction.xreplace({one: Vec("x") if is_tensor(one) else sp.Dummy() for one in made}).has(rate):
        raise OperationError(f"{rest} is not {rate} times a direction that does not depend on it")
    return eq(equation.lhs, kept * weights - rate * direction)


class _Form(NamedTuple):
    """How weight decay enters a step, and the degree of the step in the gradient (under a trust ratio: before it)."""

    kind: str
    degree: sp.Expr


def _form_of(update: Update) -> _Form | None:
    """Find how weight decay enters a step; None if in no way that is known."""
    if {*update.held} != {eta, lam}:
        return None
    names = {
        name: Vec(f"{name}_1") if name in update.vectors else sp.Symbol(f"{name}_1") for name in ("w", *update.buffers)
    }
    of_gradient, of_weights = update.degrees

    def free(equations: Mapping[str, sp.Expr], kept: sp.Expr) -> bool:
        """Whether a step is what is kept of the weights and a direction that knows nothing of them."""
        rest = {**equations, "w": sp.expand((kept * w - equations["w"]) / eta)}
        return not any(sp.expand(part).has(w, eta, lam) for part in rest.values())

    if of_weights == 0:
        if free(update.equations(names, g), 1 - eta * lam):
            return _Form("decoupled", of_gradient)
        without = Vec("g_1")  # the gradient with the decay in it
        if free(update.equations(names, without - lam * w), sp.S.One):
            return _Form("coupled", of_gradient)
        return None
    equations = update.equations(names, g)
    unit = sp.expand((w - equations["w"]) / (eta * sp.sqrt(Dot(w, w))))
    along = unit.coeff(w)
    if (of_gradient, of_weights) != (0, 1) or along == 0:
        return None
    # The unit vector along u + lam w, with a u that knows nothing of the weights.
    pull = sp.expand(sp.simplify((unit - along * w) * lam / along))
    length = sp.sqrt(sp.expand(Dot(pull + lam * w, pull + lam * w))) if is_tensor(pull) else sp.oo
    if not free({**equations, "w": w - eta * pull}, sp.S.One) or sp.simplify(along - lam / length) != 0:
        return None
    return _Form("trust", -update.rate_powers[1] - 1)


def _fault(update: Update) -> str:
    """Say why an update has no stationary norm that is derived, from a few of its steps; empty if it may have one.

    Its buffers have to forget where they began, its steps to go down a gradient that stays, and to change sign with it.
    """
    dice, shape = np.random.default_rng(0), (2, 2)
    numbers = dict.fromkeys(update.parameters, 0.5) | {"eta": 1e-6, "lam": 0.0, "eps": 0.0}
    gradients = dice.normal(size=(300, 4))

    def course(begin: float, gradients: Any) -> tuple[Any, list[Any]]:
        buffers = {name: np.full(4, begin) if name in update.vectors else begin for name in update.buffers}
        state = {"w": np.array([1.0, -0.5, 0.7, 0.2]), **buffers}
        start = state["w"]
        for gradient in gradients:
            state = update.step({**numbers, **state, "g": gradient}, shape)
        return state["w"] - start, [np.ravel(state[name]) for name in update.buffers]

    with np.errstate(all="ignore"):
        moved, there = course(1.0, gradients)
        _, other = course(2.0, gradients)
        down, _ = course(0.0, np.tile(gradients[0], (40, 1)))
        up, _ = course(0.0, np.tile(-gradients[0], (40, 1)))
    if not all(np.isfinite(part).all() for part in (moved, down, up, *there, *other)):
        return "its steps are not finite real numbers for all gradients"
    for name, one, two in zip(update.buffers, there, other, strict=True):
        if np.abs(one - two).max() > 1e-6:
            return f"its buffer {name} does not forget where it began"
    if not down @ gradients[0] < 0:
        return "its steps do not go down the gradient"
    if np.abs(down + up).max() > 1e-3 * np.abs(down).max():
        return "its steps do not change sign with the gradient"
    return ""


class Optimizer:
    """An optimiser given by the text of its update, and what follows from that alone.

    Parameters
    ----------
    update : str or mapping
        Statements ``name = expression``, separated by semicolons; or a mapping from names to texts or sympy
        expressions. ``w`` are the weights, ``g`` is the gradient of a minibatch, ``eta`` (or ``lr``) the learning rate,
        ``lam`` (or ``wd``, ``weight_decay``) weight decay; what is used before it is assigned is a buffer, any other
        name is a constant. Functions: ``sign``, ``abs``, ``sqrt`` and powers, coordinate by
        coordinate; ``norm``, ``dot``, ``clip``, ``min``, ``max``; ``msign``, the orthogonalised matrix. The text is
        parsed by a grammar of its own, and never executed.

    Raises
    ------
    UpdateError
        (a ValueError) If the text is no update: one line that names the part.

    Notes
    -----
    Every formula is the claim of a derivation (`derive`), which is checked in worlds that are made from the update:
    runs of it, step by step, on explicit minibatches. If ``eps`` alone breaks the scaling symmetry, the derivations
    assume that it is 0; otherwise the error names what breaks it and the limit in which it is restored.

    Examples
    --------
    >>> lars = Optimizer("u = g + lam*w; w = w - eta*norm(w)*u/norm(u)")
    >>> lars.maxwell.equation  # the symmetry changes weight decay alone
    Eq(lambda*Derivative(S(eta, lambda), lambda), -R)
    >>> round(lars.radius(eta=0.1, lam=0.05, size=4.0, D=1.0), 12)  # sqrt(eta |g_1|/(2 lam))
    2.0
    >>> Optimizer("w = w - eta*(clip(g, tau) + lam*w)").maxwell
    Traceback (most recent call last):
    ...
    thermo_theory.updates.terms.UpdateError: no scaling symmetry: g and tau, in clip(g, tau), scale differently; tau ...
    """

    def __init__(self, update: str | Mapping[Any, Any]) -> None:
        if not isinstance(update, str | Mapping):
            raise UpdateError(f"an update is a text or a mapping from names to expressions, got {update!r}"[:200])
        if isinstance(update, Mapping):
            update = "; ".join(f"{name} = {_text(value)}" for name, value in update.items())
        self.rule = Update.read(update)

    def __str__(self) -> str:
        return str(self.rule)

    def __repr__(self) -> str:
        return f"Optimizer({str(self.rule)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optimizer) and other.rule == self.rule

    def __hash__(self) -> int:
        return hash(self.rule)

    #: What units depend on, as of any optimiser that this package has no units for.
    optimizer = "own"

    @property
    def degree(self) -> sp.Expr:
        """Degree of a step in the gradient; with a trust ratio, of the vector that is divided by its norm."""
        return self._form.degree

    @property
    def kind(self) -> str:
        """How weight decay enters: "decoupled", "coupled" (within the step) or "trust" (within a trust ratio)."""
        return self._form.kind

    @cached_property
    def _form(self) -> _Form:
        self.rule.homogeneous.scaling  # noqa: B018 - refuses an update without a symmetry
        if "lam" not in self.rule.parameters:
            raise UpdateError(f"{self} has no weight decay lam: without it the norm is not stationary")
        found = _form_of(self.rule.homogeneous)
        if fault := _fault(self.rule.homogeneous):
            raise UpdateError(f"no stationary norm is derived for {self}: {fault}")
        if found is None:
            known = "; ".join(f"{KINDS[kind]}, as {step}" for kind, step in _STEPS.items())
            raise UpdateError(f"the weight decay lam of {self} enters in no way that is known: {known}")
        return found

    @property
    def breaking(self) -> dict[str, tuple[sp.Expr, str]]:
        """Numbers that break the scaling symmetry: the power of c by which each would have to change, and the limit.

        >>> Optimizer("w = w - eta*(g/(norm(g) + eps) + lam*w)").breaking
        {'eps': (-1, '0')}
        """
        return self.rule.breaking

    def without(self, name: str) -> Optimizer:
        """Return the optimiser in the limit in which a number no longer breaks the symmetry.

        Raises
        ------
        UpdateError
            If it does not break the symmetry, or there is no such limit.

        Examples
        --------
        >>> print(Optimizer("w = w - eta*(clip(g, tau) + lam*w)").without("tau"))
        w = w - eta*(g + lam*w)
        """
        if name not in self.breaking:
            said = ", ".join(self.breaking) or "nothing that a limit would mend"
            raise UpdateError(f"{name} does not break the scaling symmetry of {self}; what does: {said}")
        limit = self.rule.without(name, self.breaking[name][1])
        return Optimizer(str(limit))

    # Derivations ---------------------------------------------------------------------------------

    def derive(self, name: str) -> Derivation:
        """Derive "scaling-symmetry", "maxwell", "radius", "temperature", "angle" or "chord".

        Raises
        ------
        UpdateError
            If the update has no scaling symmetry or weight decay enters in a way that is not known.
        LookupError
            If no derivation has that name.
        """
        if name not in _WRITTEN:
            raise LookupError(f"no derivation of an optimiser is called {name!r}; known: {', '.join(_WRITTEN)}")
        if name not in self._derived:
            self._derived[name] = self._made(name)
        return self._derived[name]

    @cached_property
    def _derived(self) -> dict[str, Derivation]:
        return {}

    def _made(self, name: str) -> Derivation:
        self.rule.homogeneous.scaling  # noqa: B018 - refuses an update without a symmetry
        write, summary = _WRITTEN[name]
        if name not in ("scaling-symmetry", "maxwell"):
            if name not in _OF_KIND[self.kind]:
                raise UpdateError(f"the {name} is not derived for {KINDS[self.kind]}: {self}")
            # Where r grows beyond the balance, decay would have to win: it does not if steps grow faster than w.
            if self.kind != "trust" and self.degree <= -(stable := 1 if self.kind == "decoupled" else 3):
                raise UpdateError(f"no stationary norm: steps of degree {self.degree}, not above -{stable}: {self}")
        chain = Chain(f"{name} of {self}")
        write(chain, self)
        worlds = [runs_world(self.rule)]
        if name not in ("scaling-symmetry", "maxwell"):
            worlds += [
                gas_world(self.kind, sp.Rational(self.degree)),
                length_world() if self.kind == "trust" else memory_world(),
            ]
        return Derivation(name, self, None, THIS_TOOLKIT, summary, tuple(worlds), steps=tuple(chain.steps))

    @property
    def derivations(self) -> tuple[Derivation, ...]:
        """Everything that can be derived for it."""
        found = [self.derive(name) for name in ("scaling-symmetry", "maxwell")]
        with suppress(UpdateError):
            found += [self.derive(name) for name in _OF_KIND[self.kind]]
        return tuple(found)

    def verify(self) -> tuple[Evidence, ...]:
        """Check every step of everything that is derived for it.

        Raises
        ------
        DerivationError
            If a step is false, or could not be checked.
        """
        return tuple(evidence for one in self.derivations for evidence in one.verify())

    @property
    def symmetry(self) -> Formula:
        """The scaling symmetry: a run from weights c times as large, at rates that are changed to match."""
        return self.derive("scaling-symmetry").claim

    @property
    def maxwell(self) -> Formula:
        """The Maxwell relation: what the scaling symmetry fixes of the entropy, for any noise and any step size."""
        return self.derive("maxwell").claim

    @property
    def radius(self) -> Formula:
        """Stationary norm of the weights. D is the sum over lags of the mean inner products of steps at unit norm."""
        return self.derive("radius").claim

    @property
    def temperature(self) -> Formula:
        """Temperature of the directions near a minimum, from D and the mean gain of a step."""
        return self.derive("temperature").claim

    @property
    def angle(self) -> Formula:
        """Angle between the weights before and after a step, in radians."""
        return self.derive("angle").claim

    @property
    def chord(self) -> Formula:
        """Root mean square of a step over that of the weights."""
        return self.derive("chord").claim


def _text(value: Any) -> str:
    """Write an expression as a text that is read."""
    text = value if isinstance(value, str) else sp.sstr(value)
    return re.sub(r"\b(\w+)\(", lambda found: f"{_PRINTED.get(found[1], found[1])}(", text)


# What is written ---------------------------------------------------------------------------------


def _maxwell(chain: Chain, mine: Any) -> None:
    held = mine.rule.held
    if held == (eta, r0) and not mine.rule.buffers:
        maxwell_on_the_sphere(chain, mine)
    elif held == (eta, lam):
        up, down = mine.rule.rate_powers
        if up == down:
            raise UpdateError(f"no relation between the slopes of the entropy: eta and lam scale alike in {mine}")
        maxwell_fixed_lr(chain, mine)
    else:
        known = "a learning rate eta and weight decay lam, or eta and the norm r0 of a sphere without buffers"
        raise UpdateError(f"the Maxwell relation is derived for updates with {known}; this one is {mine}")


def _degree(chain: Chain, mine: Any) -> Step:
    """The degree of the step, seen in its own equation: the decay is collected."""
    rule = mine.rule
    after = [course(rule, place, False)(index, *rule.state, *rule.held) for place, _ in enumerate(rule.state)]
    moved = _one_step(chain, mine, after)[0]
    if mine.kind == "decoupled":
        moved.tidied("collect_decay", w, 1 - eta * lam, eta)
    return chain.definition(eq(degree, mine.degree), f"the degree of {rule} in the gradient, from its exponents")


def _radius(chain: Chain, mine: Optimizer) -> Step:
    return chain.claim(f"{NAMES[mine.kind]}-radius").substitute(_degree(chain, mine))


def _temperature(chain: Chain, mine: Optimizer) -> None:
    heat = chain.claim("homogeneous-temperature").substitute(_degree(chain, mine))
    heat.substitute(chain.claim(mine.derive("radius")))


def _angle(chain: Chain, mine: Optimizer) -> Step:
    share = chain.claim("homogeneous-angle")
    if not mine.rule.buffers:
        alone = chain.assumption("uncorrelated steps", eq(own, 1), "no memory, and symmetric noise")
        share = share.substitute(alone)
    decay = chain.claim("homogeneous-radius", about=taken)
    return share.substitute(decay).tidied("simplify")


@operation("the chord of the angle")
def chord_of(equation: sp.Eq) -> sp.Eq:
    """From an angle to ``2 sin(angle/2)``, as a square root of ``2 (1 - cos(angle))``."""
    if equation.lhs != angle or not isinstance(equation.rhs, sp.acos):
        raise OperationError(f"{equation} does not give an angle by its cosine")
    return eq(chord, sp.sqrt(sp.expand(2 * (1 - equation.rhs.args[0]))))


def _chord(chain: Chain, mine: Any) -> None:
    if mine.kind == "trust":
        chain.claim("trust-ratio-chord")
    else:
        chain.claim(mine.derive("angle")).chord_of().tidied("simplify")


#: What is derived beside the symmetry and the Maxwell relation, by how weight decay enters.
_OF_KIND = {
    "decoupled": ("radius", "temperature", "angle", "chord"),
    "coupled": ("radius", "temperature"),
    "trust": ("radius", "chord"),
}

_WRITTEN: dict[str, tuple[Callable[[Chain, Any], object], str]] = {
    "scaling-symmetry": (
        scaling_symmetry,
        "A run from rescaled weights, buffers and rates is the run from w, rescaled",
    ),
    "maxwell": (
        _maxwell,
        "Slopes of the entropy: the relation that follows from the scaling symmetry, for any noise and any step size",
    ),
    "radius": (_radius, "Stationary norm of the weights"),
    "temperature": (_temperature, "Temperature of the directions near a minimum"),
    "angle": (_angle, "Angle between the weights before and after a step"),
    "chord": (_chord, "Root mean square of a step over that of the weights"),
}

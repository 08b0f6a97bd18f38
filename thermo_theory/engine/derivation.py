"""Derivations: chains of computed steps, each of which is checked a second way.

A derivation is written as a function that takes a `Chain` and adds steps to it. Equations enter by `Chain.definition`
and `Chain.assumption` or as the claim of another derivation (`Chain.claim`); everything else is computed by an
operation, which is a method of the step it starts from: ``balance.substitute(noise, because="...")``.
`Derivation.verify` then puts each step into *worlds* (see `thermo_theory.worlds`), explicit examples in which every
symbol has a meaning of its own, and compares the two sides to high precision.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any

import sympy as sp

from thermo_theory.chapters import place
from thermo_theory.engine import library
from thermo_theory.engine.evaluate import holds
from thermo_theory.engine.formula import Formula
from thermo_theory.engine.operations import OPERATIONS
from thermo_theory.engine.printing import to_text
from thermo_theory.engine.registry import KINDS, Entry, derivation, find, registered
from thermo_theory.engine.rendering import Rendered, html_table, text_table
from thermo_theory.engine.world import NotInterpreted, World, WorldMaker

__all__ = [
    "ASSUMPTIONS",
    "KINDS",
    "Chain",
    "Derivation",
    "DerivationError",
    "Evidence",
    "Step",
    "StepFalse",
    "StepUnproved",
    "derivation",
    "derivations",
    "derive",
    "registered",
]

#: Every assumption by its fixed name, and what it allows.
ASSUMPTIONS = {
    "scale invariance": "the loss of every minibatch depends only on the direction of the weights: g.w = 0, g ~ 1/r",
    "stationarity": "the distribution of the weights no longer changes",
    "isotropic noise": "gradient noise has the same variance in all directions along the sphere",
    "homogeneous noise": "tr Sigma is constant over the sphere",
    "continuous time": "steps are small enough for SGD to follow its stochastic differential equation",
    "small steps": "an expansion in the step size, truncated at a stated order",
    "low temperature": "an expansion in the temperature, truncated at a stated order",
    "pure noise": "the mean gradient vanishes",
    "Gibbs law": "the stationary density is exp(-L/T)/Z",
    "constant heat capacity": "C_V does not depend on the temperature",
    "ideal gas law": "p V = R T",
    "eps = 0": "the optimiser's epsilon is negligible",
    "equivariant estimator": "an entropy estimate of a sample multiplied by c is larger by (d - 1) log c",
    "diffusive snapshots": "a snapshot's nearest neighbour is the next one, at the distance that directions diffuse",
    "Gaussian noise": "gradient noise is Gaussian",
    "commuting noise": "the noise covariance has the eigenvectors of the Hessian",
}

#: How many worlds each step is put into.
WORLDS = 3


class DerivationError(Exception):
    """A step does not hold; `.step` is the step."""

    def __init__(self, message: str, step: Step) -> None:
        super().__init__(message)
        self.step = step


class StepFalse(DerivationError):
    """A step is false: the message has a counterexample."""


class StepUnproved(DerivationError):
    """A step could be neither shown nor refuted: the message says what was tried."""


@dataclass(frozen=True)
class Step:
    """One statement of a derivation and where it comes from.

    Attributes
    ----------
    number : int
        Its place, from 1.
    equation : sympy relation
        The statement.
    operation : str
        "definition", "assumption", "claim", or the name of the operation.
    done : str
        What was done, in words.
    because : str
        Why.
    parents : tuple of int
        Numbers of the steps it was made from.
    assumptions : tuple of str
        Assumptions that enter with this step (not by way of its parents).
    chain : Chain
        Where it stands.

    Notes
    -----
    Every operation is a method of a step: ``balance.solve_for(r)`` adds ``solve for r`` to the chain that `balance`
    stands in, as ``chain.do(solve_for, balance, r)`` does.
    """

    number: int
    equation: sp.Basic
    operation: str
    done: str
    because: str = ""
    parents: tuple[int, ...] = ()
    assumptions: tuple[str, ...] = ()
    chain: Chain = field(repr=False, compare=False, kw_only=True)

    def __getattr__(self, name: str) -> Callable[..., Step]:
        if name.startswith("_"):  # asked by copy, pickle, notebooks
            raise AttributeError(name)
        if name not in OPERATIONS:
            library.load()
        if name not in OPERATIONS:
            near = difflib.get_close_matches(name, OPERATIONS, n=2)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(OPERATIONS)}"
            raise AttributeError(f"no operation is called {name!r}; {hint}")
        return partial(self.chain.do, OPERATIONS[name], self)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *OPERATIONS})

    def __str__(self) -> str:
        indent = " " * 6
        equation = to_text(self.equation).replace("\n", "\n" + indent)
        why = f": {self.because}" if self.because else ""
        return f"({self.number})".ljust(6) + equation + f"\n{indent}[{self.done}{why}]"


@dataclass(frozen=True)
class Evidence:
    """What a step was checked against: the worlds, and the largest relative difference of its sides."""

    step: Step
    worlds: tuple[str, ...]
    worst: float

    def __str__(self) -> str:
        return f"({self.step.number}) holds in {len(self.worlds)} worlds, sides differ by at most {self.worst:.0e}"


class Chain:
    """Where a derivation is written, step by step: equations enter here, and steps make others by their operations."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def _append(self, equation: sp.Basic, operation: str, done: str, **details: Any) -> Step:
        step = Step(len(self.steps) + 1, equation, operation, done, chain=self, **details)
        self.steps.append(step)
        return step

    def definition(self, equation: sp.Basic, because: str) -> Step:
        """Give a name to something."""
        return self._append(equation, "definition", "definition", because=because)

    def assumption(self, name: str, equation: sp.Basic, because: str = "") -> Step:
        """Assume something, under one of the names in `ASSUMPTIONS`.

        Raises
        ------
        ValueError
            If the assumption has no name there.
        """
        if name not in ASSUMPTIONS:
            raise ValueError(f"{name!r} is not an assumption; known: {', '.join(ASSUMPTIONS)}")
        return self._append(
            equation, "assumption", f"assume {name}", because=because or ASSUMPTIONS[name], assumptions=(name,)
        )

    def claim(self, name: str, protocol: Any = None, about: sp.Basic | None = None) -> Step:
        """Start from what another derivation has shown: its claim, or its last statement about something.

        Raises
        ------
        ValueError
            If that derivation has no step with `about` as its left-hand side.
        """
        known = derive(name, protocol)
        shown = [step for step in known.steps if about is None or getattr(step.equation, "lhs", None) == about]
        if not shown:
            raise ValueError(f"{known.title} has no step about {about}")
        return self._append(shown[-1].equation, "claim", f"from {known.title}", assumptions=known.assumptions)

    def do(self, operation: Callable[..., sp.Basic], *parts: Any, because: str = "", **options: Any) -> Step:
        """Compute a step with an operation; steps among the parts and options stand for their equations.

        Raises
        ------
        ValueError
            If `operation` is not registered: only registered operations make steps.
        """
        name = getattr(operation, "__name__", str(operation))
        if OPERATIONS.get(name) is not operation:
            raise ValueError(f"{name} is not a registered operation")
        parents = tuple(part.number for part in (*parts, *options.values()) if isinstance(part, Step))
        plain = [part.equation if isinstance(part, Step) else part for part in parts]
        options = {key: value.equation if isinstance(value, Step) else value for key, value in options.items()}
        others = [_inline(part) for part in parts if not isinstance(part, Step)]
        words = operation.done.format(*others)  # type: ignore[attr-defined]
        involved = ", ".join(f"({number})" for number in parents)
        return self._append(
            operation(*plain, **options), name, f"{words}, from {involved}", because=because, parents=parents
        )


@dataclass(frozen=True, repr=False)
class Derivation(Rendered):
    """A claim and the steps that lead to it.

    Attributes
    ----------
    name, protocol : str, Protocol or None
        The pair that `derive` takes.
    kind : str
        "definition", "identity", "symmetry" or "physics".
    source : str
        Paper and section or equation.
    summary : str
        The claim in words.
    steps : tuple of Step
        The last one is the claim.
    assumptions : tuple of str
        Every assumption that entered, in the order in which it did.
    """

    name: str
    protocol: Any
    kind: str
    source: str
    summary: str
    steps: tuple[Step, ...]
    worlds: tuple[WorldMaker, ...] = field(repr=False)
    kernel: Callable[..., Any] | None = field(default=None, repr=False)
    kernel_arguments: tuple[str, ...] | None = field(default=None, repr=False)
    withdrawn: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """Name and protocol."""
        return self.name if self.protocol is None else f"{self.name}, {self.protocol}"

    @cached_property
    def assumptions(self) -> tuple[str, ...]:
        """Every assumption that entered and was not withdrawn."""
        entered = dict.fromkeys(name for step in self.steps for name in step.assumptions)
        return tuple(name for name in entered if name not in self.withdrawn)

    @cached_property
    def claim(self) -> Formula:
        """What is shown: the last step, as a formula."""
        return Formula(self.steps[-1].equation, self.kernel, self.kernel_arguments, self.source)

    def verify(self) -> tuple[Evidence, ...]:
        """Check every step in worlds that satisfy the assumptions.

        Returns
        -------
        tuple of Evidence
            What each step was checked against.

        Raises
        ------
        StepFalse
            If the two sides of a step differ somewhere; with the counterexample.
        StepUnproved
            If no world has a meaning for a step; with what was tried.
        """
        made = [maker(number, self.assumptions) for maker in self.worlds for number in range(WORLDS)]
        # A withdrawn assumption is no longer claimed; whether it was needed shows in what was built on it.
        claimed = [
            step
            for step in self.steps
            if step.operation != "assumption" or not self.withdrawn.intersection(step.assumptions)
        ]
        return tuple(_check(step, made) for step in claimed)

    def without(self, assumption: str) -> Derivation:
        """Return the same steps with an assumption withdrawn: what it made special in the worlds is general again.

        Raises
        ------
        ValueError
            If the derivation does not make this assumption.
        """
        if assumption not in self.assumptions:
            raise ValueError(f"{self.title} does not assume {assumption!r}; it assumes {', '.join(self.assumptions)}")
        return replace(self, withdrawn=self.withdrawn | {assumption})

    def replace(self, number: int, equation: sp.Basic) -> Derivation:
        """Return the derivation with another equation at a place (an index into `steps`), to test the checks.

        Raises
        ------
        IndexError
            If there is no such step.
        """
        steps = list(self.steps)
        steps[number] = replace(steps[number], equation=equation)
        return replace(self, steps=tuple(steps))


def _inline(part: object) -> str:
    """Draw an option of an operation in one line."""
    if isinstance(part, dict):
        return ", ".join(f"{_inline(old)} → {_inline(new)}" for old, new in part.items())
    return to_text(part, one_line=True) if isinstance(part, sp.Basic) else str(part)


def _check(step: Step, worlds: Sequence[World]) -> Evidence:
    """Put one step into every world that has a meaning for it."""
    passed, tried, worst = [], [], 0.0
    for world in worlds:
        try:
            good, off = holds(step.equation, world)
        except (NotInterpreted, ArithmeticError, ValueError, TypeError) as error:
            tried.append(f"{world.description}: {error}")
            continue
        if not good:
            symbols = sorted(step.equation.free_symbols, key=str)
            example = ", ".join(f"{name} = {value}" for name, value in world.numbers(symbols).items())
            raise StepFalse(
                f"step {step.number}, {sp.sstr(step.equation)}, is false: off by {float(off):.2g} "
                f"for {example or 'the example'} ({world.description})",
                step,
            )
        passed.append(world.description)
        worst = max(worst, abs(float(off)))
    if not passed:
        raise StepUnproved(
            f"step {step.number}, {sp.sstr(step.equation)}, could not be checked: {'; '.join(tried)}", step
        )
    return Evidence(step, tuple(passed), worst)


# What is registered, built ----------------------------------------------------------------------


@cache
def _built(entry: Entry) -> Derivation:
    chain = Chain()
    entry.build(chain, *([entry.protocol] if entry.protocol is not None else []))
    return Derivation(
        entry.name,
        entry.protocol,
        entry.kind,
        entry.source,
        entry.summary,
        tuple(chain.steps),
        entry.worlds,
        entry.kernel,
        entry.kernel_arguments,
    )


def derive(name: str, protocol: Any = None) -> Derivation:
    """Derive a claim.

    Parameters
    ----------
    name : str
        Its name, as `derivations` lists them.
    protocol : Protocol or str, optional
        `FixedLR`, `FixedELR`, `FixedSphere`, or "fixed-lr" and so on; only for claims that belong to a protocol.

    Returns
    -------
    Derivation

    Raises
    ------
    LookupError
        If there is no such derivation; the message suggests the nearest names.

    Examples
    --------
    >>> from thermo_theory import FixedLR, derive
    >>> derive("ideal-gas-law", FixedLR).claim.equation
    Eq(V*p, R*T)
    >>> derive("idael-gas-law")
    Traceback (most recent call last):
    ...
    LookupError: no derivation is called 'idael-gas-law'; did you mean 'ideal-gas-law'...
    """
    return _built(find(name, protocol))


class Derivations(Sequence[Derivation]):
    """All derivations, as a sequence that prints as a table; each is computed when it is taken out."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Derivations(self._entries[index])
        return _built(self._entries[index])

    def _cells(self) -> list[tuple[str, str, str, str]]:
        return [(row.name, str(row.protocol or ""), row.kind, row.summary) for row in self._entries]

    def __repr__(self) -> str:
        return text_table(self._cells())

    def _repr_html_(self) -> str:
        return html_table(self._cells(), [row.claim._repr_latex_() for row in self])


def derivations() -> Derivations:
    """List all derivations in the order of the book.

    Returns
    -------
    Derivations
        A sequence of `Derivation`; it prints as a table.
    """
    ranks = {key: rank for rank, key in enumerate(("None", "fixed sphere", "fixed ELR", "fixed LR"))}
    rows = sorted(registered().values(), key=lambda row: (place(row.name), ranks.get(str(row.protocol), len(ranks))))
    return Derivations(tuple(rows))

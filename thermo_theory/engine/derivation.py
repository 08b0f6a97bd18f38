"""Derivations: chains of computed steps, each of which is checked a second way.

A derivation is written as a function that takes a `Chain` and adds steps to it. Equations enter by `Chain.definition`
and `Chain.assumption` or as the claim of another derivation (`Chain.claim`); everything else is computed by an
operation, which is a method of the step it starts from: ``balance.substitute(noise, because="...")``.
`Derivation.verify` then puts each step into *worlds* (see `thermo_theory.worlds`), explicit examples in which every
symbol has a meaning of its own, and compares the two sides to high precision.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property, partial
from html import escape
from typing import Any

import sympy as sp

from thermo_theory.chapters import place
from thermo_theory.engine import library
from thermo_theory.engine.assumptions import ASSUMPTIONS
from thermo_theory.engine.checking import DerivationError, Evidence, StepFalse, StepUnproved, Worlds, check
from thermo_theory.engine.dimensions import InhomogeneousError
from thermo_theory.engine.dimensions import check as check_units
from thermo_theory.engine.formula import Formula
from thermo_theory.engine.needs import Needs, needs, stored
from thermo_theory.engine.needs import kind as kind_of
from thermo_theory.engine.operations import OPERATIONS, Unchanged
from thermo_theory.engine.printing import WIDTH, to_text
from thermo_theory.engine.registry import KINDS, Entry, Registered, derivation, find, registered
from thermo_theory.engine.rendering import Rendered, html_table, text_table, wrapped
from thermo_theory.engine.roots import Root, roots, tree

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
    rests_on : tuple of str
        Assumptions that enter with this step or with one that it was made from: it is to hold where these hold.
    shown : Step, optional
        For a claim: the step of the other derivation that it repeats.
    proved : tuple of str
        For a claim: assumptions of the other derivation that it was given a proof of.
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
    rests_on: tuple[str, ...] = ()
    shown: Step | None = field(default=None, repr=False, compare=False)
    proved: tuple[str, ...] = ()
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

    def tidied(self, operation: str, because: str = "") -> Step:
        """Add what an operation makes of this step; if that changes nothing, return this step.

        For derivations that are written once for several systems: ``step.tidied("expand")``.
        """
        with suppress(Unchanged):
            return getattr(self, operation)(because=because)
        return self

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *OPERATIONS})

    def __str__(self) -> str:
        equation = to_text(self.equation, width=WIDTH - 6).replace("\n", "\n" + " " * 6)
        why = f": {self.because}" if self.because else ""
        words = wrapped(f"[{self.done}{why}]", " " * 6)
        return f"({self.number})".ljust(6) + f"{equation}\n{words}"


class Chain:
    """Where a derivation is written, step by step: equations enter here, and steps make others by their operations."""

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.steps: list[Step] = []

    def _append(self, equation: sp.Basic, operation: str, done: str, **details: Any) -> Step:
        known = [name for number in details.get("parents", ()) for name in self.steps[number - 1].rests_on]
        rests_on = tuple(dict.fromkeys([*known, *details.get("assumptions", ())]))
        step = Step(len(self.steps) + 1, equation, operation, done, rests_on=rests_on, chain=self, **details)
        self.steps.append(step)
        return step

    def definition(self, equation: sp.Basic, because: str) -> Step:
        """Give a name to something."""
        return self._append(equation, "definition", "definition", because=because)

    def assumption(self, name: str, equation: sp.Basic, because: str = "", given: Sequence[Step] = ()) -> Step:
        """Assume something, under one of the names in `ASSUMPTIONS`; it is to hold where the steps in `given` do.

        Raises
        ------
        ValueError
            If the assumption has no name there.
        """
        if name not in ASSUMPTIONS:
            raise ValueError(f"{name!r} is not an assumption; known: {', '.join(ASSUMPTIONS)}")
        return self._append(
            equation,
            "assumption",
            f"assume {name}",
            because=because or ASSUMPTIONS[name],
            parents=tuple(step.number for step in given),
            assumptions=(name,),
        )

    def claim(
        self,
        name: str,
        protocol: Any = None,
        about: sp.Basic | None = None,
        given: Mapping[str, Step] | None = None,
    ) -> Step:
        """Start from what another derivation has shown: its claim, or its last statement about something.

        Parameters
        ----------
        name, protocol
            What `derive` takes.
        about : sympy expression, optional
            The left-hand side of the statement.
        given : mapping, optional
            Steps of this chain that prove what the other derivation assumes, by the name of the assumption.

        Raises
        ------
        ValueError
            If that derivation has no step with `about` as its left-hand side, or its assumption says something else
            than the step given for it.
        """
        known, given = derive(name, protocol), dict(given or {})
        shown = [step for step in known.steps if about is None or getattr(step.equation, "lhs", None) == about]
        if not shown:
            raise ValueError(f"{known.title} has no step about {about}")
        last = shown[-1]
        for assumed, proof in given.items():
            said = {root.step.equation for root in roots(last) if root.kind == assumed}
            if said != {proof.equation}:
                raise ValueError(f"{known.title} assumes under {assumed!r}: {said or 'nothing'}, not {proof.equation}")
        return self._append(
            last.equation,
            "claim",
            f"from {known.title}",
            parents=tuple(proof.number for proof in given.values()),
            assumptions=tuple(assumed for assumed in last.rests_on if assumed not in given),
            shown=last,
            proved=tuple(given),
        )

    def do(
        self,
        operation: Callable[..., sp.Basic],
        *parts: Any,
        because: str = "",
        given: Sequence[Step] = (),
        **options: Any,
    ) -> Step:
        """Compute a step with an operation; steps among the parts and options stand for their equations.

        The step rests on those in `given` as well: what allows the operation, without being put into it.

        Raises
        ------
        ValueError
            If `operation` is not registered: only registered operations make steps.
        """
        name = getattr(operation, "__name__", str(operation))
        if OPERATIONS.get(name) is not operation:
            raise ValueError(f"{name} is not a registered operation")
        parents = tuple(part.number for part in (*parts, *options.values(), *given) if isinstance(part, Step))
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
    declared : str or None
        "definition", for what is no claim; else None, and `kind` is computed.
    source : str
        Paper and section or equation.
    summary : str
        The claim in words.
    steps : tuple of Step
        The last one is the claim.
    assumptions : tuple of str
        Every assumption that entered, in the order in which it did.
    """

    steps: tuple[Step, ...] = field(kw_only=True)
    withdrawn: frozenset[str] = frozenset()

    @cached_property
    def assumptions(self) -> tuple[str, ...]:
        """Every assumption that entered and was not withdrawn."""
        entered = dict.fromkeys(name for step in self.steps for name in step.assumptions)
        return tuple(name for name in entered if name not in self.withdrawn)

    @cached_property
    def claim(self) -> Formula:
        """What is shown: the last step, as a formula."""
        return Formula(self.steps[-1].equation, self.kernel, self.kernel_arguments, self.source, self.domain)

    def verify(self) -> tuple[Evidence, ...]:
        """Check every step in worlds that grant what it rests on, and that its terms have one unit.

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
        try:
            check_units(self)
        except InhomogeneousError as error:
            raise StepFalse(str(error), error.step) from None
        worlds = Worlds(self.worlds)
        # A withdrawn assumption is no longer claimed; whether it was needed shows in what was built on it.
        claimed = [
            step
            for step in self.steps
            if step.operation != "assumption" or not self.withdrawn.intersection(step.assumptions)
        ]
        # What rested on it comes first: the other steps are what they were.
        claimed.sort(key=lambda step: self.withdrawn.isdisjoint(step.rests_on))
        found = [check(step, worlds.granting({*step.rests_on} - self.withdrawn)) for step in claimed]
        return tuple(sorted(found, key=lambda evidence: evidence.step.number))

    @cached_property
    def _needs(self) -> Needs:
        return needs(self)

    def needs(self) -> tuple[frozenset[str], ...]:
        """Return the smallest sets of assumptions under which the claim holds.

        `without` asks whether this chain of steps goes through without an assumption; the claim may hold all the same,
        for another reason.

        Returns
        -------
        tuple of frozenset of str
            Found by putting the claim into worlds that grant these and break the other assumptions.

        Raises
        ------
        DerivationError
            If the claim is false where all its assumptions hold.

        Examples
        --------
        The Maxwell relation at fixed LR follows from the symmetry alone, though its chain uses isotropic noise:

        >>> from thermo_theory import FixedLR, derive
        >>> [sorted(one) for one in derive("maxwell", FixedLR).needs()]
        [['scale invariance', 'stationarity']]
        """
        return self._needs.sets

    @property
    def counterexamples(self) -> dict[str, str]:
        """For each assumption that is needed, where the claim is false if it alone is dropped."""
        return dict(self._needs.without)

    @cached_property
    def kind(self) -> str:
        """Kind of the claim: "definition", or "identity", "symmetry" or "physics" by what it needs."""
        return self.declared or kind_of(self.steps[-1].equation, self.needs())

    def roots(self) -> tuple[Root, ...]:
        """List the equations that the claim rests on and that are taken without proof, each with its kind."""
        return roots(self.steps[-1])

    def tree(self) -> str:
        """Draw what the claim rests on: the derivations whose claims it uses, down to the roots."""
        return tree(self.steps[-1])

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


# What is registered, built ----------------------------------------------------------------------


@cache
def _built(entry: Entry) -> Derivation:
    chain = Chain(entry.title)
    entry.build(chain, *([entry.protocol] if entry.protocol is not None else []))
    known = {one.name: getattr(entry, one.name) for one in fields(Registered)}
    return Derivation(**known, steps=tuple(chain.steps))


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


#: Names of the columns of a list of derivations.
_COLUMNS = ("name", "protocol", "kind", "claim")


class Derivations(Sequence[Derivation]):
    """All derivations, as a sequence that prints as a table; each is computed when it is taken out."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Derivation]:
        # A sequence's own would take an IndexError in a derivation for its end.
        return map(_built, self._entries)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Derivations(self._entries[index])
        return _built(self._entries[index])

    def _cells(self) -> list[tuple[str, str, str, str]]:
        known = stored()
        kinds = [known[row.title]["kind"] if row.title in known else _built(row).kind for row in self._entries]
        rows = zip(self._entries, kinds, strict=True)
        return [(row.name, str(row.protocol or ""), kind, row.summary) for row, kind in rows]

    def __repr__(self) -> str:
        return text_table(_COLUMNS, self._cells())

    def _repr_html_(self) -> str:
        rows = zip(self._cells(), self, strict=True)
        return html_table([*_COLUMNS, "formula"], [[*map(escape, row), one.claim._repr_latex_()] for row, one in rows])


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

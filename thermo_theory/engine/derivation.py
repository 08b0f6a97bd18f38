"""Derivations: chains of computed steps, each of which is checked a second way.

A derivation is written as a function that takes a `Chain` and adds steps to it. Equations enter by `Chain.definition`
and `Chain.assumption` or as the claim of another derivation (`Chain.claim`); everything else is computed by an
operation, which is a method of the step it starts from: ``balance.substitute(noise, because="...")``.
`Derivation.verify` then puts each step into *worlds* (see `thermo_theory.worlds`), explicit examples in which every
symbol has a meaning of its own, and compares the two sides to high precision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from typing import Any

import sympy as sp

from thermo_theory.chapters import place
from thermo_theory.engine.assumptions import ASSUMPTIONS, assumption
from thermo_theory.engine.chain import Chain, Step, named, steps_of
from thermo_theory.engine.checking import DerivationError, Evidence, StepFalse, StepUnproved, Worlds, check
from thermo_theory.engine.dimensions import OVERRIDES, InhomogeneousError, cases_of
from thermo_theory.engine.dimensions import check as check_units
from thermo_theory.engine.formula import Formula, Origin, carried
from thermo_theory.engine.listing import Derivations
from thermo_theory.engine.needs import Needs, needs
from thermo_theory.engine.needs import kind as kind_of
from thermo_theory.engine.packing import check_pickles, packed, unpacked
from thermo_theory.engine.registry import KINDS, Entry, Registered, derivation, find, on_replacement, registered
from thermo_theory.engine.rendering import Rendered
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
    "assumption",
    "derivation",
    "derivations",
    "derive",
    "registered",
]


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
        units = {symbol: unit or "" for case in cases_of(self) for symbol, unit in OVERRIDES[case].items()}
        names = [self.name] if self.protocol is None else [self.name, getattr(self.protocol, "key", str(self.protocol))]
        call = f"derive({', '.join(map(json.dumps, names))}).claim" if self._as_registered else ""
        origin = Origin(self.summary, self.assumptions, units, call)
        equation = self.steps[-1].equation
        return Formula(equation, self.kernel, self.kernel_arguments, self.source, self.domain, origin)

    @property
    def _as_registered(self) -> bool:
        """Whether it is what `derive` returns, neither continued nor without an assumption."""
        return self.steps[-1].chain.title == self.title and not self.withdrawn

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

    def then(
        self, operation: Callable[..., sp.Basic] | str, *parts: Any, because: str = "", **options: Any
    ) -> Derivation:
        """Continue by one more step, which is checked in the same worlds.

        Parameters
        ----------
        operation : callable or str
            One of `thermo_theory.operations`, or its name; it starts from the claim.
        *parts, **options
            What else it takes. Steps of this derivation stand for their equations, another derivation for its claim,
            which becomes a step before this one, and a text for the letter of the claim that is called so.
        because : str, optional
            Why.

        Returns
        -------
        Derivation
            Its domain is what was said of the arguments that are left.

        Raises
        ------
        ValueError
            If there is no such operation or letter, or it does not apply (an `OperationError`).

        Examples
        --------
        >>> from thermo_theory import FixedLR, derive
        >>> rate = derive("temperature", FixedLR).then("solve_for", "eta")
        >>> rate.claim.equation, len(rate.verify()) == len(rate.steps)
        (Eq(eta, 2*T**2*(d - 1)/(lambda*sigma**2)), True)
        """
        if isinstance(operation, str):
            operation = named(operation)
        chain = Chain(f"{self.title}, continued")
        chain.steps = [replace(step, chain=chain) for step in self.steps]
        given = [chain.claim(part) if isinstance(part, Derivation) else part for part in parts]
        given = [self.claim.letter(part) if isinstance(part, str) else part for part in given]
        for part in (*given, *options.values()):
            if isinstance(part, Step) and part not in chain.steps:
                raise ValueError(f"step {part.number} of {part.chain.title} is no step of {self.title}")
        last = chain.do(operation, chain.steps[len(self.steps) - 1], *given, because=because, **options)
        return replace(
            self,
            declared=None,
            summary=f"{self.summary}; then {last.done}",
            kernel=None,
            kernel_arguments=None,
            domain=carried(self.domain, last.equation),
            steps=tuple(chain.steps),
        )

    def __getstate__(self) -> dict[str, Any]:
        for maker in self.worlds:
            check_pickles(maker, f"{self.title}: the maker of worlds")
        check_pickles(self.kernel, f"{self.title}: the kernel")
        state = {one.name: getattr(self, one.name) for one in fields(self)}
        return state | {"domain": tuple(map(packed, self.domain))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, domain=tuple(map(unpacked, state["domain"])))

    def __deepcopy__(self, memo: object) -> Derivation:
        return self  # it does not change

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


# What is registered, built ----------------------------------------------------------------------


@cache
def _built(entry: Entry) -> Derivation:
    known = {one.name: getattr(entry, one.name) for one in fields(Registered)}
    return Derivation(**known, steps=steps_of(entry))


on_replacement.append(_built.cache_clear)


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


def derivations(protocol: Any = None, needs: str | Iterable[str] = (), about: str | sp.Basic = "") -> Derivations:
    """List derivations in the order of the book.

    Parameters
    ----------
    protocol : Protocol or str, optional
        Only those for this protocol, as `derive` takes it.
    needs : str or iterable of str, optional
        Only those whose claims are false without this assumption, or each of these: all of the smallest sets that
        `Derivation.needs` returns have it. What only the chain of steps uses does not count.
    about : str or sympy symbol, optional
        Only those whose claims have the symbol of this name, or that have these words in their name, their summary or
        the meaning of a symbol of their claim.

    Returns
    -------
    Derivations
        A sequence of `Derivation`; it prints as a table.

    Raises
    ------
    LookupError
        If there is no such protocol.
    ValueError
        If there is no such assumption, or an argument is of another kind.

    Examples
    --------
    >>> from thermo_theory import derivations
    >>> [row.name for row in derivations(needs="constant heat capacity")]
    ['adiabat', 'quench']
    """
    ranks = {key: rank for rank, key in enumerate(("None", "fixed sphere", "fixed ELR", "fixed LR"))}
    rows = sorted(registered().values(), key=lambda row: (place(row.name), ranks.get(str(row.protocol), len(ranks))))
    return Derivations(rows, _built).chosen(protocol, needs, about)

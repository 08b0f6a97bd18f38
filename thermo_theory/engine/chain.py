"""Where a derivation is written: steps, each computed from others by an operation, in a chain.

Equations enter by `Chain.definition` and `Chain.assumption` or as the claim of another derivation (`Chain.claim`);
everything else is computed by an operation, which is a method of the step it starts from:
``balance.substitute(noise, because="...")``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Protocol

import sympy as sp

from thermo_theory.engine import library
from thermo_theory.engine.assumptions import ASSUMPTIONS, known
from thermo_theory.engine.operations import OPERATIONS, OperationError, Unchanged
from thermo_theory.engine.packing import packed, unpacked
from thermo_theory.engine.printing import WIDTH, to_text, wrapped
from thermo_theory.engine.registry import Entry, find, on_replacement
from thermo_theory.engine.roots import roots

__all__ = ["Chain", "Step", "named", "steps_of"]


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
        try:
            return partial(self.chain.do, named(name), self)
        except OperationError as error:
            raise AttributeError(str(error)) from None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "equation": packed(self.equation)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, equation=unpacked(state["equation"]))

    def tidied(self, operation: str, *parts: Any, because: str = "") -> Step:
        """Add what an operation makes of this step; if that changes nothing, return this step.

        For derivations that are written once for several systems: ``step.tidied("expand")``.
        """
        with suppress(Unchanged):
            return getattr(self, operation)(*parts, because=because)
        return self

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *OPERATIONS})

    def __str__(self) -> str:
        equation = to_text(self.equation, width=WIDTH - 6).replace("\n", "\n" + " " * 6)
        why = f": {self.because}" if self.because else ""
        words = wrapped(f"[{self.done}{why}]", " " * 6)
        return f"({self.number})".ljust(6) + f"{equation}\n{words}"


def named(name: str) -> Callable[..., sp.Basic]:
    """Return the operation of a name.

    Raises
    ------
    OperationError
        If there is none, with the nearest names.
    """
    if name not in OPERATIONS:
        library.load()
    if name not in OPERATIONS:
        near = difflib.get_close_matches(name, OPERATIONS, n=2)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(OPERATIONS)}"
        raise OperationError(f"no operation is called {name!r}; {hint}")
    return OPERATIONS[name]


class _Derived(Protocol):
    """A derivation."""

    @property
    def title(self) -> str: ...

    @property
    def steps(self) -> tuple[Step, ...]: ...


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
            If the assumption has no name there; `assumption` gives it one.
        """
        return self._append(
            equation,
            "assumption",
            f"assume {name}",
            because=because or ASSUMPTIONS[known(name)],
            parents=tuple(step.number for step in given),
            assumptions=(name,),
        )

    def claim(
        self,
        name: str | _Derived,
        protocol: Any = None,
        about: sp.Basic | None = None,
        given: Mapping[str, Step] | None = None,
    ) -> Step:
        """Start from what another derivation has shown: its claim, or its last statement about something.

        Parameters
        ----------
        name, protocol
            What `derive` takes; or a derivation.
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
        given = dict(given or {})
        if isinstance(name, str):
            entry = find(name, protocol)
            title, steps = entry.title, steps_of(entry)
        else:
            title, steps = name.title, name.steps
        shown = [step for step in steps if about is None or getattr(step.equation, "lhs", None) == about]
        if not shown:
            raise ValueError(f"{title} has no step about {about}")
        last = shown[-1]
        for assumed, proof in given.items():
            said = {root.step.equation for root in roots(last) if root.kind == assumed}
            if said != {proof.equation}:
                raise ValueError(f"{title} assumes under {assumed!r}: {said or 'nothing'}, not {proof.equation}")
        return self._append(
            last.equation,
            "claim",
            f"from {title}",
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


def _inline(part: object) -> str:
    """Draw an option of an operation in one line."""
    if isinstance(part, dict):
        return ", ".join(f"{_inline(old)} → {_inline(new)}" for old, new in part.items())
    return to_text(part, one_line=True) if isinstance(part, sp.Basic) else str(part)


@cache
def steps_of(entry: Entry) -> tuple[Step, ...]:
    """Write a registered derivation."""
    chain = Chain(entry.title)
    entry.build(chain, *([entry.protocol] if entry.protocol is not None else []))
    return tuple(chain.steps)


on_replacement.append(steps_of.cache_clear)

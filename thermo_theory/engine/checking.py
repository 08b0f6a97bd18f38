"""How a step is checked: in worlds that grant what it rests on, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import sympy as sp

from thermo_theory.engine.evaluate import Outcome, holds
from thermo_theory.engine.world import NotInterpreted, World, WorldMaker

if TYPE_CHECKING:
    from thermo_theory.engine.derivation import Step

__all__ = ["WORLDS", "DerivationError", "Evidence", "StepFalse", "StepUnproved", "Worlds", "check", "fails_in"]

#: What is raised where everything in a statement has a meaning, and that is no number.
_NO_NUMBER = (ArithmeticError, ValueError, TypeError)

#: A world may have no meaning for a statement, or none that is a number.
_NO_ANSWER = (NotInterpreted, *_NO_NUMBER)

#: How many worlds each step is put into, of each kind.
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
class Evidence:
    """What a step was checked against: the worlds, and what was found in each."""

    step: Step
    worlds: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def worst(self) -> float:
        """The largest of the outcomes' `off`."""
        return max(abs(float(outcome.off)) for outcome in self.outcomes)

    def __str__(self) -> str:
        least_good = max(self.outcomes, key=lambda outcome: abs(outcome.off))
        return f"({self.step.number}) holds in {len(self.worlds)} worlds: {least_good.says}"


class _Granted(Collection[str]):
    """Assumptions that are granted, and what a maker of worlds asked of them."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names, self.asked = names, dict[str, bool]()
        self.listed = self.made = False

    def __contains__(self, name: object) -> bool:
        if self.made and str(name) not in self.asked:
            raise LookupError(f"a maker of worlds has to ask for {name!r} before it returns")
        return self.asked.setdefault(str(name), name in self.names)

    def __iter__(self) -> Iterator[str]:
        self.listed = True
        return iter(self.names)

    def __len__(self) -> int:
        self.listed = True
        return len(self.names)

    def alike(self, names: frozenset[str]) -> bool:
        """Whether these assumptions would have given the same answers."""
        answered = all((name in names) is answer for name, answer in self.asked.items())
        return names == self.names or (answered and not self.listed)


@lru_cache(maxsize=100)
def _made(maker: WorldMaker) -> list[tuple[_Granted, list[World]]]:
    """The worlds of a maker so far: derivations share them, and what they have computed."""
    del maker
    return []


class Worlds:
    """The worlds of some makers under any assumptions, each made once."""

    def __init__(self, makers: Sequence[WorldMaker]) -> None:
        self._makers = makers

    def granting(self, assumptions: Iterable[str]) -> list[World]:
        """Return the worlds in which these assumptions hold, and no other one."""
        granted, found = frozenset(assumptions), list[World]()
        for maker in self._makers:
            asking, worlds = next((one for one in _made(maker) if one[0].alike(granted)), (None, []))
            if asking is None:
                asking = _Granted(granted)
                worlds = [maker(number, asking) for number in range(WORLDS)]
                asking.made = True
                _made(maker).append((asking, worlds))
            found += worlds
        return found

    def about(self, step: Step, assumptions: Iterable[str]) -> list[World]:
        """Return those of the worlds that have a meaning for a step."""
        return [world for world in self.granting(assumptions) if fails_in(step, [world]) is not None]


def check(step: Step, worlds: Sequence[World]) -> Evidence:
    """Put a step into every world that has a meaning for it.

    Raises
    ------
    StepFalse
        If the two sides of a step differ somewhere; with the counterexample.
    StepUnproved
        If no world has a meaning for a step, or one has a meaning for it that is no number (it divides by zero, say);
        with what was tried.
    """
    passed, tried, numberless = [], [], False
    for world in worlds:
        try:
            outcome = world.remembered(step.equation, holds)
        except _NO_ANSWER as error:
            tried.append(f"{world.description}: {str(error) or type(error).__name__}")
            numberless |= isinstance(error, _NO_NUMBER)
            continue
        if not outcome.holds:
            symbols = sorted(step.equation.free_symbols, key=str)
            values = outcome.where or world.numbers(symbols)
            example = ", ".join(f"{name} = {value}" for name, value in values.items())
            raise StepFalse(
                f"step {step.number}, {sp.sstr(step.equation)}, is false: off by {float(outcome.off):.2g} "
                f"for {example or 'the example'} ({world.description})",
                step,
            )
        passed.append((world.description, outcome))
    if not passed or numberless:
        raise StepUnproved(
            f"step {step.number}, {sp.sstr(step.equation)}, could not be checked: {'; '.join(tried)}", step
        )
    return Evidence(step, *map(tuple, zip(*passed, strict=True)))


def fails_in(step: Step, worlds: Sequence[World]) -> bool | None:
    """Whether a statement is false in one of the worlds; None if it has no meaning in any of them."""
    answers = []
    for world in worlds:
        try:
            answers.append(world.remembered(step.equation, holds).holds)
        except _NO_ANSWER:
            continue
    return not all(answers) if answers else None

"""What a step rests on, down to what was taken without proof."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thermo_theory.engine.printing import to_text

if TYPE_CHECKING:
    from thermo_theory.engine.derivation import Step

__all__ = ["Root", "ancestors", "roots", "tree"]


def ancestors(*steps: Step) -> Iterator[Step]:
    """Steps that steps were made from, themselves among them, through the derivations whose claims were used.

    An assumption that a claim was given a proof of is left out: the proof is there.

    Yields
    ------
    Step
    """
    seen: set[tuple[int, frozenset[str]]] = set()
    left: list[tuple[Step, frozenset[str]]] = [(step, frozenset()) for step in reversed(steps)]
    while left:
        one, proved = left.pop()
        if (id(one), proved) in seen or (one.operation == "assumption" and proved.issuperset(one.assumptions)):
            continue
        seen.add((id(one), proved))
        yield one
        left += [(one.chain.steps[number - 1], proved) for number in reversed(one.parents)]
        if one.shown is not None:
            left.append((one.shown, proved | frozenset(one.proved)))


@dataclass(frozen=True)
class Root:
    """An equation that was taken without proof: its kind ("definition" or the name of the assumption), and where."""

    kind: str
    step: Step
    where: str

    def __str__(self) -> str:
        return f"{self.kind}: {_flat(self.step)} ({self.where})"


def roots(step: Step) -> tuple[Root, ...]:
    """What a step rests on without proof, assumptions first, each equation once."""
    found: dict[tuple[str, str], Root] = {}
    for one in ancestors(step):
        if one.operation in ("assumption", "definition"):
            name = one.assumptions[0] if one.assumptions else "definition"
            found.setdefault((name, str(one.equation)), Root(name, one, f"{one.chain.title} ({one.number})"))
    return tuple(sorted(found.values(), key=lambda root: root.kind == "definition"))


def tree(step: Step) -> str:
    """Draw what a step rests on: its derivation, the derivations whose claims it uses, and their roots as leaves."""
    return "\n".join(_drawn(step, set(), frozenset()))


def _drawn(step: Step, shown: set[tuple[int, frozenset[str]]], proved: frozenset[str]) -> list[str]:
    own: list[Step] = []
    left = [step]
    while left:
        one = left.pop()
        if one not in own:
            own.append(one)
            left += [one.chain.steps[number - 1] for number in one.parents]
    leaves: list[list[str]] = []
    for one in sorted(own, key=lambda one: one.number):
        if one.shown is not None:
            leaves.append(_drawn(one.shown, shown, proved | frozenset(one.proved)))
        elif one.operation == "definition" or (
            one.operation == "assumption" and not proved.issuperset(one.assumptions)
        ):
            leaves.append([f"{one.done}: {_flat(one)}"])
    lines = [f"{step.chain.title} ({step.number}): {_flat(step)}"]
    if (id(step), proved) in shown:
        return [f"{lines[0]}, as above"]
    shown.add((id(step), proved))
    for leaf in leaves:
        last = leaf is leaves[-1]
        lines += [("└─ " if last else "├─ ") + leaf[0], *(("   " if last else "│  ") + line for line in leaf[1:])]
    return lines


def _flat(step: Step) -> str:
    """A statement in one line."""
    drawn = to_text(step.equation, one_line=True)
    return drawn if "\n" not in drawn else str(step.equation)

"""Lists of derivations, as tables that need not derive anything: what they show of this package's is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import sympy as sp

from thermo_theory.engine.assumptions import known as known_assumption
from thermo_theory.engine.needs import about, stored
from thermo_theory.engine.printing import to_latex
from thermo_theory.engine.registry import Entry, check_protocol, is_of
from thermo_theory.engine.rendering import html_table, text_table
from thermo_theory.symbols import glossary

if TYPE_CHECKING:
    from thermo_theory.engine.derivation import Derivation

__all__ = ["Derivations", "Row"]

#: Names of the columns.
_COLUMNS = ("name", "protocol", "kind", "claim")


class Row:
    """What a list shows of a derivation, which is derived if that is not stored."""

    def __init__(self, entry: Entry, build: Callable[[Entry], Derivation]) -> None:
        self.entry, self._build = entry, build
        self._stored: dict[str, Any] = stored().get(entry.title, {})

    @cached_property
    def derivation(self) -> Derivation:
        """The derivation itself."""
        return self._build(self.entry)

    def cells(self) -> tuple[str, str, str, str]:
        """The columns of the table."""
        kind = self._stored.get("kind") or self.derivation.kind
        return self.entry.name, str(self.entry.protocol or ""), kind, self.entry.summary

    def latex(self) -> str:
        """The claim."""
        return self._stored.get("latex") or to_latex(self.derivation.steps[-1].equation)

    def needs(self, assumption: str) -> bool:
        """Whether the claim is false without an assumption: each of its smallest sets has it."""
        sets = self._stored["needs"] if "needs" in self._stored else self.derivation.needs()
        return all(assumption in one for one in sets)

    def is_about(self, words: str) -> bool:
        """Whether the claim has a symbol of this name, or these words stand in name, summary or symbols' meanings."""
        names = self._stored["about"] if "about" in self._stored else about(self.derivation.steps[-1].equation)
        if words in _MEANINGS:
            return words in names
        texts = [self.entry.name, self.entry.summary, *(_MEANINGS.get(name, "") for name in names)]
        return any(re.search(rf"\b{re.escape(words)}", text, re.IGNORECASE) for text in texts)


_MEANINGS = {str(symbol): info.meaning for symbol, info in glossary.items()}


class Derivations(Sequence[Any]):
    """Derivations, as a sequence that prints as a table; each is computed when it is taken out."""

    def __init__(self, entries: Iterable[Entry], build: Callable[[Entry], Derivation]) -> None:
        self._entries, self._build = tuple(entries), build

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Derivation]:
        # A sequence's own would take an IndexError in a derivation for its end.
        return map(self._build, self._entries)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Derivations(self._entries[index], self._build)
        return self._build(self._entries[index])

    @property
    def _rows(self) -> list[Row]:
        return [Row(entry, self._build) for entry in self._entries]

    def __repr__(self) -> str:
        return text_table(_COLUMNS, [row.cells() for row in self._rows])

    def _repr_html_(self) -> str:
        rows = [[*map(escape, row.cells()), f"$\\displaystyle {escape(row.latex())}$"] for row in self._rows]
        return html_table([*_COLUMNS, "formula"], rows)

    def chosen(self, protocol: Any, needs: str | Iterable[str], words: str | sp.Basic) -> Derivations:
        """Those of a protocol that need all of some assumptions and are about something; see `derivations`."""
        if protocol is not None:
            check_protocol(protocol)
        if not isinstance(words, str | sp.Basic):
            raise ValueError(f"about = {words!r}: must be words or a symbol")
        if not isinstance(needs, str | Iterable):
            raise ValueError(f"needs = {needs!r}: must be the name of an assumption, or several names")
        needed = [known_assumption(name) for name in ([needs] if isinstance(needs, str) else needs)]
        kept = [
            row.entry
            for row in self._rows
            if (protocol is None or is_of(row.entry, protocol))
            and (not str(words) or row.is_about(str(words)))
            and all(row.needs(name) for name in needed)
        ]
        return Derivations(kept, self._build)

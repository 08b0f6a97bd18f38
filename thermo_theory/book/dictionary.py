"""The dictionary optimisation <-> thermodynamics: what each thing in training is called by a physicist.

>>> from thermo_theory import dictionary
>>> [row.thermodynamics for row in dictionary() if "weight decay" in row.optimisation][0]
'pressure'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar, TypeVar

import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.book.wording import typeset
from thermo_theory.engine.printing import to_latex, to_text
from thermo_theory.engine.rendering import html_table, text_table
from thermo_theory.symbols import glossary

__all__ = ["Dictionary", "DictionaryEntry", "ShownRows", "dictionary"]

Row = TypeVar("Row")


@dataclass(frozen=True)
class DictionaryEntry:
    """One line of the dictionary.

    Attributes
    ----------
    optimisation : str
        What it is in training.
    thermodynamics : str
        Its twin in thermodynamics.
    symbols : tuple of sympy.Basic
        The symbols of `thermo_theory.symbols` that stand for it, on either side.
    derivations : tuple of str
        Where it is derived: names that `derive` takes.
    """

    optimisation: str
    thermodynamics: str
    symbols: tuple[sp.Basic, ...] = ()
    derivations: tuple[str, ...] = ()


class ShownRows(Sequence[Row]):
    """Rows, as a sequence that prints as a table; `head` and `cells` are what a kind of table adds."""

    head: ClassVar[tuple[str, ...]]

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return type(self)(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def cells(self, row: Row, shown: Callable[[sp.Basic], str]) -> tuple[str, ...]:
        """Cells of a row, with its formulas as they are to be shown."""
        raise NotImplementedError

    def __repr__(self) -> str:
        kept = [place for place, title in enumerate(self.head) if title != "unit"]  # too wide for a terminal
        rows = ([self.cells(row, _in_a_line)[place] for place in kept] for row in self)
        first, *lines = text_table([self.head[place] for place in kept], rows).split("\n")
        return "\n".join([first, "-" * max(map(len, [first, *lines])), *lines])

    def to_markdown(self) -> str:
        """Return the table in Markdown, with the formulas in LaTeX."""
        head = [f"| {' | '.join(self.head)} |", "|---" * len(self.head) + "|"]
        rows = (map(_around_latex, self.cells(row, _in_latex)) for row in self)
        return "\n".join([*head, *(f"| {' | '.join(cells)} |" for cells in rows)]) + "\n"

    def _repr_html_(self) -> str:
        return html_table(self.head, [[*map(escape, self.cells(row, _in_latex))] for row in self])


def _in_a_line(formula: sp.Basic) -> str:
    return to_text(formula, one_line=True)


def _around_latex(cell: str) -> str:
    """A cell with its words as they are shown, and its LaTeX as it is."""
    return "".join(part if part.startswith("$") else typeset(part) for part in re.split(r"(\$[^$]*\$)", cell))


def _in_latex(formula: sp.Basic) -> str:
    return f"${to_latex(formula)}$"


class Dictionary(ShownRows[DictionaryEntry]):
    """The rows, as a sequence that prints as a table."""

    head = ("optimisation", "thermodynamics", "symbols", "unit", "derived in")

    def cells(self, row: DictionaryEntry, shown: Callable[[sp.Basic], str]) -> tuple[str, ...]:
        """Cells of a row."""
        units = dict.fromkeys(glossary[symbol].unit.replace("*", " ") for symbol in row.symbols)
        symbols = ", ".join(map(shown, row.symbols))
        return row.optimisation, row.thermodynamics, symbols, ", ".join(units), ", ".join(row.derivations)


def _twins(optimisation: sp.Symbol, thermodynamics: sp.Symbol, *where: str) -> DictionaryEntry:
    """A symbol of optimisation and its twin, in the words of the glossary."""
    return DictionaryEntry(
        glossary[optimisation].meaning, glossary[thermodynamics].meaning, (optimisation, thermodynamics), where
    )


def _named(symbol: sp.Symbol, *where: str) -> DictionaryEntry:
    """A symbol of optimisation whose twin has words and no symbol of its own."""
    return DictionaryEntry(glossary[symbol].meaning, glossary[symbol].twin, (symbol,), where)


def _measured(symbol: sp.Symbol, *where: str) -> DictionaryEntry:
    """A symbol of thermodynamics whose twin has words and no symbol of its own."""
    return DictionaryEntry(glossary[symbol].twin, glossary[symbol].meaning, (symbol,), where)


#: The table: quantities first, then protocols, processes, and where the analogy ends.
_ROWS = (
    _named(s.L, "gibbs-distribution", "linear-regression"),
    _measured(s.U, "first-law", "vmf-energy"),
    _twins(s.eta_eff, s.T, "temperature", "stationary-distribution"),
    _named(s.eta, "temperature", "entropy-of-schedule"),
    _twins(s.lam, s.p, "regularised-loss", "ideal-gas-law", "pressure"),
    _twins(s.r, s.V, "radius", "ideal-gas-law"),
    _named(s.d, "equipartition", "gas-mixture"),
    _measured(s.R, "ideal-gas-law", "heat-capacities"),
    _measured(s.S, "maxwell", "vmf-entropy", "thermodynamic-integration"),
    _measured(s.S_w, "maxwell-differential-entropy"),
    _measured(s.H, "regularised-loss", "potentials"),
    _measured(s.F, "free-energy", "potential", "second-law"),
    _measured(s.G, "potential", "regularised-loss"),
    DictionaryEntry(
        "softmax of the losses over all weights", "Gibbs distribution", (s.rho, s.Z), ("gibbs-distribution",)
    ),
    DictionaryEntry(
        "rise of the loss with the noise",
        "heat capacity",
        (s.C_V, s.C_p),
        ("vmf-heat-capacity", "adiabatic-index"),
    ),
    DictionaryEntry("balance of weight decay and gradients", "virial theorem", (), ("norm-balance", "virial-theorem")),
    DictionaryEntry("training at fixed norm", "fixed T and V", (s.T, s.V), ("temperature", "potential")),
    DictionaryEntry(
        "training at fixed effective learning rate", "fixed T and p", (s.T, s.p), ("temperature", "potential")
    ),
    DictionaryEntry(
        "training at fixed learning rate",
        "T and p set together, through eta and lambda",
        (s.eta, s.lam),
        ("temperature", "scaling-symmetry"),
    ),
    DictionaryEntry("same learning rate times weight decay", "isotherm", (), ("isotherm",)),
    DictionaryEntry("same weight decay", "isobar", (), ("isobar",)),
    DictionaryEntry("same ratio of learning rate and weight decay", "isochore", (), ("isochore",)),
    DictionaryEntry("schedule of constant entropy", "adiabat", (s.gamma,), ("adiabat", "adiabatic-index")),
    DictionaryEntry(
        "schedule slower than every relaxation", "quasi-static process", (), ("quasi-static", "entropy-of-schedule")
    ),
    DictionaryEntry("sudden drop of the learning rate", "quench, which produces entropy", (s.produced,), ("quench",)),
    DictionaryEntry("average of N sampled weights", "a gas at the temperature T/N", (s.N,), ("weight-averaging",)),
    DictionaryEntry(
        "scale-invariant blocks (filters, matrices)", "mixture of gases at one pressure", (), ("gas-mixture",)
    ),
    DictionaryEntry(
        "momentum", "a gas heated by a factor 1/sqrt(1 - beta) at fixed LR", (s.beta,), ("momentum-temperature",)
    ),
    DictionaryEntry("AdamW", "an ideal gas with V = r and R = d - 1", (), ("adamw-gas",)),
    DictionaryEntry("full scale invariance", "no van der Waals forces", (), ("real-gas", "compressibility")),
    DictionaryEntry("epsilon of a normalisation layer", "length scale of a real gas", (s.eps,), ("length-scale",)),
    DictionaryEntry(
        "anisotropic gradient noise",
        "an implicit potential, and in general currents",
        (s.Phi,),
        ("ornstein-uhlenbeck",),
    ),
    DictionaryEntry(
        "learning rate over batch size", "temperature (Jastrzebski et al. 2017)", (s.batch,), ("jastrzebski-2017",)
    ),
    DictionaryEntry(
        "SGD as variational inference", "implicit potential (Chaudhari & Soatto 2018)", (), ("chaudhari-soatto-2018",)
    ),
    DictionaryEntry("SGD near a minimum", "Ornstein-Uhlenbeck process (Mandt et al. 2017)", (), ("mandt-2017",)),
)


def dictionary() -> Dictionary:
    """Return the dictionary optimisation <-> thermodynamics.

    Returns
    -------
    Dictionary
        A sequence of `DictionaryEntry`; it prints as a table in a terminal and in a notebook, and has `to_markdown`.

    Examples
    --------
    >>> from thermo_theory import derive, dictionary
    >>> volume = next(row for row in dictionary() if row.thermodynamics.startswith("volume"))
    >>> volume.optimisation, volume.symbols, volume.derivations
    ('norm of the weights', (r, V), ('radius', 'ideal-gas-law'))
    """
    return Dictionary(_ROWS)

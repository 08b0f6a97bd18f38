"""Equations too long for a line, cut into rows at the relation and at the signs between terms.

A row after the first begins with `CUT`, which stands for what came before; whoever prints the row takes it off again.

>>> from thermo_theory.engine.terminal import drawn
>>> a, b, c, x = sp.symbols("a b c x", positive=True)
>>> rows(sp.Eq(x, a + b + c), 12, lambda part: len(drawn(part)))
[Eq(x, a + b), c + ⋯]
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp
from sympy.core.relational import Relational

__all__ = ["CUT", "rows"]

#: What came before; one column wide.
CUT = sp.Symbol("⋯")


def rows(expression: sp.Basic, width: int, columns: Callable[[sp.Basic], int]) -> list[sp.Basic]:
    """Cut an expression so that every row fits, if its terms do.

    Parameters
    ----------
    expression : sympy.Basic
        A relation or an expression.
    width : int
        Columns of a row.
    columns : callable
        How many of them an expression takes.

    Returns
    -------
    list of sympy.Basic
        At least one row; sums and relations in it are not to be sorted again.
    """
    sides = expression.args if isinstance(expression, Relational) else (expression,)
    found: list[list[tuple[int, bool, sp.Basic]]] = [[]]
    room = width
    for number, side in enumerate(sides):
        for place, term in enumerate(side.as_ordered_terms() if side.is_Add else [side]):
            opens = number > 0 and place == 0
            joined = expression.func if opens else sp.Add
            first = number == place == 0
            needed = columns(term) if first else columns(joined(CUT, term, evaluate=False)) - columns(CUT)
            nothing = opens and term == 0 and room < 0  # a row of its own for "= 0" makes none shorter
            if needed > room and found[-1] and not nothing:
                found.append([])
                room = width
            room -= needed
            found[-1].append((number, opens, term))
    if len(found) == 1:
        return [expression]
    return [_row(expression, row, [CUT] if place else []) for place, row in enumerate(found)]


def _row(expression: sp.Basic, row: list[tuple[int, bool, sp.Basic]], start: list[sp.Basic]) -> sp.Basic:
    """The terms of a row, with the relation if its right-hand side begins there."""
    left, right = ([term for number, _, term in row if number == side] for side in (0, 1))
    if any(opens for _, opens, _ in row):
        return expression.func(sp.Add(*start, *left, evaluate=False), sp.Add(*right, evaluate=False), evaluate=False)
    return sp.Add(*start, *left, *right, evaluate=False)

"""JavaScript out of Python: derived expressions are printed, numeric kernels are traced operation by operation.

>>> from thermo_theory import FixedELR
>>> print(arrow(FixedELR.temperature))
({eta_eff, sigma}) => (1/2)*eta_eff*Math.pow(sigma, 2)
>>> print(traced(lambda x, y: {"length": np.hypot(x, 2.0 * y)}, ("x", "y")))
(x, y) => {
  return {length: Math.hypot(x, (2.0*y))};
}
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy as sp

from thermo_theory.engine.formula import Formula
from thermo_theory.symbols import argument_name

__all__ = ["Trace", "arrow", "traced"]

_INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
_CALLS = {
    "hypot": "hypot",
    "log": "log",
    "log1p": "log1p",
    "arcsinh": "asinh",
    "minimum": "min",
    "power": "pow",
    "exp": "exp",
    "sqrt": "sqrt",
}


def arrow(formula: Formula) -> str:
    """Print the right-hand side of a formula as a JavaScript function of its arguments by name.

    Parameters
    ----------
    formula : Formula
        Of elementary functions.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If JavaScript has no function for a part of it.
    """
    right = formula.equation.rhs
    names = {symbol: sp.Symbol(argument_name(symbol)) for symbol in right.free_symbols}
    try:
        printed = str(sp.jscode(right.subs(names)))
    except NotImplementedError as error:
        raise TypeError(f"{formula} has a part that JavaScript has no function for") from error
    arguments = ", ".join(sorted(map(str, names.values())))
    return f"({{{arguments}}}) => {printed}"


class Trace(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands for an array in a numpy program, and writes down what the program does with it.

    Parameters
    ----------
    name : str
        The JavaScript variable or number that it is.
    lines : list of str
        The value of each variable so far; shared by all traces of a program.
    """

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name = name
        self._lines = lines

    def _make(self, code: str) -> Trace:
        self._lines.append(code)
        return Trace(f"v{len(self._lines) - 1}", self._lines)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Write down an operation; one in place makes a new variable, to which Python binds the name."""
        if method != "__call__" or set(options) - {"out"}:
            return NotImplemented
        parts = [part.name if isinstance(part, Trace) else repr(float(part)) for part in inputs]
        if ufunc.__name__ in _INFIX:
            return self._make(_INFIX[ufunc.__name__].join(f"({p})" if p.startswith("-") else p for p in parts))
        if ufunc.__name__ == "negative":
            return self._make(f"-{parts[0]}")
        if ufunc.__name__ in _CALLS:
            return self._make(f"Math.{_CALLS[ufunc.__name__]}({', '.join(parts)})")
        return NotImplemented

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        """Arrays of one value are that value."""
        values = {"zeros_like": "0.0", "ones_like": "1.0"}
        if function.__name__ in values:
            return Trace(values[function.__name__], self._lines)
        if function.__name__ == "full_like":
            return Trace(repr(float(arguments[1])), self._lines)
        return NotImplemented


def traced(program: Callable[..., Mapping[str, Any]], names: tuple[str, ...]) -> str:
    """Run a numpy program on traces, and return the JavaScript function that does the same with numbers.

    Parameters
    ----------
    program : callable
        Takes an array for each name and returns a mapping of results; no branches on values.
    names : tuple of str
        Names of the arguments.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If the program uses a function that is not known here.
    """
    lines: list[str] = []
    results = program(*(Trace(name, lines) for name in names))
    found = ", ".join(f"{name}: {value.name}" for name, value in results.items())
    uses = Counter(re.findall(r"\bv\d+\b", " ".join([*lines, found])))
    inside: dict[str, str] = {}  # what is used once stands where it is used: a page of half the size

    def put(code: str) -> str:
        return re.sub(r"\bv\d+\b", lambda name: inside.get(name[0], name[0]), code)

    body = []
    for i, line in enumerate(lines):
        name, code = f"v{i}", put(line)
        if uses[name] == 1:
            inside[name] = code if line.startswith("Math.") else f"({code})"
        elif uses[name]:
            body.append(f"const {name} = {code};")
    body.append(f"return {{{put(found)}}};")
    return "\n".join([f"({', '.join(names)}) => {{", *(f"  {line}" for line in body), "}"])

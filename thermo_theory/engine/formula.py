"""A formula: a sympy equation that can be called with numbers.

The equation that a derivation ends with, the line in a plot and the number in a comparison are one object:

>>> import sympy as sp
>>> from thermo_theory.symbols import T, eta_eff, sigma
>>> temperature = Formula(sp.Eq(T, eta_eff * sigma**2 / 2))
>>> temperature(eta_eff=0.01, sigma=2.0)
0.02
>>> temperature.arguments
('eta_eff', 'sigma')
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

from thermo_theory.engine.printing import to_latex, to_text
from thermo_theory.numeric.domain import REAL, check_domain
from thermo_theory.symbols import argument_name, glossary

__all__ = ["Formula"]

Number = float | np.ndarray


class Formula:
    """An equation that can be read, printed and called.

    Parameters
    ----------
    equation : sympy.Eq or another sympy relation
        What the formula says. Called, it returns the right-hand side.
    kernel : callable, optional
        A numerically better way to the right-hand side (keyword arguments `arguments` and `invalid`), used where the
        expression as it stands loses digits; it is tested against the equation.
    arguments : tuple of str, optional
        Names of the arguments of the kernel; by default the symbols of the right-hand side.
    source : str, optional
        Paper and equation.

    Attributes
    ----------
    equation : sympy.Eq
    arguments : tuple of str
        Names of the arguments, in the order of the alphabet.
    """

    def __init__(
        self,
        equation: sp.Basic,
        kernel: Callable[..., Any] | None = None,
        arguments: tuple[str, ...] | None = None,
        source: str = "",
    ) -> None:
        self.equation = equation
        self.source = source
        self._kernel = kernel
        self._arguments = arguments

    @cached_property
    def _symbols(self) -> tuple[sp.Symbol, ...]:
        return tuple(sorted(getattr(self.equation, "rhs", self.equation).free_symbols, key=argument_name))

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names of the arguments."""
        return self._arguments or tuple(argument_name(symbol) for symbol in self._symbols)

    @cached_property
    def _compiled(self) -> Callable[..., Any]:
        names = [sp.Symbol(name) for name in self.arguments]
        right = self.equation.rhs
        unfinished = right.has(sp.Derivative, sp.Integral, sp.Limit, sp.Order, sp.Sum)
        ours = [part for part in right.atoms(sp.Function) if str(type(part).__module__).startswith("thermo_theory")]
        if unfinished or ours or right.atoms(sp.core.function.AppliedUndef):
            raise TypeError(f"{self.equation} has no right-hand side that can be evaluated")
        compiled: Callable[..., Any] = sp.lambdify(names, right.subs(dict(zip(self._symbols, names, strict=True))))
        return compiled

    def __call__(self, *, invalid: Literal["raise", "nan"] = "raise", **values: ArrayLike) -> Any:
        """Evaluate the right-hand side.

        Parameters
        ----------
        invalid : {"raise", "nan"}
            What to do with values outside the domain.
        **values : array_like
            One number or array for each of `arguments`; they broadcast.

        Returns
        -------
        float or numpy.ndarray
            A float if every value is a scalar.

        Raises
        ------
        TypeError
            If an argument is missing or unknown, or if the formula has nothing to evaluate.
        ValueError
            If a value is outside its domain, with the argument's name, the value and the domain.
        """
        missing, unknown = set(self.arguments) - set(values), set(values) - set(self.arguments)
        if missing or unknown:
            raise TypeError(f"{self} takes {', '.join(self.arguments)}; got {', '.join(values) or 'nothing'}")
        if self._kernel is not None:
            return self._kernel(**values, invalid=invalid)
        domains = {argument_name(symbol): info.domain for symbol, info in glossary.items()}
        arrays = [check_domain(name, values[name], domains.get(name, REAL), invalid) for name in self.arguments]
        shape = np.broadcast_shapes(*[array.shape for array in arrays]) if arrays else ()
        with np.errstate(all="ignore"):
            result = np.broadcast_to(np.asarray(self._compiled(*arrays), dtype=float), shape)
        return float(result) if shape == () else result.copy()

    def latex(self) -> str:
        """Return the equation in LaTeX."""
        return to_latex(self.equation)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def __str__(self) -> str:
        return to_text(self.equation)

    def __repr__(self) -> str:
        text = str(self)
        return text if "\n" in text else f"Formula({text})"

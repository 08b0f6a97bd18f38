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

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from inspect import Parameter, Signature
from typing import Any, NoReturn

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike
from sympy.codegen.cfunctions import log1p

from thermo_theory.engine.described import described
from thermo_theory.engine.operations import OperationError, solve_for
from thermo_theory.engine.packing import check_pickles, packed, unpacked
from thermo_theory.engine.printing import to_latex, to_text
from thermo_theory.numeric.domain import POSITIVE, REAL, Domain, FloatArray, Invalid, check_domain, common_shape
from thermo_theory.symbols import SymbolInfo, argument_name, eq, glossary
from thermo_theory.symbols.averages import averages

__all__ = ["Formula", "Origin", "carried"]

#: Other names of arguments, beside their meanings: `weight_decay` is known as the meaning of `lam`.
_ALIASES = {"lr": "eta", "wd": "lam", "momentum": "beta", "effective_lr": "eta_eff", "dimension": "d", "radius": "r"}

#: Relative error by which a result may miss the end of its domain.
_ROUND_OFF = 1e-12

#: What a number is not put into.
_UNFINISHED = (sp.Derivative, sp.Integral, sp.Limit, sp.Sum, sp.core.function.AppliedUndef)

#: Relations of a domain between numbers; what is to be equal may differ by round-off.
_COMPARED: dict[type[sp.Basic], Callable[..., Any]] = {
    sp.Eq: partial(np.isclose, rtol=1e-9, atol=0.0),
    sp.Lt: np.less,
    sp.Le: np.less_equal,
    sp.Gt: np.greater,
    sp.Ge: np.greater_equal,
}


def _averaged(expression: sp.Basic) -> sp.Basic:
    """Put the names of the arguments in the place of averages."""
    return expression.xreplace({average: sp.Symbol(info.argument) for average, info in averages.items()})


def _named(expression: sp.Basic) -> sp.Basic:
    """Write an expression in the names of the arguments."""
    averaged = _averaged(expression)
    return averaged.xreplace({symbol: sp.Symbol(argument_name(symbol)) for symbol in averaged.free_symbols})


def _is_end(relation: sp.Basic) -> bool:
    """Whether a relation is an end of the interval of one argument."""
    return not isinstance(relation, sp.Eq) and relation.lhs.is_Symbol and relation.rhs.is_number


@dataclass(frozen=True)
class Origin:
    """What a formula is the claim of: what that says, assumes and has for units, and a call that gives the formula."""

    summary: str = ""
    assumptions: tuple[str, ...] = ()
    units: Mapping[sp.Basic, str] = field(default_factory=dict)
    call: str = ""


class _Doc:
    """The docstring of a class, and for each instance one of its own."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def __get__(self, instance: Formula | None, owner: type) -> str | None:
        return self.text if instance is None else described(instance)


class _Signature:
    """The arguments of each formula, for completion and help."""

    def __get__(self, instance: Formula | None, owner: type) -> Signature:
        if instance is None or not all(map(str.isidentifier, instance.arguments)):
            raise AttributeError("__signature__")
        names = [Parameter(name, Parameter.KEYWORD_ONLY) for name in instance.arguments]
        return Signature([*names, Parameter("invalid", Parameter.KEYWORD_ONLY, default="raise")])


class Formula:
    """An equation that can be read, printed and called.

    Parameters
    ----------
    equation : sympy.Eq or another sympy relation
        What the formula says. Called, it returns the right-hand side (of a series, without the order term).
    kernel : callable, optional
        A numerically better way to the right-hand side (keyword arguments `arguments`, checked arrays, and `invalid`),
        used where the expression as it stands loses digits; it is tested against the equation.
    arguments : tuple of str, optional
        Names of the arguments of the kernel; by default the symbols of the right-hand side.
    source : str, optional
        Paper and equation.
    domain : sequence of sympy relations, optional
        Where the formula holds, beyond the domain of each symbol: relations between arguments (``eta_eff*h < 2``,
        ``sympy.Eq(p, lam)``); one about a single argument (``N >= 1``) takes the place of that end of its domain.
    origin : Origin, optional
        What the formula is the claim of.

    Attributes
    ----------
    equation : sympy.Eq
    arguments : tuple of str
        Names of the arguments, in the order of the alphabet.
    domain : tuple of sympy relations

    Raises
    ------
    ValueError
        If the domain has anything but relations.
    """

    def __init__(
        self,
        equation: sp.Basic,
        kernel: Callable[..., Any] | None = None,
        arguments: tuple[str, ...] | None = None,
        source: str = "",
        domain: Sequence[sp.Basic] = (),
        origin: Origin | None = None,
    ) -> None:
        if decided := [relation for relation in domain if not isinstance(relation, tuple(_COMPARED))]:
            raise ValueError(f"a domain is made of relations; {decided[0]} is none (sympy decided it: evaluate=False)")
        self.equation = equation
        self.source = source
        self.domain = tuple(domain)
        self.origin = origin or Origin()
        self._kernel = kernel
        self._arguments = arguments

    @cached_property
    def _right(self) -> sp.Basic:
        """The right-hand side, of a series without the order term, with numbers for averages."""
        right = getattr(self.equation, "rhs", self.equation)
        return _averaged(right.removeO() if isinstance(right, sp.Expr) else right)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the derivation assumes that it is the claim of."""
        return self.origin.assumptions

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """Names of the arguments."""
        return self._arguments or tuple(sorted(map(argument_name, self._right.free_symbols)))

    @cached_property
    def _known(self) -> dict[str, SymbolInfo]:
        """What the glossary says of the arguments."""
        infos = {info.argument: info for info in (*glossary.values(), *averages.values())}
        return {name: infos[name] for name in self.arguments if name in infos}

    @cached_property
    def _domains(self) -> dict[str, Domain]:
        """The interval of each argument: the glossary's, and what a condition about it alone says."""
        domains = {name: self._known[name].domain if name in self._known else REAL for name in self.arguments}
        for relation in map(_named, self.domain):
            unknown = {str(symbol) for symbol in relation.free_symbols} - set(domains)
            if unknown:
                raise ValueError(f"the domain {relation} of {self.equation} is about {', '.join(sorted(unknown))}")
            if _is_end(relation):
                name, end, is_open = str(relation.lhs), float(relation.rhs), isinstance(relation, sp.Gt | sp.Lt)
                if isinstance(relation, sp.Gt | sp.Ge):
                    domains[name] = replace(domains[name], low=end, low_open=is_open)
                else:
                    domains[name] = replace(domains[name], high=end, high_open=is_open)
        return domains

    @cached_property
    def _conditions(self) -> list[tuple[sp.Basic, Callable[..., Any]]]:
        """What the domain says beyond intervals, and its two sides as functions of numbers."""
        names = [sp.Symbol(name) for name in self.arguments]
        return [(one, sp.lambdify(names, one.args)) for one in map(_named, self.domain) if not _is_end(one)]

    def between(self) -> list[sp.Basic]:
        """What the domain says beyond intervals, in the names of the arguments."""
        return [relation for relation, _ in self._conditions]

    @staticmethod
    def said(relation: sp.Basic) -> str:
        """Write a relation of a domain."""
        return f"{relation.lhs} = {relation.rhs}" if isinstance(relation, sp.Eq) else str(relation)

    @cached_property
    def has_numbers(self) -> bool:
        """Whether the right-hand side can be evaluated."""
        if self._kernel is not None:
            return True
        functions = {str(type(part).__module__).partition(".")[0] for part in self._right.atoms(sp.Function)}
        return "thermo_theory" not in functions and not self._right.has(*_UNFINISHED)

    @cached_property
    def _compiled(self) -> Callable[..., Any]:
        right = self._right
        if not self.has_numbers:
            raise TypeError(f"{self.equation} has no right-hand side that can be evaluated")
        # Close to 1 a logarithm keeps only the digits of what is beside the 1.
        right = _named(right).replace(
            sp.log, lambda part: log1p(part - 1) if part.is_Add and 1 in part.args else sp.log(part)
        )
        compiled: Callable[..., Any] = sp.lambdify([sp.Symbol(name) for name in self.arguments], right)
        return compiled

    def __call__(self, *, invalid: Invalid = "raise", **values: ArrayLike) -> Any:
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
            If a value is outside the domain, with the argument's name, the value and the domain; if shapes do not
            broadcast; if the result is not a number, or negative though its symbol is positive.

        Examples
        --------
        >>> from thermo_theory import FixedELR, derive
        >>> volume = derive("finite-step", FixedELR).claim
        >>> volume(R=2.0, T=0.1, p=0.01, eta_eff=[0.5, 3.0], h=1.0)
        Traceback (most recent call last):
        ...
        ValueError: eta_eff*h < 2 must hold, got eta_eff = 3.0, h = 1.0 at index 1
        """
        self._check_names(values)
        compiled = self._compiled if self._kernel is None else None
        arrays = {name: check_domain(name, values[name], self._domains[name], invalid) for name in self.arguments}
        numbers, shape = arrays.values(), common_shape(arrays)
        with np.errstate(all="ignore"):
            inside = np.ones(shape, dtype=bool)
            for relation, sides in self._conditions:
                good = _COMPARED[relation.func](*sides(*numbers))
                names = [name for name in arrays if sp.Symbol(name) in relation.free_symbols]
                inside &= good
                if invalid == "raise" and not np.all(good):  # printing a relation takes longer than the numbers
                    _refuse(good, f"{self.said(relation)} must hold", {name: arrays[name] for name in names}, shape)
            result = compiled(*numbers) if compiled else self._kernel(**arrays, invalid=invalid)  # type: ignore[misc]
            result = np.broadcast_to(np.asarray(result, dtype=float), shape)
            # A positive number may be too small for a double, a large one too large; one at an end may miss it.
            low, high = self._result.low, self._result.high
            good = (result >= low - _ROUND_OFF * abs(low)) & (result <= high + _ROUND_OFF * abs(high))
        if invalid == "raise" and not good.all():
            _refuse(good, f"the result must be {self._result}", arrays, shape)
        result = np.where(inside & good, result, np.nan)
        return result if shape else float(result)

    @cached_property
    def _result(self) -> Domain:
        """Where the left-hand side lies."""
        left = getattr(self.equation, "lhs", None)
        return glossary[left].domain if left in glossary else POSITIVE if getattr(left, "is_positive", None) else REAL

    def _check_names(self, given: Mapping[str, Any]) -> None:
        """Refuse missing and unknown arguments.

        Raises
        ------
        TypeError
            With the names, and what was probably meant.
        """
        missing = [name for name in self.arguments if name not in given]
        faults = []
        for name in sorted(set(given) - set(self.arguments)):
            meant = self._meant(name, missing)
            faults.append(f"unknown argument {name}" + (f": did you mean {self._glossed(meant)}?" if meant else ""))
        faults += [f"missing argument {self._glossed(name)}" for name in missing]
        if faults:
            raise TypeError(f"{'; '.join(faults)}. The formula takes {', '.join(self.arguments) or 'no arguments'}")

    def _glossed(self, name: str) -> str:
        return f"{name} ({self._known[name].meaning})" if name in self._known else name

    def _meant(self, name: str, likely: Collection[str]) -> str | None:
        """The argument that is probably meant by a name."""
        meanings = {info.meaning.split(",")[0].replace(" ", "_"): own for own, info in self._known.items()}
        meant = (_ALIASES | meanings).get(name)
        return meant if meant in likely else next(iter(difflib.get_close_matches(name, self.arguments, n=1)), None)

    def solve(self, unknown: str | sp.Basic) -> Formula:
        """Return the formula for another of its letters.

        Parameters
        ----------
        unknown : str or sympy symbol
            The letter, by the name of the argument or by itself.

        Returns
        -------
        Formula
            Its domain is the old one, with the solution in the place of the unknown.

        Raises
        ------
        ValueError
            If the letter does not occur, or there is not exactly one solution.

        Examples
        --------
        >>> from thermo_theory import FixedLR
        >>> rate = FixedLR.temperature.solve("eta")
        >>> rate.equation
        Eq(eta, 2*T**2*(d - 1)/(lambda*sigma**2))
        >>> round(rate(T=0.001, lam=0.001, sigma=2.0, d=101), 12)
        0.05
        """
        letter = self.letter(unknown)
        if letter == getattr(self.equation, "lhs", None):
            return self
        if self.equation.has(sp.Order):
            raise ValueError(f"{unknown} cannot be found: {self.equation} is a truncated series")
        if hidden := self._right.atoms(sp.core.function.AppliedUndef):
            raise ValueError(f"{unknown} cannot be found: {self.equation} does not say what {hidden.pop()} is")
        try:
            solution = solve_for(self.equation, letter)
        except OperationError as error:
            raise ValueError(f"{unknown} cannot be found: {' '.join(str(error).split())}") from None
        domain = carried(self.domain, solution)
        if sp.simplify(self.equation.lhs - self.equation.rhs.subs(letter, solution.rhs)) != 0:  # not at every value
            back = eq(self.equation.lhs.subs(letter, solution.rhs), self.equation.rhs.subs(letter, solution.rhs))
            domain = (*domain, back)
        call = f'{self.origin.call}.solve("{argument_name(letter)}")' if self.origin.call else ""
        summary = f"{self.origin.summary}; solved for {argument_name(letter)}" if self.origin.summary else ""
        origin = replace(self.origin, summary=summary, call=call)
        return Formula(solution, source=self.source, domain=domain, origin=origin)

    def letter(self, name: str | sp.Basic) -> sp.Basic:
        """Return the letter that is called so: by the name of the argument, or by itself.

        Raises
        ------
        ValueError
            If it does not occur; with the nearest one.
        """
        letters = {argument_name(symbol): symbol for symbol in self.equation.free_symbols}
        letters |= {info.argument: mean for mean, info in averages.items() if self.equation.has(mean)}
        letter = letters.get(name) if isinstance(name, str) else name
        if letter is None or not self.equation.has(letter):
            meant = self._meant(str(name), self.arguments)
            hint = f"did you mean {meant!r}?" if meant else f"it has {', '.join(sorted(letters))}"
            raise ValueError(f"{self.equation} has no {name}; {hint}")
        return letter

    def __reduce__(self) -> tuple[Any, ...]:
        check_pickles(self._kernel, f"{self.equation}: the kernel")
        kept = packed(self.equation), self._kernel, self._arguments, self.source, tuple(map(packed, self.domain))
        return _unpickled, (*kept, self.origin)

    def __deepcopy__(self, memo: object) -> Formula:
        return self  # it does not change

    def latex(self) -> str:
        """Return the equation in LaTeX."""
        return to_latex(self.equation)

    def markdown(self) -> str:
        """Return the equation in Markdown, and its domain where the symbols' own do not say it."""
        where = ", ".join(f"${to_latex(relation)}$" for relation in self.domain)
        return self._repr_latex_() + f"\n\nDomain: {where}" * bool(where)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def __str__(self) -> str:
        return to_text(self.equation)

    def __repr__(self) -> str:
        text = str(self)
        return text if "\n" in text else f"Formula({text})"


def _refuse(good: np.ndarray, wanted: str, arrays: Mapping[str, FloatArray], shape: tuple[int, ...]) -> NoReturn:
    """Refuse the first place where something does not hold.

    Raises
    ------
    ValueError
        With what was wanted and the values there.
    """
    where = tuple(np.argwhere(~np.broadcast_to(good, shape))[0].tolist())
    got = ", ".join(f"{name} = {np.broadcast_to(array, shape)[where]}" for name, array in arrays.items())
    place = f" at index {where if len(where) > 1 else where[0]}" if where else ""
    raise ValueError(f"{wanted}, got {got}{place}")


def _unpickled(equation: Any, kernel: Any, arguments: Any, source: str, domain: Any, origin: Origin) -> Formula:
    return Formula(unpacked(equation), kernel, arguments, source, tuple(map(unpacked, domain)), origin)


def carried(domain: Sequence[sp.Basic], claim: sp.Basic) -> tuple[sp.Basic, ...]:
    """Those relations of a domain that are still about the arguments of another equation, its solution written out."""
    known = set(Formula(claim).arguments)
    found = []
    for relation in domain:
        written = relation
        if isinstance(claim, sp.Eq) and relation.has(claim.lhs):
            sides = (side.subs(claim.lhs, claim.rhs) for side in relation.args)
            written = relation.func(*sides, evaluate=False)
        if {str(symbol) for symbol in _named(written).free_symbols} <= known:
            found.append(written)
    return tuple(found)


Formula.__doc__ = _Doc(Formula.__doc__)  # type: ignore[assignment]
Formula.__signature__ = _Signature()  # type: ignore[attr-defined]

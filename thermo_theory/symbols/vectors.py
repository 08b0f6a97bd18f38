"""Just enough vector algebra to write an SDE in d dimensions without coordinates.

A `Vec` or `Mat` is a sympy symbol that the numeric worlds interpret as a column or a square matrix; sums and scalar
multiples are ordinary sympy expressions. `Dot`, `Tr`, `Quad` and `Apply` are (bi)linear: scalars and sums come out of
them by themselves.

>>> import sympy as sp
>>> a = sp.Symbol("a"); u, v = Vec("u"), Vec("v")
>>> Dot(u + a * v, u)
a*Dot(u, v) + Dot(u, u)
"""

from __future__ import annotations

import re
from typing import Any

import sympy as sp
from sympy.printing.pretty.stringpict import prettyForm, stringPict

__all__ = [
    "Apply",
    "Clip",
    "DifferentialEntropyOf",
    "Div",
    "Dot",
    "EntropyOf",
    "EstimateOf",
    "Expectation",
    "Functional",
    "Generator",
    "Hadamard",
    "Inverse",
    "Mat",
    "MatrixSign",
    "NoiseMean",
    "NoiseVariance",
    "NormEntropyOf",
    "Notation",
    "Powers",
    "Quad",
    "Sandwich",
    "Sign",
    "SkewProduct",
    "SymProduct",
    "Tr",
    "Vec",
    "VectorFunction",
    "identity_matrix",
    "is_tensor",
    "ones",
]


class Vec(sp.Symbol):
    """A vector of R^d."""


class Mat(sp.Symbol):
    """A d x d matrix, symmetric unless its symbol says otherwise."""


class VectorFunction(sp.core.function.AppliedUndef):
    """A function whose values are vectors: ``VectorFunction.named("g")`` is one, ``g(w)`` its value."""

    @staticmethod
    def named(name: str) -> Any:
        """Return the undefined vector function of that name."""
        return sp.core.function.UndefinedFunction(name, bases=(VectorFunction,))


#: The identity, and the vector whose coordinates are all 1.
identity_matrix, ones = Mat("I"), Vec("ones")


def is_tensor(expression: sp.Basic) -> bool:
    """Whether the expression is a vector or a matrix and not a scalar."""
    if isinstance(expression, _TENSORS):
        return True
    if isinstance(expression, sp.Add | sp.Mul | Generator):
        return any(is_tensor(argument) for argument in expression.args)
    return False


def _split(term: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Split a term into its scalar factor and its tensor."""
    factors = sp.Mul.make_args(term)
    tensors = [factor for factor in factors if is_tensor(factor)]
    if len(tensors) > 1:
        raise ValueError(f"{term} multiplies vectors; use Dot, Quad or Apply")
    scalar = sp.Mul(*[factor for factor in factors if not is_tensor(factor)])
    return scalar, tensors[0] if tensors else sp.S.Zero


def _linear(build: Any, arguments: tuple[sp.Expr, ...], place: int) -> sp.Expr | None:
    """Pull sums and scalars out of one argument; None if there is nothing to pull."""
    argument = sp.expand(arguments[place])
    if argument == 0:
        return sp.S.Zero

    def rebuilt(inner: sp.Expr) -> sp.Expr:
        return build(*arguments[:place], inner, *arguments[place + 1 :])

    if isinstance(argument, sp.Add):
        return sp.Add(*[rebuilt(term) for term in argument.args])
    scalar, tensor = _split(argument)
    if tensor == 0:
        raise ValueError(f"{argument} is a scalar where a vector or matrix is needed")
    return None if scalar == 1 else scalar * rebuilt(tensor)


class Notation(sp.Function):
    """A function with a notation of its own; in it, ``{0}`` is the first argument, ``{1}`` the second.

    Attributes
    ----------
    text : str
        In a terminal; brackets around all of it, or behind a word, are as tall as what they hold.
    tex : str
        In LaTeX. A power stands outside of brackets, which are added unless the notation ends with its own.
    """

    text: str
    tex: str

    def _pretty(self, printer: Any) -> Any:
        bracketed = re.fullmatch(r"(\w*)([(\[{])(?!\d})(.*)([)\]}])", self.text)
        before, opening, inside, closing = bracketed.groups() if bracketed else ("", "", self.text, "")
        pieces = re.findall(r"{(\d)}|([^{}]+)", inside)
        printed = [printer._print(self.args[int(place)]) if place else prettyForm(text) for place, text in pieces]
        form = prettyForm(*stringPict.next(*printed))
        return prettyForm(*prettyForm(*form.parens(opening, closing)).left(before)) if bracketed else form

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        text = self.tex.format(*map(printer._print, self.args))
        if exp is None:
            return text
        return rf"{text}^{{{exp}}}" if re.match(r"\\left|.*\]$", self.tex) else rf"\left({text}\right)^{{{exp}}}"


class _Multilinear(Notation):
    """A function that is linear in each argument listed in `linear_in`."""

    linear_in: tuple[int, ...] = (0,)

    @classmethod
    def eval(cls, *arguments: sp.Expr) -> sp.Expr | None:
        for place in cls.linear_in:
            pulled = _linear(cls, arguments, place)
            if pulled is not None:
                return pulled
        return None

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        # Vec and Mat do not depend on scalars; what does is written out by the linear rules above.
        return sp.S.Zero


class Dot(_Multilinear):
    """The inner product of two vectors."""

    text, tex = "({0}·{1})", r"{0} \cdot {1}"
    linear_in = (0, 1)

    @classmethod
    def eval(cls, left: sp.Expr, right: sp.Expr) -> sp.Expr | None:
        """Pull sums and scalars out, and order the two vectors."""
        pulled = super().eval(left, right)
        if pulled is None and sp.default_sort_key(left) > sp.default_sort_key(right):
            return cls(right, left)
        return pulled

    def _sympystr(self, printer: Any) -> str:
        return f"Dot({', '.join(map(printer._print, self.args))})"


class Tr(_Multilinear):
    """The trace of a matrix."""

    text, tex = "tr({0})", r"\operatorname{{tr}} {0}"

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        plain = super()._latex(printer, exp)
        inner = printer._print(self.args[0])
        return plain.replace(inner, rf"\left({inner}\right)") if isinstance(self.args[0], Sandwich) else plain


class Quad(_Multilinear):
    """The quadratic form ``v^T M v`` of a matrix M in a vector v: ``Quad(M, v)``."""

    text, tex = "({1}·{0} {1})", r"{1}^{{\top}} {0} {1}"


class Apply(_Multilinear):
    """The product ``M v`` of a matrix and a vector: ``Apply(M, v)``."""

    text, tex = "({0} {1})", "{0} {1}"
    linear_in = (0, 1)


class Sandwich(_Multilinear):
    """The matrix ``P M P`` for a projector P: ``Sandwich(P, M)``."""

    text, tex = "({0} {1} {0})", "{0} {1} {0}"
    linear_in = (1,)


class SymProduct(_Multilinear):
    """The symmetric part of a product, twice: ``A B + (A B)^T``, which is ``A B + B A`` for symmetric matrices."""

    text, tex = "{{0}, {1}}", r"\{{{0}, {1}\}}"
    linear_in = (0, 1)

    @classmethod
    def eval(cls, left: sp.Expr, right: sp.Expr) -> sp.Expr | None:
        """Pull sums and scalars out; a matrix and its inverse make the identity."""
        pulled = super().eval(left, right)
        if pulled is None and Inverse(left) == right:
            return 2 * identity_matrix
        return pulled


class SkewProduct(_Multilinear):
    """The skew part of a product, twice: ``A B - (A B)^T``, the commutator if both are symmetric."""

    text, tex = "[{0}, {1}]", "[{0}, {1}]"
    linear_in = (0, 1)


class Inverse(Notation):
    """The inverse of a matrix."""

    text, tex = "inv({0})", "{{{0}}}^{{-1}}"

    @classmethod
    def eval(cls, argument: sp.Expr) -> sp.Expr | None:
        """Pull a scalar factor out; the inverse of an inverse is the matrix."""
        argument = sp.expand(argument)
        if isinstance(argument, sp.Add):
            return None
        scalar, matrix = _split(argument)
        if isinstance(matrix, Inverse):
            return matrix.args[0] / scalar
        return None if scalar == 1 else cls(matrix) / scalar

    def _sympystr(self, printer: Any) -> str:
        return f"inv({printer._print(self.args[0])})"


class Div(Notation):
    """The divergence of a matrix field along the sphere, its tangential part; constants come out."""

    text, tex = "div({0})", r"\operatorname{{div}} {0}"

    @classmethod
    def eval(cls, argument: sp.Expr) -> sp.Expr | None:
        """Pull sums and constants out."""
        argument = sp.expand(argument)
        if isinstance(argument, sp.Add):
            return sp.Add(*[cls(term) for term in argument.args])
        scalar, matrix = _split(argument)
        constant = sp.Mul(*[factor for factor in sp.Mul.make_args(scalar) if not _varies(factor)])
        return None if constant == 1 else constant * cls(sp.cancel(scalar / constant) * matrix)


class Hadamard(_Multilinear):
    """The product of two vectors, coordinate by coordinate."""

    text, tex = "mul({0}, {1})", r"\left({0} \odot {1}\right)"
    linear_in = (0, 1)

    @classmethod
    def eval(cls, left: sp.Expr, right: sp.Expr) -> sp.Expr | None:
        """Pull sums and scalars out, and order the two vectors."""
        pulled = super().eval(left, right)
        if pulled is None and sp.default_sort_key(left) > sp.default_sort_key(right):
            return cls(right, left)
        return pulled


class _ByCoordinates(Notation):
    """A vector made of a vector that is no linear function of it; how a positive factor comes out says `power`."""

    @classmethod
    def eval(cls, argument: sp.Expr, *others: sp.Expr) -> sp.Expr | None:
        """Pull a positive factor out."""
        factor, vector = _split(sp.factor_terms(sp.expand(argument)))
        positive = sp.Mul(*[one for one in sp.Mul.make_args(factor) if one.is_positive])
        if positive == 1 or vector == 0:
            return None
        return cls.pulled(positive, sp.expand(factor / positive * vector), *others)

    @classmethod
    def pulled(cls, factor: sp.Expr, vector: sp.Expr, *others: sp.Expr) -> sp.Expr:
        """Value at a multiple of a vector: signs stay as they are."""
        del factor
        return cls(vector, *others)


class Sign(_ByCoordinates):
    """The vector of the signs of a vector's coordinates."""

    text, tex = "sign({0})", r"\operatorname{{sign}}\left({0}\right)"


class MatrixSign(_ByCoordinates):
    """A vector's polar factor: written as a matrix ``U S V^T``, it becomes the orthogonal ``U V^T``."""

    text, tex = "msign({0})", r"\operatorname{{msign}}\left({0}\right)"


class Powers(_ByCoordinates):
    """The vector of the powers of a vector's coordinates."""

    text, tex = "pow({0}, {1})", r"{0}^{{\circ {1}}}"

    @classmethod
    def eval(cls, argument: sp.Expr, exponent: sp.Expr) -> sp.Expr | None:
        """Pull a positive factor out; an integer power of a power is one power."""
        if isinstance(argument, Powers) and exponent.is_integer:
            return cls(argument.args[0], argument.args[1] * exponent)
        return super().eval(argument, exponent)

    @classmethod
    def pulled(cls, factor: sp.Expr, vector: sp.Expr, *others: sp.Expr) -> sp.Expr:
        """Value at a multiple of a vector."""
        (exponent,) = others
        return factor**exponent * cls(vector, exponent)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        base, power = self.args
        shown = printer._print(base)
        if not isinstance(base, Vec | VectorFunction | Hadamard | Sign | MatrixSign | Clip):
            shown = rf"\left({shown}\right)"
        return self.tex.format(shown, power if power.is_Rational else printer._print(power))


class Clip(_ByCoordinates):
    """A vector whose coordinates are cut off at a number: none is larger, in size, than that."""

    text, tex = "clip({0}, {1})", r"\operatorname{{clip}}\left({0}, {1}\right)"

    @classmethod
    def pulled(cls, factor: sp.Expr, vector: sp.Expr, *others: sp.Expr) -> sp.Expr:
        """Value at a multiple of a vector, cut off as much lower."""
        (bound,) = others
        return factor * cls(vector, bound / factor)


_TENSORS = (
    *(Vec, VectorFunction, Mat, Apply, Div, Inverse, Sandwich, SkewProduct, SymProduct),
    *(Hadamard, _ByCoordinates),
)


class Functional(Notation):
    """A number that belongs to the law of a random vector; a world computes it from the vector's values."""

    def _sympystr(self, printer: Any) -> str:
        return self.text.format(printer._print(self.args[0]))


class EntropyOf(Functional):
    """The entropy of the law of a random direction on the unit sphere."""

    text, tex = "h[{0}]", r"h\left[{0}\right]"


class DifferentialEntropyOf(Functional):
    """The differential entropy of the law of a random vector of R^d."""

    text, tex = "h_w[{0}]", r"h_w\left[{0}\right]"


class NormEntropyOf(Functional):
    """The entropy of the logarithm of a random vector's norm given its direction: the same for any multiple of it."""

    text, tex = "h_r[{0}]", r"h_r\left[{0}\right]"

    @classmethod
    def eval(cls, argument: sp.Expr) -> sp.Expr | None:
        """Drop a scalar factor: it only shifts the logarithm."""
        scalar, vector = _split(argument)
        return None if scalar == 1 or vector == 0 else cls(vector)


class EstimateOf(Functional):
    """What an estimator of the entropy makes of a sample of a random vector."""

    text, tex = "ĥ[{0}]", r"ĥ\left[{0}\right]"


class Generator(Notation):
    """The mean rate of change of a function of the weights: ``E[df]/dt``, or ``E[f(w')] - f(w)`` for discrete steps."""

    text, tex = "d({0})", r"\frac{{\mathbb{{E}}[\mathrm{{d}}({0})]}}{{\mathrm{{d}}t}}"

    def _pretty(self, printer: Any) -> Any:
        change = super()._pretty(printer)
        mean = prettyForm(*prettyForm(*change.parens("[", "]")).left("E"))
        return prettyForm(*mean.right("/dt")) if getattr(printer, "one_line", False) else mean / prettyForm("dt")


class Expectation(Notation):
    """The mean over the stationary distribution; linear, and constants come out of it."""

    text, tex = "E[{0}]", r"\mathbb{{E}}\left[{0}\right]"

    @classmethod
    def eval(cls, argument: sp.Expr) -> sp.Expr | None:
        """Pull sums and constants out."""
        argument = sp.expand(argument)
        if isinstance(argument, sp.Add):
            return sp.Add(*[cls(term) for term in argument.args])
        factors = sp.Mul.make_args(argument)
        constant = [factor for factor in factors if not _varies(factor)]
        if not constant:
            return None
        random = sp.Mul(*[factor for factor in factors if _varies(factor)])
        return sp.Mul(*constant) * (1 if random == 1 else cls(random))


class NoiseMean(Notation):
    """The mean over the next minibatch, at given weights; what does not depend on the minibatch comes out."""

    text, tex = "mean[{0}]", r"\operatorname{{mean}}\left[{0}\right]"
    power = 1

    @classmethod
    def eval(cls, argument: sp.Expr) -> sp.Expr | None:
        """Pull out factors, and for the mean terms, that have no gradient in them."""
        argument = sp.expand(argument)
        fixed, noisy = argument.as_independent(*_of_minibatch(argument), as_Add=True)
        if fixed != 0 or noisy == 0:
            return cls._constant(fixed) + (cls(noisy) if noisy != 0 else 0)
        factor, rest = argument.as_independent(*_of_minibatch(argument), as_Add=False)
        return None if factor == 1 else factor**cls.power * cls(rest)

    @classmethod
    def _constant(cls, value: sp.Expr) -> sp.Expr:
        return value


class NoiseVariance(NoiseMean):
    """The variance over the next minibatch, at given weights."""

    text, tex = "var[{0}]", r"\operatorname{{var}}\left[{0}\right]"
    power = 2

    @classmethod
    def _constant(cls, value: sp.Expr) -> sp.Expr:
        return sp.S.Zero


def _of_minibatch(expression: sp.Expr) -> list[sp.Basic]:
    """Vectors that depend on the next minibatch, by name."""
    return [symbol for symbol in expression.free_symbols if symbol.name in {"g", "g_n", "w'"}] or [sp.Dummy()]


#: Scalars that vary over the stationary distribution, by name (symbols.py owns the symbols themselves).
_RANDOM = {"r", "L", "L'", "L_4", "L_B", "L_B'", "Phi", "tr_Sigma", "lap_L", "x_1", "x_2"}
_RANDOM |= {"u", "x_a", "y_n", "y_0", "g_a", "q_n", "ell_n"}


def _varies(expression: sp.Expr) -> bool:
    """Whether an expression takes different values at different weights."""
    if expression.has(Generator) or expression.has(Vec) or expression.has(Mat):
        return True
    return any(symbol.name in _RANDOM for symbol in expression.free_symbols)

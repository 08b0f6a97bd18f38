"""The gas of any loss on the unit sphere: of the cosine with a pole, of a quadratic form of the direction, or of both.

>>> import sympy as sp
>>> from thermo_theory import Gas
>>> gas = Gas("1 - c", d=3)  # von Mises and Fisher's: C_V = 1 - (kappa/sinh kappa)^2
>>> round(gas.heat_capacity(T=0.5), 12)
0.695912680648
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

import mpmath as mp
import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

from thermo_theory.engine.checking import Evidence
from thermo_theory.engine.derivation import Chain, Derivation
from thermo_theory.engine.differentials import Partial
from thermo_theory.engine.reading import read_expression
from thermo_theory.engine.world import Assumptions, World
from thermo_theory.numeric.bingham import Form
from thermo_theory.numeric.domain import POSITIVE, REAL, Domain, FloatArray, Invalid, check_domain
from thermo_theory.numeric.zonal import GibbsNumbers, Zonal, grid
from thermo_theory.symbols import C_V, S, T, U, V, eq, var_L
from thermo_theory.theory.gases.own_series import LowTemperature, form_series, zonal_series
from thermo_theory.worlds.own import Patches, form_patches, own_world, zonal_patches

__all__ = ["Gas"]

_COSINES = Domain(-1.0, 1.0)

#: The largest dimension, and how many temperatures are remembered.
LARGEST, REMEMBERED = 10**9, 4096

#: Functions of T that stand for the numbers of a gas in its derivation, and the quantities they are to be.
_GIVEN = {
    "U_gas": (U, "energy"),
    "S_gas": (S, "entropy"),
    "C_gas": (C_V, "heat_capacity"),
    "W_gas": (var_L, "loss_variance"),
}


class Gas:
    """Thermodynamics of the Gibbs law ``rho ~ exp(-L/T)`` on the unit sphere, for a loss of one's own.

    Zonal losses are integrated over the angle, forms along a line of steepest descent: exactly but for rounding, from
    ``d = 3`` to 100,000 and at any temperature. `error` is what is left.

    Parameters
    ----------
    loss : sympy expression, str, or matrix
        A function of one symbol, the cosine with a pole, as an expression or as text (``"1 - c^2"``); or the symmetric
        matrix A of a quadratic form ``L = u.A u`` of the direction u (numpy or sympy, shape (d, d)).
    d : int
        Dimension of the weights, at least 3.
    matrix : matrix, optional
        A quadratic form that is added to a loss of the cosine, which then must be a polynomial of degree 2 at most.
    pole : array_like, optional
        The pole's direction, shape (d,), of any length; needed if there is a form beside the cosine.

    Raises
    ------
    ValueError
        If the loss is not a finite real function of the direction, or an argument does not fit.

    Notes
    -----
    A zonal loss is looked at in 8,192 angles: a feature narrower than that is missed. Sources: Mardia & Jupp 2000,
    *Directional Statistics*, sections 9.3 and 9.4; Kume & Wood 2005 (Biometrika 92) for forms.

    Examples
    --------
    A form in three dimensions: with ``L = u_3^2`` the partition function is ``2 pi^(3/2) T^(1/2) erf(T^(-1/2))``, so
    ``U = T/2 - (T/pi)^(1/2) exp(-1/T)/erf(T^(-1/2))``, 0.119809 at T = 1/4:

    >>> import numpy as np
    >>> from thermo_theory import Gas
    >>> f"{Gas(np.diag([0.0, 0.0, 1.0]), d=3).energy(T=0.25):.6f}"
    '0.119809'

    Two wells of different depth are two levels: beside R = 3/2, a Schottky bump of height 0.44 at 0.417 of their
    distance 0.02 (and 0.02 because the wells are not quite harmonic).

    >>> wells = Gas("1 - c^2 + c/100", d=4)
    >>> wells.heat_capacity(T=[0.001, 0.0083, 0.03]).round(2)
    array([1.5 , 1.96, 1.65])
    >>> wells.adiabatic_index(T=[0.001, 0.0083, 0.03]).round(2)
    array([2.  , 1.77, 1.91])
    """

    def __init__(self, loss: Any, *, d: int, matrix: Any = None, pole: ArrayLike | None = None) -> None:
        self.d = _dimension(d)
        self._given = partial(type(self), loss, d=d, matrix=matrix, pole=pole)
        self._known: dict[float, GibbsNumbers] = {}
        self._loss, self._cosine, self._form = sp.S.Zero, sp.Symbol("c", real=True), None
        if isinstance(loss, np.ndarray | list | tuple | sp.MatrixBase):
            if matrix is not None or pole is not None:
                raise ValueError("the loss is a matrix already: matrix and pole belong to a loss of the cosine")
            self._form = self._quadratic(loss, pole)
            return
        if (matrix is None) != (pole is None):
            raise ValueError("a quadratic form beside the cosine takes matrix and pole, a vector of d numbers")
        self._loss, self._cosine = _of_cosine(loss)
        if matrix is None:
            self._zonal = self._prepared()
        else:
            self._form = self._quadratic(matrix, pole)

    def __reduce__(self) -> tuple[Callable[[], Gas], tuple[()]]:
        return self._given, ()

    # The loss ----------------------------------------------------------------------------------------

    def _quadratic(self, matrix: Any, pole: ArrayLike | None) -> Form:
        """Diagonalise the form; up to its second power the cosine is part of it."""
        A, b = _symmetric(matrix, self.d), np.zeros(self.d)
        if pole is not None:
            if not self._loss.is_polynomial(self._cosine) or sp.degree(self._loss, self._cosine) > 2:
                raise ValueError(
                    f"beside a quadratic form the cosine may have the powers 0, 1 and 2, got {self._loss}: "
                    "only then is the partition function known as one integral"
                )
            direction = check_domain("pole", pole, REAL)
            if direction.shape != (self.d,) or not direction.any():
                raise ValueError(
                    f"pole must be a vector of d = {self.d} numbers, not all 0, got shape {direction.shape}"
                )
            direction = direction / np.linalg.norm(direction)
            constant, linear, square = (float(self._loss.coeff(self._cosine, k)) for k in range(3))
            A = A + square * np.outer(direction, direction) + constant * np.eye(self.d)
            b = linear * direction
        curvatures, axes = np.linalg.eigh(A)
        if not b.any() and np.ptp(curvatures) <= 1e-14 * np.abs(curvatures).max():
            raise ValueError("the loss is the same in all directions: the matrix is a multiple of the identity")
        self._axes = axes
        return Form(curvatures, b @ axes)

    def _prepared(self) -> Zonal:
        """The loss and its slope as functions, and on a grid; refused if it is not finite and real, or constant."""
        slope = sp.diff(self._loss, self._cosine)
        _, cosines = grid()
        values = _on_grid(self._loss, self._cosine, np.concatenate([np.linspace(-1, 1, 41), cosines]))
        if np.ptp(values) <= 1e-14 * np.abs(values).max():
            raise ValueError(f"the loss is the same in all directions: {self._loss}")
        for place in _poles(self._loss, self._cosine):
            raise ValueError(f"the loss must be finite and real for cosines from -1 to 1; at {place} it is not")
        exact, steep = (sp.lambdify(self._cosine, one, "mpmath") for one in (self._loss, slope))
        try:
            mp.mpf(steep(mp.mpf("0.1234")))
        except (NameError, TypeError, AttributeError):  # mpmath does not know it
            steep = partial(mp.diff, exact)
        return Zonal(exact, steep, _on_grid(slope, self._cosine, cosines), float(np.abs(values).max()), self.d)

    # Numbers -----------------------------------------------------------------------------------------

    def _moments(self, temperature: float) -> GibbsNumbers:
        if temperature not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[temperature] = (self._form or self._zonal).moments(temperature)
        return self._known[temperature]

    def _value(self, of: Callable[[GibbsNumbers, float], float], T: ArrayLike, invalid: Invalid) -> float | FloatArray:
        heats = check_domain("T", T, POSITIVE, invalid, "temperature")
        values = [of(self._moments(float(one)), float(one)) if one == one else np.nan for one in heats.ravel()]
        return np.array(values).reshape(heats.shape) if heats.shape else float(values[0])

    def energy(self, *, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
        """Return the internal energy ``U = E L``, in units of the loss.

        Parameters
        ----------
        T : array_like
            Temperature in units of the loss, > 0.
        invalid : {"raise", "nan"}
            What a temperature outside the domain does.

        Returns
        -------
        float or FloatArray
            Of the shape of T.

        Raises
        ------
        ValueError
            If a temperature is not positive and finite.
        """
        return self._value(lambda known, _: known.energy, T, invalid)

    def entropy(self, *, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
        """Return the differential entropy ``S = -E log rho`` of the directions, in nats; arguments as for `energy`."""
        return self._value(lambda known, _: known.entropy, T, invalid)

    def heat_capacity(self, *, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
        """Return the heat capacity ``C_V = dU/dT = Var L/T^2``, a pure number; arguments as for `energy`."""
        return self._value(lambda known, _: known.heat, T, invalid)

    def adiabatic_index(self, *, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
        """Return ``gamma = C_p/C_V = 1 + R/C_V`` with ``R = (d - 1)/2``; arguments as for `energy`."""
        return self._value(lambda known, _: 1 + 0.5 * (self.d - 1) / known.heat, T, invalid)

    def loss_variance(self, *, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
        """Return ``Var L``, in units of the loss squared; arguments as for `energy`."""
        return self._value(lambda known, heat: known.heat * heat**2, T, invalid)

    def partition(self, *, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
        """Return ``log Z``, ``Z = int exp(-L/T)`` over the unit sphere (Z overflows); arguments as for `energy`."""
        return self._value(lambda known, _: known.log_partition, T, invalid)

    def error(self, *, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
        """Return a bound on the relative error of `heat_capacity` and `loss_variance`; arguments as for `energy`.

        It bounds the other numbers' errors as well: the energy's relative to it and to R T, those of the entropy and
        of log Z relative to them and to R.
        """
        return self._value(lambda known, _: known.error, T, invalid)

    def density(self, place: ArrayLike, *, T: float) -> float | FloatArray:
        """Return the stationary density: of the cosine, or of a direction if the loss has a quadratic form.

        Parameters
        ----------
        place : array_like
            Cosines between -1 and 1, any shape; with a quadratic form directions, shape (..., d), of any length.
        T : float
            Temperature in units of the loss, > 0.

        Returns
        -------
        float or FloatArray
            Per unit of the cosine, or per unit of area of the unit sphere.

        Raises
        ------
        ValueError
            If a cosine is outside of [-1, 1], a direction has no d numbers, or T is no positive number.

        Examples
        --------
        In three dimensions ``exp(c/T)/(2 T sinh(1/T))``; at T = 1/2 and c = 1 that is 2/(1 - exp(-4)):

        >>> from thermo_theory import Gas
        >>> f"{Gas('1 - c', d=3).density(1.0, T=0.5):.9f}"
        '2.037314721'
        """
        heats = check_domain("T", T, POSITIVE, meaning="temperature")
        if heats.shape:
            raise ValueError(f"T must be one temperature, got shape {heats.shape}")
        heat = float(heats)
        known = self._moments(heat)
        if self._form is None:
            cosines = check_domain("place", place, _COSINES, meaning="cosine with the pole")
            found = np.exp(self._zonal.log_density(cosines, heat, known.log_partition))
        else:
            given = check_domain("place", place, REAL, meaning="direction")
            if given.shape[-1:] != (self.d,) or not (norms := np.linalg.norm(given, axis=-1, keepdims=True)).all():
                raise ValueError(
                    f"place must be directions of d = {self.d} numbers, not all 0, got shape {given.shape}"
                )
            u = given / norms @ self._axes
            found = np.exp(-(u**2 @ self._form.curvatures + u @ self._form.pulls) / heat - known.log_partition)
        return found if found.shape else float(found)

    def low_temperature(self, order: int = 3) -> LowTemperature:
        """Expand at low temperature, from the derivatives of the loss at its minimum.

        Parameters
        ----------
        order : int
            The last power of T in ``C_V/R``.

        Returns
        -------
        LowTemperature
            ``energy`` and ``heat_capacity`` (over R), sympy series in T with their order terms.

        Raises
        ------
        ValueError
            If there is no such series: the loss is not smooth at its minimum, or is a form with a linear term.

        Examples
        --------
        For ``1 - c`` it begins ``1 - (d - 3) T/2 - 3 (d - 3) T^2/4``:

        >>> from thermo_theory import Gas
        >>> Gas("1 - c", d=5).low_temperature(2).heat_capacity
        1 - T - 3*T**2/2 + O(T**3)
        """
        if isinstance(order, bool) or not isinstance(order, int) or order < 1:
            raise ValueError(f"order must be a whole number from 1, got {order!r}")
        if self._form is None:
            _, cosines = grid()
            (turns,) = np.nonzero((self._zonal.slopes[:-1] > 0) & (self._zonal.slopes[1:] <= 0))
            brackets = [(cosines[k + 1], cosines[k]) for k in turns]
            return zonal_series(self._loss, self._cosine, brackets, self.d, order)
        if self._form.pulls.any():
            raise ValueError(
                "the series at low temperature is known for a zonal loss or a quadratic form, not for both"
            )
        return form_series(self._form.curvatures, order)

    # The checks --------------------------------------------------------------------------------------

    @cached_property
    def derivation(self) -> Derivation:
        """The laws ``dU = T dS``, ``C_V = dU/dT``, ``Var L = T^2 C_V`` in steps, and this gas's numbers for them."""
        chain = Chain(str(self))
        first = chain.claim("first-law")
        for name, (symbol, method) in _GIVEN.items():
            chain.assumption("Gibbs law", eq(symbol, sp.Function(name)(T)), f"what `Gas.{method}` returns")
        heat = first.at_constant(T, V, because="dU = T dS at constant volume")
        capacity = chain.definition(eq(C_V, Partial(U, T, V)), "heat capacity at constant volume")
        capacity.substitute(heat)
        chain.claim("loss-fluctuations")
        return Derivation(
            name="gas",
            protocol=None,
            declared=None,
            source="Callen 1985, Sec. 1.8; Gibbs 1902, Ch. VII",
            summary=f"Heat and fluctuations of {self}",
            worlds=(_Worlds(self),),
            steps=tuple(chain.steps),
        )

    def verify(self) -> tuple[Evidence, ...]:
        """Check the laws of `derivation`, and this gas's own numbers, at three temperatures.

        The world is made automatically: the sphere in patches (circles of latitude, or Gauss' nodes of the loss's exact
        moments), which share nothing with the integrals behind the numbers.

        Returns
        -------
        tuple of Evidence
            What each step was checked against, as of `Derivation.verify`.

        Raises
        ------
        StepFalse
            If a step is false; with the counterexample.
        StepUnproved
            If a step could not be checked.
        ValueError
            If the loss is too rough for patches, or felt at no temperature.

        Examples
        --------
        >>> from thermo_theory import Gas
        >>> print(Gas("1 - c^2 + c/20", d=4).verify()[-1])
        (...) holds in 3 worlds: its sides differ by ...
        """
        return self.derivation.verify()

    def patches(self) -> Patches:
        """Return the sphere in patches, for `verify`; errors as there."""
        if self._form is not None:
            return form_patches(list(self._form.curvatures), list(self._form.pulls))
        return zonal_patches(sp.lambdify(self._cosine, self._loss, "mpmath"), self.d, self._felt())

    def _felt(self) -> float:
        """A temperature at which the loss is felt: the first from above with a heat capacity of 0.1, or the largest.

        Raises
        ------
        ValueError
            If it is felt nowhere.
        """
        heats = [self._zonal.size * 10.0**-k for k in range(60)]
        best = next((heat for heat in heats if self._moments(heat).heat >= 0.1), None)
        best = best or max(heats, key=lambda heat: self._moments(heat).heat)
        if self._moments(best).heat < 1e-6 * self.d:
            raise ValueError(f"{self} cannot be checked: its heat capacity is near 0 from T = {heats[-1]:g} up")
        return best

    def __repr__(self) -> str:
        parts = [str(self._loss)] * bool(self._loss) + ["u.A u"] * (self._form is not None)
        return f"Gas({' + '.join(parts)}, d={self.d})"


class _Worlds:  # pickled with its gas
    def __init__(self, gas: Gas) -> None:
        self.gas, self.__doc__ = gas, f"{gas}: sums over patches of the unit sphere, and what its methods return."
        given = {name: getattr(gas, method) for name, (_, method) in _GIVEN.items()}
        self.maker = own_world(gas.patches, gas.d, given, str(gas))

    def __call__(self, number: int, granted: Assumptions, /) -> World:
        return self.maker(number, granted)

    def __reduce__(self) -> tuple[type[_Worlds], tuple[Gas]]:
        return _Worlds, (self.gas,)


# What is asked of the arguments --------------------------------------------------------------------


def _dimension(d: Any) -> int:
    """Return the dimension as an int.

    Raises
    ------
    ValueError
        If it is not a whole number from 3 to `LARGEST`.
    """
    try:
        whole = 0 if isinstance(d, bool) else operator.index(d)
    except TypeError:
        whole = 0
    if not 3 <= whole <= LARGEST:
        raise ValueError(f"d must be a whole number from 3 to {LARGEST} (dimension of the weights), got {d!r}"[:200])
    return whole


def _of_cosine(loss: Any) -> tuple[sp.Expr, sp.Symbol]:
    """Return a loss of one symbol as an expression of a real one, and that.

    Raises
    ------
    ValueError
        If it is no expression, or not of one symbol.
    """
    expression = read_expression(loss) if isinstance(loss, str) else loss
    if not isinstance(expression, sp.Expr | int | float):
        raise ValueError(f"the loss must be a sympy expression, a text or a matrix, got {type(loss).__name__}")
    expression = sp.sympify(expression)
    names = sorted(map(str, expression.free_symbols))
    if len(names) != 1:
        said = f"has the symbols {', '.join(names)}" if names else "has no symbol"
        raise ValueError(f"the loss must be a function of one symbol, the cosine with the pole; {expression} {said}")
    (symbol,), cosine = expression.free_symbols, sp.Symbol("c", real=True)
    return expression.subs(symbol, cosine), cosine


def _on_grid(expression: sp.Expr, cosine: sp.Symbol, cosines: FloatArray) -> FloatArray:
    """Values of an expression at cosines.

    Raises
    ------
    ValueError
        If one is not a finite real number; with the cosine.
    """
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(sp.lambdify(cosine, expression)(cosines)).astype(complex)
    except (NameError, TypeError, AttributeError, ZeroDivisionError):
        raise ValueError(f"the loss has no numbers that are known: {expression}") from None
    values = np.broadcast_to(found, cosines.shape)
    good = np.isfinite(values) & (values.imag == 0)
    if not good.all():
        where = cosines[~good][0]
        raise ValueError(
            f"the loss must be finite and real for cosines from -1 to 1; at {where:.6g} {expression} is not"
        )
    return np.array(values.real)


def _poles(expression: sp.Expr, cosine: sp.Symbol) -> Iterator[sp.Expr]:
    """The places where sympy knows that an expression is infinite."""
    try:
        places = sp.singularities(expression, cosine, sp.Interval(-1, 1))
    except (NotImplementedError, ValueError, TypeError):
        return
    for place in places if isinstance(places, sp.FiniteSet) else ():
        if sp.limit(abs(expression), cosine, place) is sp.oo:
            yield place


def _symmetric(matrix: Any, d: int) -> FloatArray:
    """Return a symmetric matrix of real numbers.

    Raises
    ------
    ValueError
        If it is none, or not of shape (d, d).
    """
    entries = np.array(matrix.tolist(), dtype=object) if isinstance(matrix, sp.MatrixBase) else matrix
    if isinstance(matrix, sp.MatrixBase) and matrix.free_symbols:
        raise ValueError(
            f"the matrix must be of numbers; it has the symbols {', '.join(map(str, matrix.free_symbols))}"
        )
    A = check_domain("matrix", entries, REAL)
    if A.shape != (d, d):
        raise ValueError(f"the matrix of a form in d = {d} dimensions must have shape ({d}, {d}), got {A.shape}")
    if (off := np.abs(A - A.T)).max() > 1e-12 * np.abs(A).max():
        i, k = (int(one) for one in np.unravel_index(off.argmax(), off.shape))
        raise ValueError(
            f"the matrix must be symmetric; entries ({i}, {k}) and ({k}, {i}) are {A[i, k]:g}, {A[k, i]:g}"
        )
    return (A + A.T) / 2

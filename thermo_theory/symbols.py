"""Every symbol of the theory, once: its assumptions, meaning, unit, domain and its twin in the dictionary.

The module's attributes are sympy objects (``from thermo_theory.symbols import eta, lam, T``); `glossary` maps each of
them to what it means. Formulas are called with the argument names listed there, as in
``FixedLR.temperature(eta=..., lam=..., sigma=..., d=...)``.

>>> from thermo_theory.symbols import glossary, lam
>>> glossary[lam].meaning
'weight decay'
>>> glossary[lam].twin
'pressure p'
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from thermo_theory.vectors import Mat, Vec

__all__ = ["Domain", "SymbolInfo", "argument_name", "glossary", "latex_names"]


@dataclass(frozen=True)
class Domain:
    """An interval of real numbers; its ends belong to it unless they are open."""

    low: float = float("-inf")
    high: float = float("inf")
    low_open: bool = False
    high_open: bool = False

    def __str__(self) -> str:
        if self.low == float("-inf") and self.high == float("inf"):
            return "a finite number"
        if self.high == float("inf"):
            return f"{'>' if self.low_open else '>='} {self.low:g}"
        return f"in {'(' if self.low_open else '['}{self.low:g}, {self.high:g}{')' if self.high_open else ']'}"


POSITIVE = Domain(low=0.0, low_open=True)
REAL = Domain()
DIMENSION = Domain(low=2.0)
COEFFICIENT = Domain(low=0.0, high=1.0, high_open=True)


@dataclass(frozen=True)
class SymbolInfo:
    """What a symbol stands for.

    Attributes
    ----------
    symbol : sympy.Basic
        The symbol itself.
    argument : str
        The name under which a `Formula` takes its value.
    meaning : str
        What it is, in the words of optimisation.
    unit : str
        Its unit; the loss is dimensionless (nats), time is counted in iterations.
    domain : Domain
        The values a formula accepts.
    twin : str
        Its twin on the other side of the dictionary optimisation <-> thermodynamics, if it has one.
    """

    symbol: sp.Basic
    argument: str
    meaning: str
    unit: str
    domain: Domain = REAL
    twin: str = ""


glossary: dict[sp.Basic, SymbolInfo] = {}


def _symbol(
    name: str, argument: str, meaning: str, unit: str = "1", domain: Domain = POSITIVE, twin: str = ""
) -> sp.Symbol:
    """Make a scalar symbol and enter it in the glossary."""
    positive = domain.low >= 0 and domain is not COEFFICIENT
    symbol = sp.Symbol(name, positive=True) if positive else sp.Symbol(name, real=True)
    glossary[symbol] = SymbolInfo(symbol, argument, meaning, unit, domain, twin)
    return symbol


def _tensor(kind: type[Vec] | type[Mat], name: str, argument: str, meaning: str) -> sp.Symbol:
    """Make a vector or matrix symbol and enter it in the glossary."""
    symbol = kind(name)
    glossary[symbol] = SymbolInfo(symbol, argument, meaning, "1")
    return symbol


def argument_name(symbol: sp.Basic) -> str:
    """Return the name under which formulas take this symbol.

    >>> argument_name(lam)
    'lam'
    """
    info = glossary.get(symbol)
    return info.argument if info else str(symbol)


#: Symbols whose name is not LaTeX.
_LATEX_NAMES = {
    "∇L": r"\nabla L",
    "∇L_u": r"\nabla L_{u}",
    "∇log ρ": r"\nabla \log \rho",
    "w̄": r"\bar{w}",
    "tr_Sigma": r"\operatorname{tr} \Sigma",
    "S_sphere": r"S_{\mathrm{sphere}}",
    "eta_eff": r"\eta_{\mathrm{eff}}",
}


def latex_names(expression: sp.Basic) -> dict[sp.Basic, str]:
    """Return LaTeX names of those symbols of an expression whose own name is not LaTeX."""
    return {symbol: _LATEX_NAMES[symbol.name] for symbol in expression.free_symbols if symbol.name in _LATEX_NAMES}


# Optimisation ------------------------------------------------------------------------------------
eta = _symbol("eta", "eta", "learning rate", twin="sets temperature and pressure together (fixed LR)")
eta_eff = _symbol("eta_eff", "eta_eff", "effective learning rate, eta / r^2", twin="temperature T, up to sigma^2/2")
lam = _symbol("lambda", "lam", "weight decay", twin="pressure p")
r = _symbol("r", "r", "norm of the weights", twin="volume V = r^2/2")
r0 = _symbol("r_0", "r0", "norm of the weights at the start")
d = _symbol("d", "d", "number of scale-invariant weights", domain=DIMENSION, twin="degrees of freedom")
sigma = _symbol("sigma", "sigma", "gradient noise a direction at unit norm, sigma^2 = tr Sigma/(d - 1)")
tr_Sigma = _symbol("tr_Sigma", "tr_Sigma", "trace of the gradient noise covariance at unit norm")
t = _symbol("t", "t", "time", "iterations", domain=Domain(low=0.0))
L = _symbol("L", "L", "training loss", "nats", REAL, "energy of a microstate")
rho = _symbol("rho", "rho", "stationary density of the directions on the unit sphere")

# Thermodynamics ----------------------------------------------------------------------------------
T = _symbol("T", "T", "temperature, eta_eff sigma^2 / 2", "nats", twin="learning rate times gradient noise")
p = _symbol("p", "p", "pressure", "nats", twin="weight decay lambda")
V = _symbol("V", "V", "volume, half the mean squared norm of the weights", twin="r^2/2")
R = _symbol("R", "R", "gas constant, (d - 1)/2", twin="half the number of directions")
S = _symbol("S", "S", "entropy of the stationary distribution of the weights", "nats", REAL, "differential entropy")
S_sphere = _symbol("S_sphere", "S_sphere", "entropy of the directions on the unit sphere", "nats", REAL)
U = _symbol("U", "U", "internal energy, the expected training loss", "nats", REAL, "training loss")
H = _symbol("H", "H", "enthalpy, U + p V", "nats", REAL, "regularised training loss")
F = _symbol("F", "F", "Helmholtz energy, U - T S", "nats", REAL, "what training at fixed norm minimises")
G = _symbol("G", "G", "Gibbs energy, U - T S + p V", "nats", REAL, "what training at fixed ELR minimises")
Z = _symbol("Z", "Z", "partition function")
C_V = _symbol("C_V", "C_V", "heat capacity at constant volume, (dU/dT)_V")
C_p = _symbol("C_p", "C_p", "heat capacity at constant pressure, T (dS/dT)_p")
gamma = _symbol("gamma", "gamma", "adiabatic index, C_p/C_V")
kappa = _symbol("kappa", "kappa", "concentration of the von Mises-Fisher distribution, 1/T")

# Other optimisers --------------------------------------------------------------------------------
beta = _symbol("beta", "beta", "momentum coefficient", domain=COEFFICIENT)
beta1 = _symbol("beta_1", "beta1", "Adam's coefficient of the first moment", domain=COEFFICIENT)

# Vectors and matrices ----------------------------------------------------------------------------
w = _tensor(Vec, "w", "w", "the weights")
w_bar = _tensor(Vec, "w̄", "w_bar", "the direction w/r on the unit sphere")
grad_L = _tensor(Vec, "∇L", "grad_L", "gradient of the expected loss at the weights")
grad_L_unit = _tensor(Vec, "∇L_u", "grad_L_unit", "gradient of the expected loss at unit norm")
grad_log_rho = _tensor(Vec, "∇log ρ", "grad_log_rho", "gradient of the log density on the unit sphere")
Sigma = _tensor(Mat, "Sigma", "Sigma", "gradient noise covariance at unit norm")
Sigma_w = _tensor(Mat, "Sigma_w", "Sigma_w", "gradient noise covariance at the weights, Sigma/r^2")
Pi = _tensor(Mat, "Pi", "Pi", "projector on the tangent space of the sphere, I - w w^T/r^2")
drift = _tensor(Vec, "b", "b", "mean change of the weights an iteration, E[dw]/dt")
diffusion = _tensor(Mat, "D", "D", "mean square change of the weights an iteration, E[dw dw^T]/dt")
drift_squared = _tensor(
    Mat, "bb", "bb", "square of the mean change, a unit of time: b b^T, or nothing in continuous time"
)
drift_unit = _tensor(Vec, "b_u", "b_u", "mean change of the direction along the sphere, an iteration")
diffusion_unit = _tensor(Mat, "D_u", "D_u", "mean square change of the direction, an iteration")

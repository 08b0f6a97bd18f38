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

import re
from dataclasses import dataclass
from functools import cache
from math import pi

import sympy as sp

from thermo_theory.numeric.domain import COEFFICIENT, DIMENSION, POSITIVE, REAL, Domain
from thermo_theory.renamed import NAMES, newer
from thermo_theory.symbols.vectors import Mat, Vec, identity_matrix, ones

__all__ = ["RATES", "Domain", "SymbolInfo", "argument_name", "eq", "glossary", "latex_names"]


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
        Its unit, of loss, weight and iteration, for SGD in continuous time (`thermo_theory.engine.dimensions` has what
        differs elsewhere); entropies are numbers.
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
    if symbol in glossary:
        raise ValueError(f"the symbol {name} already means: {glossary[symbol].meaning}")
    glossary[symbol] = SymbolInfo(symbol, argument, meaning, unit, domain, twin)
    return symbol


def __getattr__(name: str) -> sp.Symbol:
    """Return `chord` under its name in 0.1.0; see docs/public-api.md.

    Raises
    ------
    AttributeError
        For any other name.
    """
    if (old := f"{__name__}.{name}") not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals()[newer(old)]


def _tensor(kind: type[Vec] | type[Mat], name: str, argument: str, meaning: str, unit: str = "1") -> sp.Symbol:
    """Make a vector or matrix symbol and enter it in the glossary."""
    symbol = kind(name)
    glossary[symbol] = SymbolInfo(symbol, argument, meaning, unit)
    return symbol


def eq(left: sp.Basic | float, right: sp.Basic | float) -> sp.Eq:
    """Return the equation of two sides, as they are: sympy neither decides it nor swaps the sides.

    >>> eq(T, T)
    Eq(T, T)
    """
    return sp.Eq(left, right, evaluate=False)


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
    "D_hat": r"\hat{D}",
    "eta_eff": r"\eta_{\mathrm{eff}}",
    "b_S": "b",
    "Z_c": "Z",
    "var_V": r"\operatorname{Var} V",
    "var_V_Gibbs": r"\operatorname{Var}_{\mathrm{Gibbs}} V",
    "R_Gibbs": r"R_{\mathrm{Gibbs}}",
    "v_k'": "v_{k}'",
    "k_r": "k",
    "s_r": r"s_{r}^{2}",
    "lap_L": r"\Delta L",
    "g_n": r"g_{\mathrm{noise}}",
    "ell": r"\ell",
    "δQ": r"\delta Q",
    "tau_r": r"\tau_{r}",
    "∇(L + T log ρ)": r"\nabla (L + T \log \rho)",
    "S_prod": r"S_{\mathrm{prod}}",
    "b_0": "b",
    "Hess": "H",
    "Hess_b": "H_{B}",
    "var_L": r"\operatorname{Var} L",
    "L_B'": "L_{B}'",
    "ell_n": r"\ell_{n}",
    "Sigma_m": r"\bar{\Sigma}",
    "D_m": r"\bar{D}",
    "I": r"\mathbb{1}",
    "ones": r"\mathbf{1}",
}

#: Symbols whose name is not what a terminal shows.
TEXT_NAMES = {"var_V": "Var V", "var_V_Gibbs": "Var_Gibbs V"}


def latex_names(expression: sp.Basic) -> dict[sp.Basic, str]:
    """Return LaTeX names of those symbols of an expression whose own name is not LaTeX."""
    return {symbol: name for symbol in expression.free_symbols if (name := _latex_name(symbol.name)) != symbol.name}


@cache
def _latex_name(name: str) -> str:
    """LaTeX of a name; a word that is no Greek letter stands upright."""
    word = re.fullmatch("[A-Za-z]{2,}", name) and sp.latex(sp.Symbol(name)) == name
    return _LATEX_NAMES.get(name, rf"\mathrm{{{name}}}" if word else name)


# Units that many symbols have: a learning rate at the weights and at unit norm, a curvature, noise at the weights, and
# its root at unit norm.
_RATE, _RATE_UNIT, _CURVATURE = "weight^2/(loss*iteration)", "1/(loss*iteration)", "loss/weight^2"
_NOISE, _SIGMA = "loss^2*iteration/weight^2", "loss*sqrt(iteration)"

# Optimisation ------------------------------------------------------------------------------------
eta = _symbol("eta", "eta", "learning rate", _RATE, twin="sets temperature and pressure together (fixed LR)")
eta_eff = _symbol(
    "eta_eff", "eta_eff", "effective learning rate, eta / r^2", _RATE_UNIT, twin="temperature T, up to sigma^2/2"
)
lam = _symbol("lambda", "lam", "weight decay", _CURVATURE, twin="pressure p")
r = _symbol("r", "r", "norm of the weights", "weight", twin="volume V = r^2/2")
r0 = _symbol("r_0", "r0", "norm of the weights at the start", "weight")
d = _symbol("d", "d", "number of scale-invariant weights", domain=DIMENSION, twin="degrees of freedom")
sigma = _symbol("sigma", "sigma", "gradient noise per direction at unit norm, sigma^2 = tr Sigma/(d - 1)", _SIGMA)
tr_Sigma = _symbol("tr_Sigma", "tr_Sigma", "trace of the gradient noise covariance at unit norm", "loss^2*iteration")
t = _symbol("t", "t", "time", "iteration", domain=Domain(low=0.0))
L = _symbol("L", "L", "training loss", "loss", REAL, "energy of a microstate")
rho = _symbol("rho", "rho", "stationary density of the directions on the unit sphere")

# Thermodynamics ----------------------------------------------------------------------------------
T = _symbol("T", "T", "temperature, eta_eff sigma^2 / 2", "loss", twin="learning rate times gradient noise")
p = _symbol("p", "p", "pressure", _CURVATURE, twin="weight decay lambda")
V = _symbol("V", "V", "volume, half the mean squared norm of the weights", "weight^2", twin="r^2/2")
R = _symbol("R", "R", "gas constant, (d - 1)/2", twin="half the number of directions")
S = _symbol(
    "S",
    "S",
    "entropy, S_sphere + (d - 1) E log r",
    domain=REAL,
    twin="entropy of the directions, on a sphere of the weights' norm",
)
S_sphere = _symbol("S_sphere", "S_sphere", "differential entropy of the directions on the unit sphere", "1", REAL)
S_w = _symbol(
    "S_w",
    "S_w",
    "entropy at a fluctuating volume, S + E log r + h_r",
    domain=REAL,
    twin="differential entropy of the weights in R^d",
)
U = _symbol("U", "U", "internal energy, the expected training loss", "loss", REAL, "training loss")
H = _symbol("H", "H", "enthalpy, U + p V", "loss", REAL, "regularised training loss")
F = _symbol("F", "F", "Helmholtz energy, U - T S", "loss", REAL, "what training at fixed norm minimises")
G = _symbol("G", "G", "Gibbs energy, U - T S + p V", "loss", REAL, "what training at fixed ELR minimises")
Z = _symbol("Z", "Z", "partition function")
var_L = _symbol("var_L", "var_L", "variance of the loss over the stationary distribution", "loss^2")
C_V = _symbol("C_V", "C_V", "heat capacity at constant volume, (dU/dT)_V")
C_p = _symbol("C_p", "C_p", "heat capacity at constant pressure, T (dS/dT)_p")
gamma = _symbol("gamma", "gamma", "adiabatic index, C_p/C_V")
kappa = _symbol("kappa", "kappa", "concentration of the von Mises-Fisher distribution, 1/T", "1/loss")
theta = _symbol("theta", "theta", "angle between the weights and the minimum of the loss")
reduced = _symbol("y", "y", "temperature in units of 1/d, T d", "loss")

# Discrete steps ----------------------------------------------------------------------------------
c = _symbol("c", "c", "factor by which the weights are rescaled")
h = _symbol("h", "h", "curvature of the loss at its minimum on the unit sphere", "loss")
spacing = _symbol("tau", "spacing", "iterations between two snapshots", "iteration")
neighbour = _symbol("delta", "neighbour", "distance of a snapshot's nearest neighbour on the unit sphere")
offset = _symbol("b_S", "offset", "offset of an entropy estimate from the log of the distances", "1", REAL)
Z_c = _symbol("Z_c", "Z_c", "compressibility factor p V/(R T)")
var_V = _symbol("var_V", "var_V", "variance of the volume r^2/2 over the stationary distribution of SGD", "weight^4")
var_V_Gibbs = _symbol(
    "var_V_Gibbs", "var_V_Gibbs", "variance of the volume in a Gibbs ensemble at constant pressure", "weight^4"
)
R_Gibbs = _symbol("R_Gibbs", "R_Gibbs", "gas constant p V/T of a Gibbs ensemble at constant pressure")
recovery = _symbol("k_r", "recovery", "share of a deviation of r^2 that is removed per iteration", "1/iteration")
kick = _symbol("s_r", "kick", "variance of r^2 that is added per iteration", "weight^4/iteration")
squared = _symbol("q", "squared", "squared norm of the weights", "weight^2")
L_next = _symbol("L'", "L_next", "loss after the next step", "loss", REAL)
L_batch = _symbol("L_B", "L_batch", "loss of the minibatch of a step", "loss", REAL)
L_batch_next = _symbol("L_B'", "L_batch_next", "loss of the same minibatch after the step", "loss", REAL)
batch_sharpness = _symbol(
    "h_B", "batch_sharpness", "batch sharpness: mean curvature of minibatches along their gradients", "loss"
)
lap_L = _symbol("lap_L", "lap_L", "Laplacian of the loss on the unit sphere", "loss", REAL)

# Other optimisers --------------------------------------------------------------------------------
beta = _symbol("beta", "beta", "momentum coefficient", domain=COEFFICIENT)
beta1 = _symbol("beta_1", "beta1", "Adam's coefficient of the first moment", domain=COEFFICIENT)
beta2 = _symbol("beta_2", "beta2", "Adam's coefficient of the second moment", domain=COEFFICIENT)
D_hat = _symbol("D_hat", "D_hat", "mean squared norm of a gradient as Adam normalises it, about d")
adam_unit = _symbol(
    "nu",
    "adam_unit",
    "normaliser of Adam's gradients, their root mean square per coordinate",
    "loss*sqrt(iteration)/weight",
)
degree = _symbol(
    "k",
    "k",
    "degree of a step in the gradient: steps are c^k times as large if gradients are c times",
    "1",
    Domain(0.0, 30.0),
)
D_step = _symbol("D", "D", "sum over all lags of the mean inner products of steps' directions, at unit norm")
r_next = _symbol("r'", "r_next", "norm of the weights after the next step", "weight")
D_now = _symbol("D_w", "D_w", "sum over all lags of the mean inner products of steps' directions, at the weights")
taken = _symbol("zeta", "taken", "share of the weights that weight decay takes in a step")
stride = _symbol("alpha", "stride", "factor of a step's direction: the learning rate, and what goes with it")
own = _symbol("q_u", "own", "share of a step's own square in the sum over lags, E|u|^2/D_w; 1 without memory")
D_x = _symbol("D_x", "D_x", "share of one direction of the sphere in D")
gain = _symbol("a", "gain", "mean gain of a step: slope of its mean in the mean gradient, at unit norm")
gain_along = _symbol("a_w", "gain_along", "gain of a step along the weights, at unit norm: of weight decay within it")
size = _symbol("A", "size", "norm of a step before a trust ratio divides by it, at unit norm of the weights")
R_k = _symbol("R_k", "R_k", "gas constant of a gas of degree k, (d - 1)/(1 + k)")
angle = _symbol("phi", "angle", "angle between the weights before and after a step", "1", Domain(0.0, pi))
chord = _symbol("chi", "chord", "root mean square of a step over that of the weights", domain=Domain(0.0, 2.0))

# Processes, real gases, linear models, blocks ----------------------------------------------------
eta0 = _symbol("eta_0", "eta0", "learning rate at the start of a process", _RATE)
lam0 = _symbol("lambda_0", "lam0", "weight decay at the start of a process", _CURVATURE)
T1 = _symbol("T_1", "T1", "temperature before a change, or of the first block", "loss")
T2 = _symbol("T_2", "T2", "temperature after a change, or of the second block", "loss")
N = _symbol("N", "N", "number of samples averaged")
ramp = _symbol("nu", "ramp", "rate of the equilibrium of log r^4, d log(eta/lambda)/dt", "1/iteration", REAL)
lag = _symbol("ell", "lag", "how far log r lags behind its equilibrium", domain=REAL)
produced = _symbol("S_prod", "S_prod", "entropy produced", "1", REAL)
vdw_a = _symbol("a", "a", "van der Waals' attraction", "loss*weight^2", REAL)
vdw_b = _symbol("b_0", "b", "van der Waals' excluded volume", "weight^2")
V_c = _symbol("V_c", "V_c", "critical volume", "weight^2")
T_c = _symbol("T_c", "T_c", "critical temperature", "loss")
p_c = _symbol("p_c", "p_c", "critical pressure", _CURVATURE)
small = _symbol("epsilon_g", "small", "the optimiser's epsilon, added to a size of gradients", "loss/weight")
eps = _symbol("epsilon", "eps", "squared length scale of a normalisation layer, w/sqrt(|w|^2 + eps)", "weight^2")
stretch = _symbol(
    "D_h", "stretch", "growth of the loss with the normalised weights h, h.dL/dh at |h| = 1", "loss", REAL
)
batch = _symbol("B", "B", "batch size")
sigma1 = _symbol("sigma_1", "sigma1", "gradient noise per direction at unit norm, of one example", _SIGMA)
h_i = _symbol("h_i", "h_i", "curvature of the loss along eigenvector i of the Hessian", _CURVATURE)
h_j = _symbol("h_j", "h_j", "curvature of the loss along eigenvector j of the Hessian", _CURVATURE)
Sigma_ij = _symbol("Sigma_ij", "Sigma_ij", "gradient noise covariance of directions i and j", _NOISE, REAL)
Sigma_ii = _symbol("Sigma_ii", "Sigma_ii", "gradient noise variance in direction i", _NOISE)
Sigma1_ij = _symbol("Sigma1_ij", "Sigma1_ij", "gradient noise covariance of one example, directions i, j", _NOISE, REAL)
C_ij = _symbol("C_ij", "C_ij", "covariance of the weights in directions i and j", "weight^2", REAL)
C_ii = _symbol("C_ii", "C_ii", "variance of the weights in direction i", "weight^2")
L_i = _symbol("L_i", "L_i", "mean loss of mode i, h_i C_ii/2", "loss")
phi_i = _symbol("phi_i", "phi_i", "curvature of the implicit potential along eigenvector i of the Hessian", _CURVATURE)
Phi = _symbol("Phi", "Phi", "implicit potential, -T log of the stationary density", "loss", REAL)
fluctuation = _symbol("Y_L", "fluctuation", "Var L/(R T^2), 1 if the loss is the potential")
warmth = _symbol("X_L", "warmth", "E|grad L|^2/(T tr H), 1 under Gibbs' law")
d1 = _symbol("d_1", "d1", "number of weights of the first block", domain=DIMENSION)
d2 = _symbol("d_2", "d2", "number of weights of the second block", domain=DIMENSION)
R1 = _symbol("R_1", "R1", "gas constant of the first block, (d_1 - 1)/2")
R2 = _symbol("R_2", "R2", "gas constant of the second block, (d_2 - 1)/2")
V1 = _symbol("V_1", "V1", "volume of the first block", "weight^2")
V2 = _symbol("V_2", "V2", "volume of the second block", "weight^2")
x1 = _symbol("x_1", "x1", "deviation of the first block's direction from the minimum, one coordinate", domain=REAL)
x2 = _symbol("x_2", "x2", "deviation of the second block's direction from the minimum, one coordinate", domain=REAL)
eta1 = _symbol("eta_1", "eta1", "effective learning rate of the first block", _RATE_UNIT)
eta2 = _symbol("eta_2", "eta2", "effective learning rate of the second block", _RATE_UNIT)
coupling = _symbol("k", "coupling", "coupling of the blocks in the loss, d^2L/dx_1 dx_2", "loss", REAL)
heat = _symbol("J", "J", "heat that flows from the first block to the second per iteration", "loss/iteration", REAL)

L_quartic = _symbol("L_4", "L_quartic", "quartic part of the loss", "loss")
softness = _symbol("k_4", "softness", "mean quartic part of the loss under the normal law of T = 1", "1/loss")
third = _symbol("c_3", "third", "third derivative of the loss at its minimum", "loss", REAL)
fourth = _symbol("c_4", "fourth", "fourth derivative of the loss at its minimum", "loss", REAL)

# A logistic unit ---------------------------------------------------------------------------------
logit_scale = _symbol("s_u", "logit_scale", "scale of the logit s_u u of an input, the one of the lowest mean loss")
flip = _symbol("p_f", "flip", "probability that a label is flipped", domain=Domain(0.0, 0.5))
example_loss = _symbol("ell_n", "example_loss", "loss of an example in nats", domain=Domain(low=0.0))
logit_slope = _symbol("q_n", "logit_slope", "derivative of an example's loss by its logit", domain=REAL)
turn = _symbol("psi", "turn", "angle by which the weights are turned in a direction across them", domain=REAL)
input_along = _symbol("u", "input_along", "component of an input along the weights", domain=REAL)
input_across = _symbol("x_a", "input_across", "component of an input in a direction across the weights", domain=REAL)
label = _symbol("y_n", "label", "label of an example, 1 or -1", domain=REAL)
true_label = _symbol("y_0", "true_label", "label of an example before it is flipped", domain=REAL)
g_across = _symbol("g_a", "g_across", "gradient of an example in a direction across the weights", domain=REAL)
noise_across = _symbol("Sigma_a", "noise_across", "gradient noise of one example in a direction across the weights")

# Processes between states -------------------------------------------------------------------------
V0 = _symbol("V_0", "V0", "volume at the start", "weight^2")
p0 = _symbol("p_0", "p0", "pressure at the start", _CURVATURE)
C_0 = _symbol("C_0", "C_0", "heat capacity at constant volume, at the start")
F_trial = _symbol("F'", "F_trial", "Helmholtz energy of a trial density", "loss", REAL)
G_trial = _symbol("G'", "G_trial", "Gibbs energy of a trial density and volume", "loss", REAL)
V_trial = _symbol("V'", "V_trial", "a trial volume", "weight^2")
heat_in = _symbol("δQ", "heat_in", "heat that enters in a small change", "loss", REAL)
relaxation = _symbol("tau_r", "relaxation", "relaxation time", "iteration")

# Vectors and matrices ----------------------------------------------------------------------------
w = _tensor(Vec, "w", "w", "the weights", "weight")
g = _tensor(Vec, "g", "g", "gradient of one minibatch at the weights", "loss/weight")
g_noise = _tensor(Vec, "g_n", "g_noise", "gradient noise at the weights, g - grad L", "loss/weight")
buffer = _tensor(Vec, "v_k", "buffer", "the optimiser's buffer before a step", "loss/weight")
buffer_next = _tensor(Vec, "v_k'", "buffer_next", "the optimiser's buffer after the step", "loss/weight")
first = _tensor(Vec, "m_k", "first", "Adam's first moment, its running mean of gradients", "loss/weight")
second = _tensor(
    Vec, "q_k", "second", "Adam's second moment, its running mean of the squares of gradients", "loss^2/weight^2"
)
u = _tensor(Vec, "u", "u", "direction of a step, what the learning rate multiplies")
u_noise = _tensor(Vec, "u_n", "u_noise", "noise of a step's direction along one direction of the sphere, at unit norm")
u_mean = _tensor(Vec, "u_m", "u_mean", "mean of a step's direction along one direction of the sphere, at unit norm")
w_next = _tensor(Vec, "w'", "w_next", "the weights after the next step", "weight")
x = _tensor(Vec, "x", "x", "direction of the weights, from the minimum of the loss along the unit sphere")
x_next = _tensor(Vec, "x'", "x_next", "x after the next step")
xi = _tensor(Vec, "xi", "xi", "gradient noise at unit norm", "loss")
w_bar = _tensor(Vec, "w̄", "w_bar", "the direction w/r on the unit sphere")
grad_L = _tensor(Vec, "∇L", "grad_L", "gradient of the expected loss at the weights", "loss/weight")
grad_L_unit = _tensor(Vec, "∇L_u", "grad_L_unit", "gradient of the expected loss at unit norm", "loss")
g_unit = _tensor(Vec, "g_u", "g_unit", "gradient of one minibatch at unit norm", "loss")
grad_log_rho = _tensor(Vec, "∇log ρ", "grad_log_rho", "gradient of the log density on the unit sphere")
Sigma = _tensor(Mat, "Sigma", "Sigma", "gradient noise covariance at unit norm", "loss^2*iteration")
Sigma_w = _tensor(Mat, "Sigma_w", "Sigma_w", "gradient noise covariance at the weights, Sigma/r^2", _NOISE)
Pi = _tensor(Mat, "Pi", "Pi", "projector on the tangent space of the sphere, I - w w^T/r^2")
drift = _tensor(Vec, "b", "b", "mean change of the weights per iteration, E[dw]/dt", "weight/iteration")
diffusion = _tensor(
    Mat, "D", "diffusion", "mean square change of the weights per iteration, E[dw dw^T]/dt", "weight^2/iteration"
)
drift_squared = _tensor(
    Mat, "bb", "bb", "square of the mean change per unit of time: b b^T, or 0 in continuous time", "weight^2/iteration"
)
drift_unit = _tensor(Vec, "b_u", "b_u", "mean change of the direction along the sphere per iteration", "1/iteration")
diffusion_unit = _tensor(Mat, "D_u", "D_u", "mean square change of the direction per iteration", "1/iteration")
Hess = _tensor(Mat, "Hess", "Hess", "Hessian of the loss", "loss")
Hess_Phi = _tensor(Mat, "K", "Hess_Phi", "Hessian of the implicit potential", "loss/weight^2")
Hess_batch = _tensor(Mat, "Hess_b", "Hess_batch", "Hessian of a minibatch's loss", "loss")
C = _tensor(Mat, "C", "C", "covariance of the weights", "weight^2")
C_step = _tensor(Mat, "C'", "C_step", "covariance of the weights after a step", "weight^2")
C_next = _tensor(Mat, "C_1", "C_1", "covariance of the weights a unit of time later, at the present rate", "weight^2")
drift_matrix = _tensor(Mat, "A", "A", "matrix of a linear drift b = -A w; it need not be symmetric", "1/iteration")
Sigma_mean = _tensor(Mat, "Sigma_m", "Sigma_m", "stationary mean of the gradient noise covariance", _NOISE)
D_mean = _tensor(Mat, "D_m", "D_m", "mean of the diffusion over the stationary distribution", "weight^2/iteration")
force = _tensor(
    Vec, "∇(L + T log ρ)", "force", "gradient of L + T log rho on the unit sphere; 0 under Gibbs' law", "loss"
)
current = _tensor(Vec, "v", "v", "velocity of the probability current, the current over the density", "1/iteration")
glossary[identity_matrix] = SymbolInfo(identity_matrix, "one", "the identity matrix", "1")
glossary[ones] = SymbolInfo(ones, "ones", "the vector whose coordinates are all 1", "1")

#: What a protocol holds, now and at the start: a claim with slopes in these compares runs.
RATES = frozenset({eta, eta_eff, lam, r, r0, eta0, lam0})

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

from thermo_theory.numeric.domain import COEFFICIENT, DIMENSION, POSITIVE, REAL, Domain
from thermo_theory.symbols.vectors import Mat, Vec, identity_matrix

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
    if symbol in glossary:
        raise ValueError(f"the symbol {name} already means: {glossary[symbol].meaning}")
    glossary[symbol] = SymbolInfo(symbol, argument, meaning, unit, domain, twin)
    return symbol


def _tensor(kind: type[Vec] | type[Mat], name: str, argument: str, meaning: str) -> sp.Symbol:
    """Make a vector or matrix symbol and enter it in the glossary."""
    symbol = kind(name)
    glossary[symbol] = SymbolInfo(symbol, argument, meaning, "1")
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
    "eta_eff": r"\eta_{\mathrm{eff}}",
    "b_S": "b",
    "Z_c": "Z",
    "var_V": r"\operatorname{Var} V",
    "var_V_Gibbs": r"\operatorname{Var}_{\mathrm{Gibbs}} V",
    "R_Gibbs": r"R_{\mathrm{Gibbs}}",
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
    "Sigma_m": r"\bar{\Sigma}",
    "D_m": r"\bar{D}",
    "I": r"\mathbb{1}",
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
sigma = _symbol("sigma", "sigma", "gradient noise per direction at unit norm, sigma^2 = tr Sigma/(d - 1)")
tr_Sigma = _symbol("tr_Sigma", "tr_Sigma", "trace of the gradient noise covariance at unit norm")
t = _symbol("t", "t", "time", "iterations", domain=Domain(low=0.0))
L = _symbol("L", "L", "training loss", "nats", REAL, "energy of a microstate")
rho = _symbol("rho", "rho", "stationary density of the directions on the unit sphere")

# Thermodynamics ----------------------------------------------------------------------------------
T = _symbol("T", "T", "temperature, eta_eff sigma^2 / 2", "nats", twin="learning rate times gradient noise")
p = _symbol("p", "p", "pressure", "nats", twin="weight decay lambda")
V = _symbol("V", "V", "volume, half the mean squared norm of the weights", twin="r^2/2")
R = _symbol("R", "R", "gas constant, (d - 1)/2", twin="half the number of directions")
S = _symbol(
    "S",
    "S",
    "entropy, S_sphere + (d - 1) E log r",
    "nats",
    REAL,
    "entropy of the directions, on a sphere of the weights' norm",
)
S_sphere = _symbol("S_sphere", "S_sphere", "differential entropy of the directions on the unit sphere", "nats", REAL)
S_w = _symbol(
    "S_w",
    "S_w",
    "entropy at a fluctuating volume, S + h[r | direction]",
    "nats",
    REAL,
    "differential entropy of the weights in R^d",
)
U = _symbol("U", "U", "internal energy, the expected training loss", "nats", REAL, "training loss")
H = _symbol("H", "H", "enthalpy, U + p V", "nats", REAL, "regularised training loss")
F = _symbol("F", "F", "Helmholtz energy, U - T S", "nats", REAL, "what training at fixed norm minimises")
G = _symbol("G", "G", "Gibbs energy, U - T S + p V", "nats", REAL, "what training at fixed ELR minimises")
Z = _symbol("Z", "Z", "partition function")
C_V = _symbol("C_V", "C_V", "heat capacity at constant volume, (dU/dT)_V")
C_p = _symbol("C_p", "C_p", "heat capacity at constant pressure, T (dS/dT)_p")
gamma = _symbol("gamma", "gamma", "adiabatic index, C_p/C_V")
kappa = _symbol("kappa", "kappa", "concentration of the von Mises-Fisher distribution, 1/T")
theta = _symbol("theta", "theta", "angle between the weights and the minimum of the loss")
reduced = _symbol("y", "y", "temperature in units of 1/d, T d", "nats")

# Discrete steps ----------------------------------------------------------------------------------
c = _symbol("c", "c", "factor by which the weights are rescaled")
h = _symbol("h", "h", "curvature of the loss at its minimum on the unit sphere", "nats")
spacing = _symbol("tau", "spacing", "iterations between two snapshots", "iterations")
neighbour = _symbol("delta", "neighbour", "distance of a snapshot's nearest neighbour on the unit sphere")
offset = _symbol("b_S", "offset", "offset of an entropy estimate from the log of the distances", "nats", REAL)
Z_c = _symbol("Z_c", "Z_c", "compressibility factor p V/(R T)")
var_V = _symbol("var_V", "var_V", "variance of the volume r^2/2 over the stationary distribution of SGD")
var_V_Gibbs = _symbol("var_V_Gibbs", "var_V_Gibbs", "variance of the volume in a Gibbs ensemble at constant pressure")
R_Gibbs = _symbol("R_Gibbs", "R_Gibbs", "gas constant p V/T of a Gibbs ensemble at constant pressure")
recovery = _symbol("k_r", "recovery", "share of a deviation of r^2 that is removed per iteration")
kick = _symbol("s_r", "kick", "variance of r^2 that is added per iteration")
squared = _symbol("q", "squared", "squared norm of the weights")
L_next = _symbol("L'", "L_next", "loss after the next step", "nats", REAL)
lap_L = _symbol("lap_L", "lap_L", "Laplacian of the loss on the unit sphere", "nats", REAL)

# Other optimisers --------------------------------------------------------------------------------
beta = _symbol("beta", "beta", "momentum coefficient", domain=COEFFICIENT)
beta1 = _symbol("beta_1", "beta1", "Adam's coefficient of the first moment", domain=COEFFICIENT)
beta2 = _symbol("beta_2", "beta2", "Adam's coefficient of the second moment", domain=COEFFICIENT)
D_hat = _symbol("D_hat", "D_hat", "mean squared norm of a gradient as Adam normalises it, about d")
adam_unit = _symbol("nu", "adam_unit", "normaliser of Adam's gradients, their root mean square per coordinate")
rotation = _symbol("phi", "rotation", "root mean square rotation of the weights per iteration", "radians")

# Processes, real gases, linear models, blocks ----------------------------------------------------
eta0 = _symbol("eta_0", "eta0", "learning rate at the start of a process")
lam0 = _symbol("lambda_0", "lam0", "weight decay at the start of a process")
T1 = _symbol("T_1", "T1", "temperature before a change, or of the first block", "nats")
T2 = _symbol("T_2", "T2", "temperature after a change, or of the second block", "nats")
N = _symbol("N", "N", "number of samples averaged")
ramp = _symbol("nu", "ramp", "rate of the equilibrium of log r^4, d log(eta/lambda)/dt", "1", REAL)
lag = _symbol("ell", "lag", "how far log r lags behind its equilibrium", domain=REAL)
produced = _symbol("S_prod", "S_prod", "entropy produced", "nats", REAL)
vdw_a = _symbol("a", "a", "van der Waals' attraction", domain=REAL)
vdw_b = _symbol("b_0", "b", "van der Waals' excluded volume")
V_c = _symbol("V_c", "V_c", "critical volume")
T_c = _symbol("T_c", "T_c", "critical temperature", "nats")
p_c = _symbol("p_c", "p_c", "critical pressure", "nats")
B_2 = _symbol("B_2", "B_2", "second virial coefficient, of the expansion of p V/(R T) in 1/V", domain=REAL)
eps = _symbol("epsilon", "eps", "squared length scale of a normalisation layer, w/sqrt(|w|^2 + eps)")
stretch = _symbol("D_h", "stretch", "growth of the loss with the normalised weights h, h.dL/dh at |h| = 1", domain=REAL)
batch = _symbol("B", "B", "batch size")
sigma1 = _symbol("sigma_1", "sigma1", "gradient noise per direction at unit norm, of one example")
h_i = _symbol("h_i", "h_i", "curvature of the loss along eigenvector i of the Hessian")
h_j = _symbol("h_j", "h_j", "curvature of the loss along eigenvector j of the Hessian")
Sigma_ij = _symbol("Sigma_ij", "Sigma_ij", "gradient noise covariance of directions i and j", domain=REAL)
Sigma_ii = _symbol("Sigma_ii", "Sigma_ii", "gradient noise variance in direction i")
Sigma1_ij = _symbol("Sigma1_ij", "Sigma1_ij", "gradient noise covariance of one example, directions i, j", domain=REAL)
C_ij = _symbol("C_ij", "C_ij", "covariance of the weights in directions i and j", domain=REAL)
C_ii = _symbol("C_ii", "C_ii", "variance of the weights in direction i")
L_i = _symbol("L_i", "L_i", "mean loss of mode i, h_i C_ii/2", "nats")
phi_i = _symbol("phi_i", "phi_i", "curvature of the implicit potential along eigenvector i of the Hessian")
Phi = _symbol("Phi", "Phi", "implicit potential, -T log of the stationary density", "nats", REAL)
d1 = _symbol("d_1", "d1", "number of weights of the first block", domain=DIMENSION)
d2 = _symbol("d_2", "d2", "number of weights of the second block", domain=DIMENSION)
R1 = _symbol("R_1", "R1", "gas constant of the first block, (d_1 - 1)/2")
R2 = _symbol("R_2", "R2", "gas constant of the second block, (d_2 - 1)/2")
V1 = _symbol("V_1", "V1", "volume of the first block")
V2 = _symbol("V_2", "V2", "volume of the second block")
x1 = _symbol("x_1", "x1", "deviation of the first block's direction from the minimum, one coordinate", domain=REAL)
x2 = _symbol("x_2", "x2", "deviation of the second block's direction from the minimum, one coordinate", domain=REAL)
eta1 = _symbol("eta_1", "eta1", "effective learning rate of the first block")
eta2 = _symbol("eta_2", "eta2", "effective learning rate of the second block")
coupling = _symbol("k", "coupling", "coupling of the blocks in the loss, d^2L/dx_1 dx_2", "nats", REAL)
heat = _symbol("J", "J", "heat that flows from the first block to the second per iteration", "nats/iteration", REAL)

# Processes between states -------------------------------------------------------------------------
V0 = _symbol("V_0", "V0", "volume at the start")
p0 = _symbol("p_0", "p0", "pressure at the start", "nats")
C_0 = _symbol("C_0", "C_0", "heat capacity at constant volume, at the start")
F_trial = _symbol("F'", "F_trial", "Helmholtz energy of a trial density", "nats", REAL)
G_trial = _symbol("G'", "G_trial", "Gibbs energy of a trial density and volume", "nats", REAL)
V_trial = _symbol("V'", "V_trial", "a trial volume")
heat_in = _symbol("δQ", "heat_in", "heat that enters in a small change", "nats", REAL)
relaxation = _symbol("tau_r", "relaxation", "relaxation time", "iterations")

# Vectors and matrices ----------------------------------------------------------------------------
w = _tensor(Vec, "w", "w", "the weights")
g = _tensor(Vec, "g", "g", "gradient of one minibatch at the weights")
g_noise = _tensor(Vec, "g_n", "g_noise", "gradient noise at the weights, g - grad L")
buffer = _tensor(Vec, "v_k", "buffer", "the optimiser's buffer before a step")
buffer_next = _tensor(Vec, "v_k'", "buffer_next", "the optimiser's buffer after the step")
second = _tensor(Vec, "q_k", "second", "Adam's second moment, its running mean of the squares of gradients")
w_before = _tensor(Vec, "w_b", "w_before", "the weights a step before")
w_next = _tensor(Vec, "w'", "w_next", "the weights after the next step")
x = _tensor(Vec, "x", "x", "direction of the weights, from the minimum of the loss along the unit sphere")
x_next = _tensor(Vec, "x'", "x_next", "x after the next step")
xi = _tensor(Vec, "xi", "xi", "gradient noise at unit norm")
w_bar = _tensor(Vec, "w̄", "w_bar", "the direction w/r on the unit sphere")
grad_L = _tensor(Vec, "∇L", "grad_L", "gradient of the expected loss at the weights")
grad_L_unit = _tensor(Vec, "∇L_u", "grad_L_unit", "gradient of the expected loss at unit norm")
g_unit = _tensor(Vec, "g_u", "g_unit", "gradient of one minibatch at unit norm")
grad_log_rho = _tensor(Vec, "∇log ρ", "grad_log_rho", "gradient of the log density on the unit sphere")
Sigma = _tensor(Mat, "Sigma", "Sigma", "gradient noise covariance at unit norm")
Sigma_w = _tensor(Mat, "Sigma_w", "Sigma_w", "gradient noise covariance at the weights, Sigma/r^2")
Pi = _tensor(Mat, "Pi", "Pi", "projector on the tangent space of the sphere, I - w w^T/r^2")
drift = _tensor(Vec, "b", "b", "mean change of the weights per iteration, E[dw]/dt")
diffusion = _tensor(Mat, "D", "D", "mean square change of the weights per iteration, E[dw dw^T]/dt")
drift_squared = _tensor(Mat, "bb", "bb", "square of the mean change per unit of time: b b^T, or 0 in continuous time")
drift_unit = _tensor(Vec, "b_u", "b_u", "mean change of the direction along the sphere per iteration")
diffusion_unit = _tensor(Mat, "D_u", "D_u", "mean square change of the direction per iteration")
Hess = _tensor(Mat, "Hess", "Hess", "Hessian of the loss")
C = _tensor(Mat, "C", "C", "covariance of the weights")
C_next = _tensor(Mat, "C_1", "C_1", "covariance of the weights a unit of time later, at the present rate")
drift_matrix = _tensor(Mat, "A", "A", "matrix of a linear drift b = -A w; it need not be symmetric")
Sigma_mean = _tensor(Mat, "Sigma_m", "Sigma_m", "stationary mean of the gradient noise covariance")
D_mean = _tensor(Mat, "D_m", "D_m", "mean of the diffusion over the stationary distribution")
force = _tensor(Vec, "∇(L + T log ρ)", "force", "gradient of L + T log rho on the unit sphere; 0 under Gibbs' law")
current = _tensor(Vec, "v", "v", "velocity of the probability current, the current over the density")
glossary[identity_matrix] = SymbolInfo(identity_matrix, "one", "the identity matrix", "1")

#: What a protocol holds, now and at the start: a claim with slopes in these compares runs.
RATES = frozenset({eta, eta_eff, lam, r, r0, eta0, lam0})

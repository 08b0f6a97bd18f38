"""Thermodynamics of SGD on scale-invariant networks, derived in steps that a machine checks."""

from thermo_theory import (  # noqa: F401
    coordinates,
    discrete,
    forerunners,
    heavy_ball,
    optimizers,
    paths,
    processes,
    relaxation,
    step_balance,
    stochastic,
    symmetry,
    thermodynamics,
)
from thermo_theory.derivation import (
    ASSUMPTIONS,
    Derivation,
    DerivationError,
    StepFalse,
    StepUnproved,
    derivations,
    derive,
)
from thermo_theory.dictionary import dictionary
from thermo_theory.formula import Formula
from thermo_theory.gases import ideal, linear_regression, mixture, real, vmf, vmf_limits  # noqa: F401
from thermo_theory.protocols import PROTOCOLS, FixedELR, FixedLR, FixedSphere, Protocol

__all__ = [
    "ASSUMPTIONS",
    "PROTOCOLS",
    "Derivation",
    "DerivationError",
    "FixedELR",
    "FixedLR",
    "FixedSphere",
    "Formula",
    "Protocol",
    "StepFalse",
    "StepUnproved",
    "derivations",
    "derive",
    "dictionary",
    "vmf",
]

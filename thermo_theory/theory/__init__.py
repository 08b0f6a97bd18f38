"""The derivations. Importing this package registers all of them."""

from thermo_theory.theory import (
    discrete,
    edge,
    finite_steps,
    forerunners,
    gases,
    homogeneous,
    ideal_noise,
    optimizers,
    processes,
    relaxation,
    rotation,
    scale_free,
    step_balance,
    stochastic,
    symmetry,
    thermodynamics,
)

__all__ = [
    "discrete",
    "edge",
    "finite_steps",
    "forerunners",
    "gases",
    "homogeneous",
    "ideal_noise",
    "optimizers",
    "processes",
    "relaxation",
    "rotation",
    "scale_free",
    "step_balance",
    "stochastic",
    "symmetry",
    "thermodynamics",
]

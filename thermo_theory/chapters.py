"""The order of the book: chapters, and the derivations in them.

>>> next(title for title, names in CHAPTERS.items() if "quench" in names)
'Processes'
"""

from __future__ import annotations

__all__ = ["CHAPTERS", "place"]

#: Chapters by title, each with the names of its derivations.
CHAPTERS: dict[str, tuple[str, ...]] = {
    "Stochastic calculus": (
        "sde",
        "ito-radius",
        "radius-trajectory",
        "relaxation-time",
        "direction-relaxation",
        "direction-diffusion",
        "stationary-distribution",
    ),
    "Thermodynamics from Gibbs": (
        "gibbs-distribution",
        "free-energy",
        "first-law",
        "second-law",
        "potentials",
        "maxwell-relations",
        "heat-capacities",
        "loss-fluctuations",
        "adiabat",
        "regularised-loss",
        "ideal-gas-law",
        "temperature",
        "radius",
        "pressure",
        "potential",
        "maxwell",
        "thermodynamic-integration",
    ),
    "The von Mises-Fisher gas": (
        "vmf-riccati",
        "vmf-energy",
        "vmf-entropy",
        "vmf-heat-capacity",
        "vmf-first-law",
        "adiabatic-index",
        "vmf-low-temperature",
        "vmf-large-dimension",
        "vmf-adiabat",
    ),
    "Exact, without the stochastic differential equation": (
        "scaling-symmetry",
        "maxwell-from-symmetry",
        "maxwell-differential-entropy",
        "norm-balance",
        "virial-theorem",
        "virial-with-remainder",
        "compressibility",
        "estimator-bias",
        "path-entropy",
        "finite-step",
        "configurational-temperature",
        "gradient-balance",
        "step-balance",
        "step-thermometer",
        "edge-of-stochastic-stability",
        "edge-under-additive-noise",
        "edge-of-mean-square-stability",
        "pinned-norm",
        "volume-fluctuations",
    ),
    "Beyond the ideal gas": (
        "real-gas",
        "length-scale",
        "linear-regression",
        "ornstein-uhlenbeck",
        "probability-currents",
        "implicit-potential",
        "implicit-potential-adiabat",
        "harmonic-energy",
        "harmonic-thermometer",
        "harmonic-fluctuations",
        "fluctuations-without-currents",
        "harmonic-finite-steps",
        "anharmonic-heat-capacity",
        "anharmonic-well",
        "ideal-noise",
        "ideal-noise-at-small-scale",
        "scale-of-logits",
        "gas-mixture",
        "driven-steady-state",
        "equipartition",
    ),
    "Other optimisers": (
        "momentum-symmetry",
        "momentum-balance",
        "momentum-temperature",
        "nesterov-symmetry",
        "nesterov-balance",
        "adamw-symmetry",
        "adamw-radius",
        "adamw-gas",
        "adam-l2-symmetry",
        "adam-l2-gas",
        "angle",
        "chord",
        "rotation-sgd",
        "rotation-momentum",
        "rotation-adamw",
        "rotation-adam-l2",
        "signsgd-symmetry",
        "lion-symmetry",
        "normalised-sgd-symmetry",
        "muon-symmetry",
        "lars-symmetry",
        "lamb-symmetry",
    ),
    "Any optimiser: gases of degree k": (
        "step-memory",
        "homogeneous-radius",
        "coupled-homogeneous-radius",
        "trust-ratio-radius",
        "homogeneous-temperature",
        "homogeneous-gas",
        "coupled-homogeneous-gas",
        "homogeneous-slopes",
        "homogeneous-angle",
        "trust-ratio-chord",
        "trust-ratio-drift",
    ),
    "Processes": (
        "isotherm",
        "isobar",
        "isochore",
        "entropy-of-schedule",
        "quasi-static",
        "quench",
        "weight-averaging",
    ),
    "Forerunners": ("jastrzebski-2017", "chaudhari-soatto-2018", "mandt-2017"),
}

_ORDER = {name: number for number, name in enumerate(name for names in CHAPTERS.values() for name in names)}


def place(name: str) -> int:
    """Where a derivation stands in the book; after all others if it is in no chapter.

    >>> place("sde"), place("ito-radius")
    (0, 1)
    """
    return _ORDER.get(name, len(_ORDER))

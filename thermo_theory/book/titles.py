"""Titles of the book's pages, in words."""

from __future__ import annotations

from thermo_theory.protocols import OPTIMIZERS

__all__ = ["in_words"]

#: Titles that are not the words of a name; an optimiser's name is put in for {}.
_TITLES = {
    "sde": "The stochastic differential equation",
    "ito-radius": "Itô's lemma for the norm",
    "maxwell-relations": "The four Maxwell relations",
    "ideal-gas-law": "Ideal-gas law",
    "maxwell": "Maxwell relation",
    "maxwell-from-symmetry": "Maxwell relation from symmetry",
    "maxwell-differential-entropy": "Maxwell relation of the differential entropy",
    "vmf-riccati": "Riccati equation of the mean cosine",
    "vmf-energy": "Energy of the von Mises–Fisher gas",
    "vmf-entropy": "Entropy of the von Mises–Fisher gas",
    "vmf-heat-capacity": "Heat capacity of the von Mises–Fisher gas",
    "vmf-first-law": "First law for the von Mises–Fisher gas",
    "vmf-low-temperature": "The von Mises–Fisher gas at low temperature",
    "vmf-large-dimension": "The von Mises–Fisher gas in many dimensions",
    "vmf-adiabat": "Adiabat of the von Mises–Fisher gas",
    "finite-step": "Finite step size",
    "path-entropy": "Entropy of a path",
    "edge-of-mean-square-stability": "Edge of mean-square stability",
    "pinned-norm": "Pinned norm at full batch",
    "ornstein-uhlenbeck": "Ornstein–Uhlenbeck process",
    "implicit-potential-adiabat": "Adiabat in the implicit potential",
    "harmonic-finite-steps": "Harmonic well at finite step size",
    "driven-steady-state": "Driven steady state of two blocks",
    "angle": "Angle per step",
    "chord": "Chord per step",
    "step-memory": "Memory of steps",
    "homogeneous-radius": "Radius for a step of degree k",
    "coupled-homogeneous-radius": "Radius for a step of degree k, coupled decay",
    "trust-ratio-radius": "Radius with a trust ratio",
    "homogeneous-temperature": "Temperature for a step of degree k",
    "homogeneous-gas": "Gas of a step of degree k",
    "coupled-homogeneous-gas": "Gas of a step of degree k, coupled decay",
    "homogeneous-slopes": "Slopes of the entropy for a step of degree k",
    "homogeneous-angle": "Angle for any steps with decoupled decay",
    "trust-ratio-chord": "Chord with a trust ratio",
    "trust-ratio-drift": "Drift with a trust ratio",
    "entropy-of-schedule": "Entropy along a schedule",
    "quasi-static": "Quasi-static processes",
    "jastrzebski-2017": "Jastrzębski et al. 2017",
    "chaudhari-soatto-2018": "Chaudhari and Soatto 2018",
    "mandt-2017": "Mandt et al. 2017",
}

_UNDER = {
    "{}-symmetry": "Scaling symmetry under {}",
    "{}-balance": "Norm balance under {}",
    "{}-temperature": "Temperature under {}",
    "{}-radius": "Radius under {}",
    "{}-gas": "Gas of {}",
    "rotation-{}": "Rotation under {}",
}


def in_words(name: str) -> str:
    """Return the title of a derivation's page.

    Examples
    --------
    >>> in_words("ideal-gas-law"), in_words("adam-l2-gas"), in_words("relaxation-time")
    ('Ideal-gas law', 'Gas of Adam with L2', 'Relaxation time')
    """
    if name in _TITLES:
        return _TITLES[name]
    for key, (title, _) in {"sgd": ("SGD", ""), **OPTIMIZERS}.items():
        for pattern, words in _UNDER.items():
            if name == pattern.format(key):
                return words.format(title)
    return name.replace("-", " ").capitalize()

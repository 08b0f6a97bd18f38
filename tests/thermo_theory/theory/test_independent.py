"""Every physical claim is checked against something that is not sympy."""

from __future__ import annotations

import importlib

import test_independent_dynamics  # noqa: F401 - imported, they enter their checks
import test_independent_thermodynamics  # noqa: F401
from independent import CHECKED

from thermo_theory import derivations

#: Checked in worlds only. 0.1.0 called them identities; they need a Gibbs law, uncorrelated gradients, small steps or a
#: process.
IN_WORLDS_ONLY = {
    "free-energy",
    "gradient-balance",
    "isotherm",
    "maxwell-relations",
    "nesterov-balance",
    "potentials",
    "probability-currents",
    *(f"norm-balance, fixed LR, {title}" for title in ("momentum", "Nesterov", "AdamW", "Adam with L2")),
}


def test_every_physical_claim_has_a_check():
    physics = [found for found in derivations() if found.kind == "physics"]
    missing = {found.title for found in physics if not {found.title, found.name} & set(CHECKED)}
    assert missing == IN_WORLDS_ONLY
    for where in set(CHECKED.values()):
        module, test = where.split(".")
        assert callable(getattr(importlib.import_module(module), test))

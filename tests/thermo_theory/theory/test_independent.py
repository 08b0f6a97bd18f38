"""Every physical claim is checked against something that is not sympy."""

from __future__ import annotations

import importlib

import test_independent_balances  # noqa: F401 - imported, they enter their checks
import test_independent_dynamics  # noqa: F401
import test_independent_thermodynamics  # noqa: F401
import test_independent_wells  # noqa: F401
from independent import CHECKED

from thermo_theory import derivations


def test_every_physical_claim_has_a_check():
    physics = [found for found in derivations() if found.kind == "physics"]
    missing = {found.title for found in physics if not {found.title, found.name} & set(CHECKED)}
    assert not missing
    for where in set(CHECKED.values()):
        module, test = where.split(".")
        assert callable(getattr(importlib.import_module(module), test))

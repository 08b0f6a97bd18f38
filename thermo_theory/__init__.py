"""Thermodynamics of SGD on scale-invariant networks, derived in steps that a machine checks.

Importing this package is cheap: sympy and the derivations load when a name below is first used.

>>> from thermo_theory import FixedLR, derive
>>> derive("ideal-gas-law", FixedLR).claim.equation
Eq(V*p, R*T)
"""

from typing import TYPE_CHECKING

from thermo_theory import renamed
from thermo_theory.engine import library

if TYPE_CHECKING:
    from thermo_theory.book.dictionary import dictionary
    from thermo_theory.engine.derivation import (
        ASSUMPTIONS,
        Derivation,
        DerivationError,
        StepFalse,
        StepUnproved,
        assumption,
        derivations,
        derive,
    )
    from thermo_theory.engine.formula import Formula
    from thermo_theory.protocols import PROTOCOLS, Protocol
    from thermo_theory.theory.gases import vmf
    from thermo_theory.theory.gases.harmonic import Harmonic
    from thermo_theory.theory.gases.own import Gas
    from thermo_theory.theory.workbench import Optimizer
    from thermo_theory.typed import FixedELR, FixedLR, FixedSphere

__all__ = [
    "ASSUMPTIONS",
    "PROTOCOLS",
    "Derivation",
    "DerivationError",
    "FixedELR",
    "FixedLR",
    "FixedSphere",
    "Formula",
    "Gas",
    "Harmonic",
    "Optimizer",
    "Protocol",
    "StepFalse",
    "StepUnproved",
    "assumption",
    "derivations",
    "derive",
    "dictionary",
    "vmf",
]

_HOME = {
    "thermo_theory.engine.derivation": (
        "ASSUMPTIONS",
        "Derivation",
        "DerivationError",
        "StepFalse",
        "StepUnproved",
        "assumption",
        "derivations",
        "derive",
    ),
    "thermo_theory.engine.formula": ("Formula",),
    "thermo_theory.protocols": ("PROTOCOLS", "FixedELR", "FixedLR", "FixedSphere", "Protocol"),
    "thermo_theory.book.dictionary": ("dictionary",),
    "thermo_theory.theory.gases": ("vmf",),
    "thermo_theory.theory.gases.own": ("Gas",),
    "thermo_theory.theory.gases.harmonic": ("Harmonic",),
    "thermo_theory.theory.workbench": ("Optimizer",),
}

library.add_module("thermo_theory.theory")
renamed.register()


if not TYPE_CHECKING:  # a checker knows the names above, and reports others
    __getattr__ = renamed.lazily(__name__, _HOME)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})

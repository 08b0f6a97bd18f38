"""A workbench for an optimiser of one's own: what its update alone says, derived and checked step by step.

>>> mine = Optimizer("v = beta*v + (1-beta)*g; w = w - eta*(sign(v) + lam*w)")
>>> mine.degree, mine.maxwell.equation
(0, Eq(eta*Derivative(S(eta, lambda), eta) - lambda*Derivative(S(eta, lambda), lambda), 2*R))
>>> mine.radius(eta=0.02, lam=0.05, D=500.0)  # sqrt(eta D/(2 lam))
10.0
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import sympy as sp

from thermo_theory.engine.checking import Evidence
from thermo_theory.engine.derivation import Chain, Derivation, Step
from thermo_theory.engine.formula import Formula
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.engine.world import WorldMaker
from thermo_theory.symbols import chord, degree, eq, eta, lam, w
from thermo_theory.symbols.vectors import is_tensor
from thermo_theory.theory.homogeneous import NAMES
from thermo_theory.theory.symmetry import THIS_TOOLKIT, maxwell_of, one_step, scaling_symmetry
from thermo_theory.updates import Update, UpdateError
from thermo_theory.worlds.discrete import course, gradient, index, runs_world
from thermo_theory.worlds.homogeneous import KINDS, gas_world, memory_world

__all__ = ["Optimizer", "collect_decay"]

#: What is derived of an optimiser, and in which words.
_DERIVED = {
    "scaling-symmetry": "A run from rescaled weights, buffers and rates is the run from w, rescaled",
    "maxwell": "Slopes of the entropy that the scaling symmetry fixes, for any noise and any step size",
    "radius": "Stationary norm of the weights",
    "temperature": "Temperature of the directions",
    "angle": "Angle between the weights before and after a step, for small steps",
    "chord": "Root mean square of a step over that of the weights, for small steps",
}

"""Gases: equations of state, from the ideal one to what lies beyond."""

from thermo_theory.theory.gases import (
    anharmonic,
    harmonic,
    ideal,
    linear_regression,
    lyapunov,
    mixture,
    real,
    vmf,
    vmf_limits,
    well,
)

__all__ = [
    "anharmonic",
    "harmonic",
    "ideal",
    "linear_regression",
    "lyapunov",
    "mixture",
    "real",
    "vmf",
    "vmf_limits",
    "well",
]

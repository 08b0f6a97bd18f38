"""Gases: equations of state, from the ideal one to what lies beyond."""

from thermo_theory.theory.gases import harmonic, ideal, linear_regression, lyapunov, mixture, real, vmf, vmf_limits, well

__all__ = ["harmonic", "ideal", "linear_regression", "lyapunov", "mixture", "real", "vmf", "vmf_limits", "well"]

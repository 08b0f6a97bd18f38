"""Gases: equations of state, from the ideal one to what lies beyond."""

from thermo_theory.theory.gases import ideal, linear_regression, lyapunov, mixture, real, vmf, vmf_limits

__all__ = ["ideal", "linear_regression", "lyapunov", "mixture", "real", "vmf", "vmf_limits"]

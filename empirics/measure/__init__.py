"""Estimators on plain arrays."""

from empirics.measure.autocorrelation import autocorrelation, integrated_time, memory, series_autocorrelation, unbiased
from empirics.measure.entropy import SphereEntropy, sphere_entropy
from empirics.measure.stationarity import block_error, norm_balance, run_status

__all__ = [
    "SphereEntropy",
    "autocorrelation",
    "block_error",
    "integrated_time",
    "memory",
    "norm_balance",
    "run_status",
    "series_autocorrelation",
    "sphere_entropy",
    "unbiased",
]

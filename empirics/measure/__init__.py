"""Estimators on plain arrays."""

from empirics.measure.autocorrelation import autocorrelation, integrated_time, memory, unbiased
from empirics.measure.checks import check_entropy_estimator
from empirics.measure.entropy import SphereEntropy, sphere_entropy
from empirics.measure.stationarity import block_error, norm_balance, run_status

__all__ = [
    "SphereEntropy",
    "autocorrelation",
    "block_error",
    "check_entropy_estimator",
    "integrated_time",
    "memory",
    "norm_balance",
    "run_status",
    "sphere_entropy",
    "unbiased",
]

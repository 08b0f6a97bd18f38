"""Estimators on plain arrays."""

import warnings

from empirics.measure.ageing import ageing_exponent, forgetting_lag, two_time_correlation
from empirics.measure.autocorrelation import autocorrelation, integrated_time, memory, series_autocorrelation, unbiased
from empirics.measure.calibration import entropy_bias
from empirics.measure.checks import check_entropy_estimator
from empirics.measure.convergence import (
    Jumps,
    autocorrelation_time,
    burn_in,
    drift,
    effective_sample_size,
    periodic_jumps,
    r_hat,
)
from empirics.measure.differences import MeanDifference, furthest_difference, mean_difference, pooled_difference
from empirics.measure.entropy import SphereEntropy, sphere_entropies, sphere_entropy
from empirics.measure.integration import EntropyDifference, entropy_by_integration
from empirics.measure.noise import (
    GradientNoise,
    MonteCarloEstimate,
    angular_update,
    configurational_temperature,
    covariance_product,
    effective_rank,
    gradient_noise,
    hessian_noise,
    hutchinson_trace,
    sphere_laplacian,
)
from empirics.measure.product import product_entropies
from empirics.measure.regimes import REGIMES, Regime, decay_exponent, regime
from empirics.measure.snapshots import snapshot_entropies
from empirics.measure.stationarity import block_error, norm_balance, radial_share, run_status

__all__ = [
    "REGIMES",
    "EntropyDifference",
    "GradientNoise",
    "Jumps",
    "MeanDifference",
    "MonteCarloEstimate",
    "Regime",
    "SphereEntropy",
    "ageing_exponent",
    "angular_update",
    "autocorrelation",
    "autocorrelation_time",
    "block_error",
    "burn_in",
    "check_entropy_estimator",
    "configurational_temperature",
    "covariance_product",
    "decay_exponent",
    "drift",
    "effective_rank",
    "effective_sample_size",
    "entropy_bias",
    "entropy_by_integration",
    "forgetting_lag",
    "furthest_difference",
    "gradient_noise",
    "hessian_noise",
    "hutchinson_trace",
    "integrated_time",
    "mean_difference",
    "memory",
    "norm_balance",
    "periodic_jumps",
    "pooled_difference",
    "product_entropies",
    "r_hat",
    "radial_share",
    "regime",
    "run_status",
    "series_autocorrelation",
    "snapshot_entropies",
    "sphere_entropies",
    "sphere_entropy",
    "sphere_laplacian",
    "two_time_correlation",
    "unbiased",
]


def __getattr__(name: str) -> type[MonteCarloEstimate]:
    """Return `MonteCarloEstimate` under its name in 0.1.0; see docs/public-api.md.

    Raises
    ------
    AttributeError
        For any other name.
    """
    if name != "Estimate":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn("Estimate is MonteCarloEstimate since 0.2.0", DeprecationWarning, stacklevel=2)
    return MonteCarloEstimate

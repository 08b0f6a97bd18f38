"""What a protocol sets in each run, by name, and the effective learning rate that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["KNOBS", "check_knobs", "effective_lr", "known"]

FloatArray = NDArray[np.float64]

#: What is set in each run. On the sphere the learning rate may be given as it is, or as the effective one.
KNOBS = {
    "fixed-lr": (("lr",), ("weight_decay",)),
    "fixed-elr": (("effective_lr",), ("weight_decay",)),
    "fixed-sphere": (("radius",), ("effective_lr", "lr")),
}


def known(data: xr.Dataset, name: str) -> bool:
    """Whether a variable is there with a number in it; one that does not belong to a protocol may be all NaN."""
    return name in data.variables and bool(np.isfinite(np.asarray(data[name].values, dtype=float)).any())


def check_knobs(data: xr.Dataset, protocol: str, runs: list[int]) -> None:
    """Refuse runs whose learning rate, weight decay or radius is not there or not positive.

    All are of one protocol, by its key; of an unknown one nothing is asked. `runs` are their numbers in the whole
    table, for the message.

    Raises
    ------
    ValueError
        With the name, the value and the run.
    """
    for choice in KNOBS.get(protocol, ()):
        name = next((one for one in choice if known(data, one)), None)
        if name is None:
            raise ValueError(f"the summary does not give {' or '.join(choice)} of its {protocol} runs")
        values = np.asarray(data[name].values, dtype=float)
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if len(bad):
            raise ValueError(f"{name} must be positive in every run, got {values[bad[0]]} in run {runs[bad[0]]}")


def effective_lr(data: xr.Dataset) -> FloatArray | None:
    """Learning rate at unit norm, lr/r^2, shape (runs,); None if it is not known.

    Examples
    --------
    >>> import xarray as xr
    >>> runs = xr.Dataset({"lr": ("run", [0.5]), "radius_sq": ("run", [2.0])}, attrs={"protocol": "fixed-lr"})
    >>> effective_lr(runs)
    array([0.25])
    """
    if data.attrs.get("protocol") != "fixed-lr" and known(data, "effective_lr"):
        return np.asarray(data["effective_lr"].values, dtype=float)
    if not known(data, "lr"):
        return None
    if known(data, "radius") and data.attrs.get("protocol") == "fixed-sphere":
        return np.asarray(data["lr"].values / data["radius"].values ** 2, dtype=float)
    if not known(data, "radius_sq"):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(data["lr"].values / data["radius_sq"].values, dtype=float)

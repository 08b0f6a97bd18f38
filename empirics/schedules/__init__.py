"""Schedules of learning rate and weight decay as processes of a gas, for a training loop of one's own.

>>> import torch
>>> from empirics.schedules import Cooldown
>>> w = torch.nn.Parameter(torch.ones(3))
>>> schedule = Cooldown(torch.optim.SGD([w], lr=0.1, weight_decay=0.01), 1000, factor=0.1, shape="log")
>>> print(schedule.check())
not quasi-static after step 0: the energy of the directions lags; needs 1,151,293 steps, has 1,000

Plans and forecasts need no torch: it loads when a scheduler is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from empirics.schedules.forecast import QuasiStatic, forecast, quasi_static
from empirics.schedules.index import MeasuredIndex, measured_index, vmf_heat_capacity
from empirics.schedules.plans import KINDS, Plan, adiabat, cooldown, entropy_rate, plan
from empirics.schedules.quench import drop_entropy

if TYPE_CHECKING:
    from empirics.schedules.planned import PlannedLR, optimizer_name
    from empirics.schedules.schedulers import (
        Adiabat,
        Cooldown,
        EntropyRate,
        Isobar,
        Isochore,
        Isotherm,
    )

__all__ = [
    "KINDS",
    "Adiabat",
    "Cooldown",
    "EntropyRate",
    "Isobar",
    "Isochore",
    "Isotherm",
    "MeasuredIndex",
    "Plan",
    "PlannedLR",
    "QuasiStatic",
    "adiabat",
    "cooldown",
    "drop_entropy",
    "entropy_rate",
    "forecast",
    "measured_index",
    "optimizer_name",
    "plan",
    "quasi_static",
    "vmf_heat_capacity",
]

_SCHEDULERS = ("Adiabat", "Cooldown", "EntropyRate", "Isobar", "Isochore", "Isotherm")
_PLANNED = ("PlannedLR", "optimizer_name")


def __getattr__(name: str) -> Any:
    """Load the schedulers, which need torch, when they are first used.

    Raises
    ------
    AttributeError
        For any other name.
    """
    if name not in (*_SCHEDULERS, *_PLANNED):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "schedulers" if name in _SCHEDULERS else "planned"
    return getattr(import_module(f"empirics.schedules.{home}"), name)

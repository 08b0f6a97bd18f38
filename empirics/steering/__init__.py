"""Schedules of learning rate and weight decay as thermodynamic processes, for your own training loop.

>>> import torch
>>> from empirics.steering import Cooldown
>>> w = torch.nn.Parameter(torch.ones(3))
>>> schedule = Cooldown(torch.optim.SGD([w], lr=0.1, weight_decay=0.01), 1000, factor=0.1, shape="log")
>>> print(schedule.check())
not quasi-static after step 0: the energy of the directions lags; needs 1,151,293 steps, has 1,000

Plans and forecasts need no torch: it loads when a scheduler is first used.
"""

from typing import TYPE_CHECKING

from empirics.probe.index import MeasuredIndex, measured_index
from empirics.steering.forecast import QuasiStatic, forecast, quasi_static
from empirics.steering.plans import KINDS, Plan, adiabat, cooldown, entropy_rate, plan, vmf_heat_capacity
from empirics.steering.quench import drop_entropy
from thermo_theory.renamed import lazily

if TYPE_CHECKING:
    from empirics.steering import averaging, weight_decay
    from empirics.steering.planned import PlannedLR, optimizer_name
    from empirics.steering.schedulers import (
        Adiabat,
        Cooldown,
        DecayFollowsLR,
        EntropyRate,
        Isobar,
        Isochore,
        Isotherm,
    )

__all__ = [
    "KINDS",
    "Adiabat",
    "Cooldown",
    "DecayFollowsLR",
    "EntropyRate",
    "Isobar",
    "Isochore",
    "Isotherm",
    "MeasuredIndex",
    "Plan",
    "PlannedLR",
    "QuasiStatic",
    "adiabat",
    "averaging",
    "cooldown",
    "drop_entropy",
    "entropy_rate",
    "forecast",
    "measured_index",
    "optimizer_name",
    "plan",
    "quasi_static",
    "vmf_heat_capacity",
    "weight_decay",
]

#: What needs torch is loaded when it is first used.
__getattr__ = lazily(
    __name__,
    {
        "empirics.steering.schedulers": (
            "Adiabat",
            "Cooldown",
            "DecayFollowsLR",
            "EntropyRate",
            "Isobar",
            "Isochore",
            "Isotherm",
        ),
        "empirics.steering.planned": ("PlannedLR", "optimizer_name"),
        "empirics.steering": ("averaging", "weight_decay"),
    },
)

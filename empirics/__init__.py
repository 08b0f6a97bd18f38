"""Runs of scale-invariant networks: trained over whole grids, measured, and judged against :mod:`thermo_theory`.

Importing this package is cheap: torch, xarray and the rest load when a name below is first used.

>>> import empirics
>>> "run" in dir(empirics)
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from empirics import averaging, isotropic, schedules, weight_decay
    from empirics.claims import Verdict, Verdicts, compare
    from empirics.experiment import Experiment, ExperimentError
    from empirics.importing import import_runs, read_runs
    from empirics.pages import report
    from empirics.probe import ThermoProbe
    from empirics.results import Runs, load
    from empirics.runner import Status, resume, run, status

__all__ = [
    "Experiment",
    "ExperimentError",
    "Runs",
    "Status",
    "ThermoProbe",
    "Verdict",
    "Verdicts",
    "averaging",
    "compare",
    "import_runs",
    "isotropic",
    "load",
    "read_runs",
    "report",
    "resume",
    "run",
    "schedules",
    "status",
    "weight_decay",
]

#: Modules that are public as such.
_ROOMS = ("averaging", "isotropic", "schedules", "weight_decay")

_HOME = {
    "Experiment": "empirics.experiment",
    "ExperimentError": "empirics.experiment",
    "import_runs": "empirics.importing",
    "read_runs": "empirics.importing",
    "Runs": "empirics.results",
    "load": "empirics.results",
    "Status": "empirics.runner",
    "resume": "empirics.runner",
    "run": "empirics.runner",
    "status": "empirics.runner",
    "Verdict": "empirics.claims",
    "Verdicts": "empirics.claims",
    "compare": "empirics.claims",
    "report": "empirics.pages",
    "ThermoProbe": "empirics.probe",
}


def __getattr__(name: str) -> Any:
    """Load the public name from the room it lives in.

    Raises
    ------
    AttributeError
        For any other name.
    """
    if name in _ROOMS:
        return import_module(f"empirics.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})

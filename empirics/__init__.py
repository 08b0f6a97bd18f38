"""Runs of scale-invariant networks: trained over whole grids, measured, and judged against :mod:`thermo_theory`.

Importing this package is cheap: torch, xarray and the rest load when a name below is first used.

>>> import empirics
>>> "run" in dir(empirics)
True
"""

from typing import TYPE_CHECKING

from thermo_theory import renamed

if TYPE_CHECKING:
    from empirics import claims, importing, isotropic, measure, models, steering
    from empirics.claims import Verdict, Verdicts, compare
    from empirics.experiment import Experiment, ExperimentError
    from empirics.importing import import_runs, read_runs
    from empirics.models import dimension, param_groups
    from empirics.pages import report
    from empirics.probe import ThermoProbe, watch
    from empirics.results import Runs, load
    from empirics.running.runner import Status, resume, run, status

__all__ = [
    "Experiment",
    "ExperimentError",
    "Runs",
    "Status",
    "ThermoProbe",
    "Verdict",
    "Verdicts",
    "claims",
    "compare",
    "dimension",
    "import_runs",
    "importing",
    "isotropic",
    "load",
    "measure",
    "models",
    "param_groups",
    "read_runs",
    "report",
    "resume",
    "run",
    "status",
    "steering",
    "watch",
]

_HOME = {
    "empirics.experiment": ("Experiment", "ExperimentError"),
    "empirics.importing": ("import_runs", "read_runs"),
    "empirics.results": ("Runs", "load"),
    "empirics.running.runner": ("Status", "resume", "run", "status"),
    "empirics.claims": ("Verdict", "Verdicts", "compare"),
    "empirics.models": ("dimension", "param_groups"),
    "empirics.pages": ("report",),
    "empirics.probe": ("ThermoProbe", "watch"),
    "empirics": ("claims", "importing", "isotropic", "measure", "models", "steering"),  # rooms that are public as such
}

renamed.register()


if not TYPE_CHECKING:  # a checker knows the names above, and reports others
    __getattr__ = renamed.lazily(__name__, _HOME)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})

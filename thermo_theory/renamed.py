"""Names in older releases, of modules and in them: they keep working from where they were, with a warning.

Old names stand in `RENAMED` and `NAMES` only; docs/public-api.md shows them as a table, and a test compares both.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["NAMES", "RENAMED", "SINCE", "lazily", "newer", "register"]

#: The release in which the names below changed. They go away with the second minor release after it.
SINCE = "0.2.0"

#: Modules by their old names.
RENAMED = {
    "empirics.averaging": "empirics.steering.averaging",
    "empirics.cluster": "empirics.running.cluster",
    "empirics.dispatch": "empirics.running.dispatch",
    "empirics.files": "empirics.running.files",
    "empirics.importing_files": "empirics.importing.tables",
    "empirics.importing_traces": "empirics.importing.traces",
    "empirics.kinds": "empirics.running.kind",
    "empirics.lease": "empirics.running.lease",
    "empirics.models.compiled": "empirics.models.kernels.compiled",
    "empirics.models.conv_kernel": "empirics.models.kernels.conv",
    "empirics.models.conv_plan": "empirics.models.kernels.conv_plan",
    "empirics.models.lanes": "empirics.models.kernels.lanes",
    "empirics.models.mlp_kernel": "empirics.models.kernels.mlp",
    "empirics.proposals": "empirics.steering.proposals",
    "empirics.provenance": "empirics.running.provenance",
    "empirics.reference": "empirics.experiment.reference",
    "empirics.registry": "empirics.experiment.registry",
    "empirics.run_status": "empirics.running.status",
    "empirics.runner": "empirics.running.runner",
    "empirics.schedules": "empirics.steering",
    "empirics.schedules.command": "empirics.cli.schedule",
    "empirics.schedules.forecast": "empirics.steering.forecast",
    "empirics.schedules.index": "empirics.probe.index",
    "empirics.schedules.planned": "empirics.steering.planned",
    "empirics.schedules.plans": "empirics.steering.plans",
    "empirics.schedules.quench": "empirics.steering.quench",
    "empirics.schedules.schedulers": "empirics.steering.schedulers",
    "empirics.tables": "empirics.experiment.schema",
    "empirics.training.checkpoint": "empirics.running.checkpoint",
    "empirics.training.shard": "empirics.running.shard",
    "empirics.weight_decay": "empirics.steering.weight_decay",
    "thermo_theory.book_plots": "thermo_theory.book.plots",
    "thermo_theory.coordinates": "thermo_theory.relations.coordinates",
    "thermo_theory.derivation": "thermo_theory.engine.derivation",
    "thermo_theory.dictionary": "thermo_theory.book.dictionary",
    "thermo_theory.differentials": "thermo_theory.engine.differentials",
    "thermo_theory.discrete": "thermo_theory.theory.discrete",
    "thermo_theory.following": "thermo_theory.relations.following",
    "thermo_theory.forerunners": "thermo_theory.theory.forerunners",
    "thermo_theory.formula": "thermo_theory.engine.formula",
    "thermo_theory.gases": "thermo_theory.theory.gases",
    "thermo_theory.gases._vmf_numeric": "thermo_theory.numeric.vmf",
    "thermo_theory.gases.ideal": "thermo_theory.theory.gases.ideal",
    "thermo_theory.gases.linear_regression": "thermo_theory.theory.gases.linear_regression",
    "thermo_theory.gases.lyapunov": "thermo_theory.theory.gases.lyapunov",
    "thermo_theory.gases.mixture": "thermo_theory.theory.gases.mixture",
    "thermo_theory.gases.real": "thermo_theory.theory.gases.real",
    "thermo_theory.gases.vmf": "thermo_theory.theory.gases.vmf",
    "thermo_theory.gases.vmf_limits": "thermo_theory.theory.gases.vmf_limits",
    "thermo_theory.gases.vmf_series": "thermo_theory.theory.gases.vmf_series",
    "thermo_theory.gases.vmf_steps": "thermo_theory.theory.gases.vmf_steps",
    "thermo_theory.heavy_ball": "thermo_theory.theory.symmetry",
    "thermo_theory.operations": "thermo_theory.engine.operations",
    "thermo_theory.optimizers": "thermo_theory.theory.optimizers",
    "thermo_theory.paths": "thermo_theory.relations.paths",
    "thermo_theory.printing": "thermo_theory.engine.printing",
    "thermo_theory.processes": "thermo_theory.theory.processes",
    "thermo_theory.relaxation": "thermo_theory.theory.relaxation",
    "thermo_theory.step_balance": "thermo_theory.theory.step_balance",
    "thermo_theory.stochastic": "thermo_theory.theory.stochastic",
    "thermo_theory.symmetry": "thermo_theory.theory.symmetry",
    "thermo_theory.thermodynamics": "thermo_theory.theory.thermodynamics",
    "thermo_theory.vectors": "thermo_theory.symbols.vectors",
    "thermo_theory.worlds.evaluate": "thermo_theory.engine.evaluate",
}

#: What is in modules, and derivations, by their old names.
NAMES = {
    "thermo_theory.Protocol.rotation": "thermo_theory.Protocol.chord",
    "thermo_theory.symbols.rotation": "thermo_theory.symbols.chord",
    "exact-rotation": "chord",
}


def newer(old: str, depth: int = 3) -> str:
    """Return the newer name of one of `NAMES`; the warning is to whoever called the caller (depth 3)."""
    warnings.warn(f"{old} is {NAMES[old]} since {SINCE}", DeprecationWarning, stacklevel=depth)
    return NAMES[old].rpartition(".")[2]


class _Renamed(ModuleType):
    """Stands for a module under its old name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # asked of every loaded module, as by `inspect`
            raise AttributeError(name)
        new = RENAMED[self.__name__]
        try:
            found = getattr(import_module(new), name)
        except AttributeError:
            raise AttributeError(f"module {self.__name__!r}, now {new!r}, has no attribute {name!r}") from None
        warnings.warn(f"{self.__name__} is {new} since {SINCE}", DeprecationWarning, stacklevel=2)
        return found

    def __dir__(self) -> list[str]:
        return dir(import_module(RENAMED[self.__name__]))


class _OldNames(MetaPathFinder, Loader):
    """Finds modules under their old names; asked first, or Python would load ``steering/plans.py`` a second time."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in RENAMED:
            return None
        return ModuleSpec(fullname, self, is_package=any(old.startswith(f"{fullname}.") for old in RENAMED))

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Renamed(spec.name, f"Deprecated since {SINCE}: use {RENAMED[spec.name]}.")

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: what is asked of the module is looked up in the new one."""


def register() -> None:
    """Let `import` find the old names; nothing is imported yet."""
    if any(isinstance(finder, _OldNames) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _OldNames())
    # Also the name of a function of the package, which must not be hidden by the module that an import binds there.
    function = "thermo_theory.dictionary"
    sys.modules.setdefault(function, _Renamed(function, f"Deprecated since {SINCE}: use {RENAMED[function]}."))


def lazily(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return a `__getattr__` that imports a public name of a package, or a module by its old name, on first use.

    Parameters
    ----------
    package : str
        Its name.
    homes : mapping
        The modules that names come from, and these names; those of the package itself are its modules.

    Returns
    -------
    callable
    """

    def load(name: str) -> Any:
        for home, names in homes.items():
            if name in names:
                return import_module(f"{package}.{name}") if home == package else getattr(import_module(home), name)
        if (old := f"{package}.{name}") not in RENAMED:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(old)

    return load

"""What an experiment file has to know of the optimisers: their own coefficients, and where they cannot be used."""

import math
from collections.abc import Mapping
from typing import Any, Self, cast

from empirics.experiment.schema import ExperimentError, TomlTable, share, show

__all__ = ["GRADIENT", "OPTIMIZERS", "TRUST", "OptimizerTable", "check_protocols", "own_share", "take_defaults"]

#: Momentum coefficient (beta1, mu) and second coefficient where a file gives none: those of torch.optim or the paper.
OPTIMIZERS = {
    "sgd": (0.9, 0.999),
    "momentum": (0.9, 0.999),
    "nesterov": (0.9, 0.999),
    "adamw": (0.9, 0.999),
    "adam-l2": (0.9, 0.999),
    "signsgd": (0.0, 0.999),
    "lion": (0.9, 0.99),
    "muon": (0.95, 0.999),
    "normalised-sgd": (0.0, 0.999),
    "lars": (0.0, 0.999),
    "lamb": (0.9, 0.999),
}

COEFFICIENTS = ("momentum", "beta2")

#: Which of the two an optimiser's steps depend on; all others take both.
TAKEN = {
    **dict.fromkeys(("sgd", "signsgd", "normalised-sgd"), ()),
    **dict.fromkeys(("momentum", "nesterov", "muon", "lars"), ("momentum",)),
}

#: Steps that grow with the gradient; those of all others have the same length however large it is.
GRADIENT = ("sgd", "momentum", "nesterov")

#: Steps whose length is lr times that of the weights: at any protocol but fixed LR that is another optimiser.
TRUST = ("lamb", "lars")


def own_share(value: Any) -> float:
    """A number from 0 (included) to 1 (excluded); NaN if there is none, until `take_defaults`."""
    return math.nan if value is None else share(value)


def take_defaults(table: Any) -> None:
    """Give the coefficients that a table ``[training]`` leaves out the values of its optimiser."""
    for name, own in zip(COEFFICIENTS, OPTIMIZERS[table.optimizer], strict=True):
        if math.isnan(getattr(table, name)):
            object.__setattr__(table, name, own)


class OptimizerTable(TomlTable):
    """A table ``[training]``: a file that gives a coefficient that its optimiser has not is refused."""

    @classmethod
    def from_mapping(cls, found: Mapping[str, Any]) -> Self:
        """Build the table from TOML, as `TomlTable` does.

        Raises
        ------
        ExperimentError
            Also if momentum or beta2 is given to an optimiser without it; a saved file's own value is none.
        """
        table: Any = super().from_mapping(found)
        taken = TAKEN.get(table.optimizer, COEFFICIENTS)
        for name, own in zip(COEFFICIENTS, OPTIMIZERS[table.optimizer], strict=True):
            if name not in taken and found.get(name, own) != own:
                raise ExperimentError(
                    f"[training] {name} = {show(found[name])}: {table.optimizer} has no {name}; it takes "
                    f"{' and '.join(taken) or 'neither momentum nor beta2'}"
                )
        return cast(Self, table)


def check_protocols(optimizer: str, *protocols: str) -> None:
    """Refuse a protocol under which the steps of an optimiser mean nothing.

    Raises
    ------
    ExperimentError
        In one line.
    """
    if optimizer in TRUST and (wrong := [one for one in protocols if one != "fixed-lr"]):
        raise ExperimentError(
            f"[training] optimizer = {show(optimizer)}: must be another one under {wrong[0]}; the steps of LARS and "
            "LAMB are as long as lr times the norm, so only fixed-lr is a protocol of theirs"
        )

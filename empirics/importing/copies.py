"""Runs that a table holds more than once: a copy counts as evidence and is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirics.experiment import ExperimentError
from empirics.importing.foreign import Foreign

__all__ = ["COORDINATES", "refuse_copies"]

#: Columns that label a run.
COORDINATES = ("lr", "weight_decay", "effective_lr", "radius", "protocol", "optimizer", "seed")

#: What is set in a run; runs that differ in one of these are different runs, whatever was measured.
SETTINGS = (*COORDINATES, "momentum")

#: What is no measurement.
LABELS = (*SETTINGS, "dimension", "status", "reason", "diverged_at")

#: Numbers that differ by less than this share of themselves are one number, written with more or fewer digits.
ROUNDING = 1e-6


def refuse_copies(foreign: Foreign, columns: Mapping[str, NDArray[Any]]) -> None:
    """Refuse a table in which a run is found more than once.

    Two rows are one run if their settings, the seed among them where it is given, and all that was measured are equal
    to rounding. Rows without a measured number are left alone: runs that diverged look alike.

    Parameters
    ----------
    foreign
        The runs as they were read, for the message.
    columns
        Its columns by their names in the results.

    Raises
    ------
    ExperimentError
        With the file and the two rows.
    """
    measured = [np.asarray(values, dtype=float) for name, values in columns.items() if name not in LABELS]
    if not measured:
        return
    numbers = np.stack(measured, axis=1)
    settings = [columns[name] for name in SETTINGS if name in columns]
    seen: dict[tuple[str, ...], list[int]] = {}
    for i in np.flatnonzero(np.isfinite(numbers).any(axis=1)):
        key = tuple(str(one[i]) if one.dtype.kind in "UO" else f"{one[i]:.9g}" for one in settings)
        others = seen.setdefault(key, [])
        same = np.isclose(numbers[others], numbers[i], rtol=ROUNDING, atol=0, equal_nan=True).all(axis=1)
        if same.any():
            first = others[int(np.argmax(same))]
            advice = "leave out the copies" + ("" if "seed" in columns else ", or give runs that differ a column seed")
            raise ExperimentError(
                f"{foreign.source}: {foreign.runs[first].place} and {foreign.runs[i].place} are the same run, equal in "
                f"their settings and in everything measured; {advice}"
            )
        others.append(int(i))

"""Read files of torch and safetensors without executing anything in them."""

from __future__ import annotations

import argparse
import codecs
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from empirics.experiment import ExperimentError
from empirics.importing.foreign import needs

__all__ = ["load_safely"]


def load_safely(file: Path) -> Any:
    """Load a file of torch (weights only) or safetensors.

    Parameters
    ----------
    file
        ``.safetensors``, or anything else that ``torch.save`` wrote.

    Returns
    -------
    Any
        Tensors, numbers, strings, lists and dictionaries; beside torch's own types, numpy scalars and
        ``argparse.Namespace`` (the arguments of a script, which hold attributes and run nothing) are allowed.

    Raises
    ------
    ExperimentError
        If the file is missing or damaged, would need another type, or safetensors is not installed; it names the file.
    """
    import torch

    if not file.is_file():
        raise ExperimentError(f"{file} is missing")
    quick = needs("safetensors.torch", file, "safetensors") if file.suffix == ".safetensors" else None
    try:
        if quick:
            return quick.load(file.read_bytes())
        with torch.serialization.safe_globals(_allowed()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = str(error).partition("Unsupported global: GLOBAL ")[2].split(" ")[0]
        what = f" ({wanted})" if wanted else ""
        raise ExperimentError(
            f"{file} is damaged, or holds more than tensors and numbers{what}; refused, nothing in it was executed"
        ) from None
    except Exception as error:  # damaged bytes may raise anything, and safetensors has an error of its own
        raise ExperimentError(f"cannot read {file}: {(str(error).splitlines() or ['damaged'])[0]}") from None


def _allowed() -> list[Any]:
    """Return the types a file may hold beside torch's own; numpy scalars as numpy 1 and 2 name them."""
    types = {np.dtype(code) for code in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")}
    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    numpy = [np.dtype, codecs.encode, *{type(kind) for kind in types}, *((scalar, name) for name in names)]
    return [*numpy, argparse.Namespace]

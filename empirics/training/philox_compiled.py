"""Random numbers on a CPU, compiled from :mod:`empirics.training.philox_formulas`; plain reference: the same in torch.

Numba's cache on disk watches the text of this file alone, so it holds a hash of that module; a test compares them.
"""

from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload, register_jitable

from empirics.training import philox_formulas as formulas
from empirics.training.philox_formulas import WORD

SOURCES = "310040cd6f5d6f20"
_COMPILED: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}  # and no fastmath: same bits


@overload(formulas.as_real)
def _as_real(bits):  # type: ignore[no-untyped-def]
    return lambda bits: np.int64(bits).view(np.float64)


@overload(formulas.as_bits)
def _as_bits(value):  # type: ignore[no-untyped-def]
    return lambda value: np.float64(value).view(np.int64)


for _function in (formulas.converted, formulas.polynomial):
    register_jitable(_function)
# Inlined so that LLVM turns the loops over blocks into vector code, which is five to nine times as fast.
_rounds, _normal_pair = (njit(inline="always")(function) for function in (formulas.rounds, formulas.normal_pair))


@njit(**_COMPILED)
def words(keys, stream, first, out):  # type: ignore[no-untyped-def]
    """See :func:`empirics.training.philox.words`."""
    for t in range(out.shape[0]):
        low, high = first + t & WORD, first + t >> 32
        for r in range(out.shape[1]):
            k0, k1 = keys[r, 0], keys[r, 1]
            for i in range(out.shape[3]):
                a, b, c, d = _rounds(i, low, high, stream, k0, k1)
                out[t, r, 0, i], out[t, r, 1, i], out[t, r, 2, i], out[t, r, 3, i] = a, b, c, d


@njit(**_COMPILED)
def normals(keys, stream, first, out):  # type: ignore[no-untyped-def]
    """See :func:`empirics.training.philox.normals`."""
    for t in range(out.shape[0]):
        low, high = first + t & WORD, first + t >> 32
        for r in range(out.shape[1]):
            k0, k1 = keys[r, 0], keys[r, 1]
            for i in range(out.shape[3]):
                a, b, c, d = _rounds(i, low, high, stream, k0, k1)
                out[t, r, 0, i], out[t, r, 1, i] = _normal_pair(a, b)
                out[t, r, 2, i], out[t, r, 3, i] = _normal_pair(c, d)

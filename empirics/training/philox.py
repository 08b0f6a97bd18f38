"""Philox4x32-10: random numbers that are a function of their address (run, stream, step, number), on any device.

A block of four 32-bit words is ten rounds of multiplications on the counter (block, step, stream) under the key of the
run (Salmon et al. 2011, doi 10.1145/2063384.2063405). Nothing is remembered from one draw to the next, so numbers come
in any order, and runs may share a shard with any others.

The formulas are written once (:mod:`empirics.training.philox_formulas`). On a CPU numba compiles them; on other
devices, or without numba, torch applies them to whole tensors. Both give the same bits.
"""

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from empirics.training.philox_formulas import WORD, normal_pair, rounds

#: The generator, as recorded in provenance and checkpoints; the version is raised when a number changes.
RANDOM = "philox4x32-10, version 1"


@cache
def _compiled() -> ModuleType | None:
    try:
        from numba import config

        from empirics.training import philox_compiled  # numba takes a second to import
    except ImportError:
        return None
    return None if config.DISABLE_JIT else philox_compiled


def _words(keys: Tensor, stream: int, first: int, shape: Sequence[int]) -> tuple[Any, Any, Any, Any]:
    """Return the four words of every block, each (step, run, block), in torch; see :func:`words`."""
    steps = torch.arange(first, first + shape[0], device=keys.device).view(-1, 1, 1)
    blocks = torch.arange(shape[3], device=keys.device)
    return rounds(blocks, steps & WORD, steps >> 32, stream, keys[:, :1], keys[:, 1:])


def words(keys: Tensor, stream: int, first: int, out: Tensor) -> None:
    """Fill an array with the words of consecutive steps.

    Parameters
    ----------
    keys
        Two words per run, shape (run, 2), int64.
    stream
        Number of the stream, below 2^32.
    first
        The first step.
    out
        Shape (step, run, 4, block), int64, contiguous: ``out[t, r, j, i]`` becomes word j of block i of step
        ``first + t`` of run r.
    """
    if (compiled := _compiled()) is not None and out.device.type == "cpu":
        compiled.words(keys.numpy(), stream, first, out.numpy())
    else:
        torch.stack(_words(keys, stream, first, out.shape), 2, out=out)


def normals(keys: Tensor, stream: int, first: int, out: Tensor) -> None:
    """Fill an array of float32 or float64 with the standard normal numbers that the words at the same places give.

    Words 0 and 1 of a block give the first two, words 2 and 3 the others; parameters as for :func:`words`.
    """
    if (compiled := _compiled()) is not None and out.device.type == "cpu":
        compiled.normals(keys.numpy(), stream, first, out.numpy())
    else:
        drawn = _words(keys, stream, first, out.shape)
        out.copy_(torch.stack([*normal_pair(*drawn[:2]), *normal_pair(*drawn[2:])], 2))


def below(words: Tensor, bound: int) -> Tensor:
    """Turn words into integers from 0 to `bound` - 1 in place, each ⌊word · bound / 2^32⌋.

    Their probabilities differ from 1/bound by less than 2^-32, relative to it by bound/2^32.

    Examples
    --------
    >>> below(torch.tensor([0, 2**31, 2**32 - 1]), 10)
    tensor([0, 5, 9])
    """
    return words.mul_(bound).bitwise_right_shift_(32)

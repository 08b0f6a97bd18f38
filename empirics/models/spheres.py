"""Count d: the spheres of a network's weights, from the network itself, from a state dict, or from shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from empirics.experiment.registry import nearest
from empirics.models.base import Block, directions
from empirics.models.invariance import Loss, scale_invariant_blocks

__all__ = ["NORMS", "SPHERES", "dimension", "spheres_of", "trained"]

#: What forms a sphere: all weights together, each tensor, or each filter (row) of each tensor.
SPHERES = ("one", "tensor", "filter")

#: Normalisations after a layer: what forms a sphere, and whether the mean of the rows is a flat direction.
NORMS = {"batch": ("filter", False), "layer": ("tensor", True), "rms": ("tensor", False), None: ("one", False)}


#: Number of tensors that a message lists.
LISTED = 10


def dimension(
    of: nn.Module | Mapping[str, Any] | Iterable[tuple[Sequence[int], str | None]],
    loss: Loss | None = None,
    *,
    weights: Sequence[str] = (),
    spheres: str = "one",
) -> int:
    """Count d, one more than the number m of directions, so that R = (d - 1)/2.

    Every sphere of n weights has n - 1 directions. On one sphere d is the number of weights, on P spheres the number of
    weights less P, plus one. Flat directions, along which the loss does not change either, are left out.

    Parameters
    ----------
    of
        A torch module, whose scale-invariant blocks are measured: those of a tensor, and those that are rows of several
        tensors, such as all filters that add to one channel of a residual stream; other weights are left out. Or a
        state dict; or a list of ``(shape, norm)``, one entry per weight tensor. There the first axis of `shape` is the
        layer's outputs, and `norm` is the normalisation that these go through: ``"batch"`` (each filter is a sphere),
        ``"rms"`` (the tensor is a sphere), ``"layer"`` (likewise, and the mean over the outputs is flat) or None (all
        such tensors together are one sphere, as in networks that are scale-invariant only as a whole).
    loss
        Of a module, as for :func:`scale_invariant_blocks`.
    weights
        Of a state dict: patterns for the names of the tensors to count, such as ``"*.conv?.weight"``. Default: all
        floating-point tensors with two axes or more. Tied tensors are counted once.
    spheres
        Of a state dict: ``"one"``, ``"tensor"`` or ``"filter"`` forms a sphere. A state dict shows neither which
        weights are scale-invariant nor how; both have to be known.

    Returns
    -------
    int
        d, 2 or more.

    Raises
    ------
    ValueError
        If d cannot be counted: a module without its loss or without scale-invariant tensors, an unknown norm or kind of
        sphere, a pattern that matches nothing, or no direction in all.

    Examples
    --------
    The convolutions of a ResNet-18 of width 4 have 43,692 weights, which the paper counts as one sphere; with BatchNorm
    after each of them, as in our ``resnet18``, their 300 filters are spheres (with BatchNorm before them, as in the
    paper's ``preact-resnet18``, 120 filters and 60 channels of residual streams).

    >>> stages = [(4, 4), (4, 8), (8, 16), (16, 32)]
    >>> convolutions = [(4, 3, 3, 3), *((b, b, 3, 3) for _, b in stages for _ in range(3))]
    >>> convolutions += [(b, a, 3, 3) for a, b in stages] + [(b, a, 1, 1) for a, b in stages[1:]]
    >>> dimension([(shape, None) for shape in convolutions]), dimension([(shape, "batch") for shape in convolutions])
    (43692, 43393)

    Five outputs of six inputs have 5·6 - 1, 5·(6 - 1) and (5 - 1)·6 - 1 directions:

    >>> [dimension([((5, 6), norm)]) - 1 for norm in ("rms", "batch", "layer")]
    [29, 25, 23]
    """
    if loss is not None and not isinstance(of, nn.Module):
        raise ValueError(f"loss belongs to a torch module, but a {type(of).__name__} was given")
    if not isinstance(of, Mapping) and (weights or spheres != "one"):
        raise ValueError("weights and spheres belong to a state dict; a module is measured, a list has its norms")
    if isinstance(of, nn.Module):
        blocks = _measured(of, loss)
    elif isinstance(of, Mapping):
        blocks = spheres_of({name: tuple(of[name].shape) for name in trained(of, weights)}, spheres)
    else:
        blocks = _listed(of)
    if (count := directions(blocks)) < 1:
        raise ValueError("no directions: every sphere has a single weight")
    return 1 + count


def _measured(module: nn.Module, loss: Loss | None) -> list[Block]:
    """Return the scale-invariant tensors of a module, and blocks of rows of several; these have no flat directions."""
    if loss is None:
        raise ValueError(
            "a module needs its loss, for example loss=lambda m: cross_entropy(m(x), y): scale-invariant blocks are "
            "measured"
        )
    rows = scale_invariant_blocks(module, loss)
    found = [Block(row.name, row.shape, True, row.blocks, row.centred) for row in rows if row.scale_invariant]
    for group in dict.fromkeys(group for row in rows if not row.scale_invariant for group in row.groups):
        if group.blocks and all(piece.stop - piece.start == group.blocks for piece in group.pieces):
            found.append(Block(group.name, (group.blocks, group.parameters // group.blocks), parts=group.blocks))
    if not found:
        raise ValueError(
            f"no tensor is scale-invariant by itself ({', '.join(row.name for row in rows)}); if they are so together, "
            "count the state dict of these as one sphere"
        )
    return found


def _listed(entries: Iterable[tuple[Sequence[int], str | None]]) -> list[Block]:
    """Return the spheres of a list of shapes and norms."""
    blocks, together = [], 0
    for i, entry in enumerate(entries):
        try:
            given, norm = entry
            shape = tuple(int(n) for n in given)
        except (TypeError, ValueError):
            raise ValueError(
                f"entry {i} is {entry!r}, but must be (shape, norm), such as ((16, 10), 'batch')"
            ) from None
        if norm not in NORMS:
            raise ValueError(f"entry {i}: unknown norm {norm!r}; known: {', '.join(map(repr, NORMS))}")
        if not shape or min(shape) < 1:
            raise ValueError(f"entry {i}: shape {given!r} must be whole numbers, 1 or more")
        form, centred = NORMS[norm]
        if form == "one":
            together += math.prod(shape)
        else:
            blocks.append(Block(f"entry {i}", shape, True, shape[0] if form == "filter" else 1, centred))
    return [*blocks, *([Block("together", (together,))] if together else [])]


def trained(state: Mapping[str, Any], patterns: Sequence[str] = ()) -> list[str]:
    """Names of the tensors of a state dict to count, each tied one once.

    Parameters
    ----------
    state
        Tensors by name.
    patterns
        Wildcards for names; default: tensors with two axes or more.

    Raises
    ------
    ValueError
        If there is none, or a pattern matches none.

    Examples
    --------
    >>> import torch
    >>> trained(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).state_dict())
    ['0.weight']
    """
    floating = {name: tensor for name, tensor in state.items() if "float" in str(getattr(tensor, "dtype", ""))}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in floating):
            known = ", ".join([*list(floating)[:LISTED], *(["..."] if len(floating) > LISTED else [])])
            raise ValueError(f"no tensor matches {pattern!r}{nearest(pattern, list(floating))} (tensors: {known})")
    found: dict[Any, str] = {}
    for name, tensor in floating.items():
        if any(fnmatchcase(name, one) for one in patterns) if patterns else len(tensor.shape) > 1:
            place = tensor.data_ptr() if hasattr(tensor, "data_ptr") else name
            found.setdefault((place or name, tuple(tensor.shape)), name)
    if not found:
        raise ValueError("no floating-point tensor with two axes or more; name the weights")
    return list(found.values())


def spheres_of(shapes: Mapping[str, tuple[int, ...]], spheres: str = "one") -> list[Block]:
    """Form spheres of tensors of the given shapes, in their order.

    Raises
    ------
    ValueError
        If the kind of sphere is unknown.

    Examples
    --------
    >>> shapes = {"a": (4, 3), "b": (2, 5)}
    >>> [1 + directions(spheres_of(shapes, kind)) for kind in SPHERES]
    [22, 21, 17]
    """
    if spheres not in SPHERES:
        raise ValueError(f"unknown spheres {spheres!r}{nearest(spheres, SPHERES)}; known: {', '.join(SPHERES)}")
    if spheres == "one":
        return [Block("all", (sum(map(math.prod, shapes.values())),))]
    return [Block(name, shape, True, shape[0] if spheres == "filter" else 1) for name, shape in shapes.items()]

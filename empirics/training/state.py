"""The state of a shard, as saved in checkpoints: training continues from it to the same last bit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, cat, cuda, empty, from_numpy

from empirics.models.base import Block, views
from empirics.training.philox import RANDOM


@dataclass
class TrainingState:
    """The state of a shard."""

    step: int  # steps done; the positions in the data follow from it
    flat: Tensor  # the trained weights, shape (run, d)
    blocks: tuple[Block, ...]  # their tensors
    optimizer: dict[str, Tensor]
    raw: Tensor  # the window of steps not yet summed, shape (WINDOW, Raw, run)
    total: Tensor  # running sums since step 0, shape (Sum, run), float64
    marks: Tensor  # `total` at the marked steps, (mark, Sum, run); differences are means over intervals
    pairs: Tensor  # measurements at the snapshots, shape (snapshot, SnapshotColumn, run), float64
    components: Tensor  # sums over them for every component of the mixture, (Part, component, run), float64
    looks: Tensor  # measurements at the points of the trace, shape (point, Look, run), float64
    snapshots: Tensor  # shape (snapshot, run, d); if they stream, from number `held_from` on, others on disk
    filled: int = 0  # how many steps of the window there are
    streams: bool = False  # whether there are more snapshots than fit in memory
    held_from: int = 0  # number of the first one in memory
    stored: Callable[[int], NDArray] | None = None  # if they stream, reads all of one run from disk
    #: The columns of every row of `raw`, made once: making views takes as long as filling them.
    rows: list[tuple[Tensor, ...]] = field(init=False, repr=False)
    #: The trained tensors, each (run, ...), sharing the memory of `flat`.
    weights: list[Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.rows = [row.unbind() for row in self.raw]
        self.weights = views(self.flat, self.blocks)

    def _tensors(self) -> dict[str, Tensor]:
        names = ("flat", "raw", "total", "marks", "pairs", "components", "looks")
        remembered = {f"optimizer.{name}": value for name, value in self.optimizer.items()}
        return {name: getattr(self, name) for name in names} | remembered

    def arrays(self) -> dict[str, NDArray]:
        """All of it except the step and the snapshots."""
        return {name: value.detach().cpu().numpy() for name, value in self._tensors().items()} | {
            "filled": np.array(self.filled),
            "random": np.array(RANDOM),
        }

    def put(self, arrays: Mapping[str, NDArray]) -> None:
        """Restore what :meth:`arrays` returned.

        Raises
        ------
        KeyError
            If an array is missing or has another shape, or the random numbers were others, as from another version of
            this code.
        """
        if str(arrays["random"]) != RANDOM:
            raise KeyError("random")
        for name, value in self._tensors().items():
            if arrays[name].shape != value.shape:
                raise KeyError(name)
            value.copy_(from_numpy(arrays[name]))
        self.filled = int(arrays["filled"])

    def kept(self, start: int, stop: int) -> NDArray:
        """Snapshots number `start` to `stop`."""
        return to_host(self.snapshots[start - self.held_from : stop - self.held_from])

    def put_kept(self, start: int, values: NDArray) -> None:
        """Restore snapshots from number `start` on."""
        self.snapshots[start : start + len(values)] = from_numpy(values).to(self.snapshots.device)

    def of_run(self, run: int) -> NDArray:
        """All snapshots of one run, shape (snapshot, d)."""
        if self.streams and self.stored is not None:
            return self.stored(run)
        return to_host(self.snapshots[:, run])


def to_host(values: Tensor) -> NDArray:
    """Values as an array; those of a card come by one copy into pinned memory, for which its driver makes no other."""
    if values.device.type != "cuda":
        return values.cpu().numpy()
    host = empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values.contiguous(), non_blocking=True)
    cuda.synchronize(values.device)
    return host.numpy()


class Components:
    """The blocks of the network that lie on their own spheres, and its other tensors: the gases of the mixture.

    Parameters
    ----------
    blocks
        The trained tensors.

    Attributes
    ----------
    names : tuple of str
        ``"layer 1[3]"`` for the fourth filter of a tensor.
    parameters, scale_invariant
        For each, its number of weights, without flat directions, and whether the loss is unchanged when it alone is
        rescaled.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = tuple(blocks)
        names: list[str] = []
        for block in blocks:
            names += [block.name] if block.parts == 1 else [f"{block.name}[{i}]" for i in range(block.parts)]
        self.names = tuple(names)
        self.parameters = np.concatenate([np.full(b.parts, b.weights_of_part, dtype=np.int64) for b in blocks])
        self.scale_invariant = np.concatenate([np.full(b.parts, b.scale_invariant) for b in blocks])

    def __len__(self) -> int:
        return len(self.names)

    def _split(self, flat: Tensor) -> list[Tensor]:
        parts = flat.split([block.size for block in self._blocks], 1)
        return [part.unflatten(1, (block.parts, -1)) for part, block in zip(parts, self._blocks, strict=True)]

    @property
    def sizes(self) -> tuple[int, ...]:
        """For each, its number of (consecutive) weights."""
        return tuple(block.size // block.parts for block in self._blocks for _ in range(block.parts))

    def without_flat(self, values: Tensor) -> Tensor:
        """Remove the components of an array (..., d) along flat directions; the array itself if there are none.

        Examples
        --------
        >>> import torch
        >>> Components([Block("a", (2, 2), centred=True), Block("b", (2,))]).without_flat(torch.arange(6.0)[None])
        tensor([[-1., -1.,  1.,  1.,  4.,  5.]])
        """
        if not any(block.centred for block in self._blocks):
            return values
        found = []
        for part, block in zip(values.split([b.size for b in self._blocks], -1), self._blocks, strict=True):
            rows = part.unflatten(-1, (block.parts, block.shape[0] // block.parts, -1))
            found.append((rows - rows.mean(-2, keepdim=True)).flatten(-3) if block.centred else part)
        return cat(found, -1)

    def dot(self, left: Tensor, right: Tensor) -> Tensor:
        """Inner product of two arrays (run, d) within every component, shape (component, run).

        Examples
        --------
        >>> import torch
        >>> Components([Block("a", (2, 2), parts=2), Block("b", (2,))]).dot(torch.ones(1, 6), torch.arange(6.0)[None])
        tensor([[1.],
                [5.],
                [9.]])
        """
        return cat([part.sum(2) for part in self._split(left * right)], 1).T

    def spread(self, values: Tensor) -> Tensor:
        """Give every weight the value of its component, (component, run) to (run, d)."""
        found, start = [], 0
        for block in self._blocks:
            mine = values[start : start + block.parts].T
            found.append(mine.unsqueeze(2).expand(-1, -1, block.size // block.parts).flatten(1))
            start += block.parts
        return cat(found, 1)

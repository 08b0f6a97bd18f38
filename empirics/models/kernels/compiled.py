"""How a network takes a compiled gradient where there is one; plain reference: its own gradient, in torch."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import ClassVar, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from empirics.models.base import Block, Model, views

_TYPES = (torch.float32, torch.float64)
#: Stands for the rows where the minibatch itself is given.
NO_ROWS = torch.empty(0, 0, dtype=torch.int64)


@cache
def _imported(module: str) -> Callable[..., None] | None:
    try:
        from numba import config

        found: Callable[..., None] = import_module(module).gradients
    except ImportError:
        return None
    return None if config.DISABLE_JIT else found


def kernel(module: str, inputs: Tensor) -> Callable[..., None] | None:
    """The compiled gradient of a module for such inputs; None on a GPU, without numba or if it may not compile.

    Importing numba takes a second, so it is done only when needed.
    """
    return _imported(module) if inputs.device.type == "cpu" and inputs.dtype in _TYPES else None


def joined(tensors: Sequence[Tensor]) -> Tensor | None:
    """View tensors (run, ...) as the one tensor (run, d) in whose memory they lie side by side; None if they do not.

    Examples
    --------
    >>> flat = torch.arange(12.0).view(2, 6)
    >>> together = joined([flat[:, :4].unflatten(1, (2, 2)), flat[:, 4:].unflatten(1, (1, 2))])
    >>> torch.equal(together, flat), joined([torch.zeros(2, 2, 2), torch.zeros(2, 1, 2)])
    (True, None)
    """
    runs, run = len(tensors[0]), sum(w[0].numel() for w in tensors)
    place, size = tensors[0].data_ptr(), tensors[0].itemsize
    for w in tensors:
        if w.data_ptr() != place or w.stride(0) != run or not w[0].is_contiguous():
            return None
        place += w[0].numel() * size
    return tensors[0].as_strided((runs, run), (run, 1))


def on_flat(
    gradients: Callable[[Tensor, Tensor, Tensor], None],
    weights: Sequence[Tensor],
    out: Sequence[Tensor],
    blocks: Sequence[Block],
) -> Tensor:
    """Take gradients with a function of flat arrays, wherever the network's tensors lie; returns the losses.

    Parameters
    ----------
    gradients
        Called with the weights (run, d) and the arrays into which it writes gradients (run, d) and losses (run,).
    weights, out, blocks
        As for :meth:`empirics.models.base.Model.loss_and_grad`.
    """
    flat, target = joined(weights), joined(out)
    if flat is None:
        flat = torch.cat([w.flatten(1) for w in weights], 1)
    found = target if target is not None else torch.empty_like(flat)
    loss = flat.new_empty(len(flat))
    gradients(flat, found, loss)
    if target is None:
        for mine, part in zip(out, views(found, blocks), strict=True):
            mine.copy_(part)
    return loss


class Compiled(Model):
    """A network with a compiled gradient; where that cannot be used, the next base class takes the gradient.

    Attributes
    ----------
    compiled
        Whether the kernel may be used.
    kernel_module
        The module that holds the kernel, which is imported only when needed.
    """

    compiled: bool
    kernel_module: ClassVar[str]

    @property
    def negligible(self) -> Self:
        """The same network with a negligible eps, in plain torch: compiling does not pay for a check."""
        other: Self = super().negligible  # type: ignore[safe-super, assignment]
        other.compiled = False
        return other

    def _kernel_for(self, inputs: Tensor, labels: Tensor) -> Callable[..., None] | None:
        """The compiled gradient for such inputs, or None to use torch."""
        return kernel(self.kernel_module, inputs) if self.compiled else None

    @abstractmethod
    def _call(self, kernel: Callable[..., None], arrays: Sequence[NDArray], found: NDArray, loss: NDArray) -> None:
        """Call the kernel on flat weights, last layer, samples, rows and labels; it fills gradients and losses."""

    def _taken(
        self,
        kernel: Callable[..., None],
        weights: Sequence[Tensor],
        head: Tensor,
        minibatch: tuple[Tensor, Tensor, Tensor],
        out: Sequence[Tensor],
    ) -> Tensor:
        """What :meth:`loss_and_grad` does, compiled; `minibatch` holds samples, rows and labels."""

        def gradients(flat: Tensor, found: Tensor, loss: Tensor) -> None:
            arrays = [one.contiguous().numpy() for one in (flat, head, *minibatch)]
            self._call(kernel, arrays, found.numpy(), loss.numpy())

        return on_flat(gradients, weights, out, self.blocks)

    def loss_and_grad(
        self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor, labels: Tensor, out: Sequence[Tensor]
    ) -> Tensor:
        """Mean cross-entropy (nat) of each run's minibatch, and its gradients; see :meth:`Model.loss_and_grad`."""
        if (kernel := self._kernel_for(inputs, labels)) is None:
            return super().loss_and_grad(weights, frozen, inputs, labels, out)  # type: ignore[safe-super]
        return self._taken(kernel, weights, frozen[0], (inputs, NO_ROWS, labels), out)

    def loss_and_grad_of(
        self,
        weights: Sequence[Tensor],
        frozen: Sequence[Tensor],
        samples: Tensor,
        rows: Tensor,
        labels: Tensor,
        out: Sequence[Tensor],
    ) -> Tensor | None:
        """The compiled gradient, if there is one; see :meth:`Model.loss_and_grad_of`."""
        if (kernel := self._kernel_for(samples, labels)) is None:
            return None
        return self._taken(kernel, weights, frozen[0], (samples, rows, labels), out)

"""Find the scale-invariant blocks of a network by scaling them and evaluating the loss, not by their names.

A block is a piece of a parameter tensor whose multiplication by any positive number leaves the loss unchanged: a filter
(row) under BatchNorm, a group of rows under per-head normalisation, a whole matrix under LayerNorm or RMSNorm.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from empirics.models.orthogonal import partition

#: Maximum change of the loss when the blocks of a tensor are scaled, relative to its change under a random change of
#: the same norm, for the tensor to have blocks at all. BatchNorm's eps = 1e-5 causes 1e-5 to 1e-4, a dependence on
#: scale 0.1 to 1. Whether the blocks are good enough, their `violation` says.
TOLERANCE = 1e-2

#: Trials with different random factors and directions; in a single one the loss could return to its value by chance.
TRIALS = 3

#: Differences of losses below this many roundings are not significant.
ROUNDINGS = 200

#: Standard deviation of the values put into all-zero tensors, such as biases of a new network.
STIR = 0.3

Loss = Callable[[nn.Module], Tensor]


@dataclass(frozen=True)
class TensorBlocks:
    """The scale-invariant blocks of one parameter tensor.

    Attributes
    ----------
    name
        Its name in ``model.named_parameters()``.
    shape
        Its shape.
    blocks
        The maximum number of scale-invariant blocks (equal groups of consecutive rows); 0 if there are none.
    scale_invariant
        Whether there are any. A tensor that does not affect the loss has none.
    violation
        ``Σ|w·g| / Σ|w||g|`` over the blocks, or over the whole tensor if there are none; NaN if the gradient is 0.
    centred
        Whether the loss is unchanged when the same row is added to all rows of a block, as under LayerNorm: the mean of
        the rows is then flat.
    """

    name: str
    shape: tuple[int, ...]
    blocks: int
    scale_invariant: bool
    violation: float
    centred: bool = False


def scale_invariant_blocks(model: nn.Module, loss: Loss, *, tolerance: float = TOLERANCE) -> list[TensorBlocks]:
    """Find the scale-invariant blocks of every parameter tensor of a network by measurement.

    Each tensor is tested alone: a weight and a bias that can only be scaled together count as not scale-invariant.
    All-zero tensors are filled with random numbers during the test: before ReLU and another normalised layer, the
    scales of a BatchNorm are scale-invariant as long as its shifts are zero, but not once it is trained.

    Parameters
    ----------
    model
        The network, in training mode. Its parameters, buffers, gradients and mode, and torch's random state, are
        restored.
    loss
        Computes a scalar from the model, e.g. ``lambda m: cross_entropy(m(x), y)`` for a fixed minibatch. It is called
        about ten times per tensor, with the same random numbers each time.
    tolerance
        Largest change of the loss under scaling, over that under a random change of the tensor's norm.

    Returns
    -------
    list
        One entry per parameter tensor, in the model's order.

    Raises
    ------
    ValueError
        If the loss is not a finite scalar, or does not depend on the model.

    Notes
    -----
    A block passes if scaling changes the loss by less than `tolerance` (a hundredth) of the effect of a random change
    of the tensor's norm. Where rounding hides as much (a branch with a small factor, in float32) gradients decide,
    since they are not differences of nearly equal numbers: ``w·g = 0`` block by block, at the weights and at random
    ones, within a tenth of the cosine of random vectors. A gradient of pure rounding errors has the cosine of random
    vectors.

    Examples
    --------
    >>> from torch.nn.functional import cross_entropy
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(8, 6, bias=False), nn.BatchNorm1d(6, affine=False), nn.ReLU(), nn.Linear(6, 3))
    >>> x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    >>> for row in scale_invariant_blocks(net, lambda m: cross_entropy(m(x), y)):
    ...     print(row.name, row.blocks, row.scale_invariant)
    0.weight 6 True
    3.weight 0 False
    3.bias 0 False
    """
    with _left_as_it_was(model), torch.random.fork_rng(devices=_cuda_devices(model)):
        probe = _Probe(model, loss, tolerance)
        return [probe.examine(name, parameter) for name, parameter in model.named_parameters()]


def _cuda_devices(model: nn.Module) -> list[int]:
    return sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})


@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Restore parameters, buffers, flags and modes when the context ends."""
    tensors = [*model.parameters(), *model.buffers()]
    values = [t.detach().clone() for t in tensors]
    wanted = [p.requires_grad for p in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)
        for parameter, flag in zip(model.parameters(), wanted, strict=True):
            parameter.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode


class _Probe:
    """The loss at the given parameters, its gradient, and its changes when one tensor is changed."""

    def __init__(self, model: nn.Module, loss: Loss, tolerance: float) -> None:
        self._model, self._loss, self._tolerance = model, loss, tolerance
        self._buffers = [(b, b.detach().clone()) for b in model.buffers()]
        self._seed = torch.initial_seed()
        parameters = list(model.parameters())
        randomly = torch.Generator().manual_seed(1)
        for parameter in parameters:
            parameter.requires_grad_()
            if not parameter.detach().any():
                stirred = STIR * torch.randn(parameter.shape, generator=randomly, dtype=torch.float64)
                parameter.data.copy_(stirred / max(parameter[0].numel() if parameter.ndim > 1 else 1, 1) ** 0.5)
        with torch.enable_grad():
            here = self._evaluate()
            if here.numel() != 1 or not torch.isfinite(here).all():
                raise ValueError("the loss must be a finite number: pass a callable of the model that returns a scalar")
            if not here.requires_grad:
                raise ValueError(
                    "the loss does not depend on the parameters: compute it from the model that is passed in"
                )
            found = torch.autograd.grad(here.sum(), parameters, allow_unused=True)
        zeros = map(torch.zeros_like, parameters)
        self._gradients = [zero if g is None else g for g, zero in zip(found, zeros, strict=True)]
        self._of = {id(p): g for p, g in zip(parameters, self._gradients, strict=True)}
        self._here = float(here.detach())
        self._noise = ROUNDINGS * torch.finfo(here.dtype).eps * max(abs(self._here), 1e-3)

    def _evaluate(self) -> Tensor:
        """Evaluate the loss, with the same random numbers and buffers every time."""
        torch.manual_seed(self._seed)
        with torch.no_grad():
            for buffer, value in self._buffers:
                buffer.copy_(value)
        return self._loss(self._model)

    @torch.no_grad()
    def _change(self, parameter: Tensor, value: Tensor) -> float:
        """Return the change of the loss for another value of a tensor, and restore the old one."""
        before = parameter.detach().clone()
        parameter.copy_(value)
        try:
            return float(self._evaluate()) - self._here
        finally:
            parameter.copy_(before)

    def examine(self, name: str, parameter: Tensor) -> TensorBlocks:
        """Test partitions into ever fewer blocks until one is scale-invariant."""
        randomly = torch.Generator().manual_seed(0)
        effect = self._effect(parameter, randomly)
        if self._tolerance * effect > self._noise:
            blocks = self._by_losses(parameter, effect, randomly)
        else:
            blocks = self._by_gradients(parameter, randomly)
        found = _violation(parameter, self._of[id(parameter)], max(blocks, 1))
        centred = blocks > 0 and _adds_up_to_nothing(self._of[id(parameter)], blocks)
        return TensorBlocks(name, tuple(parameter.shape), blocks, blocks > 0, found, centred)

    def _by_losses(self, parameter: Tensor, effect: float, randomly: torch.Generator) -> int:
        rows = _rows(parameter)
        for blocks in (n for n in range(rows, 0, -1) if rows % n == 0 and parameter.numel() > n):
            if self._scaled(parameter, blocks, randomly) < self._tolerance * effect:
                return blocks
        return 0

    def _by_gradients(self, parameter: Tensor, randomly: torch.Generator) -> int:
        places = [parameter.detach().clone() for _ in range(1 + TRIALS)]
        for place in places[1:]:
            place += self._as_large(parameter, randomly)
        pairs = [(place, self._gradient(parameter, place)) for place in places]
        split = [[t.double().reshape(_rows(parameter), -1).cpu() for t in pair] for pair in pairs]
        along, weight, slope = (
            torch.stack([product(w, g).sum(1) for w, g in split]).numpy()
            for product in (lambda w, g: w * g, lambda w, g: w * w, lambda w, g: g * g)
        )
        good = np.isfinite(slope).all(1)
        return partition(along[good], weight[good], slope[good], parameter.numel())

    def _gradient(self, parameter: Tensor, value: Tensor) -> Tensor:
        """Return the gradient at another value of a tensor, and restore the old one."""
        before = parameter.detach().clone()
        try:
            with torch.no_grad():
                parameter.copy_(value)
            with torch.enable_grad():
                (found,) = torch.autograd.grad(self._evaluate().sum(), [parameter], allow_unused=True)
        finally:
            with torch.no_grad():
                parameter.copy_(before)
        return torch.zeros_like(before) if found is None else found

    def _as_large(self, parameter: Tensor, randomly: torch.Generator) -> Tensor:
        """Return a random tensor with the norm of a tensor."""
        added = torch.randn(parameter.shape, generator=randomly, dtype=torch.float64).to(parameter)
        return added * (torch.linalg.vector_norm(parameter.detach()) / torch.linalg.vector_norm(added))

    def _effect(self, parameter: Tensor, randomly: torch.Generator) -> float:
        """Return the rms change of the loss when a random tensor of the same norm is added."""
        changes = []
        for _ in range(TRIALS):
            changes.append(self._change(parameter, parameter.detach() + self._as_large(parameter, randomly)))
        return _rms(changes)

    def _scaled(self, parameter: Tensor, blocks: int, randomly: torch.Generator) -> float:
        """Return the rms change of the loss when each block is multiplied by a different factor, ½ to 2."""
        changes = []
        for _ in range(TRIALS):
            factors = torch.exp2(2 * torch.rand(blocks, 1, generator=randomly, dtype=torch.float64) - 1)
            if blocks == 1:
                factors = torch.where(factors > 1, factors + 0.5, factors - 0.25)  # away from 1
            scaled = parameter.detach().reshape(blocks, -1) * factors.to(parameter)
            changes.append(self._change(parameter, scaled.reshape(parameter.shape)))
        return _rms(changes)


def _adds_up_to_nothing(gradient: Tensor, blocks: int) -> bool:
    """Whether the rows of every block sum to 0, so that the loss is flat along the mean of the weights' rows."""
    if gradient.shape[0] == blocks:
        return False
    rows = gradient.detach().double().reshape(blocks, gradient.shape[0] // blocks, -1)
    size = torch.linalg.vector_norm(rows)
    return bool(size > 0 and torch.linalg.vector_norm(rows.sum(1)) <= TOLERANCE * size)


def _rows(parameter: Tensor) -> int:
    return parameter.shape[0] if parameter.ndim else 1


def _rms(values: list[float]) -> float:
    finite = torch.tensor(values, dtype=torch.float64)
    return float("inf") if not torch.isfinite(finite).all() else float(finite.square().mean().sqrt())


def _violation(parameter: Tensor, gradient: Tensor, blocks: int) -> float:
    w, g = parameter.detach().double().reshape(blocks, -1), gradient.double().reshape(blocks, -1)
    sizes = (w.norm(dim=1) * g.norm(dim=1)).sum()
    return float((w * g).sum(1).abs().sum() / sizes)

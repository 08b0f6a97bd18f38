"""Find the scale-invariant weights of a network by its gradients and by scaling them, not by their names.

A block is a set of weights whose multiplication by any positive number leaves the loss unchanged: a filter under
BatchNorm, a group of rows under per-head normalisation, a whole matrix under LayerNorm or RMSNorm, with its bias.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from empirics.models.base import is_centred
from empirics.models.groups import Group
from empirics.models.products import InnerProducts, by_itself

__all__ = ["TOLERANCE", "Loss", "TensorBlocks", "scale_invariant_blocks"]

#: Maximum change of the loss when the blocks of a tensor are scaled by 1/2 to 2, relative to the loss itself and to its
#: change under a random change of the same norm. BatchNorm's eps = 1e-5 causes 1e-5 to 1e-4, a dependence on scale 0.1
#: to 1. Whether the blocks are good enough, their `violation` says.
TOLERANCE = 1e-2

#: Trials with different random factors and directions; in a single one the loss could return to its value by chance.
TRIALS = 3

#: Places at which gradients are taken: the weights, and random ones that differ from them by half of each norm.
PLACES, SPREAD = 8, 0.5

#: Differences of losses below this many roundings are not significant.
ROUNDINGS = 200

#: Share of a gradient that changes between the weights and places nearby, above which it is rounding, which has 1. At
#: one place the roundings of a few numbers may agree by chance.
UNSTABLE, NEARBY = 0.2, 4

#: Standard deviation of the values put into all-zero tensors, such as biases of a new network.
STIR = 0.3

Loss = Callable[[nn.Module], Tensor]


@dataclass(frozen=True)
class TensorBlocks:
    """The scale-invariant blocks of one parameter tensor, and its role.

    Attributes
    ----------
    name
        Its name in ``model.named_parameters()``.
    shape
        Its shape.
    blocks
        The maximum number of scale-invariant blocks that the tensor has by itself (equal groups of consecutive rows); 0
        if there are none.
    scale_invariant
        Whether there are any.
    violation
        ``Σ|w·g| / Σ|w||g|`` over the blocks, or over the whole tensor if there are none; NaN if the gradient is 0.
    centred
        Whether the loss is unchanged when the same row is added to all rows of a block, as under LayerNorm: the mean of
        the rows is then flat.
    role
        ``"invariant"``, ``"penalty"`` or ``"dead"``, that of most of its weights: invariant if they are in a block,
        which may be of columns, of a part of the tensor or of several tensors; dead if they do not affect the loss.
    groups
        The groups in which its weights are.
    """

    name: str
    shape: tuple[int, ...]
    blocks: int
    scale_invariant: bool
    violation: float
    centred: bool = False
    role: str = "penalty"
    groups: tuple[Group, ...] = ()


def scale_invariant_blocks(model: nn.Module, loss: Loss, *, tolerance: float = TOLERANCE) -> list[TensorBlocks]:
    """Find the scale-invariant blocks of every parameter tensor of a network by measurement.

    Groups of weights that can be scaled together are found within a tensor (rows, columns, heads) and over several: the
    weight and bias of a layer before LayerNorm, the gain and shift of a norm before ReLU and another norm.

    Parameters
    ----------
    model
        The network, in training mode. Its parameters, buffers, gradients and mode, and torch's random state, are
        restored.
    loss
        Computes a scalar from the model, e.g. ``lambda m: cross_entropy(m(x), y)`` for a fixed minibatch. It is called
        twelve times with gradients and up to seven times per tensor, with the same random numbers each time.
    tolerance
        Largest change of the loss under scaling, over the loss and over its change under a random change of the
        tensor's norm. A larger one than the default allows as much more of the gradient along the weights.

    Returns
    -------
    list
        One entry per parameter tensor, in the model's order.

    Raises
    ------
    TypeError
        If the loss does not return a tensor.
    ValueError
        If the loss is not a finite scalar, is another one the next time, does not depend on the model, or has gradients
        that are not finite.

    Notes
    -----
    Gradients propose: ``w·g = 0`` block by block, summed over the tensors of a group, at the weights and at random
    ones, within a tenth of the cosine of random vectors. They are precise where rounding hides the effect on the loss
    (a branch with a small factor, in float32). All-zero tensors are filled with random numbers during the test: before
    ReLU and another normalised layer, the gains of a BatchNorm are scale-invariant as long as its shifts are zero, but
    not once it is trained.

    The loss decides: scaling must change it by less than `tolerance` (a hundredth) of itself and of the effect of a
    random change of the same norm. A trained network's loss is small beside that of a random one, so gains that hardly
    matter there may matter to it.

    Examples
    --------
    >>> from torch.nn.functional import cross_entropy
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6, affine=False), nn.ReLU(), nn.Linear(6, 3))
    >>> x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    >>> for row in scale_invariant_blocks(net, lambda m: cross_entropy(m(x), y)):
    ...     print(row.name, row.blocks, row.role)
    0.weight 6 invariant
    0.bias 0 dead
    3.weight 0 penalty
    3.bias 0 penalty
    """
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    with _left_as_it_was(model), torch.random.fork_rng(devices=_cuda_devices(model)):
        measurement = _Measurement(model, loss, tolerance)
        products, profiles = measurement.products, measurement.products.profiles()
        groups = products.groups(measurement.confirms, dead=measurement.without_effect(), together=trained)
        rows = []
        for name, parameter in measurement.parameters.items():
            row = profiles[name][0]
            alone = by_itself(row, measurement.confirms, tolerance / TOLERANCE)
            blocks = alone.blocks if alone else 0
            mine = tuple(group for group in groups if any(piece.name == name for piece in group.pieces))
            found = row.group("invariant", blocks).violation
            centred = blocks > 0 and is_centred(measurement.gradients[name], blocks, TOLERANCE)
            shape = tuple(parameter.shape)
            rows.append(TensorBlocks(name, shape, blocks, blocks > 0, found, centred, _role(name, mine), mine))
        return rows


def _role(name: str, groups: tuple[Group, ...]) -> str:
    """Return the role of most weights of a tensor."""
    return max(groups, key=lambda group: sum(p.parameters for p in group.pieces if p.name == name)).role


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


class _Measurement:
    """The loss at the given parameters, its gradients there and elsewhere, and its changes when some are changed."""

    def __init__(self, model: nn.Module, loss: Loss, tolerance: float) -> None:
        self._model, self._loss, self._tolerance = model, loss, tolerance
        self._buffers = [(b, b.detach().clone()) for b in model.buffers()]
        self._seed = torch.initial_seed()
        self._randomly = torch.Generator().manual_seed(1)
        self._confirmed: dict[Group, bool] = {}
        self.parameters = dict(model.named_parameters())
        for parameter in self.parameters.values():
            parameter.requires_grad_()
            if not parameter.detach().any():
                stirred = STIR * torch.randn(parameter.shape, generator=self._randomly, dtype=torch.float64)
                parameter.data.copy_(stirred / max(parameter[0].numel() if parameter.ndim > 1 else 1, 1) ** 0.5)
        with torch.enable_grad():
            here = self._evaluate()
        if not isinstance(here, Tensor):
            raise TypeError(f"loss must return a scalar tensor computed from the model, got {here!r}")
        if here.numel() != 1 or not torch.isfinite(here).all():
            raise ValueError("the loss must be a finite number: pass a callable of the model that returns a scalar")
        if not here.requires_grad:
            raise ValueError("the loss does not depend on the parameters: compute it from the model that is passed in")
        self._here, rounding = float(here.detach()), torch.finfo(here.dtype).eps
        self._noise = ROUNDINGS * rounding * max(abs(self._here), 1e-3)
        with torch.no_grad():
            again = float(self._evaluate())
        if not abs(again - self._here) <= self._noise:
            raise ValueError(
                f"the loss of the same weights is {self._here:.6g} and then {again:.6g}: fix its minibatch"
            )
        self.gradients = self._gradient()
        for name, gradient in self.gradients.items():
            if not torch.isfinite(gradient).all():
                raise ValueError(f"the gradient of {name} is not finite, though the loss is")
        self.products = self._gathered()
        self._unstable = self._rounding(rounding**0.5)

    def _evaluate(self) -> Tensor:
        """Evaluate the loss, with the same random numbers and buffers every time."""
        torch.manual_seed(self._seed)
        with torch.no_grad():
            for buffer, value in self._buffers:
                buffer.copy_(value)
        return self._loss(self._model)

    def _gradient(self) -> dict[str, Tensor]:
        parameters = list(self.parameters.values())
        with torch.enable_grad():
            found = torch.autograd.grad(self._evaluate().sum(), parameters, allow_unused=True)
        return {
            name: torch.zeros_like(parameter) if g is None else g
            for (name, parameter), g in zip(self.parameters.items(), found, strict=True)
        }

    def _gathered(self) -> InnerProducts:
        """Take gradients at the weights, and at random places around them."""
        products = InnerProducts(least=1)
        for place in range(PLACES):
            with self._changed(self._whole(), SPREAD if place else 0.0):
                gradients = self.gradients if place == 0 else self._gradient()
                products.add({name: (p.detach(), gradients[name]) for name, p in self.parameters.items()})
        return products

    def _rounding(self, nearby: float) -> set[str]:
        """Return the tensors whose gradient is another one at places nearby: 0, but for rounding."""
        changed, size = dict.fromkeys(self.parameters, 0.0), dict.fromkeys(self.parameters, 0.0)
        for _ in range(NEARBY):
            with self._changed(self._whole(), nearby):
                there = self._gradient()
            for name, here in self.gradients.items():
                g, h = here.double(), there[name].double()
                changed[name] += float((g - h).square().sum())
                size[name] += float(g.square().sum() + h.square().sum())
        return {name for name in self.parameters if not changed[name] < UNSTABLE * size[name]}

    def without_effect(self) -> list[str]:
        """Return the tensors that do not affect the loss."""
        return [
            name
            for name in self.parameters
            if name in self._unstable and self._effect(self._whole(name)) <= self._noise
        ]

    def confirms(self, group: Group) -> bool:
        """Whether the loss agrees that a group is invariant or dead."""
        if group not in self._confirmed:
            views = [piece.of(self.parameters[piece.name]) for piece in group.pieces]
            if group.role == "dead":
                self._confirmed[group] = self._effect(views) <= self._noise
            else:
                change = self._scaled(views, group.blocks)
                self._confirmed[group] = change <= self._noise or (
                    change < self._tolerance * abs(self._here) and change < self._tolerance * self._effect(views)
                )
        return self._confirmed[group]

    def _whole(self, *names: str) -> list[Tensor]:
        return [self.parameters[name] for name in names or self.parameters]

    @contextmanager
    def _changed(self, views: list[Tensor], share: float) -> Iterator[None]:
        """Add random numbers of this share of each norm, and restore the old values when the context ends."""
        with torch.no_grad():
            before = [view.detach().clone() for view in views]
            for view in views:
                added = torch.randn(view.shape, generator=self._randomly, dtype=torch.float64).to(view)
                size = torch.linalg.vector_norm(view) / torch.linalg.vector_norm(added)
                view.add_(added * (share * size))
        try:
            yield
        finally:
            _restore(views, before)

    @torch.no_grad()
    def _effect(self, views: list[Tensor]) -> float:
        """Return the rms change of the loss when random numbers of the same norm are added."""
        changes = []
        for _ in range(TRIALS):
            with self._changed(views, 1.0):
                changes.append(float(self._evaluate()) - self._here)
        return _rms(changes)

    @torch.no_grad()
    def _scaled(self, views: list[Tensor], blocks: int) -> float:
        """Return the rms change of the loss when each block has a different factor, ½ to 0.7 or 1.4 to 2."""
        before = [view.clone() for view in views]
        changes = []
        for trial in range(TRIALS):
            up = (torch.arange(blocks) + trial) % 2 * 2 - 1  # a block grows in one trial and shrinks in the next
            factors = torch.exp2(up * (1 + torch.rand(blocks, generator=self._randomly, dtype=torch.float64)) / 2)
            try:
                for view in views:
                    each = factors.repeat_interleave(len(view) // blocks).to(view)
                    view.mul_(each.reshape(-1, *[1] * (view.ndim - 1)))
                changes.append(float(self._evaluate()) - self._here)
            finally:
                _restore(views, before)
        return _rms(changes)


@torch.no_grad()
def _restore(views: list[Tensor], before: list[Tensor]) -> None:
    for view, value in zip(views, before, strict=True):
        view.copy_(value)


def _rms(values: list[float]) -> float:
    finite = torch.tensor(values, dtype=torch.float64)
    return float("inf") if not torch.isfinite(finite).all() else float(finite.square().mean().sqrt())

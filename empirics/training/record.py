"""The record of every step, and the sums over it.

A step writes a few numbers per run into its row of a window; the arithmetic on them waits until the window is full, so
that it costs no time per step. Diverged runs are detected then, and frozen.
"""

from enum import IntEnum

import torch
from torch import Tensor

#: Steps of a window. The sums are also taken at every marked step, so they depend on the step alone.
WINDOW = 64


class Raw(IntEnum):
    """Columns of the row of a step, from its minibatch, before the update."""

    RADIUS_SQ = 0
    GRAD_SQ = 1
    LOSS = 2
    SECOND_LOSS = 3  # of the second half, where there are halves
    GRAD_MEAN_SQ = 4  # g1 · g2 of the halves: unbiased for |∇L|²
    RADIAL = 5  # w · g: 0 where all of the network is scale-invariant
    PUSH_RADIAL = 6  # w · direction, |direction|² and the learning rate: the change of the norm
    PUSH_SQ = 7
    LR = 8
    PULL = 9  # w · decay in the direction of LARS and LAMB


class Sum(IntEnum):
    """Rows of the running sums over the steps."""

    RADIUS_SQ = 0
    LOG_RADIUS = 1
    GRAD_SQ = 2
    GRAD_SQ_UNIT = 3  # |g|² r²: the squared gradient at unit norm
    LOSS = 4
    FINITE = 5  # 1 while the run is finite: the final sum is the step at which it diverged
    GROWTH = 6  # change of the norm by the steps, see `_norm`
    DECAY = 7
    GRAD_MEAN_SQ = 8
    GRAD_MEAN_SQ_UNIT = 9
    FIRST_LOSS = 10
    SECOND_LOSS = 11
    LOSS_PRODUCT = 12
    RADIAL = 13
    PULL = 14  # twice lr times it, the decay of r² to leading order


def sums(rows: Tensor, halves: bool, logarithmic: bool) -> tuple[Tensor, Tensor]:
    """Sums over the steps of a window.

    Parameters
    ----------
    rows
        Shape (step, Raw, run).
    halves
        Whether minibatches come in halves; otherwise there is one loss.
    logarithmic
        Whether the mean of ``log r`` is stationary (fixed ELR), rather than that of ``r²``.

    Returns
    -------
    Tensor, Tensor
        The sums, shape (Sum, run), float64; and whether each run was finite to the end of the window, shape (run,).
    """
    radius_sq, grad_sq, loss, second, mean_sq, radial, push_radial, push_sq, lr, pull = rows.double().unbind(1)
    unit = radius_sq * grad_sq
    finite = (unit * 0 == 0).double().cumprod(0)
    growth, decay = _norm(radius_sq, push_radial, push_sq, lr, logarithmic)
    found: dict[Sum, Tensor] = {
        Sum.RADIUS_SQ: radius_sq,
        Sum.LOG_RADIUS: 0.5 * radius_sq.log(),
        Sum.GRAD_SQ: grad_sq,
        Sum.GRAD_SQ_UNIT: unit,
        Sum.LOSS: 0.5 * (loss + second) if halves else loss,
        Sum.FINITE: finite,
        Sum.GROWTH: growth,
        Sum.DECAY: decay,
        Sum.GRAD_MEAN_SQ: mean_sq,
        Sum.GRAD_MEAN_SQ_UNIT: mean_sq * radius_sq,
        Sum.FIRST_LOSS: loss,
        Sum.SECOND_LOSS: second,
        Sum.LOSS_PRODUCT: loss * second,
        Sum.RADIAL: radial,
        Sum.PULL: 2 * lr * pull,
    }
    return torch.stack([found[name].sum(0) for name in Sum]), finite[-1] > 0


def _norm(
    radius_sq: Tensor, push_radial: Tensor, push_sq: Tensor, lr: Tensor, logarithmic: bool
) -> tuple[Tensor, Tensor]:
    """Growth and decay of the norm by steps ``w' = (1 + a) w + u``, ``u ⊥ w``.

    ``r'² = (1 + a)² r² + |u|²``, so a stationary mean of ``r²`` balances ``|u|²`` with ``(1 − (1 + a)²) r²``, and a
    stationary mean of ``log r``, at fixed ELR, balances the logarithms of both factors. For SGD the
    first is :func:`empirics.measure.norm_balance`.
    """
    radial = push_radial * lr / radius_sq  # -a
    shrunk = (1 - radial).square()
    across = lr.square() * push_sq - radial.square() * radius_sq
    if logarithmic:
        return torch.log1p(across / (shrunk * radius_sq)), -shrunk.log()
    return across, (1 - shrunk) * radius_sq


class SnapshotColumn(IntEnum):
    """Measurements at a snapshot, from two independent minibatches at the same weights."""

    RADIUS_SQ = 0
    GRAD_MEAN_SQ = 1  # g · g', unbiased for |∇L|²; |∇L|² itself over the whole training set, if requested
    FIRST_LOSS = 2
    SECOND_LOSS = 3
    VIOLATION = 4  # |w · g| / (|w| |g|)
    ROTATION_SQ = 5  # square of the angle by which the step turns the weights
    LAPLACIAN = 6
    HESSIAN_NOISE = 7
    EXPECTED_LOSS = 8  # of the whole training set, if requested
    HESSIAN_GRADIENT = 9
    BATCH_CURVATURE = 10  # r⁴ g · H_B g of the step's own minibatch
    BATCH_GRAD_SQ = 11  # r² |g|² of the same


class Part(IntEnum):
    """Measurements of every component at a snapshot."""

    RADIUS_SQ = 0
    GRAD_SQ = 1
    GRAD_MEAN_SQ = 2


class Look(IntEnum):
    """Measurements at a point of the trace."""

    ACCURACY = 0
    TEST_LOSS = 1
    TEST_ACCURACY = 2

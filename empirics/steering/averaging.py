"""Weight averaging on the sphere: its gain, the temperature above which it pays, and a module that does it.

Only the direction of a scale-invariant block matters, so directions are averaged. The loss of the average of N
independent samples is R T/N instead of R T (derivation "weight-averaging").
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thermo_theory import derive

__all__ = ["Hint", "SphereAverage", "averaged_loss", "effective_samples", "hint"]

#: Number of relaxation times below which averaging is not predicted to gain.
ENOUGH = 2.0


def effective_samples(count: float = math.inf, *, decay: float | None = None, correlation: float = 0.0) -> float:
    """Return the effective number of independent samples in an average of correlated ones.

    Parameters
    ----------
    count : float
        Number of samples averaged with equal weight (SWA), 1 or more.
    decay : float, optional
        Instead of `count`, for an exponential average long after its start: weight of the old average in each update,
        at least 0 and below 1.
    correlation : float
        Correlation of consecutive samples, ``exp(-spacing/relaxation)``; its k-th power at a distance of k samples.

    Returns
    -------
    float
        Variance of a sample divided by that of the average.

    Raises
    ------
    ValueError
        If a number is out of range, or neither count nor decay is given.

    Notes
    -----
    ``1/N_eff = (1/N) [(1+c)/(1-c) - 2c (1-c^N)/(N (1-c)^2)]`` for equal weights, ``(1-a)/(1+a) (1+ac)/(1-ac)`` for
    exponential ones: sums of geometric series.

    Examples
    --------
    >>> effective_samples(10), round(effective_samples(10, correlation=0.5), 4)
    (10.0, 3.8456)
    >>> round(effective_samples(decay=0.9), 9), round(effective_samples(decay=0.9, correlation=0.5), 4)
    (19.0, 7.2069)
    """
    if not 0 <= correlation < 1:
        raise ValueError(f"correlation = {correlation!r}: must be at least 0 and below 1")
    if decay is not None:
        if not (0 <= decay < 1 and math.isinf(count)):
            raise ValueError(f"decay = {decay!r}: must be at least 0 and below 1, without a count")
        return (1 + decay) * (1 - decay * correlation) / ((1 - decay) * (1 + decay * correlation))
    if not 1 <= count < math.inf:
        raise ValueError(f"count = {count!r}: must be 1 or more, unless decay is given")
    rest = 1 - correlation
    end = 2 * correlation * (1 - correlation**count) / (count * rest**2)
    return count / ((1 + correlation) / rest - end)


def averaged_loss(temperature: float, gas_constant: float, samples: float) -> float:
    """Return the loss above the minimum of an average of independent samples, projected back onto the sphere.

    Parameters
    ----------
    temperature : float
        Noise temperature T.
    gas_constant : float
        R, half the number of scale-invariant directions.
    samples : float
        Number N of independent samples, 1 or more; for correlated ones `effective_samples`.

    Returns
    -------
    float
        ``R T/N``, which holds for a quadratic well at low temperature.

    Examples
    --------
    >>> averaged_loss(0.001, 24.5, 10.0)
    0.00245
    """
    return float(derive("weight-averaging").claim(N=samples, R=gas_constant, T=temperature))


@dataclass(frozen=True)
class Hint:
    """Predicted gain from averaging over an interval of training.

    Attributes
    ----------
    samples : float
        Number of independent samples in the interval.
    loss, averaged : float
        Predicted loss above the minimum, of a single point and of the average.
    lowest : float
        Temperature below which the interval is too short to hold more than one sample.
    pays : bool
        Whether the temperature is above that. In networks averaging also gained below it; against a cosine it did not
        gain reliably (docs/results/generalisation.md, docs/results/watched.md).
    """

    samples: float
    loss: float
    averaged: float
    lowest: float
    pays: bool

    def __str__(self) -> str:
        if not self.pays:
            return f"no gain predicted below T = {self.lowest:.3g}: {self.samples:.2g} independent samples"
        return (
            f"predicted in a quadratic basin: loss above the minimum {self.loss:.3g}, averaged {self.averaged:.3g} "
            f"({self.samples:.3g} independent samples)"
        )


def hint(
    *, temperature: float, gas_constant: float, steps: int, relaxation_steps: float, excess_loss: float | None = None
) -> Hint:
    """Predict the gain from averaging, and the temperature above which there is one.

    Parameters
    ----------
    temperature : float
        Noise temperature T of the training, as measured by a probe.
    gas_constant : float
        R, half the number of scale-invariant directions.
    steps : int
        Number of steps averaged, all with equal weight.
    relaxation_steps : float
        Correlation time of the weights in the basin, in steps, ``1/(eta_eff h)`` at a curvature h: twice that of
        `ThermoProbe.loss_relaxation`, since a loss that is quadratic in the weights relaxes twice as fast.
    excess_loss : float, optional
        Measured loss above the minimum of the basin; default: R T, as in a quadratic well.

    Returns
    -------
    Hint

    Raises
    ------
    ValueError
        If a number is not above 0.

    Notes
    -----
    In a basin the relaxation rate ``eta_eff h`` is proportional to T, and so is the number of samples in an interval.
    R T/N then does not depend on T: with many samples, a run at a higher temperature averages to the same loss as one
    at a lower temperature, after exploring more of the basin. Below the temperature at which the interval covers two
    relaxation times cooling gains more than averaging. Above it, R T/N holds while the basin is quadratic.

    Examples
    --------
    >>> print(hint(temperature=0.001, gas_constant=24.5, steps=10_000, relaxation_steps=500))
    predicted in a quadratic basin: loss above the minimum 0.0245, averaged 0.00233 (10.5 independent samples)
    >>> print(hint(temperature=0.001, gas_constant=24.5, steps=500, relaxation_steps=500))
    no gain predicted below T = 0.002: 1.4 independent samples
    """
    for name, value in (
        ("temperature", temperature),
        ("gas_constant", gas_constant),
        ("steps", steps),
        ("relaxation_steps", relaxation_steps),
        ("excess_loss", 1.0 if excess_loss is None else excess_loss),
    ):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} = {value!r}: must be above 0")
    samples = effective_samples(steps, correlation=math.exp(-1 / relaxation_steps))
    loss = averaged_loss(temperature, gas_constant, 1.0) if excess_loss is None else excess_loss
    lowest = temperature * ENOUGH * relaxation_steps / steps
    return Hint(samples, loss, loss / samples, lowest, temperature >= lowest)


class SphereAverage(nn.Module):
    """Running average of a model's weights: of directions in scale-invariant blocks, plain elsewhere.

    Parameters
    ----------
    model : torch.nn.Module
        The model being trained. The average is kept in a copy, `module`.
    blocks : mapping
        Number of scale-invariant blocks of each parameter, by name: equal groups of consecutive rows, 1 for a whole
        tensor under LayerNorm, one per row under BatchNorm. `empirics.models.invariance.scale_invariant_blocks`
        measures them.
    decay : float, optional
        Weight of the old average in an update (EMA); default: equal weights (SWA).

    Raises
    ------
    ValueError
        If a block does not fit the model, or the decay is out of range.

    Notes
    -----
    The norm of a block in `module` is the average of the norms, so training can continue from it. BatchNorm's running
    statistics have to be recomputed, as after `torch.optim.swa_utils.AveragedModel`:
    ``torch.optim.swa_utils.update_bn(loader, average.module)``. As there, the model's buffers are copied.

    Where norms hardly differ between samples the direction is that of torch's average. They differ where the learning
    rate changed: torch's average then gives samples of a larger norm more weight.

    Examples
    --------
    >>> net = nn.Linear(2, 1, bias=False)
    >>> average = SphereAverage(net, {"weight": 1})
    >>> for w in ([3.0, 0.0], [0.0, 1.0]):
    ...     _ = net.weight.data.copy_(torch.tensor([w]))
    ...     average.update(net)
    >>> average.module.weight.data / average.module.weight.data.norm()  # independent of the norms
    tensor([[0.7071, 0.7071]])
    """

    count: Tensor

    def __init__(self, model: nn.Module, blocks: Mapping[str, int], *, decay: float | None = None) -> None:
        super().__init__()
        if decay is not None and not 0 <= decay < 1:
            raise ValueError(f"decay = {decay!r}: must be at least 0 and below 1")
        parameters = dict(model.named_parameters())
        for name, number in blocks.items():
            if name not in parameters:
                raise ValueError(f"blocks: the model has no parameter {name!r}")
            rows = parameters[name].shape[0] if parameters[name].ndim else 1
            if number != 1 and (number < 1 or rows % number):
                raise ValueError(f"blocks: {number} of {name} must divide its {rows} rows")
        self.blocks, self.decay = dict(blocks), decay
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.register_buffer("count", torch.tensor(0, dtype=torch.long))
        for i, (name, parameter) in enumerate(parameters.items()):
            mean = torch.zeros_like(parameter, requires_grad=False)
            self.register_buffer(f"_mean_{i}", mean)
            if name in blocks:
                self.register_buffer(f"_norm_{i}", mean.new_zeros(blocks[name], 1))

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Evaluate the averaged model."""
        return self.module(*inputs, **named)

    @property
    def samples(self) -> float:
        """Return the effective number of samples in the average, for independent samples."""
        seen = int(self.count)
        if self.decay is None or seen < 2:
            return float(seen)
        # The first sample keeps the weight a^(n-1), later ones (1 - a) a^k.
        first = self.decay ** (seen - 1)
        others = (1 - self.decay) / (1 + self.decay) * (1 - self.decay ** (2 * (seen - 1)))
        return 1 / (first**2 + others)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the model's current weights to the average.

        Parameters
        ----------
        model : torch.nn.Module
            The model being trained.
        """
        self.count += 1
        share = 1 / int(self.count) if self.decay is None or self.count == 1 else 1 - self.decay
        kept = dict(self.module.named_parameters())
        for i, (name, parameter) in enumerate(model.named_parameters()):
            mean: Tensor = getattr(self, f"_mean_{i}")
            if name not in self.blocks:
                mean.lerp_(parameter.detach().to(mean), share)
                kept[name].copy_(mean)
                continue
            rows = parameter.detach().to(mean).reshape(self.blocks[name], -1)
            norm: Tensor = getattr(self, f"_norm_{i}")
            now = rows.norm(dim=1, keepdim=True)
            norm.lerp_(now, share)
            mean.lerp_((rows / now.clamp_min(torch.finfo(now.dtype).tiny)).reshape(mean.shape), share)
            direction = mean.reshape(self.blocks[name], -1)
            long = direction.norm(dim=1, keepdim=True).clamp_min(torch.finfo(now.dtype).tiny)
            kept[name].copy_((direction / long * norm).reshape(mean.shape))
        for held, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
            held.copy_(buffer)

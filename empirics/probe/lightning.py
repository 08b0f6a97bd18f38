"""A callback for Lightning (extra "lightning"): ``Trainer(callbacks=[ThermoCallback(every_n_steps=500)])``."""

from __future__ import annotations

from typing import Any

import torch

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:
    from pytorch_lightning.callbacks import Callback  # the same under its other name

from empirics.probe.probe import ThermoProbe

__all__ = ["ThermoCallback"]


class ThermoCallback(Callback):  # type: ignore[misc, unused-ignore]
    """Attaches a probe to each optimiser and logs its values to the trainer's loggers.

    Lightning clips gradients after this hook, so the effect of clipping by norm is computed beforehand. That of
    clipping by value is not: the noise is then that of the gradients before clipping.

    Parameters
    ----------
    every_n_steps
        Optimiser steps between log entries.
    **settings
        Passed to :class:`ThermoProbe`.

    Attributes
    ----------
    probes : list of ThermoProbe
        One per optimiser, in the order of their first steps.
    """

    def __init__(self, every_n_steps: int = 500, **settings: Any) -> None:
        super().__init__()
        self.every_n_steps, self._settings = every_n_steps, settings
        self._of: dict[int, ThermoProbe] = {}
        self._held: list[dict[str, Any]] = []

    @property
    def probes(self) -> list[ThermoProbe]:
        """The probes."""
        return list(self._of.values())

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Measure the step about to be taken."""
        probe = self._of.get(id(optimizer))
        if probe is None:
            probe = self._of[id(optimizer)] = ThermoProbe(pl_module, optimizer, **self._settings)
            if self._held:
                probe.load_state_dict(self._held.pop(0))
        probe.step(grad_scale=_clipped(trainer, optimizer) if probe.due else None)
        if probe.steps % self.every_n_steps == 0:
            for logger in trainer.loggers:
                logger.log_metrics(probe.values(), step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for Lightning's checkpoints."""
        return {"probes": [*(probe.state_dict() for probe in self.probes), *self._held]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint when the optimisers take their first step."""
        self._held = list(state_dict["probes"])


@torch.no_grad()
def _clipped(trainer: Any, optimizer: Any) -> float:
    """Return the factor by which the trainer's clipping is about to divide the gradients."""
    most, by = trainer.gradient_clip_val, getattr(trainer.gradient_clip_algorithm, "value", None) or "norm"
    if not most or by != "norm":
        return 1.0
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients])))
    return max(1.0, (norm + 1e-6) / float(most))

"""A callback for Lightning (extra "lightning"): ``Trainer(callbacks=[ThermoCallback(every_n_steps=500)])``."""

from __future__ import annotations

from typing import Any

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:
    from pytorch_lightning.callbacks import Callback  # the same under its other name

from empirics.probe.probe import ThermoProbe, watch

__all__ = ["ThermoCallback"]


class ThermoCallback(Callback):  # type: ignore[misc, unused-ignore]
    """Attaches a probe to each optimiser and logs at most a dozen numbers of each to the trainer's loggers.

    Parameters
    ----------
    every_n_steps
        Optimiser steps between log entries.
    **settings
        Passed to :func:`empirics.watch`.

    Attributes
    ----------
    probes : list of ThermoProbe
        One per optimiser, in the trainer's order.
    """

    def __init__(self, every_n_steps: int = 500, **settings: Any) -> None:
        super().__init__()
        self.every_n_steps, self._settings = every_n_steps, settings
        self.probes: list[ThermoProbe] = []
        self._held: list[dict[str, Any]] = []
        self._logged = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach the probes; they resume if there is a checkpoint."""
        self.probes = [watch(pl_module, optimizer, **self._settings) for optimizer in trainer.optimizers]
        for probe, held in zip(self.probes, self._held, strict=False):
            probe.load_state_dict(held)
        self._held, self._logged = [], max((probe.steps for probe in self.probes), default=0)

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """Pass the loss on. Lightning divides it by the number of accumulated minibatches."""
        for probe in self.probes:
            probe.step(loss * getattr(trainer, "accumulate_grad_batches", 1))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        """Log, if it is time."""
        steps = max((probe.steps for probe in self.probes), default=0)
        if steps // self.every_n_steps == self._logged // self.every_n_steps:
            return
        self._logged = steps
        for i, probe in enumerate(self.probes):
            numbers = {(f"{name}/{i}" if i else name): value for name, value in probe.summary().items()}
            for logger in trainer.loggers if numbers else ():
                logger.log_metrics(numbers, step=trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Take the probes off the optimisers."""
        for probe in self.probes:
            probe.close()

    def state_dict(self) -> dict[str, Any]:
        """Return the state for Lightning's checkpoints."""
        return {"probes": [probe.state_dict() for probe in self.probes] or self._held}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint when the training starts."""
        self._held = list(state_dict["probes"])

"""A callback for the Hugging Face Trainer (extra "transformers"): ``Trainer(..., callbacks=[ThermoCallback()])``."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from empirics.probe.probe import ThermoProbe

__all__ = ["ThermoCallback"]


class ThermoCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Attaches a probe to the Trainer's optimiser; its values are added to the Trainer's log entries.

    Parameters
    ----------
    **settings
        Passed to :class:`ThermoProbe`.

    Attributes
    ----------
    probe : ThermoProbe or None
        None until the first step.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self.probe: ThermoProbe | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Drop the old probe: the optimiser is a new one."""
        self.probe = None

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure the step about to be taken; gradients are already clipped."""
        optimizer = kwargs["optimizer"]
        if self.probe is None:
            scaler = getattr(optimizer, "scaler", None)
            self.probe = ThermoProbe(kwargs["model"], optimizer, scaler=scaler, **self._settings)
        self.probe.step()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Add values to the Trainer's log entry, before the loggers after this callback see it."""
        if logs is None or self.probe is None or "loss" not in logs or self.probe.steps < 2:
            return
        numbers = self.probe.values()
        logs.update(numbers)
        if state.log_history and "loss" in state.log_history[-1]:
            state.log_history[-1].update(numbers)

"""A callback for the Hugging Face Trainer (extra "transformers"): ``Trainer(..., callbacks=[ThermoCallback()])``."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from empirics.probe.probe import ThermoProbe, watch

__all__ = ["ThermoCallback"]


class ThermoCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Attaches a probe to the Trainer's optimiser; its values are added to the Trainer's log entries.

    Parameters
    ----------
    **settings
        Passed to :func:`empirics.watch`.

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
        """Attach the probe, before the first step."""
        if self.probe is None:
            self.probe = watch(kwargs["model"], kwargs["optimizer"], **self._settings)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Add at most a dozen numbers to the Trainer's log entry, before the loggers after this callback see it.

        The Trainer shows its loss to callbacks here only: a mean since the entry before.
        """
        if logs is None or self.probe is None or "loss" not in logs:
            return
        self.probe.step(float(logs["loss"]))
        numbers = self.probe.summary()
        logs.update(numbers)
        if state.log_history and "loss" in state.log_history[-1]:
            state.log_history[-1].update(numbers)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the probe off the optimiser."""
        if self.probe is not None:
            self.probe.close()

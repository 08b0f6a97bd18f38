"""Sinks for a probe's values: TensorBoard, Weights & Biases, or any function of a dictionary and a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["TensorBoard", "WeightsAndBiases"]


class TensorBoard:
    """Writes to a ``torch.utils.tensorboard.SummaryWriter`` (extra "tensorboard").

    Parameters
    ----------
    writer
        A SummaryWriter, or anything with its ``add_scalar(name, value, step)``.
    """

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def __call__(self, values: Mapping[str, float], step: int) -> None:
        """Write the values of a step."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)


class WeightsAndBiases:
    """Logs to a run of ``wandb.init(...)`` (extra "wandb"); offline if the run is.

    The step is logged as ``thermo/step`` with the values, since the run counts its own steps.

    Parameters
    ----------
    run
        The run, or anything with its ``log(values)``.
    """

    def __init__(self, run: Any) -> None:
        self.run = run
        if hasattr(run, "define_metric"):  # the panel of each number is over the training's own steps
            run.define_metric("thermo/*", step_metric="thermo/step")

    def __call__(self, values: Mapping[str, float], step: int) -> None:
        """Log the values of a step."""
        self.run.log({**values, "thermo/step": step})

"""Scale-invariant networks behind the interface of the runner."""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from numpy.typing import NDArray

from empirics.data.dataset import Dataset
from empirics.data.loading import load
from empirics.experiment import ExperimentError, Run
from empirics.running.kind import Kind
from empirics.training.ensemble import Ensemble
from empirics.training.experiment import NetworkExperiment
from empirics.training.memory import check_memory
from empirics.training.state import TrainingState
from empirics.training.summary import summarise


class NetworkKind(Kind):
    """Runs of a network on a data set."""

    experiment: NetworkExperiment

    def check_device(self, device: str) -> None:
        """Refuse a device that torch does not know or cannot reach."""
        try:
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:
            known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
            reason = str(error).splitlines()[0].rstrip(".")
            raise ExperimentError(
                f"device {device!r} cannot be used; available: {', '.join(known)} ({reason})"
            ) from None

    def _dataset(self) -> Dataset:
        return load(self.experiment.data)

    @cached_property
    def _one(self) -> Ensemble:
        return self.trainer(self.experiment.cut()[0][:1], "cpu")

    def dimension(self) -> int:
        """The d of the formulas: d − 1 is the number of directions of all spheres, without those the loss ignores."""
        return self._one.model.directions + 1

    def check_memory(self, device: str) -> None:
        """Refuse shards that are too large for the memory of a device; see :func:`empirics.training.memory`."""
        check_memory(self.experiment, self._one, device)

    def model(self) -> dict[str, Any]:
        """The trained and the frozen tensors, and the checksum of the user's file."""
        facts: dict[str, Any] = json.loads(json.dumps(self._one.model.description()))
        return facts

    def attributes(self) -> dict[str, Any]:
        """Number of trained weights, more than d with several spheres or flat directions; the matrices of Muon."""
        model = self._one.model
        shapes = [[block.shape[0], block.size // block.shape[0]] for block in model.blocks]
        muon = {"matrices": shapes} if self.experiment.training.optimizer == "muon" else {}
        return {"weights": model.dimension} | muon

    def data(self) -> dict[str, str]:
        """Name and checksum of the data set."""
        return {"name": self.experiment.data.name, "sha256": self._dataset().checksum}

    def trainer(self, runs: Sequence[Run], device: str) -> Ensemble:
        """Return the ensemble of one shard."""
        return Ensemble(self.experiment, runs, self._dataset(), device)

    def summarise(self, trainer: Ensemble, state: TrainingState) -> dict[str, NDArray]:
        """Results of a shard; see :func:`empirics.training.summary.summarise`."""
        return summarise(self.experiment, trainer, state)

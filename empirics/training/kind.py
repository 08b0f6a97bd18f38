"""Scale-invariant networks behind the interface of the runner."""

import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from numpy.typing import NDArray

from empirics.data.dataset import Dataset
from empirics.data.loading import load
from empirics.experiment import Run
from empirics.models.base import ModelError, not_invariant
from empirics.running.device import check_device
from empirics.running.kind import Kind
from empirics.training.ensemble import Ensemble
from empirics.training.experiment import NetworkExperiment
from empirics.training.memory import check_memory, check_sizes
from empirics.training.philox import RANDOM
from empirics.training.state import TrainingState
from empirics.training.summary import summarise

#: Before the training a network must be scale-invariant at this share of its initial norm, on average over so many
#: minibatches: runs shrink, and a bias counts with 1/|w|, an eps with 1/|w|². In trials what
#: was found so was more than the worst run showed in the end; a single minibatch may show a tenth of the mean.
SHRUNK, TRIED = 1 / 3, 16

#: An eps of our networks with which these minibatches, slow in a large network on a CPU, can be saved.
HARMLESS = 1e-9


class NetworkKind(Kind):
    """Runs of a network on a data set."""

    experiment: NetworkExperiment
    random, first_random = RANDOM, "numpy's PCG64"

    def __init__(self, experiment: NetworkExperiment) -> None:
        super().__init__(experiment)
        self.deterministic = experiment.training.deterministic

    def check_device(self, device: str) -> None:
        """Refuse a device that torch does not know or cannot reach."""
        check_device(device)

    def _dataset(self) -> Dataset:
        return load(self.experiment.data)

    @cached_property
    def _one(self) -> Ensemble:
        """The run that starts with the smallest norm, where a bias or an eps breaks scale invariance most."""
        check_sizes(self.experiment, self._dataset(), "cpu")
        return self.trainer([min(self.experiment.runs, key=self.experiment.initial_radius)], "cpu")

    def dimension(self) -> int:
        """The d of the formulas: d − 1 is the number of directions of all spheres, without those the loss ignores."""
        return self._one.model.directions + 1

    def check_memory(self, device: str) -> None:
        """Refuse shards that are too large for the memory of a device; see :func:`empirics.training.memory`."""
        check_memory(self.experiment, self._one, device)

    @cached_property
    def _broken(self) -> str:
        """Say which tensor is so far from scale-invariant that its runs will be left out; empty if none is."""
        one, table, tolerance = self._one, self.experiment.model, self.experiment.model.tolerance
        if not one.model.all_spheres or not (table.file or table.eps > HARMLESS):
            return ""  # tensors that are not scale-invariant are trained on purpose; or nothing could break it
        weights = [SHRUNK * w for w in one.start().weights]
        gradients, sums = [torch.empty_like(w) for w in weights], Counter[str]()
        for position in range(TRIED):
            one.feeds.second.loss_and_grad(one.model, weights, one.frozen, position, gradients)
            sums.update(one.model.violations(weights, gradients))
        worst, total = sums.most_common(1)[0]
        return not_invariant(worst, total / TRIED, tolerance) if total / TRIED > tolerance else ""

    def check_start(self) -> None:
        """Refuse a network of the user's whose runs would be left out; ours have only the eps that the file gives."""
        if self.experiment.model.file and self._broken:
            raise ModelError(self._broken)

    def found(self) -> list[str]:
        """The scale-invariant tensors, the others, and a warning where runs will be left out."""
        return self._one.model.found() + ([f"warning: {self._broken}"] if self._broken else [])

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

"""Scale-invariant networks, as the runner sees them."""

from collections.abc import Sequence

import torch

from empirics.data import DATASETS
from empirics.data.dataset import Dataset
from empirics.experiment import ExperimentError, NetworkExperiment, Run
from empirics.kinds import Kind
from empirics.training.ensemble import Ensemble


class NetworkKind(Kind):
    """Runs of a network on a data set."""

    experiment: NetworkExperiment

    def check_device(self, device: str) -> None:
        """Refuse a device that torch does not know or cannot reach.

        Raises
        ------
        ExperimentError
            With what would be right.
        """
        try:
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:
            known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
            reason = str(error).splitlines()[0].rstrip(".")
            raise ExperimentError(
                f"device {device!r} cannot be used; here there is {', '.join(known)} ({reason})"
            ) from None

    def _dataset(self) -> Dataset:
        dataset: Dataset = DATASETS.get(self.experiment.data.name)()
        return dataset

    def dimension(self) -> int:
        """Number of trained weights."""
        return self.trainer(self.experiment.cut()[0][:1], "cpu").model.dimension

    def data(self) -> dict[str, str]:
        """Name and checksum of the data set."""
        return {"name": self.experiment.data.name, "sha256": self._dataset().checksum}

    def trainer(self, runs: Sequence[Run], device: str) -> Ensemble:
        """Make the ensemble of one shard."""
        return Ensemble(self.experiment, runs, self._dataset(), device)

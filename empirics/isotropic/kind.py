"""The isotropic gas behind the interface of the runner."""

from collections.abc import Sequence
from typing import Any, cast

from numpy.typing import NDArray

from empirics.experiment import ExperimentError, Run
from empirics.isotropic.experiment import GasRun, IsotropicExperiment
from empirics.isotropic.loop import GasState, GasTrainer
from empirics.isotropic.summary import summarise
from empirics.running.kind import Kind


class IsotropicKind(Kind):
    """Runs of the exactly solvable gas."""

    experiment: IsotropicExperiment
    random = first_random = "xoshiro256++"

    def check_device(self, device: str) -> None:
        """Refuse any device but the CPU."""
        if device != "cpu":
            raise ExperimentError(f"device {device!r} cannot be used: the isotropic gas runs on 'cpu'")

    def dimension(self) -> int:
        """Number of weights."""
        return self.experiment.gas.dimension

    def data(self) -> None:
        """None: the gas needs no data."""

    def trainer(self, runs: Sequence[Run], device: str) -> GasTrainer:
        """Return the trainer of one shard."""
        return GasTrainer(self.experiment, cast(Sequence[GasRun], runs))

    def summarise(self, trainer: GasTrainer, state: GasState) -> dict[str, NDArray]:
        """Results of a shard; see :func:`empirics.isotropic.summary.summarise`."""
        return summarise(trainer, state)

    def attributes(self) -> dict[str, Any]:
        """How the entropy was measured, whether full vectors were advanced, and what the trace contains."""
        symmetric = "symmetric about mu: from the law of the loss, density by a series about a Beta law"
        neighbours = "flat nearest neighbour, no Theiler window, of the snapshots of the vectors"
        matrix = self.experiment.training.matrix
        return ({"matrices": [list(matrix)]} if matrix else {}) | {
            "entropy_method": symmetric if self.experiment.symmetric else neighbours,
            "state": "mu.w and |w_perp|, exact in law" if self.experiment.reduced else "full vectors",
            "trace": "values at the step, before its update",
        }

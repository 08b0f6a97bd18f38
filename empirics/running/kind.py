"""The interface between the runner and a kind of experiment: how its shards advance, and which data it uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from empirics.experiment.registry import Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from empirics.experiment import Experiment, Run

__all__ = ["KINDS_AT_WORK", "Kind", "ShardState", "Trainer"]

KINDS_AT_WORK = Registry(
    "kind", {"network": "empirics.training.kind:NetworkKind", "isotropic": "empirics.isotropic.kind:IsotropicKind"}
)


class ShardState(Protocol):
    """The content of a checkpoint: work continues from it to the same last bit."""

    step: int
    #: Whether there are more snapshots than fit in memory, the first one in memory, and a reader of those on disk.
    streams: bool
    held_from: int
    stored: Callable[[int], NDArray] | None

    def arrays(self) -> dict[str, NDArray]:
        """All of it except the step and the snapshots."""

    def put(self, arrays: Mapping[str, NDArray]) -> None:
        """Restore what :meth:`arrays` returned."""

    def kept(self, start: int, stop: int) -> NDArray:
        """Snapshots number `start` to `stop`."""

    def put_kept(self, start: int, values: NDArray) -> None:
        """Restore snapshots from number `start` on."""


AnyState = TypeVar("AnyState", bound=ShardState)


class Trainer(Protocol[AnyState]):
    """The runs of one shard."""

    def start(self) -> AnyState:
        """Return the state before the first step."""

    def advance(self, state: AnyState) -> None:
        """Do one step, or a number of steps that depends only on the experiment and the step."""

    def full(self, state: AnyState) -> bool:
        """Whether the snapshots in memory must be written to disk before the next one."""


class Kind(ABC):
    """An experiment of one kind, ready to be computed.

    Attributes
    ----------
    random
        The generator of its random numbers, recorded in the provenance: a run is only continued with the same.
    first_random
        That of release 0.1.0, which did not record it.
    """

    random: ClassVar[str]
    first_random: ClassVar[str]

    #: Whether torch's deterministic algorithms are asked for.
    deterministic = False

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment

    @abstractmethod
    def check_device(self, device: str) -> None:
        """Refuse a device that cannot be used."""

    @abstractmethod
    def dimension(self) -> int:
        """The d of the formulas, one more than the number of directions: of one sphere, the number of its weights."""

    @abstractmethod
    def data(self) -> dict[str, str] | None:
        """Name and checksum (``sha256``) of the data, or None if no data are used."""

    @abstractmethod
    def trainer(self, runs: Sequence[Run], device: str) -> Trainer[Any]:
        """Return the trainer of one shard."""

    @abstractmethod
    def summarise(self, trainer: Any, state: Any) -> dict[str, NDArray]:
        """Results of a finished shard, names as ``group/variable``."""

    def check_memory(self, device: str) -> None:  # noqa: B027 - most kinds need little
        """Refuse shards that are too large for the memory of a device, by default none, and say how many runs fit."""

    def check_start(self) -> None:  # noqa: B027 - most kinds have nothing to check
        """Refuse what would be trained and then be thrown away."""

    def found(self) -> list[str]:
        """Lines to show before the first step: what was found out about the model."""
        return []

    def model(self) -> dict[str, Any] | None:
        """Facts about the model, ready for JSON, which must not change between sessions; None if there are none."""
        return None

    def attributes(self) -> dict[str, Any]:
        """Facts about the measurements, stored as attributes of the results."""
        return {}


def at_work(experiment: Experiment) -> Kind:
    """Find the kind of an experiment, ready to be computed."""
    kind: Kind = KINDS_AT_WORK.get(experiment.kind)(experiment)
    return kind

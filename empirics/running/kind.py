"""What the runner needs to know of a kind of experiment: how its shards advance, and what its results rest on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from empirics.experiment.registry import Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from empirics.experiment import Experiment, Run

__all__ = ["KINDS_AT_WORK", "Kind", "ShardState", "Trainer"]

KINDS_AT_WORK = Registry(
    "kind", {"network": "empirics.training.kind:NetworkKind", "isotropic": "empirics.isotropic.kind:IsotropicKind"}
)


class ShardState(Protocol):
    """Everything that a checkpoint must hold: the work can go on from it to the last bit."""

    step: int
    #: Whether there are more snapshots than are held at a time, the first that is held, and what reads them from disk.
    streams: bool
    held_from: int
    stored: Callable[[int], NDArray] | None

    def arrays(self) -> dict[str, NDArray]:
        """All of it but the step and the snapshots."""

    def put(self, arrays: Mapping[str, NDArray]) -> None:
        """Take over what :meth:`arrays` gave."""

    def kept(self, start: int, stop: int) -> NDArray:
        """Snapshots number `start` to `stop`."""

    def put_kept(self, start: int, values: NDArray) -> None:
        """Take over snapshots from number `start` on."""


AnyState = TypeVar("AnyState", bound=ShardState)


class Trainer(Protocol[AnyState]):
    """The runs of one shard."""

    def start(self) -> AnyState:
        """Make the state before the first step."""

    def advance(self, state: AnyState) -> None:
        """Do one step, or a number of steps that depends on nothing but the experiment and the step."""

    def full(self, state: AnyState) -> bool:
        """Whether the snapshots that are held must go to disk before the next one."""


class Kind(ABC):
    """A kind of experiment at work."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment

    @abstractmethod
    def check_device(self, device: str) -> None:
        """Refuse a device that cannot be used.

        Raises
        ------
        ExperimentError
            With what would be right.
        """

    @abstractmethod
    def dimension(self) -> int:
        """The d of the formulas, one more than the number of directions: of one sphere, the number of its weights."""

    @abstractmethod
    def data(self) -> dict[str, str] | None:
        """Name and checksum (``sha256``) of the data the results rest on, or None if they rest on none."""

    @abstractmethod
    def trainer(self, runs: Sequence[Run], device: str) -> Trainer[Any]:
        """Make what advances one shard."""

    @abstractmethod
    def summarise(self, trainer: Any, state: Any) -> dict[str, NDArray]:
        """Everything the results hold of a shard that has ended, names as ``group/variable``."""

    def check_memory(self, device: str) -> None:  # noqa: B027 - most kinds need little
        """Refuse shards that are too large for the memory of a device; does nothing unless the kind says so.

        Raises
        ------
        ExperimentError
            With the size that fits.
        """

    def model(self) -> dict[str, Any] | None:
        """Facts about what is trained, ready for JSON, which must not change between sessions; None without any."""
        return None

    def attributes(self) -> dict[str, Any]:
        """Facts about the measurements that the results tell beside their numbers."""
        return {}


def at_work(experiment: Experiment) -> Kind:
    """Find the kind of an experiment.

    Returns
    -------
    Kind
        Ready to work.
    """
    kind: Kind = KINDS_AT_WORK.get(experiment.kind)(experiment)
    return kind

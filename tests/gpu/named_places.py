"""Where a training may wait for the card, or copy between host and card: this list, and nowhere else."""

from collections.abc import Iterable
from typing import NamedTuple

from card_ledger import Event


class Named(NamedTuple):
    """A place, why it may wait, and a configuration in which it does; what no longer waits must leave the list."""

    file: str  # from empirics/
    function: str
    reason: str
    seen: str

    def holds(self, event: Event) -> bool:
        """Whether a wait or copy is of this place."""
        return (event.place.file, event.place.function) == (f"empirics/{self.file}", self.function)


#: In a step of our own training.
LOOP = (
    Named(
        "training/normalised.py",
        "polar_factor",
        "torch's singular values: the host looks whether they converged, once per matrix in every step of Muon",
        "muon at fixed-lr",
    ),
    Named(
        "models/own.py",
        "OwnModel.logits",
        "in the first step only: the buffers of a user's module move to the card",
        "own module, frozen head",
    ),
)

#: In a user's own loop, by the probe.
PROBE = (
    Named(
        "probe/tensors.py",
        "Tensors._fetch",
        "the inner products of a stretch go to the host at once, at its end",
        "watch",
    ),
    Named(
        "models/products.py",
        "InnerProducts.profiles",
        "once, after the first eight pairs of steps: the scale-invariant blocks are found",
        "watch",
    ),
    Named("probe/tensors.py", "Tensors._index", "once, then: which tensor each block is of", "watch"),
    Named("probe/small.py", "Small.__init__", "once, then: where the blocks of small tensors lie", "watch"),
)


def unnamed(events: Iterable[Event], places: Iterable[Named] = LOOP) -> list[str]:
    """Describe the waits and copies at places that are not on a list."""
    return sorted({f"{one.what} at {one.place}" for one in events if not any(place.holds(one) for place in places)})

"""Where the training loop may wait for the card, or copy between host and card: this list, and nowhere else."""

from typing import NamedTuple

from card_ledger import Ledger, Place


class Named(NamedTuple):
    """A place, why it may wait, and a configuration in which it does: what no longer waits must leave the list."""

    file: str
    function: str
    reason: str
    seen: str

    def holds(self, place: Place) -> bool:
        """Whether a wait or copy is of this place."""
        return (place.file, place.function) == (self.file, self.function)


LOOP = (
    Named(
        "empirics/training/sampling.py",
        "_Chunked._chunk_of",
        "to be removed: indices of 256 minibatches are drawn on the host and copied from pageable memory",
        "sgd at fixed-lr",
    ),
    Named(
        "empirics/training/sampling.py",
        "Vectors.at",
        "to be removed: vectors of noise and of probes are drawn on the host and copied from pageable memory",
        "isotropic noise",
    ),
    Named(
        "empirics/training/normalised.py",
        "polar_factor",
        "torch's singular values: the host looks whether the algorithm converged, once per matrix and step of Muon",
        "muon at fixed-lr",
    ),
    Named(
        "empirics/models/own.py",
        "OwnModel._placed",
        "in the first step only: the buffers of a user's module move to the card",
        "own module, frozen head",
    ),
)


def unnamed(ledger: Ledger) -> list[str]:
    """Waits and copies since the ledger was cleared at places that are not on the list."""
    seen = (event for event in (*ledger.waits, *ledger.copies) if not any(one.holds(event.place) for one in LOOP))
    return sorted({f"{event.what} at {event.place}" for event in seen})

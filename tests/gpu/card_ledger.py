"""What happens on the pretended card: launches, copies, waits, each with its place in the code, and memory."""

import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
#: Modules of the pretended card itself: never the place at which something happens.
OWN = {str(Path(__file__).with_name(name)) for name in ("card_ledger.py", "pretended_card.py")}
#: The allocator of a card gives memory in pieces of so many bytes.
PIECE = 512


class Waited(RuntimeError):
    """An operation made the host wait for the card while that was forbidden."""


class Place(NamedTuple):
    """A line of the project: that of the innermost of its functions, or of the test."""

    file: str  # from the project's root
    function: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.function})"


class Event(NamedTuple):
    """A copy between host and card, or a wait."""

    what: str
    place: Place
    bytes: int = 0


def _here() -> Place:
    frame, packages = sys._getframe(1), str(ROOT / "empirics")
    outer = None
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(packages):
            return Place(str(Path(file).relative_to(ROOT)), frame.f_code.co_qualname, frame.f_lineno)
        if outer is None and file.startswith(str(ROOT / "tests")) and file not in OWN:
            outer = frame
        frame = frame.f_back
    if outer is None:
        return Place("elsewhere", "", 0)
    return Place(str(Path(outer.f_code.co_filename).relative_to(ROOT)), outer.f_code.co_qualname, outer.f_lineno)


class Ledger:
    """Counts since the last `clear`.

    Attributes
    ----------
    launches
        Operations that launch at least one kernel, by name: a lower bound of the number of kernels.
    copies
        Between host and card, whether the host waits or not.
    waits
        Operations at which the host waits until the card has done all that it was asked to do.
    held, peak
        Bytes of the tensors on the card, now and at most.
    mode
        As in ``torch.cuda.set_sync_debug_mode``: with "error" a wait raises `Waited`.
    """

    def __init__(self) -> None:
        self.mode = "default"
        self.held = self.peak = 0
        self._shared: dict[int, list[int]] = {}
        self.clear()

    def clear(self) -> None:
        """Forget all but the tensors that are there."""
        self.launches: Counter[str] = Counter()
        self.copies: list[Event] = []
        self.waits: list[Event] = []
        self.peak = self.held

    def copied(self, direction: str, size: int) -> None:
        """Note a copy of so many bytes, "to the card" or "to the host"."""
        self.copies.append(Event(f"copy {direction}", _here(), size))

    def waited(self, what: str) -> None:
        """Note a wait, or refuse it.

        Raises
        ------
        Waited
            If waits are forbidden.
        """
        self.waits.append(Event(what, _here()))
        if self.mode == "error":
            raise Waited(f"called a synchronizing CUDA operation: {what} at {self.waits[-1].place}")

    def allocated(self, storage: int, size: int) -> None:
        """Count a tensor in the memory `storage`; views share it."""
        if (shared := self._shared.get(storage)) is not None:
            shared[0] += 1
            return
        taken = -(-size // PIECE) * PIECE
        self._shared[storage] = [1, taken]
        self.held += taken
        self.peak = max(self.peak, self.held)

    def freed(self, storage: int) -> None:
        """Count a tensor no more."""
        shared = self._shared[storage]
        shared[0] -= 1
        if not shared[0]:
            self.held -= self._shared.pop(storage)[1]


#: Of the pretended card.
LEDGER = Ledger()

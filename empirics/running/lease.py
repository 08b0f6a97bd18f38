"""Leases: a heartbeat file in a folder shows, to any machine that sees the folder, which process is working on it.

A lease saves work; results are correct without it. Two processes on one shard compute the same numbers and write whole
files, so a lease that is seen too late costs no more than time. It may therefore rely on clocks, and on file systems
that show a change late.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from empirics.running.files import write_atomic

HOST = socket.gethostname()

#: So long a heart elsewhere is watched whose clock is off; network folders show a change a few seconds late.
WATCHED = 3.0

#: The leases of this process: another beat with its number is from an earlier process with the same number.
_ours: set[str] = set()


@dataclass(frozen=True)
class Beat:
    """A heartbeat."""

    owner: str  # a unique name
    host: str  # where the owner runs
    pid: int
    step: int  # steps done
    time: float  # when, in seconds since 1970 by the clock of `host`; 0 once the lease is released

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the last heartbeat in a file, or None."""
        try:
            found = json.loads(path.read_text(encoding="ascii"))
            return cls(
                str(found["owner"]), str(found["host"]), int(found["pid"]), int(found["step"]), float(found["time"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def age(self) -> float:
        """Seconds since then, by the clock of this machine."""
        return time.time() - self.time

    def live(self, seconds: float) -> bool:
        """Whether its owner is presumed running: a heartbeat in the last seconds, and not known to have died."""
        if self.host == HOST and not _runs(self.pid, self.owner):
            return False
        return abs(self.age) < seconds  # nor does a clock count that is ahead by more than that


def _runs(pid: int, owner: str) -> bool:
    """Whether a process of this machine is running; this one is if the owner is one of its leases."""
    if pid == os.getpid():
        return owner in _ours
    if os.name == "nt":  # os.kill would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


class Lease:
    """The right to work on a folder, as long as its owner has a heartbeat.

    Parameters
    ----------
    path
        The file of heartbeats.
    seconds
        How long after its last heartbeat an owner is presumed lost.

    Attributes
    ----------
    step
        Steps done, reported with the next heartbeat.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds, self._owner = path, seconds, uuid4().hex
        self._silent: Beat | None = None  # of another machine, watched in vain
        self._lost, self._over, self.step = threading.Event(), threading.Event(), 0

    def other(self) -> Beat | None:
        """Return the heartbeat of another process at work, or None."""
        found = Beat.read(self._path)
        if found is None or found.owner == self._owner:
            return None
        return found if found.live(self._seconds) or self._beats_on(found) else None

    def _beats_on(self, found: Beat) -> bool:
        """Whether a heart elsewhere beats though its clock says otherwise: it may be hours ahead, or behind."""
        if found.host == HOST or not found.time or found == self._silent:
            return False
        end = time.monotonic() + min(WATCHED, self._seconds)
        while time.monotonic() < end:
            time.sleep(0.1)
            if (now := Beat.read(self._path)) is not None and now.owner == found.owner and now.time != found.time:
                return bool(now.time)
        self._silent = found
        return False

    def take(self, unless: Callable[[], bool] = lambda: False) -> bool:
        """Wait until no other process is at work, and take over: whether this process now holds the lease.

        `unless` is called while waiting; the wait ends once it returns true.
        """
        while not unless():
            if (found := self.other()) is None:
                last = Beat.read(self._path)
                self.step = last.step if last else 0
                self._lost.clear()
                _ours.add(self._owner)
                self._beat(time.time())
                return True
            time.sleep(min(0.5, self._seconds / 20, max(0.0, self._seconds - found.age) + 0.01))
        return False

    @property
    def lost(self) -> bool:
        """Whether another process was seen to have taken over, or the folder is gone."""
        return self._lost.is_set()

    def look(self) -> bool:
        """Check now whether this process still holds the lease."""
        found = Beat.read(self._path)
        if found is None or found.owner != self._owner:
            self._lost.set()
        return not self.lost

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Write heartbeats from a separate thread while the block runs, then release the lease."""
        self._over.clear()
        heart = threading.Thread(target=self._keep, name=f"lease of {self._path}", daemon=True)
        heart.start()
        try:
            yield
        finally:
            self._over.set()
            heart.join()
            _ours.discard(self._owner)
            with contextlib.suppress(OSError):
                if self.look():
                    self._beat(0.0)

    def _keep(self) -> None:
        while not self._over.wait(min(0.5, self._seconds / 10)):
            if not self.look():
                return
            with contextlib.suppress(OSError):  # a full disk shows where it matters: at the next checkpoint
                self._beat(time.time(), self.look)

    def _beat(self, now: float, still: Callable[[], bool] = lambda: True) -> None:
        """Write a heartbeat, if it is `still` wanted once it is written: somebody may have taken over meanwhile."""
        beat = Beat(self._owner, HOST, os.getpid(), self.step, now)
        write_atomic(self._path, json.dumps(asdict(beat)).encode("ascii"), lasting=False, still=still)

"""Files that are whole or not there: written aside, synced, renamed, with a checksum beside them where asked."""

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class DamagedFileError(ValueError):
    """A file is missing, or is not what its checksum says."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that, whatever happens meanwhile, it holds either what it held before or all of `content`."""
    aside = path.with_name(path.name + ".partial")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power failure, on systems where folders can be synced."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class BusyError(RuntimeError):
    """Another process holds the lock."""


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold a lock on a file while the block runs; the system frees it when the process ends, however it ends.

    Parameters
    ----------
    path
        The file, made if it is missing. Where the system has no such locks (Windows) nothing is held.

    Yields
    ------
    None
        While the lock is held.

    Raises
    ------
    BusyError
        If another process, or another block of this one, holds it.
    """
    with path.open("a") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(f"{path} is held by another process") from None
        yield


def held(path: Path) -> bool:
    """Whether somebody holds the lock on a file."""
    if not path.exists():
        return False
    try:
        with hold(path):
            return False
    except BusyError:
        return True


def checksum_path(path: Path) -> Path:
    """Where the checksum of a file is kept."""
    return path.with_name(path.name + ".sha256")


def write_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Write named arrays as one ``.npz`` file, its SHA-256 beside it (first, so that no whole file lacks it)."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    content = buffer.getvalue()
    write_atomic(checksum_path(path), (hashlib.sha256(content).hexdigest() + "\n").encode())
    write_atomic(path, content)


def read_arrays(path: Path) -> dict[str, NDArray]:
    """Read what :func:`write_arrays` wrote.

    Raises
    ------
    DamagedFileError
        If the file or its checksum is missing, or they do not agree.
    """
    try:
        content = path.read_bytes()
        expected = checksum_path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedFileError(f"{path}: {error}") from None
    if hashlib.sha256(content).hexdigest() != expected:
        raise DamagedFileError(f"{path} does not match its checksum")
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return dict(stored)

"""Files that are complete or absent: written aside, synced, renamed. Files of arrays contain their own checksum."""

import contextlib
import errno
import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from empirics.results import ASIDE

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


#: Length of a SHA-256 in hexadecimal, the comment at the end of an ``.npz`` file.
_CHECKSUM = 64


class DamagedFileError(ValueError):
    """A file is missing or does not match its checksum."""


class FullDiskError(RuntimeError):
    """Nothing more can be written; what was written before is intact."""


def no_room(error: BaseException) -> bool:
    """Whether an error means that nothing more can be written: disk full, quota or size limit reached."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomic(
    path: Path,
    content: bytes | Callable[[BinaryIO], None],
    lasting: bool = True,
    still: Callable[[], bool] = lambda: True,
) -> None:
    """Write a file so that it always has either its old content or all of the new, whatever happens meanwhile.

    The content is bytes, or what writes them into the file that it is given. Several processes may write the same file:
    each writes aside under its own name, and the last to finish wins. What is `lasting` survives a power failure; this
    waits for the disk. Writing may take long (a network folder that stalls): only what is `still` wanted after it takes
    the place of the file.
    """
    aside = path.with_name(f"{path.name}.{uuid4().hex}{ASIDE}")
    try:
        with aside.open("w+b") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        if not still():
            aside.unlink(missing_ok=True)
            return
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)  # it may be what fills the disk
        raise
    if lasting:
        _sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove the partial files that killed processes left in a folder."""
    for path in folder.glob(f"*{ASIDE}"):
        if path.is_file():
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power failure, on systems where folders can be synced."""
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
        The file, created if missing. Where there are no such locks (Windows, some network file systems) nothing is
        locked.

    Yields
    ------
    None
        While the lock is held.

    Raises
    ------
    BusyError
        If another process, or another block of this one, holds it.
    OSError
        If the file cannot be locked for another reason.
    """
    with path.open("a") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(f"{path} is held by another process") from None
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
        yield


def write_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Write named arrays as one ``.npz`` file that ends with the SHA-256 of everything before it, as a zip comment.

    Raises
    ------
    TypeError
        If an array holds Python objects: they would be pickled.
    """
    if objects := [name for name, array in arrays.items() if np.asarray(array).dtype.hasobject]:
        raise TypeError(f"arrays of Python objects cannot be written: {', '.join(objects)}")

    def content(file: BinaryIO) -> None:
        # Without `allow_pickle`: before numpy 2.1 it would be the name of an array.
        np.savez(file, **dict(arrays))  # type: ignore[arg-type]
        with zipfile.ZipFile(file, "a") as archive:
            archive.comment = bytes(_CHECKSUM)
        file.write(_digest(file))

    write_atomic(path, content)


def _digest(file: BinaryIO) -> bytes:
    """SHA-256 of a file but for the checksum at its end, where the file then stands."""
    made, left = hashlib.sha256(), file.seek(-_CHECKSUM, os.SEEK_END)
    file.seek(0)
    while left:
        made.update(block := file.read(min(left, 1 << 20)))
        left -= len(block)
    return made.hexdigest().encode("ascii")


def read_arrays(path: Path) -> dict[str, NDArray]:
    """Read what :func:`write_arrays` wrote.

    Raises
    ------
    DamagedFileError
        If the file is missing or does not match its checksum.
    """
    try:
        with path.open("rb") as file:
            if _digest(file) != file.read():
                raise DamagedFileError(f"{path} does not match its checksum")
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                return dict(stored)
    except OSError as error:
        raise DamagedFileError(f"{path}: {error}") from None

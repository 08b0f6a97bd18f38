"""Images from a folder or a tar file, one subfolder per class; read with Pillow."""

import io
import lzma
import tarfile
import warnings
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from empirics.data.dataset import DataError, Dataset, most_unpacked
from empirics.data.holdout import held_out

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm")
TRAIN, TEST = "train", "test"  # subfolders of the training part and of the test set
Content = Mapping[str, bytes | Path]  # by name, ending with ``CLASS/FILE``: the bytes of an image, or its path


def load_images(path: str, test_share: float = 0.0, test_seed: int = 0) -> Dataset:
    """Read an image folder, ``CLASS/*.jpg`` or ``train/CLASS/*.jpg``, packed into a tar file or not.

    ``test/CLASS/*.jpg`` beside ``train`` is the test set. Every channel gets mean 0 and variance 1 over all training
    images. The classes are the names of the folders with images, sorted.

    Parameters
    ----------
    path
        The folder, or a ``.tar``, ``.tar.gz`` or ``.tar.xz`` file of one.
    test_share, test_seed
        What is held out where there is no ``test``, see :func:`empirics.data.holdout.held_out`.

    Returns
    -------
    Dataset
        Inputs in float32, samples in the order of their names.

    Raises
    ------
    DataError
        If there are no images, one is damaged or has another size, or a class is empty; the message names it.
    """
    content, empty = _content(Path(path))
    train, test = _parts(path, content, empty)
    if test and test_share:
        raise DataError(f"[data] test_share = {test_share:g}: must be left out; {path!r} has its own {TEST}/")
    pixels = _pictures(path, content, [*train, *test])
    owners = [name.split("/")[-2] for name in train]
    names = sorted(set(owners))
    if len(names) < 2:
        raise DataError(f"[data] path = {path!r}: images of one class only, {names[0]!r}; needs a folder per class")
    labels = np.searchsorted(names, owners).astype(np.int64)
    if not test:
        out = held_out(labels, test_share, test_seed)
        tests = (pixels[out], labels[out]) if test_share else None
        return of_pixels("images", pixels[~out], labels[~out], tuple(names), tests)
    test_owners = [name.split("/")[-2] for name in test]
    for here, there, folder, other in ((names, test_owners, TRAIN, TEST), (test_owners, names, TEST, TRAIN)):
        if missing := sorted(set(here) - set(there)):
            raise DataError(f"[data] path = {path!r}: class {missing[0]!r} of {folder}/ has no images in {other}/")
    test_labels = np.searchsorted(names, test_owners).astype(np.int64)
    return of_pixels("images", pixels[: len(train)], labels, tuple(names), (pixels[len(train) :], test_labels))


def of_pixels(
    name: str,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    class_names: tuple[str, ...],
    test: tuple[NDArray[np.uint8], NDArray[np.int64]] | None,
) -> Dataset:
    """Make a data set of decoded images, each channel standardised with the training part; inputs in float32.

    Pixels have the shape (sample, height, width, channel); `test` has those and the labels of the test set, if there is
    one.

    Raises
    ------
    DataError
        If a channel has the same value everywhere.

    Examples
    --------
    >>> grey = np.array([[[[1]]], [[[3]]]], dtype=np.uint8)
    >>> of_pixels("two", grey, np.array([0, 1]), ("a", "b"), None).inputs.tolist()
    [[-1.0], [1.0]]
    """
    images = pixels.transpose(0, 3, 1, 2)
    scales = _scales(images)
    inputs = _scaled(images, scales)
    tests = (None, None) if test is None else (_scaled(test[0].transpose(0, 3, 1, 2), scales), test[1])
    return Dataset(name, inputs, labels, len(class_names), images.shape[1:], class_names, *tests)


def _scales(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Standardised value of each pixel value per channel, shape (channel, 256), by exact sums; none may be constant."""
    scales = np.empty((images.shape[1], 256), dtype=np.float32)
    levels = np.arange(256)
    for channel, scale in enumerate(scales):
        values = images[:, channel]
        counts = np.bincount(values.ravel(), minlength=256) / values.size
        mean = float(counts @ levels)
        spread = float(counts @ (levels - mean) ** 2) ** 0.5
        if spread == 0:
            raise DataError(f"[data] path: all images have the same value {mean:g} everywhere in channel {channel}")
        scale[:] = (levels - mean) / spread
    return scales


def _scaled(images: NDArray[np.uint8], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of standardised pixels, without a copy in float64."""
    scaled = np.empty(images.shape, dtype=np.float32)
    for channel, scale in enumerate(scales):
        scaled[:, channel] = scale[images[:, channel]]
    return scaled.reshape(len(scaled), -1)


def _content(path: Path) -> tuple[Content, list[str]]:
    """All images below a folder or in a tar file, which must be readable completely, and the empty folders."""
    if path.is_dir():
        found = {p.relative_to(path).as_posix(): p for p in path.rglob("*")}
        empty = [n for n, p in found.items() if p.is_dir() and not any(p.iterdir())]
        return {n: p for n, p in found.items() if _is_image(n) and p.is_file()}, empty
    content: dict[str, bytes] = {}
    folders: list[str] = []
    full: set[str] = set()
    left = most_unpacked(path.stat().st_size) if path.is_file() else 0
    try:
        with tarfile.open(path) as packed:
            for member in packed:  # in the order of the file: a compressed file has no random access
                name = member.name.removeprefix("./")
                full |= {name[:at] for at, letter in enumerate(name) if letter == "/"}
                if (left := left - member.size) < 0:
                    raise OSError(f"with {name} it unpacks to far too much for its size")
                if name in content:
                    raise OSError(f"{name} is there twice")
                if member.isdir() and name != ".":
                    folders.append(name)
                elif _is_image(name) and (file := packed.extractfile(member)) is not None:
                    content[name] = file.read()
            _check_end(packed)
    except (KeyError, RecursionError):
        raise DataError(f"[data] path = {str(path)!r}: {name} is a link to nothing") from None
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
        where = "" if path.is_absolute() else f" in {Path.cwd()}, the working directory"
        what = f"no folder or intact tar file ({error})" if path.exists() else f"no such folder or file{where}"
        raise DataError(f"[data] path = {str(path)!r}: {what}") from None
    return content, [name for name in folders if name not in full]


def _is_image(name: str) -> bool:
    """Whether it is the name of an image in a folder; hidden files are metadata that some systems add."""
    folder, _, file = name.rpartition("/")
    return bool(folder) and file.lower().endswith(ENDINGS) and not file.startswith(".")


def _check_end(packed: tarfile.TarFile) -> None:
    """Refuse a tar file without an empty block at its end: :mod:`tarfile` takes a truncated header for the end."""
    if packed.fileobj is not None:
        packed.fileobj.seek(packed.offset)
        if packed.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise EOFError("no end mark: truncated or damaged")


def _parts(path: str, names: Iterable[str], empty: list[str]) -> tuple[list[str], list[str]]:
    """Names of the training and test images, sorted; without a folder ``train`` all are training images."""
    images = sorted(names)
    top = _common_folder(images)
    train, test = (
        [n for n in images if n.startswith(f"{top}{part}/") and n.count("/") - top.count("/") > 1]
        for part in (TRAIN, TEST)
    )
    parted = any(n.startswith(f"{top}{TRAIN}/") for n in [*images, *empty])
    if not (train if parted else images):
        raise DataError(f"[data] path = {path!r}: no images found; there must be CLASS/NAME.jpg or .png below it")
    if parted:
        empty = [n for n in empty if f"{n}/".startswith((f"{top}{TRAIN}/", f"{top}{TEST}/"))]
    if empty:
        *above, name = sorted(empty)[0].removeprefix(top).split("/")
        what = f"class {name!r}" if above != [] or not parted else f"{name}/"
        where = f" in {TEST}/" if parted and above[:1] == [TEST] else ""
        raise DataError(f"[data] path = {path!r}: {what} has no images{where}")
    return (train, test) if parted else (images, [])


def _common_folder(names: list[str]) -> str:
    """Name of the folder, as ``FOLDER/``, that contains all classes or both parts, common in archives; else ``""``."""
    top = names[0].split("/")[0] if names else ""
    inside = all(name.startswith(f"{top}/") and name.count("/") > 1 for name in names)
    return f"{top}/" if names and inside and top not in (TRAIN, TEST) else ""


def _pictures(path: str, content: Content, names: list[str]) -> NDArray[np.uint8]:
    """Decode images of one size, shape (sample, height, width, channel)."""
    pixels = np.empty((0,), dtype=np.uint8)
    shape: tuple[int, ...] | None = None
    for number, name in enumerate(names):
        kept = content[name]
        one = _decoded(kept.read_bytes() if isinstance(kept, Path) else kept, f"{path}: {name}", shape)
        if shape is None:
            shape = one.shape
            pixels = np.empty((len(names), *shape), dtype=np.uint8)
        pixels[number] = one
    return pixels


def _decoded(content: bytes, name: str, shape: tuple[int, ...] | None) -> NDArray[np.uint8]:
    """Decode one image to (height, width, channel); refuse one that is damaged or of another size."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content))
        with image:
            grey = image.mode in ("1", "L") if shape is None else shape[2] == 1
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except Exception as error:  # Pillow has an error of its own for an image too large, and damage may raise anything
        raise DataError(f"{name} is not a readable image ({(str(error).splitlines() or ['damaged'])[0]})") from None
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if shape is not None and pixels.shape != shape:
        sizes = " and ".join(f"{width}x{height}" for height, width, _ in (pixels.shape, shape))
        raise DataError(f"{name} has another size than the images before it ({sizes}); all must have the same size")
    return pixels

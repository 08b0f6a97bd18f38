"""Images from a folder or a tar file, one subfolder a class; read with Pillow."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from empirics.data.dataset import DataError, Dataset

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm")
SPLIT = "train"  # of a folder that holds this one, it is taken


def load_images(path: str) -> Dataset:
    """Read an image folder, ``CLASS/*.jpg`` or ``train/CLASS/*.jpg``, packed into a tar file or not.

    Every channel gets mean 0 and variance 1 over all images. The classes are the subfolders' names in order.

    Parameters
    ----------
    path
        The folder, or a ``.tar``, ``.tar.gz`` or ``.tar.xz`` file of one.

    Returns
    -------
    Dataset
        Inputs in float32, samples in the order of their names.

    Raises
    ------
    DataError
        If there are no images, one is broken or has another size, or a class is empty; the message names it.
    """
    pictures: list[NDArray[np.uint8]] = []
    owners: list[str] = []
    for name, content in _files(Path(path)):
        pictures.append(_decoded(content, f"{path}: {name}", pictures[0].shape if pictures else None))
        owners.append(name.split("/")[-2])
    names = sorted(set(owners))
    if len(names) < 2:
        raise DataError(f"[data] path = {path!r}: images of one class only, {names[0]!r}; a folder a class is needed")
    inputs = _standardised(np.stack(pictures).transpose(0, 3, 1, 2))
    labels = np.searchsorted(names, owners).astype(np.int64)
    return Dataset("images", inputs.reshape(len(inputs), -1), labels, len(names), inputs.shape[1:], tuple(names))


def _standardised(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Standardise each channel, the sums exact, without a copy in float64."""
    scaled = np.empty(images.shape, dtype=np.float32)
    for channel in range(images.shape[1]):
        values = images[:, channel]
        counts = np.bincount(values.ravel(), minlength=256) / values.size
        levels = np.arange(256)
        mean = float(counts @ levels)
        spread = float(counts @ (levels - mean) ** 2) ** 0.5
        if spread == 0:
            raise DataError(f"[data] path: all images have the same value {mean:g} everywhere in channel {channel}")
        scaled[:, channel] = ((levels - mean) / spread).astype(np.float32)[values]
    return scaled


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the images, sorted by name.

    Yields
    ------
    tuple
        ``CLASS/FILE`` below the split, and the bytes.

    Raises
    ------
    DataError
        If there is nothing to read.
    """
    if path.is_dir():
        found = {p.relative_to(path).as_posix(): p for p in path.rglob("*")}
        empty = sorted(n for n, p in found.items() if p.is_dir() and not any(p.iterdir()))
        for name in _chosen(path, [n for n, p in found.items() if p.is_file()], empty):
            yield name, found[name].read_bytes()
        return
    try:
        with tarfile.open(path) as packed:
            members = {m.name.removeprefix("./"): m for m in packed.getmembers()}
            names = [name for name, member in members.items() if member.isfile()]
            folders = {name.rsplit("/", 1)[0] for name in names if "/" in name}
            empty = sorted(
                name
                for name, member in members.items()
                if member.isdir()
                and name != "."
                and not any(other.startswith(f"{name}/") or other == name for other in folders)
            )
            content: dict[str, bytes] = {}
            wanted = set(_chosen(path, names, empty))
            for name, member in members.items():  # in the order of the file: a compressed one cannot be searched
                if name in wanted and (file := packed.extractfile(member)) is not None:
                    content[name] = file.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        what = "there is no such folder or file" if not path.exists() else f"not a folder, nor a tar file ({error})"
        raise DataError(f"[data] path = {str(path)!r}: {what}") from None
    for name in sorted(content):
        yield name, content[name]


def _chosen(path: Path, names: list[str], empty: list[str]) -> list[str]:
    """Names of the images of the split, sorted.

    Raises
    ------
    DataError
        If there are none, or a class is empty.
    """
    split = any(name.startswith(f"{SPLIT}/") for name in [*names, *empty])
    inside = [n for n in names if n.lower().endswith(ENDINGS) and n.count("/") >= 1]
    if split:
        inside = [name for name in inside if name.startswith(f"{SPLIT}/") and name.count("/") >= 2]
        empty = [name for name in empty if name.startswith(f"{SPLIT}/")]
    if not inside:
        raise DataError(f"[data] path = {str(path)!r}: no images found, there must be CLASS/NAME.jpg or .png below it")
    if empty:
        raise DataError(f"[data] path = {str(path)!r}: class {empty[0].split('/')[-1]!r} has no images")
    return sorted(inside)


def _decoded(content: bytes, name: str, shape: tuple[int, ...] | None) -> NDArray[np.uint8]:
    """Decode one image to (height, width, channel).

    Raises
    ------
    DataError
        If it is broken, or not of the size of the others.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            grey = image.mode in ("1", "L") if shape is None else shape[2] == 1
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise DataError(f"{name} is not an image that can be read ({str(error).splitlines()[0]})") from None
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if shape is not None and pixels.shape != shape:
        sizes = " and ".join(f"{width}x{height}" for height, width, _ in (pixels.shape, shape))
        raise DataError(f"{name} has another size than the images before it ({sizes}): they must all have one")
    return pixels

"""Small image folders and tar files for the tests."""

import io
import tarfile

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "eel")


def picture(seed, size=(5, 4), mode="RGB"):
    rng = np.random.default_rng(seed)
    channels = () if mode == "L" else (3,)
    return Image.fromarray(rng.integers(256, size=(*size[::-1], *channels), dtype=np.uint8), mode)


def content(image, form="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def write_images(folder, count=4, mode="RGB", first=0):
    for c, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(first, first + count):
            (folder / name / f"{i:03d}.png").write_bytes(content(picture(10 * c + i, mode=mode)))
    return folder


def packed(folder, path, mode="w:xz"):
    with tarfile.open(path, mode) as tar:
        tar.add(folder, arcname=".")
    return path

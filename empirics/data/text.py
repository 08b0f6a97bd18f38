"""Characters of the sources of Python's standard library, as installed: predict the next one from those before."""

import sys
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np

from empirics.data.dataset import DataError, Dataset

#: Number of classes: so many characters less one, the most frequent of the text, and one class for all others.
ALPHABET = 64

#: Places in the text where the experiment file does not say how many.
SAMPLES = 16_384


def load_library_text(context: int, samples: int = 0) -> Dataset:
    """Take evenly spaced places of the text, each with the characters before it as one-hot tokens.

    The text is that of the modules that are single files, in the order of their names, as they come with the running
    Python: another version is another text, and another checksum.

    Parameters
    ----------
    context
        Number of characters before each place: the tokens of a sample.
    samples
        Number of places; 0 for 16,384.

    Returns
    -------
    Dataset
        The class of a sample is its next character: classes are in the order of frequency, the last is every rarer
        character. A one is encoded as √64, so that the mean square of an input is 1.

    Raises
    ------
    DataError
        If the library has no sources here, or fewer places.

    Examples
    --------
    >>> text = load_library_text(context=8, samples=1000)
    >>> text.inputs.shape, text.shape, text.class_names[:2]
    ((1000, 512), (8, 64), (' ', 'e'))
    """
    text, samples = library_sources(), samples or SAMPLES
    if len(text) < context + samples:
        raise DataError(
            f"[data] name = 'library-text': {len(text):,} characters of Python's sources are here, too few for "
            f"{samples:,} places"
        )
    common = [one for one, _ in sorted(Counter(text).items(), key=lambda found: (-found[1], found[0]))[: ALPHABET - 1]]
    number = {one: i for i, one in enumerate(common)}
    codes = np.fromiter((number.get(one, ALPHABET - 1) for one in text), np.int64, len(text))
    places = np.linspace(context, len(codes) - 1, samples).astype(np.int64)
    tokens = codes[places[:, None] + np.arange(-context, 0)]
    inputs = (np.eye(ALPHABET) * np.sqrt(ALPHABET))[tokens].reshape(samples, -1)
    return Dataset("library-text", inputs, codes[places], ALPHABET, (context, ALPHABET), (*common, "other"))


def library_sources() -> str:
    """Return the sources of the modules that are single files, one after another."""
    folder = Path(sysconfig.get_path("stdlib"))
    files = [file for name in sorted(sys.stdlib_module_names) if (file := folder / f"{name}.py").is_file()]
    return "".join(file.read_text(encoding="utf-8") for file in files)

"""Numba's cache on disk watches the text of a file alone, so compiled files hold a hash of what else goes into them."""

import hashlib
from importlib import import_module
from pathlib import Path

import pytest

#: A module with functions that numba keeps on disk: the modules whose functions and constants are compiled into them.
COMPILED = {
    "empirics.isotropic.kernels": ("empirics.isotropic.layout", "empirics.isotropic.steps"),
    "empirics.isotropic.steps": ("empirics.isotropic.layout",),
    "empirics.models.kernels.conv": (
        "empirics.models.kernels.conv_plan",
        "empirics.models.kernels.lanes",
        "empirics.models.kernels.mlp",
    ),
    "empirics.models.kernels.mlp": ("empirics.models.kernels.lanes",),
    "empirics.models.kernels.unit": (),
    "empirics.training.philox_compiled": ("empirics.training.philox_formulas",),
}


@pytest.mark.parametrize("name", [name for name, sources in COMPILED.items() if sources])
def test_a_change_of_the_sources_is_compiled_anew(name):
    texts = [Path(import_module(source).__file__).read_bytes() for source in COMPILED[name]]
    found = hashlib.sha256(b"".join(texts)).hexdigest()[:16]
    assert found == import_module(name).SOURCES, f'write SOURCES = "{found}", or numba goes on with what it has'


def test_every_file_that_numba_keeps_is_listed():
    root = Path(import_module("empirics").__file__).parent
    keeps = [path for path in root.rglob("*.py") if "njit(" in (text := path.read_text("utf-8")) and "cache" in text]
    names = {".".join(path.relative_to(root.parent).with_suffix("").parts) for path in keeps}
    assert names == set(COMPILED), names ^ set(COMPILED)

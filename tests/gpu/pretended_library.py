"""The C++ part of the pretended card, without which torch refuses it: built once per torch, in a few seconds.

It is loaded before torch is imported, which looks for a CUDA device once.
"""

import ctypes
import hashlib
import importlib.util
import os
import platform
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("pretended_device.cpp")
#: Ignored by git; `make clean` empties it.
BUILD = Path(__file__).parents[2] / "build" / "pretended-card"
#: Torch's own libraries, in the order in which they need each other.
NEEDED = ("libtorch_global_deps.so", "libc10.so", "libtorch_cpu.so")


class Unavailable(Exception):
    """Why there is no pretended card here."""


def _torch() -> tuple[Path, str]:
    """Folder and version of torch, without importing it."""
    if "torch" in sys.modules:
        raise Unavailable("torch was imported before the pretended card: run `python -m pytest tests/gpu` by itself")
    folder = Path(importlib.util.find_spec("torch").origin).parent
    facts = runpy.run_path(str(folder / "version.py"))
    if facts["cuda"] or facts["hip"]:
        raise Unavailable(f"the card can be pretended on a CPU build of torch only; this is {facts['__version__']}")
    return folder, facts["__version__"]


def _built(torch: Path, version: str, compiler: str) -> Path:
    """The library, from an earlier run if that had the same source, torch and compiler."""
    key = hashlib.sha256(f"{SOURCE.read_text()}{version}{compiler}{platform.machine()}".encode()).hexdigest()[:16]
    folder = BUILD if os.access(BUILD.parents[1], os.W_OK) else Path(tempfile.mkdtemp())
    target = folder / f"{key}.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    headers = [f"-I{torch / 'include'}", f"-I{torch / 'include/torch/csrc/api/include'}"]
    unfinished = folder / f"{key}-{os.getpid()}.so"  # processes may build at the same time
    command = [compiler, "-O0", "-std=c++20", "-fPIC", "-shared", *headers, str(SOURCE), "-o", str(unfinished)]
    try:
        done = subprocess.run([*command, f"-L{torch / 'lib'}", "-ltorch_cpu", "-lc10"], capture_output=True, text=True)
    except OSError as error:
        raise Unavailable(f"no C++ compiler here: {compiler} is not found, and the pretended card needs one") from error
    if done.returncode:
        raise Unavailable(f"{compiler} cannot build {SOURCE.name} for torch {version}: {done.stderr.strip()[:300]}")
    unfinished.replace(target)
    return target


def load() -> None:
    """Load the library into this process.

    Raises
    ------
    Unavailable
        If no card can be pretended here.
    """
    torch, version = _torch()
    library = _built(torch, version, os.environ.get("CXX", "g++"))
    os.environ["TORCH_AUTOGRAD_SHUTDOWN_WAIT_LIMIT"] = "0"  # autograd's threads, which stay idle, end with the process
    for name in NEEDED:
        ctypes.CDLL(str(torch / "lib" / name), mode=ctypes.RTLD_GLOBAL)
    if (found := ctypes.CDLL(str(library)).pretend()) != 0:
        raise Unavailable(f"torch {version} does not take the pretended card ({found})")

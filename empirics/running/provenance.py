"""Provenance of a run: what is needed to trust or repeat its numbers years later."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("thermo-theory", "torch", "numpy", "scipy", "numba", "scikit-learn", "xarray", "zarr")


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def session(device: str, arithmetic: Mapping[str, Any]) -> dict[str, Any]:
    """Facts about the present session, ready for JSON: command, versions, machine and its arithmetic, time."""
    versions = {name: version_of(name) for name in PACKAGES}
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv[0] else "interactive Python",
        "versions": {"python": platform.python_version(), **versions},
        "commit": _commit(),
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "threads_per_shard": 1,
            "system": f"{platform.system()} {platform.machine()}",
            "device": device,
            **arithmetic,
        },
        "started": now(),
        "ended": None,
    }


def version_of(name: str) -> str:
    """Return the installed version of a package, ``unknown`` if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def _cpu() -> str:
    """Find the model of the processor, if the system reports it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """Find the git commit of this code, with ``+`` if files differ from it; None outside a checkout."""
    home = Path(__file__).resolve().parents[2]
    if not (home / ".git").exists():
        return None
    try:
        head = _git(home, "rev-parse", "HEAD")
        return head + ("+" if _git(home, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(home: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(home), *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()

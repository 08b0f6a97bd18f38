"""The isotropic gas at d = 1,000: energy and radius by the two-number reduction, and with full vectors."""

from benchmarks.contest import Contest
from benchmarks.isotropic import compared


def contests(quick: bool) -> list[Contest]:
    """A 7x7 grid, both ways; ours runs long enough for the hundred points of its trace to be negligible."""
    scale = 5 if quick else 1
    return [
        compared("isotropic-1000", 1000, 7, (100_000 // scale, 2_000 // scale), 300.0),
        compared("isotropic-1000-vectors", 1000, 7, (10_000 // scale, 2_000 // scale), 7.0, vectors=True),
    ]

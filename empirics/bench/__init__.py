"""Benchmarks: ours against a reference written here, in turns, on one thread of this machine.

>>> from empirics.bench import NAMES
>>> NAMES
('isotropic', 'isotropic-1000', 'digits', 'resnet18', 'measured-run', 'neighbours')
"""

from empirics.bench.contest import NAMES, Peak, Row, bench, table

__all__ = ["NAMES", "Peak", "Row", "bench", "table"]

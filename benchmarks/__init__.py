"""Benchmarks: ours against a plain reference, in turns, on one thread of this machine.

``python -m benchmarks isotropic digits --format json`` prints the rows; the contests are a module each.

>>> NAMES
('isotropic', 'isotropic-1000', 'digits', 'resnet18', 'measured-run', 'neighbours')
"""

from benchmarks.contest import NAMES, Peak, Row, bench, table

__all__ = ["NAMES", "Peak", "Row", "bench", "table"]

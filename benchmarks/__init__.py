"""Benchmarks: our code against a plain reference and rivals, in turns, on one thread of this machine.

``python -m benchmarks isotropic digits --format json`` prints one row per contest; each name is a module here.
``measuring``, ``probe`` and ``scaling`` are programs of their own: ``python -m benchmarks.measuring``.

>>> NAMES
('isotropic', 'isotropic-1000', 'digits', 'resnet18', 'ensembles', 'measured-run', 'neighbours')
"""

from benchmarks.contest import NAMES, Peak, Row, bench, table

__all__ = ["NAMES", "Peak", "Row", "bench", "table"]

"""Instruments for somebody's own training loop: what the thermodynamics of its scale-invariant layers is right now.

:class:`ThermoProbe` watches; :mod:`empirics.probe.sinks` sends what it says to TensorBoard or Weights & Biases,
:mod:`empirics.probe.lightning` and :mod:`empirics.probe.huggingface` put it into those trainers (extras).
"""

from empirics.probe.probe import COLUMNS, ThermoProbe

__all__ = ["COLUMNS", "ThermoProbe"]

"""A probe for your own training loop: the thermodynamics of its scale-invariant layers, measured as it trains.

:func:`watch` attaches a :class:`ThermoProbe` to an optimiser; :mod:`empirics.probe.sinks` sends its values to
TensorBoard or Weights & Biases; :mod:`empirics.probe.lightning` and :mod:`empirics.probe.huggingface` are
callbacks for those trainers (extras).
"""

from typing import TYPE_CHECKING

from thermo_theory.renamed import lazily

if TYPE_CHECKING:
    from empirics.probe.probe import COLUMNS, ThermoProbe, watch

__all__ = ["COLUMNS", "ThermoProbe", "watch"]

#: The probe needs torch; it is loaded when it is first used.
__getattr__ = lazily(__name__, {"empirics.probe.probe": __all__})

"""A probe for your own training loop: the thermodynamics of its scale-invariant layers, measured as it trains.

:class:`ThermoProbe` measures; :mod:`empirics.probe.sinks` sends its values to TensorBoard or Weights & Biases;
:mod:`empirics.probe.lightning` and :mod:`empirics.probe.huggingface` are callbacks for those trainers (extras).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from empirics.probe.probe import COLUMNS, ThermoProbe

__all__ = ["COLUMNS", "ThermoProbe"]


def __getattr__(name: str) -> Any:
    """Load the probe, which needs torch, when it is first used.

    Raises
    ------
    AttributeError
        For any other name.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from empirics.probe import probe

    return getattr(probe, name)

"""Scale-invariant networks with a leading ensemble axis, one file each. Torch is loaded when one is used."""

from typing import TYPE_CHECKING, Any

from empirics.models.registry import MODELS

if TYPE_CHECKING:
    from empirics.models.invariance import TensorBlocks, scale_invariant_blocks
    from empirics.models.own import network

__all__ = ["MODELS", "TensorBlocks", "network", "scale_invariant_blocks"]


def __getattr__(name: str) -> Any:
    """Load the public functions that need torch.

    Raises
    ------
    AttributeError
        For any other name.
    """
    if name not in ("TensorBlocks", "network", "scale_invariant_blocks"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from empirics.models import invariance, own

    return getattr(own if name == "network" else invariance, name)

"""Scale-invariant networks with a leading ensemble axis, one file each. Torch is loaded when one is used."""

from typing import TYPE_CHECKING

from empirics.models.registry import MODELS
from thermo_theory.renamed import lazily

if TYPE_CHECKING:
    from empirics.models.invariance import TensorBlocks, scale_invariant_blocks
    from empirics.models.own import network
    from empirics.models.roles import param_groups

__all__ = ["MODELS", "TensorBlocks", "network", "param_groups", "scale_invariant_blocks"]

#: What needs torch is loaded when it is first used.
__getattr__ = lazily(
    __name__,
    {
        "empirics.models.invariance": ("TensorBlocks", "scale_invariant_blocks"),
        "empirics.models.own": ("network",),
        "empirics.models.roles": ("param_groups",),
    },
)

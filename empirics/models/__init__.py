"""Scale-invariant networks that carry a leading ensemble axis; each is one file."""

from empirics.registry import Registry

MODELS = Registry("model", {"mlp": "empirics.models.mlp:EnsembleMLP"})

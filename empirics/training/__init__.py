"""Training a whole grid at once: protocols and optimisers (a small file each), the loop, its checkpoints."""

from empirics.registry import Registry

PROTOCOLS = Registry("protocol", {"fixed-lr": "empirics.training.fixed_lr:FixedLR"})
OPTIMIZERS = Registry("optimizer", {"sgd": "empirics.training.sgd:SGD"})

"""Training of a whole grid at once: protocols and optimisers (a small file each), the loop, its summary."""

from empirics.experiment.registry import Registry

PROTOCOLS = Registry(
    "protocol",
    {
        "fixed-lr": "empirics.training.fixed_lr:FixedLR",
        "fixed-elr": "empirics.training.fixed_elr:FixedELR",
        "fixed-sphere": "empirics.training.fixed_sphere:FixedSphere",
    },
)
OPTIMIZERS = Registry(
    "optimizer",
    {
        "sgd": "empirics.training.sgd:SGD",
        "momentum": "empirics.training.momentum:Momentum",
        "nesterov": "empirics.training.momentum:Nesterov",
        "adamw": "empirics.training.adam:AdamW",
        "adam-l2": "empirics.training.adam:AdamL2",
        "signsgd": "empirics.training.sign:SignSGD",
        "lion": "empirics.training.sign:Lion",
        "normalised-sgd": "empirics.training.normalised:NormalisedSGD",
        "muon": "empirics.training.normalised:Muon",
        "lars": "empirics.training.trust:LARS",
        "lamb": "empirics.training.trust:LAMB",
    },
)

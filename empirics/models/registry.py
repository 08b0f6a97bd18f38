"""The networks that an experiment file can name."""

from typing import TYPE_CHECKING

from empirics.experiment.registry import Registry

if TYPE_CHECKING:
    pass


MODELS = Registry(
    "model",
    {
        "mlp": "empirics.models.mlp:EnsembleMLP",
        "convnet": "empirics.models.convolutional:ConvNet",
        "resnet18": "empirics.models.convolutional:ResNet18",
        "transformer": "empirics.models.transformer:Transformer",
    },
)

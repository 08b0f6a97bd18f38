"""The networks available to experiment files, by name."""

from empirics.experiment.registry import Registry

MODELS = Registry(
    "model",
    {
        "unit": "empirics.models.unit:Unit",
        "mlp": "empirics.models.mlp:EnsembleMLP",
        "convnet": "empirics.models.convolutional:ConvNet",
        "paper-convnet": "empirics.models.convolutional:PaperConvNet",
        "resnet18": "empirics.models.convolutional:ResNet18",
        "preact-resnet18": "empirics.models.convolutional:PreActResNet18",
        "transformer": "empirics.models.transformer:Transformer",
    },
)

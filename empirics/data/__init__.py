"""Real data sets as plain arrays, one file each, imported when an experiment names it."""

from empirics.experiment.registry import Registry

DATASETS = Registry(
    "data set",
    {
        "digits": "empirics.data.digits:load_digits",
        "digits-images": "empirics.data.digits:load_digit_images",
        "images": "empirics.data.images:load_images",
        "arrays": "empirics.data.arrays:load_arrays",
        "torchvision": "empirics.data.vision:load_torchvision",
        "modular-addition": "empirics.data.modular:load_modular_addition",
        "permutations": "empirics.data.permutations:load_permutations",
        "library-text": "empirics.data.text:load_library_text",
    },
)

"""Real data sets as plain arrays; each is one file, loaded when an experiment names it."""

from empirics.registry import Registry

DATASETS = Registry("data set", {"digits": "empirics.data.digits:load_digits"})

"""The digits network with more that is trained than its scale-invariant weights, for experiments/remainder-*.toml.

What is added is written as "as it was, plus `size` times a trained tensor", so that `size` makes it as small as one
likes: SGD on such a tensor is SGD on what is added at ``size^2`` times the learning rate.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from empirics.models.own import network

#: Name of the part that is trained, and how large it is made; 0 for the digits network itself.
SETTINGS = {
    "none": ("none", 0.0),
    "biases": ("biases", 1.0),
    "affine-0.03": ("affine", 0.03),
    "affine-0.1": ("affine", 0.1),
    "affine-0.3": ("affine", 0.3),
    "affine-1": ("affine", 1.0),
    "head-0.1": ("head", 0.1),
    "head-0.3": ("head", 0.3),
    "head-1": ("head", 1.0),
}

HIDDEN, HEAD_NORM, EPS, START = (16, 16), 10.0, 1e-12, 0.1


class Remainder(nn.Module):
    """``x -> [W ., BatchNorm, (1 + size scale) . + size shift, ReLU] x 2 -> (head + size change) . + size bias``.

    Parameters
    ----------
    features, classes : int
        Width of the input and of the output.
    part : str
        What is trained beside the matrices W: "none", "affine" (scales and shifts), "head" (change) or "biases".
    size : float
        What it is multiplied by.
    """

    def __init__(self, features: int, classes: int, part: str, size: float) -> None:
        super().__init__()
        widths = (features, *HIDDEN)
        self.part, self.size = part, size
        self.matrices = nn.ParameterList(nn.Parameter(torch.randn(after, before)) for before, after in pairwise(widths))
        head = torch.randn(classes, widths[-1])
        # A buffer is that of the one module that is measured, so the head is the same for every run.
        self.register_buffer("head", HEAD_NORM * head / head.norm())
        if part == "affine":
            self.scales = nn.ParameterList(nn.Parameter(START * torch.randn(width)) for width in HIDDEN)
            self.shifts = nn.ParameterList(nn.Parameter(START * torch.randn(width)) for width in HIDDEN)
        elif part == "head":
            self.change = nn.Parameter(START * torch.randn(classes, widths[-1]))
        elif part == "biases":
            self.bias = nn.Parameter(START * torch.randn(classes))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, shape (batch, class)."""
        signal = inputs
        for i, matrix in enumerate(self.matrices):
            linear = signal @ matrix.T
            scale = shift = None
            if self.part == "affine":
                scale, shift = 1 + self.size * self.scales[i], self.size * self.shifts[i]
            signal = batch_norm(linear, None, None, scale, shift, training=True, eps=EPS).relu()
        head = self.head + self.size * self.change if self.part == "head" else self.head
        logits = signal @ head.T
        return logits + self.size * self.bias if self.part == "biases" else logits


def _register(name: str, part: str, size: float) -> None:
    network(name)(lambda features, classes: Remainder(features, classes, part, size))


for _name, _setting in SETTINGS.items():
    _register(_name, *_setting)

"""The digits networks as plain torch modules, to evaluate weights on all samples and to average them.

Under BatchNorm the statistics are those of all training samples, also for the test samples, as in a network that is put
to use; in training they are those of the minibatch, so the losses here are lower than those of the results.
"""

import numpy as np
import torch
from torch import nn

from empirics.data.loading import load
from empirics.models.registry import MODELS
from empirics.training.sampling import frozen_generator

EPS = 1e-12


class Network(nn.Module):
    """Linear layers without biases, each normalised and rectified, and a frozen last layer."""

    def __init__(self, experiment):
        super().__init__()
        table, self.data = experiment.model, load(experiment.data)
        model = MODELS.get(table.name).of(table, self.data)
        self.norm, self.noise = table.norm, experiment.data.label_noise
        self.layers = nn.ParameterList(nn.Parameter(torch.zeros(block.shape)) for block in model.blocks)
        self.register_buffer("head", torch.tensor(model.draw_frozen(frozen_generator(table.head_seed))[0]).float())
        rows = {f"layers.{i}": block.parts for i, block in enumerate(model.blocks)}
        self.averaging = rows

    def put(self, flat):
        """Take weights as a snapshot has them, shape (d,)."""
        parts = torch.as_tensor(flat).float().split([one.numel() for one in self.layers])
        with torch.no_grad():
            for one, part in zip(self.layers, parts, strict=True):
                one.copy_(part.view_as(one))
        return self

    def flat(self):
        """All weights, shape (d,)."""
        return torch.cat([one.detach().flatten() for one in self.layers])

    def forward(self, inputs, reference):
        """Logits; BatchNorm takes its statistics from the samples `reference`."""
        signal, seen = inputs, reference
        for weights in self.layers:
            signal, seen = signal @ weights.T, seen @ weights.T
            if self.norm == "batch":
                mean, spread = seen.mean(0), (seen.var(0, unbiased=False) + EPS).sqrt()
                signal, seen = ((one - mean) / spread for one in (signal, seen))
            else:
                signal, seen = (one / (one.square().mean(1, keepdim=True) + EPS).sqrt() for one in (signal, seen))
            signal, seen = signal.relu(), seen.relu()
        return signal @ self.head.T

    def loss(self):
        """Expected loss of the training samples, labels drawn anew counted; keeps its graph."""
        inputs, labels = torch.as_tensor(self.data.inputs).float(), torch.as_tensor(self.data.labels)
        log_p = torch.log_softmax(self(inputs, inputs), 1)
        right = log_p.gather(1, labels[:, None]).mean()
        return -((1 - self.noise) * right + self.noise * log_p.mean())

    @torch.no_grad()
    def evaluate(self):
        """Training loss, test loss and test accuracy; NaN where there is no test set."""
        if self.data.test_inputs is None:
            return float(self.loss()), np.nan, np.nan
        inputs, tests = (torch.as_tensor(one).float() for one in (self.data.inputs, self.data.test_inputs))
        labels, logits = torch.as_tensor(self.data.test_labels), self(tests, inputs)
        right = (logits.argmax(1) == labels).double().mean()
        return float(self.loss()), float(nn.functional.cross_entropy(logits, labels)), float(right)

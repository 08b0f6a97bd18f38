"""Copies of the isotropic gas as a torch module: steps by any optimiser, none of the toolkit's own loops."""

import torch
from torch import nn


class Gas(nn.Module):
    """Rows are copies of the isotropic gas: loss 1 - mu.w/|w|, to which isotropic noise in the tangent is added."""

    def __init__(self, copies, dimension, radius, seed=0):
        super().__init__()
        self.random = torch.Generator().manual_seed(seed)
        start = torch.randn(copies, dimension, generator=self.random, dtype=torch.float64) * 0.07
        start[:, 0] += 1
        self.weights = nn.Parameter(start / start.norm(dim=1, keepdim=True) * radius)

    def backward(self):
        w = self.weights.detach()
        norm = w.norm(dim=1, keepdim=True)
        unit = w / norm
        push = torch.randn(w.shape, generator=self.random, dtype=w.dtype)
        push[:, 0] -= 1
        self.weights.grad = (push - (push * unit).sum(1, keepdim=True) * unit) / norm

    def measure(self):
        norm = self.weights.detach().norm(dim=1)
        return float((1 - self.weights.detach()[:, 0] / norm).mean()), float(norm.mean())

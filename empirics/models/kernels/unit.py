"""A unit's gradient on a CPU; plain reference: :meth:`empirics.models.functional.FunctionalModel.loss_and_grad`.

The reference is torch's own backward pass; it is also what runs without numba and on a GPU. The result of a run does
not depend on the others, bit for bit.
"""

import math
from typing import Any

import numpy as np
from numba import njit

_COMPILED: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc"}}

__all__ = ["gradients"]


@njit(**_COMPILED)
def _dot(x, x0, y, y0, size):  # type: ignore[no-untyped-def]
    """Sum of products of `size` numbers of two flat arrays."""
    found = x.dtype.type(0)
    for k in range(size):
        found += x[x0 + k] * y[y0 + k]
    return found


@njit(**_COMPILED)
def _cross_entropy(logits, label):  # type: ignore[no-untyped-def]
    """Loss of one sample; its gradient takes the place of the logits."""
    top = logits.max()
    loss, norm = top - logits[label], logits.dtype.type(0)
    for c in range(len(logits)):
        logits[c] = math.exp(logits[c] - top)
        norm += logits[c]
    logits /= norm
    logits[label] -= 1
    return loss + math.log(norm)


@njit(**_COMPILED)
def gradients(flat, head, samples, rows, labels, eps, out, losses):  # type: ignore[no-untyped-def]
    """Losses and gradients of all runs; see :meth:`empirics.models.base.Model.loss_and_grad_of`.

    `flat` and `out` are the weights and their gradients, (run, d), `head` is (run, class, class - 1). Without `rows`
    the samples are the minibatches, one after the other.
    """
    (runs, batch), (_, classes, units), kind = labels.shape, head.shape, flat.dtype.type
    size, logits, share = flat.shape[1] // units, np.empty(classes, flat.dtype), flat.dtype.type(1 / labels.shape[1])
    weights, found, inputs = flat.ravel(), out.ravel(), samples.ravel()
    for r in range(runs):
        first, loss = r * units * size, 0.0
        over = kind(1 / math.sqrt(_dot(weights, first, weights, first, units * size) + eps))
        found[first : first + units * size] = 0
        for b in range(batch):
            at = (rows[r, b] if rows.size else r * batch + b) * size
            logits[:] = 0
            for j in range(units):
                sent = over * _dot(weights, first + j * size, inputs, at, size)
                for c in range(classes):
                    logits[c] += head[r, c, j] * sent
            loss += _cross_entropy(logits, labels[r, b])
            for j in range(units):
                back = kind(0)
                for c in range(classes):
                    back += head[r, c, j] * logits[c]
                back *= share
                for k in range(size):
                    found[first + j * size + k] += back * inputs[at + k]
        losses[r] = loss / batch
        along = over * over * _dot(weights, first, found, first, units * size)
        for k in range(first, first + units * size):
            found[k] = over * (found[k] - along * weights[k])

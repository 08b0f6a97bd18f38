"""Compiled steps that see the gradients of all coordinates at once; plain reference: formulas in float64, torch's SVD.

Arrays have the lane as their last axis, as in :mod:`empirics.isotropic.kernels`. A zero vector has the
direction 0, a singular matrix the polar factor of its range.
"""

import math

import numpy as np
from numba import njit

from empirics.isotropic import layout as at
from empirics.isotropic.layout import LANES, MOVED_ALONG, MOVED_SQ, PULL, R_SQ, RATE, SHRINK, SLOPES

SOURCES = "999f10b04197425b"  # as there
_jit = njit(cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy", boundscheck=False)

#: Sweeps over all pairs of rows; ten suffice for matrices of any condition, and most need five.
SWEEPS = 30
#: Rows count as orthogonal if their cosine squared is below this; shorter ones than this share of the longest as 0.
ORTHOGONAL, NOTHING = 1e-31, 1e-14


@_jit
def polar(matrix, rows, columns):  # type: ignore[no-untyped-def]
    """Replace the matrix (rows · columns, lane) of every lane by its polar factor U Vᵀ, with U S Vᵀ the matrix.

    Pairs of rows (of columns, if there are fewer) are rotated until all are orthogonal, which gives J A = S Vᵀ with J
    orthogonal (Hestenes 1958). Lanes that are done are left alone, so the numbers of one do not depend on the others.
    """
    m, n, step, along = (rows, columns, columns, 1) if rows <= columns else (columns, rows, 1, columns)
    turned = np.zeros((m * m, LANES))
    for p in range(m):
        turned[p * m + p] = 1.0
    cos, sin, products = np.empty(LANES), np.empty(LANES), np.empty((3, LANES))
    for _ in range(SWEEPS):
        done = True
        for p in range(m - 1):
            for q in range(p + 1, m):
                products[:] = 0.0
                for k in range(n):
                    for i in range(LANES):
                        x, y = matrix[p * step + k * along, i], matrix[q * step + k * along, i]
                        products[0, i] += x * x
                        products[1, i] += y * y
                        products[2, i] += x * y
                for i in range(LANES):
                    xx, yy, xy = products[0, i], products[1, i], products[2, i]
                    cos[i], sin[i] = 1.0, 0.0
                    if xy * xy > ORTHOGONAL * xx * yy:
                        ratio = (yy - xx) / (2.0 * xy)
                        tangent = math.copysign(1.0, ratio) / (abs(ratio) + math.sqrt(1.0 + ratio * ratio))
                        cos[i] = 1.0 / math.sqrt(1.0 + tangent * tangent)
                        sin[i] = cos[i] * tangent
                        done = False
                _turn(matrix, p * step, q * step, n, along, cos, sin)
                _turn(turned, p * m, q * m, m, 1, cos, sin)
        if done:
            break
    _assemble(matrix, turned, m, n, step, along)


@_jit
def _turn(matrix, p, q, count, along, cos, sin):  # type: ignore[no-untyped-def]
    """Rotate two rows, which begin at p and q, in their plane."""
    for k in range(count):
        for i in range(LANES):
            x, y = matrix[p + k * along, i], matrix[q + k * along, i]
            matrix[p + k * along, i] = cos[i] * x - sin[i] * y
            matrix[q + k * along, i] = sin[i] * x + cos[i] * y


@_jit
def _assemble(matrix, turned, m, n, step, along):  # type: ignore[no-untyped-def]
    """Jᵀ times the orthogonal rows, each divided by its length."""
    lengths, longest, column = np.zeros((m, LANES)), np.zeros(LANES), np.empty((m, LANES))
    for p in range(m):
        for k in range(n):
            for i in range(LANES):
                lengths[p, i] += matrix[p * step + k * along, i] * matrix[p * step + k * along, i]
        for i in range(LANES):
            lengths[p, i] = math.sqrt(lengths[p, i])
            longest[i] = max(longest[i], lengths[p, i])
    for k in range(n):
        for p in range(m):
            for i in range(LANES):
                long = lengths[p, i] > NOTHING * longest[i]
                column[p, i] = matrix[p * step + k * along, i] / lengths[p, i] if long else 0.0
        for p in range(m):
            for i in range(LANES):
                found = 0.0
                for q in range(m):
                    found += turned[q * m + p, i] * column[q, i]
                matrix[p * step + k * along, i] = found


@_jit
def _pushes(optimizer, hyper, age, pull, weights, first, second, lane):  # type: ignore[no-untyped-def]
    """Turn the gradients in `pull` into what is then normalised as a whole; returns its squared norm per lane."""
    beta, beta2, eps = hyper[0], hyper[1], hyper[2]
    correction, correction2 = 1.0 - beta**age, math.sqrt(1.0 - beta2**age)
    squared = np.zeros(LANES)
    for j in range(len(pull)):
        for i in range(LANES):
            g = pull[j, i]
            if optimizer == at.LION:
                g, first[j, i] = (
                    beta * first[j, i] + (1.0 - beta) * g,
                    beta2 * first[j, i] + (1.0 - beta2) * g,
                )
            elif optimizer == at.MUON:
                first[j, i] = beta * first[j, i] + (1.0 - beta) * g
                g = beta * first[j, i] + (1.0 - beta) * g
            elif optimizer == at.LAMB:
                first[j, i] = beta * first[j, i] + (1.0 - beta) * g
                second[j, i] = beta2 * second[j, i] + (1.0 - beta2) * g * g
                g = first[j, i] / correction / (math.sqrt(second[j, i]) / correction2 + eps)
            if optimizer >= at.LARS:
                g += lane[SHRINK * LANES + i] * weights[j, i]
            if optimizer <= at.LION:
                g = 1.0 if g > 0.0 else -1.0 if g < 0.0 else g
            pull[j, i] = g
            squared[i] += g * g
    return squared


@_jit
def move(optimizer, hyper, age, pull, weights, first, second, lane):  # type: ignore[no-untyped-def]
    """Take one step from the gradients in `pull` (d, lane), which it overwrites.

    Fills |dw|², w·dw and, as `PULL`, what multiplies lr · weight_decay · w in the decay. The mean preconditioner is
    NaN: the temperature of these gases is not that of a preconditioner.
    """
    squared = _pushes(optimizer, hyper, age, pull, weights, first, second, lane)
    if optimizer == at.MUON:
        polar(pull, int(hyper[4]), len(pull) // int(hyper[4]))
    factor, shrink = np.ones(LANES), np.zeros(LANES)
    memory = hyper[0] if optimizer == at.LARS else 0.0
    for i in range(LANES):
        if optimizer == at.MUON:
            factor[i] = hyper[3]
        elif optimizer >= at.NORMALISED_SGD:
            size = math.sqrt(lane[R_SQ * LANES + i]) if optimizer >= at.LARS else 1.0
            factor[i] = size / math.sqrt(squared[i]) if squared[i] != 0.0 else 0.0
        if optimizer < at.LARS:
            shrink[i] = lane[RATE * LANES + i] * lane[SHRINK * LANES + i]
        lane[PULL * LANES + i] = factor[i] / (1.0 - memory) if optimizer >= at.LARS else 1.0
    lane[MOVED_SQ * LANES : (MOVED_ALONG + 1) * LANES] = 0.0
    lane[SLOPES * LANES : (SLOPES + 1) * LANES] = np.nan
    for j in range(len(pull)):
        for i in range(LANES):
            w, push = weights[j, i], factor[i] * pull[j, i]
            if memory > 0.0:
                first[j, i] = memory * first[j, i] + push
                push = first[j, i]
            change = -shrink[i] * w - lane[RATE * LANES + i] * push
            weights[j, i] = w + change
            lane[MOVED_SQ * LANES + i] += change * change
            lane[MOVED_ALONG * LANES + i] += w * change

"""A perceptron's gradient on a CPU; plain reference: :meth:`empirics.models.mlp.EnsembleMLP.loss_and_grad`, in torch.

The tests compare the two (for LayerNorm and RMSNorm, with :class:`empirics.models.mlp.NormedMLP`). The reference is
also what runs without numba and on a GPU. Runs are computed one after the other, each of them in the processor's cache,
and the result of a run does not depend on the others, bit for bit.

The normalisation is BatchNorm (over the samples, `COLUMNS`), or LayerNorm or RMSNorm (over the units, `CENTRED_ROWS`
and `ROWS`); after the latter two the activation may be tanh instead of ReLU.

Numba's cache on disk watches the text of this file alone: `SOURCES` is a hash of `lanes`.

Matrices of a few dozen rows are too small for BLAS: packing them takes longer than multiplying them. Here one tile of
`TILE` rows by `LANES` columns stays in vector registers while a product is summed over its depth; both products of the
backward pass are the same tile read with other strides. Rows are padded to whole vectors.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from empirics.models.kernels.lanes import (
    LANES,
    TILE,
    add,
    div,
    exp,
    fill,
    gated,
    larger,
    load,
    many,
    mul,
    muladd,
    single,
    store,
    sub,
    turn,
)

SOURCES = "de2fea302bf426b4"
_COMPILED: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}

#: What is normalised: each unit over the samples, or each sample over the units, with or without its mean subtracted.
COLUMNS, CENTRED_ROWS, ROWS = 0, 1, 2

__all__ = ["CENTRED_ROWS", "COLUMNS", "ROWS", "cross_entropy", "gradients"]


@njit(**_COMPILED)
def _product(y, y0, y_row, x, x0, x_row, x_step, w, w0, w_step, rows, depth, columns):  # type: ignore[no-untyped-def]
    """``y = x w``, shapes (rows, columns), (rows, depth), (depth, columns); columns are whole vectors."""
    for j in range(0, columns, LANES):
        if rows < TILE:
            for i in range(rows):
                single(y, y0 + i * y_row + j, y_row, x, x0 + i * x_row, x_row, x_step, w, w0 + j, w_step, depth)
            continue
        for i in range(0, rows, TILE):
            i = min(i, rows - TILE)  # the last tile overlaps the one before
            many(y, y0 + i * y_row + j, y_row, x, x0 + i * x_row, x_row, x_step, w, w0 + j, w_step, depth)


@njit(**_COMPILED)
def _transposed(y, y0, y_row, x, x0, x_row, rows, columns, padded):  # type: ignore[no-untyped-def]
    """``y = x^T``: x of shape (rows, columns); rows of y are filled with 0 up to `padded`."""
    if rows < LANES or columns < LANES:
        for k in range(columns):
            for i in range(rows):
                y[y0 + k * y_row + i] = x[x0 + i * x_row + k]
    else:
        for i in range(0, rows, LANES):
            i = min(i, rows - LANES)  # the last squares overlap those before
            for k in range(0, columns, LANES):
                k = min(k, columns - LANES)
                turn(y, y0 + k * y_row + i, y_row, x, x0 + i * x_row + k, x_row)
    for k in range(columns):
        for i in range(rows, padded):
            y[y0 + k * y_row + i] = 0


@njit(**_COMPILED)
def _normalise(z, a, start, ld, batch, width, eps, rstd, r0):  # type: ignore[no-untyped-def]
    """BatchNorm over the rows of z in place, and its ReLU into a; a NaN stays NaN."""
    share = 1 / z.dtype.type(batch)
    for j in range(0, width, LANES):
        mean = fill(z, 0.0)
        for b in range(batch):
            mean = add(mean, load(z, start + b * ld + j))
        mean = mul(mean, fill(z, share))
        square = fill(z, 0.0)
        for b in range(batch):
            off = sub(load(z, start + b * ld + j), mean)
            square = muladd(off, off, square)
        store(rstd, r0 + j, square)
        for i in range(r0 + j, r0 + j + LANES):
            rstd[i] = 1 / math.sqrt(rstd[i] * share + eps)
        scale = load(rstd, r0 + j)
        for b in range(batch):
            at = start + b * ld + j
            normed = mul(sub(load(z, at), mean), scale)
            store(z, at, normed)
            store(a, at, gated(normed, normed))


@njit(**_COMPILED)
def _normalise_back(d, z, start, ld, batch, width, rstd, r0):  # type: ignore[no-untyped-def]
    """Turn the gradient of the ReLU's output (in d) into that of BatchNorm's input, in place."""
    share = 1 / z.dtype.type(batch)
    for j in range(0, width, LANES):
        mean, product = fill(z, 0.0), fill(z, 0.0)
        for b in range(batch):
            normed = load(z, start + b * ld + j)
            back = gated(load(d, b * ld + j), normed)
            mean, product = add(mean, back), muladd(back, normed, product)
        mean, product = mul(mean, fill(z, -share)), mul(product, fill(z, -share))
        scale = load(rstd, r0 + j)
        for b in range(batch):
            normed = load(z, start + b * ld + j)
            back = gated(load(d, b * ld + j), normed)
            store(d, b * ld + j, mul(scale, add(back, muladd(normed, product, mean))))


@njit(**_COMPILED)
def _normalise_rows(z, a, start, ld, batch, width, padded, centred, tanh, eps, rstd, r0):  # type: ignore[no-untyped-def]
    """LayerNorm (centred) or RMSNorm of every row of z in place, and its activation into a."""
    share = 1 / z.dtype.type(width)
    for b in range(batch):
        at = start + b * ld
        mean, square = z.dtype.type(0), z.dtype.type(0)
        if centred:
            for j in range(width):
                mean += z[at + j]
            mean *= share
        for j in range(width):
            off = z[at + j] - mean
            square += off * off
        scale = z.dtype.type(1 / math.sqrt(square * share + eps))
        rstd[r0 + b] = scale
        for j in range(width):
            normed = (z[at + j] - mean) * scale
            z[at + j] = normed
            if tanh:
                a[at + j] = math.tanh(normed)
            else:
                a[at + j] = 0 if normed <= 0 else normed  # a NaN stays NaN
        for j in range(width, padded):
            a[at + j] = 0


@njit(**_COMPILED)
def _normalise_rows_back(d, z, start, ld, batch, width, centred, tanh, rstd, r0):  # type: ignore[no-untyped-def]
    """Turn the gradient of the activation (in d) into that of the normalisation's input, in place."""
    share = 1 / z.dtype.type(width)
    for b in range(batch):
        at, of = b * ld, start + b * ld
        mean, product = z.dtype.type(0), z.dtype.type(0)
        for j in range(width):
            normed = z[of + j]
            if tanh:
                bent = math.tanh(normed)
                d[at + j] *= 1 - bent * bent
            elif normed <= 0:
                d[at + j] = 0
            mean += d[at + j]
            product += d[at + j] * normed
        mean, product = mean * share if centred else z.dtype.type(0), product * share
        for j in range(width):
            d[at + j] = rstd[r0 + b] * (d[at + j] - mean - z[of + j] * product)


@njit(**_COMPILED)
def cross_entropy(z, ld, batch, classes, labels, raised, norms, tops):  # type: ignore[no-untyped-def]
    """Sum of the losses of the logits z, one row per class; its gradient, over the batch, goes to `raised`."""
    share = 1 / z.dtype.type(batch)
    for j in range(0, ld, LANES):
        top = load(z, j)
        for c in range(1, classes):
            top = larger(top, load(z, c * ld + j))
        norm = fill(z, 0.0)
        for c in range(classes):
            each = exp(sub(load(z, c * ld + j), top))
            norm = add(norm, each)
            store(raised, c * ld + j, each)
        store(tops, j, top)
        store(norms, j, norm)
        scale = div(fill(z, share), norm)
        for c in range(classes):
            store(raised, c * ld + j, mul(load(raised, c * ld + j), scale))
    loss, factors = 0.0, 1.0
    for b in range(batch):
        own = labels[b] * ld + b
        loss += tops[b] - z[own]
        raised[own] -= share
        factors *= norms[b]  # each between 1 and the number of classes: one logarithm per 32
        if b % 32 == 31:
            loss += math.log(factors)
            factors = 1.0
    return loss + math.log(factors)


@njit(**_COMPILED)
def _padded(width):  # type: ignore[no-untyped-def]
    return (width + LANES - 1) // LANES * LANES


@njit(**_COMPILED)
def _leading(width):  # type: ignore[no-untyped-def]
    """Length of a row in memory: no multiple of 64 numbers, which would put all rows into the same cache lines."""
    padded = _padded(width)
    return padded + LANES if padded % 64 == 0 else padded


@njit(**_COMPILED)
def _gathered(y, x, width, rows):  # type: ignore[no-untyped-def]
    """Copy rows of x, one after the other, to y."""
    for b in range(len(rows)):
        to, at = b * width, rows[b] * width
        if width < LANES:
            for k in range(width):
                y[to + k] = x[at + k]
        for k in range(0, width if width >= LANES else 0, LANES):
            k = min(k, width - LANES)
            store(y, to + k, load(x, at + k))


@njit(**_COMPILED)
def _outer(y, y0, d, d_ld, width, x, x0, x_ld, into, batch, scratch):  # type: ignore[no-untyped-def]
    """``y = d^T x``, shapes (width, into), (batch, width), (batch, into); y and x are not padded."""
    if into < LANES:
        ld = _leading(width)
        _product(scratch, 0, ld, x, x0, 1, x_ld, d, 0, d_ld, into, batch, _padded(width))
        _transposed(y, y0, into, scratch, 0, ld, into, width, into)
        return
    for j in range(0, into, LANES):
        j = min(j, into - LANES)  # the last columns overlap those before
        _product(y, y0 + j, into, d, 0, 1, d_ld, x, x0 + j, x_ld, width, batch, LANES)


@njit(**_COMPILED)
def gradients(flat, widths, head, samples, rows, labels, eps, out, losses, norm, tanh):  # type: ignore[no-untyped-def]
    """Losses and gradients of all runs; see :meth:`empirics.models.base.Model.loss_and_grad_of`.

    `flat` and `out` are the weights, layer after layer, and their gradients, (run, d); `widths` those of the input and
    of the hidden layers. Without `rows` the samples are the minibatches, one after the other. `norm` is one of the
    above; with `tanh`, not after BatchNorm, the activation is that.
    """
    runs, dimension = flat.shape
    batch, depth, classes = labels.shape[1], len(widths) - 1, head.shape[1]
    kind, last = flat.dtype, widths[depth]
    most, c_ld, matrix = max(_leading(widths[1:].max()), _leading(batch)), _leading(batch), classes * _leading(last)
    starts = np.zeros(depth + 1, np.int64)  # of each layer's activations
    for i in range(depth):
        starts[i + 1] = starts[i] + batch * _leading(widths[i + 1])
        matrix = max(matrix, widths[i] * _leading(widths[i + 1]), widths[i + 1] * _leading(widths[i]) if i else 0)
    z, a, rstd = np.empty(starts[depth], kind), np.empty(starts[depth], kind), np.empty(depth * most, kind)
    d, other = np.empty(batch * most, kind), np.empty(batch * most, kind)
    w, across = np.empty(matrix, kind), np.empty(last * c_ld, kind)
    logits, raised = np.empty(classes * c_ld, kind), np.empty(classes * c_ld, kind)
    norms, tops = np.empty(c_ld, kind), np.empty(c_ld, kind)
    weights, gradient, heads = flat.ravel(), out.ravel(), head.ravel()
    gathers, everything = rows.size > 0, samples.ravel()
    x = everything
    if gathers:
        x = np.empty(batch * widths[0], kind)
    for r in range(runs):
        place, at = r * dimension, r * batch * widths[0]
        if gathers:
            at = 0
            _gathered(x, everything, widths[0], rows[r])
        for i in range(depth):
            into, width = widths[i], widths[i + 1]
            ld, pad = _leading(width), _padded(width)
            _transposed(w, 0, ld, weights, place, into, width, into, pad)
            if i == 0:
                _product(z, 0, ld, x, at, into, 1, w, 0, ld, batch, into, pad)
            else:
                _product(z, starts[i], ld, a, starts[i - 1], _leading(into), 1, w, 0, ld, batch, into, pad)
            if norm == COLUMNS:
                _normalise(z, a, starts[i], ld, batch, pad, eps, rstd, i * most)
            else:
                centred = norm == CENTRED_ROWS
                _normalise_rows(z, a, starts[i], ld, batch, width, pad, centred, tanh, eps, rstd, i * most)
            place += width * into
        w0, entries, source = r * classes * last, classes, heads
        _transposed(across, 0, c_ld, a, starts[depth - 1], _leading(last), batch, last, c_ld)
        _product(logits, 0, c_ld, heads, w0, last, 1, across, 0, c_ld, classes, last, c_ld)
        losses[r] = cross_entropy(logits, c_ld, batch, classes, labels[r], raised, norms, tops) / batch
        for i in range(depth - 1, -1, -1):
            into, width = widths[i], widths[i + 1]
            ld, pad = _leading(width), _padded(width)
            for k in range(entries):
                for j in range(width):
                    w[k * ld + j] = source[w0 + k * width + j]
                for j in range(width, pad):
                    w[k * ld + j] = 0
            if i == depth - 1:
                _product(other, 0, ld, raised, 0, 1, c_ld, w, 0, ld, batch, entries, pad)
            else:
                _product(other, 0, ld, d, 0, _leading(entries), 1, w, 0, ld, batch, entries, pad)
            d, other = other, d
            if norm == COLUMNS:
                _normalise_back(d, z, starts[i], ld, batch, pad, rstd, i * most)
            else:
                _normalise_rows_back(d, z, starts[i], ld, batch, width, norm == CENTRED_ROWS, tanh, rstd, i * most)
            place -= width * into
            if i == 0:
                _outer(gradient, place, d, ld, width, x, at, into, into, batch, w)
            else:
                _outer(gradient, place, d, ld, width, a, starts[i - 1], _leading(into), into, batch, w)
            w0, entries, source = place, width, weights

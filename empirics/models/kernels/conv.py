"""ResNet-18's gradient on a CPU; plain reference: :class:`empirics.models.convolutional.ResNet18`, in torch.

The tests compare the two. The reference is also what runs without numba and on a GPU. Runs are computed one after the
other, and the result of a run does not depend on the others, bit for bit.

Networks this narrow are too small for a library's convolutions, and half of a step is memory traffic of BatchNorm.
Signals are laid out (block of `WIDE` images, plane of `CHANNELS` channels, row, column, channel, image): every loop is
over vectors of images, a window of the picture is contiguous, and BatchNorm works on pieces that are still in the
cache. The signal inside a unit is not kept but computed twice.

Numba's cache on disk watches the text of this file alone: `SOURCES` is a hash of `conv_plan`, `lanes` and `mlp`.

Everything is in one array, `m`. The tables of :mod:`empirics.models.kernels.conv_plan` say what begins where in it: `t`
for the convolutions, of which `i` is one, `units`, and `p` for all other places.
"""

import math
from typing import Any

from numba import njit

from empirics.models.kernels import conv_plan as at
from empirics.models.kernels.lanes import (
    CHANNELS,
    LANES,
    PIXEL,
    WIDE,
    add,
    correlated,
    fill,
    gated,
    load,
    mul,
    muladd,
    store,
    sub,
    total,
    turn,
    weighted,
)
from empirics.models.kernels.mlp import cross_entropy

SOURCES = "06f561ee1a0a4ca3"
_INNER: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}
_INNER |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # called only by compiled code
_COMPILED: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
#: Pixels of a plane that are worked on at a time, 16 kB of float32: half of the nearest cache.
_PIECE = 32
#: Numbers of a signal that are worked on at a time: half a megabyte of float32, half of the next cache.
_CHUNK = 2**17
_TILE = CHANNELS * CHANNELS

__all__ = ["gradients"]


@njit(**_INNER)
def _clear(m, start, size):  # type: ignore[no-untyped-def]
    for k in range(start, start + size, LANES):
        store(m, k, fill(m, 0.0))


@njit(**_INNER)
def _turned(tap, stride, size):  # type: ignore[no-untyped-def]
    """Row of a filter that goes into a row of the turned one: rows that meet the same rows are side by side."""
    if size == 1:
        return 0
    return 2 - tap if stride == 1 or tap == 0 else tap - 1


@njit(**_INNER)
def _pack(m, t, i, weights):  # type: ignore[no-untyped-def]
    """Filters (out, in, row, column) as (plane out, plane in, row, column, in, out), and turned, out and in swapped."""
    into, out, stride, size = t[i, at.INTO], t[i, at.OUT], t[i, at.STRIDE], t[i, at.SIZE]
    planes_in, planes_out, taps = t[i, at.PLANES_IN], t[i, at.PLANES_OUT], size * size
    for o in range(planes_out * CHANNELS):
        for c in range(planes_in * CHANNELS):
            forth = (o // CHANNELS * planes_in + c // CHANNELS) * taps * _TILE + c % CHANNELS * CHANNELS + o % CHANNELS
            back = (c // CHANNELS * planes_out + o // CHANNELS) * taps * _TILE + o % CHANNELS * CHANNELS + c % CHANNELS
            forth, back = t[i, at.FORTH] + forth, t[i, at.BACK] + back
            real, w0 = o < out and c < into, t[i, at.WEIGHTS] + (o * into + c) * taps
            for tap in range(taps):
                turned = _turned(tap // size, stride, size) * size + _turned(tap % size, stride, size)
                m[forth + tap * _TILE] = weights[w0 + tap] if real else 0
                m[back + tap * _TILE] = weights[w0 + turned] if real else 0


@njit(**_INNER)
def _enter(m, t, p, x, first, rows):  # type: ignore[no-untyped-def]
    """Lay out a run's images: the given rows of x, (channel, picture) each, or consecutive ones from `first` on."""
    channels, planes, pixels = t[0, at.INTO], t[0, at.PLANES_IN], t[0, at.HEIGHT] * t[0, at.WIDTH]
    size, near = channels * pixels, p[at.SIGNAL]
    for start in range(0, p[at.BLOCKS] * WIDE, LANES):
        for b in range(start, start + LANES):
            to = near + (b - start) * size
            if b >= p[at.BATCH]:
                _clear(m, to, size)  # and a little beyond, which is written later
                continue
            place = (rows[b] if rows.size else first + b) * size
            for k in range(0, size - LANES + 1, LANES):
                store(m, to + k, load(x, place + k))
            for k in range(size - size % LANES, size):
                m[to + k] = x[place + k]
        for c in range(channels):
            to = p[at.IMAGES] + (start // WIDE * planes + c // CHANNELS) * pixels * PIXEL
            to += c % CHANNELS * WIDE + start % WIDE
            for k in range(pixels if pixels < LANES else 0):
                for b in range(LANES):
                    m[to + k * PIXEL + b] = m[near + b * size + c * pixels + k]
            for k in range(0, pixels if pixels >= LANES else 0, LANES):
                k = min(k, pixels - LANES)  # the last square overlaps the one before
                turn(m, to + k * PIXEL, PIXEL, m, near + c * pixels + k, size)


@njit(**_INNER)
def _tally(m, z0, pixels, before, means, squares):  # type: ignore[no-untyped-def]
    """Update the mean and the sum of squares about it, of each channel and image, with `pixels` more pixels."""
    share, new = fill(m, m.dtype.type(1 / pixels)), m.dtype.type(pixels / (before + pixels))
    for k in range(0, PIXEL, LANES):
        mean, square = fill(m, 0.0), fill(m, 0.0)
        for z in range(z0 + k, z0 + k + pixels * PIXEL, PIXEL):
            mean = add(mean, load(m, z))
        mean = mul(mean, share)
        for z in range(z0 + k, z0 + k + pixels * PIXEL, PIXEL):
            off = sub(load(m, z), mean)
            square = muladd(off, off, square)
        if before:
            old = load(m, means + k)
            off = sub(mean, old)
            mean = muladd(off, fill(m, new), old)
            square = muladd(mul(off, off), fill(m, before * new), add(square, load(m, squares + k)))
        store(m, means + k, mean)
        store(m, squares + k, square)


@njit(**_INNER)
def _convolve(m, t, p, i, x0, block):  # type: ignore[no-untyped-def]
    """Convolve a block of images, and take the statistics of the output while it is in the cache."""
    into, out, stride, size = t[i, at.PLANES_IN], t[i, at.PLANES_OUT], t[i, at.STRIDE], t[i, at.SIZE]
    height, width, rows, columns = t[i, at.HEIGHT], t[i, at.WIDTH], t[i, at.ROWS], t[i, at.COLUMNS]
    z0, w0, taps, piece = t[i, at.OUTPUT] + block * t[i, at.BLOCK_OUT], t[i, at.FORTH], size * size, _PIECE // columns
    for o in range(out):
        statistics = (block * out + o) * PIXEL
        for start in range(0, rows, max(1, piece)):
            end = min(start + max(1, piece), rows)
            for row in range(start, end):
                up = row * stride - size // 2  # first row of the window, which may be outside
                top, bottom = max(up, 0), min(up + size, height)
                for column in range(columns):
                    aside = column * stride - size // 2
                    left, right = max(aside, 0), min(aside + size, width)
                    weighted(
                        m, z0 + ((o * rows + row) * columns + column) * PIXEL,
                        m, x0 + (top * width + left) * PIXEL, height * width * PIXEL, width * PIXEL,
                        m, w0 + (o * into * taps + (top - up) * size + left - aside) * _TILE, taps * _TILE,
                        size * _TILE, into, bottom - top, (right - left) * CHANNELS, 0,
                    )  # fmt: skip
            z, many, before = z0 + (o * rows + start) * columns * PIXEL, (end - start) * columns, start * columns
            _tally(m, z, many, before, t[i, at.MEANS] + statistics, t[i, at.SQUARES] + statistics)


@njit(**_INNER)
def _settle(m, t, p, i, eps):  # type: ignore[no-untyped-def]
    """Compute BatchNorm's scale and shift, once all blocks have been convolved."""
    pixels, batch, step = t[i, at.ROWS] * t[i, at.COLUMNS], p[at.BATCH], t[i, at.PLANES_OUT] * PIXEL
    for c in range(t[i, at.PLANES_OUT] * CHANNELS):
        mean, square = 0.0, 0.0
        for b in range(batch):
            mean += m[t[i, at.MEANS] + b // WIDE * step + c * WIDE + b % WIDE]
        mean /= batch
        for b in range(batch):
            own = b // WIDE * step + c * WIDE + b % WIDE
            square += m[t[i, at.SQUARES] + own] + pixels * (m[t[i, at.MEANS] + own] - mean) ** 2
        scale = 1 / math.sqrt(square / (pixels * batch) + eps)
        m[t[i, at.SCALE] + c], m[t[i, at.SHIFT] + c] = scale, -mean * scale


@njit(**_INNER)
def _activate(m, t, p, i, y0, other, scale, shift, block):  # type: ignore[no-untyped-def]
    """BatchNorm and ReLU of a block, to y0; unless it is -1, `other`, scaled and shifted, is added before the ReLU."""
    pixels, z0 = t[i, at.ROWS] * t[i, at.COLUMNS], t[i, at.OUTPUT] + block * t[i, at.BLOCK_OUT]
    for plane in range(t[i, at.PLANES_OUT]):
        for start in range(plane * pixels, (plane + 1) * pixels, _PIECE):
            many = min(_PIECE, (plane + 1) * pixels - start) * PIXEL
            for k in range(0, PIXEL, LANES):
                c, first = plane * CHANNELS + k // WIDE, start * PIXEL + k
                real = load(m, p[at.MASK] + block * WIDE + k % WIDE)
                by, off = fill(m, m[t[i, at.SCALE] + c]), mul(fill(m, m[t[i, at.SHIFT] + c]), real)
                if other < 0:
                    for x in range(first, first + many, PIXEL):
                        normed = muladd(load(m, z0 + x), by, off)
                        store(m, y0 + x, gated(normed, normed))
                else:
                    by2, off = fill(m, m[scale + c]), muladd(fill(m, m[shift + c]), real, off)
                    for x in range(first, first + many, PIXEL):
                        normed = muladd(load(m, other + x), by2, muladd(load(m, z0 + x), by, off))
                        store(m, y0 + x, gated(normed, normed))


@njit(**_INNER)
def _join(m, t, p, unit, block):  # type: ignore[no-untyped-def]
    """Compute one block of the input of a unit; returns its place."""
    i, beside, passed = unit[at.BEFORE], unit[at.BESIDE], unit[at.PASSED]
    part, scale, shift, other = block * t[i, at.BLOCK_OUT], p[at.ONES], p[at.ZEROS], -1
    if beside >= 0:
        other, scale, shift = t[beside, at.OUTPUT] + part, t[beside, at.SCALE], t[beside, at.SHIFT]
    elif passed >= 0:
        other = t[passed, at.KEPT] + part
    _activate(m, t, p, i, t[i, at.KEPT] + part, other, scale, shift, block)
    return t[i, at.KEPT] + part


@njit(**_INNER)
def _forward(m, t, units, p, eps):  # type: ignore[no-untyped-def]
    """From the images to the last signal."""
    for block in range(p[at.BLOCKS]):
        _convolve(m, t, p, 0, p[at.IMAGES] + block * t[0, at.BLOCK_IN], block)
    _settle(m, t, p, 0, eps)
    for u in range(len(units)):
        first, second, shortcut = units[u, : at.SHORTCUT + 1]
        for block in range(p[at.BLOCKS]):
            x0 = _join(m, t, p, units[u], block)
            if first >= 0:
                _convolve(m, t, p, first, x0, block)
            if shortcut >= 0:
                _convolve(m, t, p, shortcut, x0, block)
        if first < 0:
            return
        _settle(m, t, p, first, eps)
        if shortcut >= 0:
            _settle(m, t, p, shortcut, eps)
        for block in range(p[at.BLOCKS]):
            _activate(m, t, p, first, p[at.SIGNAL], -1, 0, 0, block)
            _convolve(m, t, p, second, p[at.SIGNAL], block)
        _settle(m, t, p, second, eps)


@njit(**_INNER)
def _gate(m, t, i, d0, x0, block, plane, start, pixels):  # type: ignore[no-untyped-def]
    """Set a piece of a block's gradient d to 0 where the signal x is, and sum it for BatchNorm of convolution i."""
    z0 = t[i, at.OUTPUT] + block * t[i, at.BLOCK_OUT]
    for k in range(0, PIXEL, LANES):
        c, own = plane * CHANNELS + k // WIDE, plane * PIXEL + k
        by, off = fill(m, m[t[i, at.SCALE] + c]), fill(m, m[t[i, at.SHIFT] + c])
        summed, product = load(m, t[i, at.SUMS] + own), load(m, t[i, at.PRODUCTS] + own)
        for x in range(start * PIXEL + k, (start + pixels) * PIXEL + k, PIXEL):
            back = gated(load(m, d0 + x), load(m, x0 + x))
            store(m, d0 + x, back)
            summed, product = add(summed, back), muladd(back, muladd(load(m, z0 + x), by, off), product)
        store(m, t[i, at.SUMS] + own, summed)
        store(m, t[i, at.PRODUCTS] + own, product)


@njit(**_INNER)
def _normalise_back(m, t, p, i, y0, d0, block):  # type: ignore[no-untyped-def]
    """From the gradient of a block that has left BatchNorm to that of what enters it, at y0."""
    pixels, z0 = t[i, at.ROWS] * t[i, at.COLUMNS], t[i, at.OUTPUT] + block * t[i, at.BLOCK_OUT]
    for plane in range(t[i, at.PLANES_OUT]):
        for start in range(plane * pixels, (plane + 1) * pixels, _PIECE):
            many = min(_PIECE, (plane + 1) * pixels - start) * PIXEL
            for k in range(0, PIXEL, LANES):
                c, first = plane * CHANNELS + k // WIDE, start * PIXEL + k
                real = load(m, p[at.MASK] + block * WIDE + k % WIDE)
                by, off = fill(m, m[t[i, at.SCALE] + c]), mul(fill(m, m[t[i, at.SHIFT] + c]), real)
                mean, slope = mul(fill(m, -m[t[i, at.MEAN_SUM] + c]), real), fill(m, -m[t[i, at.MEAN_PRODUCT] + c])
                for x in range(first, first + many, PIXEL):
                    rest = muladd(muladd(load(m, z0 + x), by, off), slope, mean)
                    store(m, y0 + x, mul(by, add(load(m, d0 + x), rest)))


@njit(**_INNER)
def _mean_back(m, t, p, i):  # type: ignore[no-untyped-def]
    """Means over batch and picture of what :func:`_gate` summed."""
    count = t[i, at.ROWS] * t[i, at.COLUMNS] * p[at.BATCH]
    for c in range(t[i, at.PLANES_OUT] * CHANNELS):
        summed, product = fill(m, 0.0), fill(m, 0.0)
        for k in range(c * WIDE, (c + 1) * WIDE, LANES):
            summed, product = add(summed, load(m, t[i, at.SUMS] + k)), add(product, load(m, t[i, at.PRODUCTS] + k))
        m[t[i, at.MEAN_SUM] + c], m[t[i, at.MEAN_PRODUCT] + c] = total(summed) / count, total(product) / count


@njit(**_INNER)
def _filters(m, t, p, i, g0, z0, d0, x0, first, many):  # type: ignore[no-untyped-def]
    """Gradient of what some blocks left convolution i with, to z0, and added to g0 that of the filters.

    The latter is (plane out, plane in, row, column, out, in, lane); the input of the first of these blocks is at x0.
    """
    into, out, stride, size = t[i, at.PLANES_IN], t[i, at.PLANES_OUT], t[i, at.STRIDE], t[i, at.SIZE]
    height, width, rows, columns = t[i, at.HEIGHT], t[i, at.WIDTH], t[i, at.ROWS], t[i, at.COLUMNS]
    piece = max(1, _PIECE // columns)
    for b in range(many):
        _normalise_back(m, t, p, i, z0 + b * t[i, at.BLOCK_OUT], d0 + (first + b) * t[i, at.BLOCK_OUT], first + b)
    for pair in range(out * into):
        for b in range(many):
            z1 = z0 + b * t[i, at.BLOCK_OUT] + pair // into * rows * columns * PIXEL
            x1 = x0 + b * t[i, at.BLOCK_IN] + pair % into * height * width * PIXEL
            for start in range(0, rows, piece):
                for tap in range(size * size):
                    up, aside = tap // size - size // 2, tap % size - size // 2
                    row, column = max(start, (stride - 1 - up) // stride), max(0, (stride - 1 - aside) // stride)
                    end = min(start + piece, rows, (height - 1 - up) // stride + 1)
                    right = min(columns, (width - 1 - aside) // stride + 1)
                    correlated(
                        m, g0 + (pair * size * size + tap) * _TILE * LANES,
                        m, z1 + (row * columns + column) * PIXEL, columns * PIXEL,
                        m, x1 + ((row * stride + up) * width + column * stride + aside) * PIXEL,
                        stride * width * PIXEL, stride * PIXEL, end - row, right - column,
                    )  # fmt: skip


@njit(**_INNER)
def _fold(m, t, i, g0, out):  # type: ignore[no-untyped-def]
    """Sum the vectors of the filters' gradient, and order it like the filters."""
    into, taps, planes = t[i, at.INTO], t[i, at.SIZE] ** 2, t[i, at.PLANES_IN]
    for o in range(t[i, at.OUT]):
        for c in range(into):
            for tap in range(taps):
                own = ((o // CHANNELS * planes + c // CHANNELS) * taps + tap) * _TILE + o % CHANNELS * CHANNELS
                own = g0 + (own + c % CHANNELS) * LANES
                out[t[i, at.WEIGHTS] + (o * into + c) * taps + tap] = total(load(m, own))
    _clear(m, g0, t[i, at.PLANES_OUT] * planes * taps * _TILE * LANES)


@njit(**_INNER)
def _reach(row, rows, stride, size):  # type: ignore[no-untyped-def]
    """Rows of the output that a row of the input acts on: the first, how many, and where the turned filter begins."""
    if size == 1:
        return row // stride, 1 if row % stride == 0 else 0, 0
    if stride == 1:
        first = max(row - 1, 0)
        return first, min(row + 2, rows) - first, first - row + 1
    if row % 2 == 0:
        return row // 2, 1, 2
    return row // 2, 1 if row // 2 + 1 == rows else 2, 0


@njit(**_INNER)
def _back(m, t, i, d0, z0, plane, start, end, more):  # type: ignore[no-untyped-def]
    """Gradient of some rows of a plane of a block that enters convolution i; added to what is there if `more`."""
    out, stride, size, width = t[i, at.PLANES_OUT], t[i, at.STRIDE], t[i, at.SIZE], t[i, at.WIDTH]
    rows, columns, taps = t[i, at.ROWS], t[i, at.COLUMNS], size * size
    for row in range(start, end):
        top, high, r = _reach(row, rows, stride, size)
        for column in range(width):
            left, wide, c = _reach(column, columns, stride, size)
            if more and high * wide == 0:
                continue
            weighted(
                m, d0 + ((plane * t[i, at.HEIGHT] + row) * width + column) * PIXEL,
                m, z0 + (top * columns + left) * PIXEL, rows * columns * PIXEL, columns * PIXEL,
                m, t[i, at.BACK] + (plane * out * taps + r * size + c) * _TILE, taps * _TILE, size * _TILE,
                out, high, wide * CHANNELS, more,
            )  # fmt: skip


@njit(**_INNER)
def _descend(m, t, i, i2, d0, more, z0, z2, x0, block, before, beside):  # type: ignore[no-untyped-def]
    """Gradient d of one block of a signal x that enters convolution i, and i2 unless it is -1, gated."""
    height, width, planes = t[i, at.HEIGHT], t[i, at.WIDTH], t[i, at.PLANES_IN]
    piece = max(1, _PIECE // width)
    for plane in range(planes):
        for start in range(0, height, piece):
            end = min(start + piece, height)
            _back(m, t, i, d0, z0, plane, start, end, more)
            if i2 >= 0:
                _back(m, t, i2, d0, z2, plane, start, end, 1)
            pixel, many = (plane * height + start) * width, (end - start) * width
            _gate(m, t, before, d0, x0, block, plane, pixel, many)
            if beside >= 0:
                _gate(m, t, beside, d0, x0, block, plane, pixel, many)


@njit(**_INNER)
def _unit_back(m, t, p, unit, d0, lower, out):  # type: ignore[no-untyped-def]
    """Gradients of a unit's filters, and from the gradient at d0 of its output that of its input, there or at `lower`.

    Returns the place of the latter and the one that is free.
    """
    first, second, shortcut = unit[: at.SHORTCUT + 1]
    size, blocks, left, beside = t[second, at.BLOCK_IN], p[at.BLOCKS], p[at.LEFT], p[at.LEFT_BESIDE]
    _mean_back(m, t, p, second)
    together = max(1, _CHUNK // size)
    for start in range(0, blocks, together):
        many = min(together, blocks - start)
        for b in range(many):
            _activate(m, t, p, first, p[at.SIGNAL] + b * size, -1, 0, 0, start + b)
        _filters(m, t, p, second, p[at.PAIRS], left, d0, p[at.SIGNAL], start, many)
        for b in range(many):
            inner, x0 = p[at.INNER] + (start + b) * size, p[at.SIGNAL] + b * size
            _descend(m, t, second, -1, inner, 0, left + b * size, 0, x0, start + b, first, -1)
    _fold(m, t, second, p[at.PAIRS], out)
    _mean_back(m, t, p, first)
    target, more, above, size = d0, 1, size, t[first, at.BLOCK_IN]
    if shortcut >= 0:
        _mean_back(m, t, p, shortcut)
        target, more = lower, 0
    together = max(1, _CHUNK // size)
    for start in range(0, blocks, together):
        many, x0 = min(together, blocks - start), t[unit[at.BEFORE], at.KEPT] + start * size
        _filters(m, t, p, first, p[at.PAIRS], left, p[at.INNER], x0, start, many)
        if shortcut >= 0:
            _filters(m, t, p, shortcut, p[at.PAIRS_BESIDE], beside, d0, x0, start, many)
        for b in range(many):
            place, z0, z2 = target + (start + b) * size, left + b * above, beside + b * above
            x1, before, side = x0 + b * size, unit[at.BEFORE], unit[at.BESIDE]
            _descend(m, t, first, shortcut, place, more, z0, z2, x1, start + b, before, side)
    _fold(m, t, first, p[at.PAIRS], out)
    if shortcut < 0:
        return d0, lower
    _fold(m, t, shortcut, p[at.PAIRS_BESIDE], out)
    return lower, d0


@njit(**_INNER)
def _last(m, t, p, unit, head, labels, d0):  # type: ignore[no-untyped-def]
    """Loss of the last signal, and the gradient with respect to it, at d0, gated."""
    i, beside, padded = unit[at.BEFORE], unit[at.BESIDE], p[at.BLOCKS] * WIDE
    pixels, size, (classes, last) = t[i, at.ROWS] * t[i, at.COLUMNS], t[i, at.BLOCK_OUT], head.shape
    means = p[at.HEAD]
    logits = means + last * padded
    raised, norms, tops = logits + classes * padded, logits + 2 * classes * padded, logits + (2 * classes + 1) * padded
    share = m.dtype.type(1 / pixels)
    for c in range(last):
        for b in range(0, padded, LANES):
            x0 = t[i, at.KEPT] + b // WIDE * size + c // CHANNELS * pixels * PIXEL + c % CHANNELS * WIDE + b % WIDE
            summed = fill(m, 0.0)
            for x in range(x0, x0 + pixels * PIXEL, PIXEL):
                summed = add(summed, load(m, x))
            store(m, means + c * padded + b, mul(summed, fill(m, share)))
    for k in range(classes):
        for b in range(0, padded, LANES):
            summed = fill(m, 0.0)
            for c in range(last):
                summed = muladd(load(m, means + c * padded + b), fill(m, head[k, c]), summed)
            store(m, logits + k * padded + b, summed)
    loss = cross_entropy(m[logits:], padded, p[at.BATCH], classes, labels, m[raised:], m[norms:], m[tops:])
    _clear(m, d0, p[at.BLOCKS] * size)
    for c in range(last):
        for b in range(0, padded, LANES):
            summed = fill(m, 0.0)
            for k in range(classes):
                summed = muladd(load(m, raised + k * padded + b), fill(m, head[k, c] * share), summed)
            summed = mul(summed, load(m, p[at.MASK] + b))
            start = d0 + b // WIDE * size + c // CHANNELS * pixels * PIXEL + c % CHANNELS * WIDE + b % WIDE
            for d in range(start, start + pixels * PIXEL, PIXEL):
                store(m, d, summed)
    for block in range(p[at.BLOCKS]):
        for plane in range(t[i, at.PLANES_OUT]):
            place, x0 = d0 + block * size, t[i, at.KEPT] + block * size
            _gate(m, t, i, place, x0, block, plane, plane * pixels, pixels)
            if beside >= 0:
                _gate(m, t, beside, place, x0, block, plane, plane * pixels, pixels)
    return loss / p[at.BATCH]


@njit(**_COMPILED)
def gradients(flat, m, t, units, p, head, samples, rows, labels, eps, out, losses):  # type: ignore[no-untyped-def]
    """Losses and gradients of all runs; see :meth:`empirics.models.base.Model.loss_and_grad_of`.

    `flat` and `out` are the weights, filter after filter, and their gradients, (run, d); `m`, `t`, `units` and `p` are
    the fields of a `conv_plan.Plan`. Without `rows` the samples are the minibatches, one after the other.
    """
    images = samples.ravel()
    for r in range(len(flat)):
        for i in range(len(t)):
            _pack(m, t, i, flat[r])
            _clear(m, t[i, at.SUMS], t[i, at.PLANES_OUT] * PIXEL)
            _clear(m, t[i, at.PRODUCTS], t[i, at.PLANES_OUT] * PIXEL)
        _enter(m, t, p, images, r * p[at.BATCH], rows[min(r, len(rows) - 1)] if rows.size else labels[r, :0])
        _forward(m, t, units, p, eps)
        d0, free = p[at.OUTER], p[at.NEXT]
        losses[r] = _last(m, t, p, units[-1], head[r], labels[r], d0)
        for u in range(len(units) - 2, -1, -1):
            d0, free = _unit_back(m, t, p, units[u], d0, free, out[r])
        _mean_back(m, t, p, 0)
        for block in range(p[at.BLOCKS]):
            x0 = p[at.IMAGES] + block * t[0, at.BLOCK_IN]
            _filters(m, t, p, 0, p[at.PAIRS], p[at.LEFT], d0, x0, block, 1)
        _fold(m, t, 0, p[at.PAIRS], out[r])

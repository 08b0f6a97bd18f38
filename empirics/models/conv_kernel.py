"""ResNet's gradient on a CPU, compiled: one run after the other.

The plain program is :class:`empirics.models.convolutional.ResNet18` in torch, which the tests compare it with; it is
what runs where numba is missing, and on a GPU. A run's result does not depend on the others, bit for bit.

Networks this narrow are too small for a library's convolutions, and the half of a step in which nothing is multiplied
goes to and from memory. Signals are laid out (block of `WIDE` images, plane of `CHANNELS` channels, row, column,
channel, image): every loop is over vectors of images, a window of the picture is contiguous, and BatchNorm is done on
pieces that are still in the cache. What follows a normalisation inside a unit is not kept but computed twice.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from empirics.models.lanes import (
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
from empirics.models.mlp_kernel import cross_entropy

_COMPILED: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
#: Pixels of a plane that are worked on at a time, 16 kB of float32: half of the nearest cache.
_PIECE = 32
#: Numbers of a signal that are worked on at a time: half a megabyte of float32, half of the next cache.
_CHUNK = 2**17
_TILE = CHANNELS * CHANNELS
#: Columns of the table of convolutions; planes are channels in fours, the last of them filled up with zeros.
_INTO, _OUT, _STRIDE, _SIZE, _HEIGHT, _WIDTH, _ROWS, _COLUMNS, _WEIGHTS, _OUTPUT, _PLANE, _PACKED, _END = range(13)

__all__ = ["Work", "gradients", "tables", "work"]


def tables(shape: tuple[int, ...], units: list[tuple[int, int, int, int]], width: int) -> tuple[Any, Any]:
    """Write down the convolutions and the residual units for :func:`gradients`.

    Parameters
    ----------
    shape
        (channel, height, width) of an image.
    units
        Of each unit: channels in and out, stride, and whether its shortcut is a convolution.
    width
        Channels of the first convolution.

    Returns
    -------
    array, array
        A row a convolution, and for every unit the numbers of its first, second and shortcut's convolution (or -1).

    Examples
    --------
    >>> convolutions, units = tables((3, 8, 8), [(4, 4, 1, 0), (4, 8, 2, 1)], 4)
    >>> convolutions[:, :4].tolist(), units.tolist()
    ([[3, 4, 1, 3], [4, 4, 1, 3], [4, 4, 1, 3], [4, 8, 2, 3], [8, 8, 1, 3], [4, 8, 2, 1]], [[1, 2, -1], [3, 4, 5]])
    """
    found: list[list[int]] = []
    weights = output = plane = packed = 0

    def convolution(into: int, out: int, stride: int, size: int, height: int, across: int) -> int:
        nonlocal weights, output, plane, packed
        rows, columns = (height - 1) // stride + 1, (across - 1) // stride + 1
        planes = -(-out // CHANNELS)
        found.append([into, out, stride, size, height, across, rows, columns, weights, output, plane, packed])
        weights, output, plane = weights + into * out * size**2, output + planes * rows * columns, plane + planes
        packed += planes * -(-into // CHANNELS) * _TILE * size**2
        return len(found) - 1

    convolution(shape[0], width, 1, 3, *shape[1:])
    numbers = []
    for into, out, stride, projects in units:
        before = found[-1] if not numbers or numbers[-1][2] < 0 else found[-2]
        first = convolution(into, out, stride, 3, before[_ROWS], before[_COLUMNS])
        second = convolution(out, out, 1, 3, found[first][_ROWS], found[first][_COLUMNS])
        shortcut = convolution(into, out, stride, 1, before[_ROWS], before[_COLUMNS]) if projects else -1
        numbers.append([first, second, shortcut])
    return np.array(found), np.array(numbers)


@njit(**_COMPILED)
def _planes(channels):  # type: ignore[no-untyped-def]
    return (channels + CHANNELS - 1) // CHANNELS


@njit(**_COMPILED)
def _inside(row, rows, stride, size):  # type: ignore[no-untyped-def]
    """First row of the input, number of rows and first row of the filter that a row of the output is made from."""
    start = row * stride - size // 2
    first = max(start, 0)
    return first, min(start + size, rows) - first, first - start


@njit(**_COMPILED)
def _outside(row, rows, stride, size):  # type: ignore[no-untyped-def]
    """First row of the output, number of rows and first row of the turned filter that act on a row of the input."""
    if size == 1:
        return row // stride, 1 if row % stride == 0 else 0, 0
    if stride == 1:
        first = max(row - 1, 0)
        return first, min(row + 2, rows) - first, first - row + 1
    if row % 2 == 0:
        return row // 2, 1, 2
    return row // 2, 1 if row // 2 + 1 == rows else 2, 0


@njit(**_COMPILED)
def _turned(tap, stride, size):  # type: ignore[no-untyped-def]
    """Row of a filter that stands in a row of the turned one: those that meet the same rows are side by side."""
    if size == 1:
        return 0
    return 2 - tap if stride == 1 or tap == 0 else tap - 1


@njit(**_COMPILED)
def _pack(w, w0, one, forth, back):  # type: ignore[no-untyped-def]
    """Filters (out, in, row, column) as (plane out, plane in, row, column, in, out), and turned, out and in swapped."""
    into, out, stride, size = one[_INTO], one[_OUT], one[_STRIDE], one[_SIZE]
    planes_in, planes_out, taps = _planes(into), _planes(out), size * size
    for o in range(planes_out * CHANNELS):
        for c in range(planes_in * CHANNELS):
            there = (o // CHANNELS * planes_in + c // CHANNELS) * taps * _TILE + c % CHANNELS * CHANNELS + o % CHANNELS
            here = (c // CHANNELS * planes_out + o // CHANNELS) * taps * _TILE + o % CHANNELS * CHANNELS + c % CHANNELS
            real, at = o < out and c < into, w0 + (o * into + c) * taps
            for i in range(size):
                for j in range(size):
                    tap = one[_PACKED] + (i * size + j) * _TILE
                    forth[there + tap] = w[at + i * size + j] if real else 0
                    turned = _turned(i, stride, size) * size + _turned(j, stride, size)
                    back[here + tap] = w[at + turned] if real else 0


@njit(**_COMPILED)
def _tally(z, at, pixels, before, means, squares, m0):  # type: ignore[no-untyped-def]
    """Bring the means and the sums of squares about them, of each channel and image, up to so many pixels more."""
    share = 1 / z.dtype.type(pixels)
    new = z.dtype.type(pixels / (before + pixels))
    for i in range(0, PIXEL, LANES):
        mean, square = fill(z, 0.0), fill(z, 0.0)
        for p in range(at + i, at + i + pixels * PIXEL, PIXEL):
            mean = add(mean, load(z, p))
        mean = mul(mean, fill(z, share))
        for p in range(at + i, at + i + pixels * PIXEL, PIXEL):
            off = sub(load(z, p), mean)
            square = muladd(off, off, square)
        if before:
            old = load(means, m0 + i)
            off = sub(mean, old)
            mean = muladd(off, fill(z, new), old)
            square = add(muladd(mul(off, off), fill(z, z.dtype.type(before) * new), square), load(squares, m0 + i))
        store(means, m0 + i, mean)
        store(squares, m0 + i, square)


@njit(**_COMPILED)
def _convolve(z, z0, x, x0, w, one, means, squares, m0):  # type: ignore[no-untyped-def]
    """Convolve a block of images, and take the statistics of what comes out while it is near."""
    into, stride, size, height, width = _planes(one[_INTO]), one[_STRIDE], one[_SIZE], one[_HEIGHT], one[_WIDTH]
    rows, columns, taps = one[_ROWS], one[_COLUMNS], one[_SIZE] * one[_SIZE]
    piece = max(1, _PIECE // columns)
    for o in range(_planes(one[_OUT])):
        w0 = one[_PACKED] + o * into * taps * _TILE
        for start in range(0, rows, piece):
            end = min(start + piece, rows)
            for i in range(start, end):
                top, many, r = _inside(i, height, stride, size)
                for j in range(columns):
                    left, wide, c = _inside(j, width, stride, size)
                    weighted(
                        z, z0 + ((o * rows + i) * columns + j) * PIXEL,
                        x, x0 + (top * width + left) * PIXEL, height * width * PIXEL, width * PIXEL,
                        w, w0 + (r * size + c) * _TILE, taps * _TILE, size * _TILE,
                        into, many, wide * CHANNELS, 0,
                    )  # fmt: skip
            at = z0 + (o * rows + start) * columns * PIXEL
            _tally(z, at, (end - start) * columns, start * columns, means, squares, m0 + o * PIXEL)


@njit(**_COMPILED)
def _back(d, d0, start, end, dz, z0, w, plane, one, more):  # type: ignore[no-untyped-def]
    """Gradient of some rows of a plane of what entered a convolution, of a block; added to what is there if `more`."""
    out, stride, size, width = _planes(one[_OUT]), one[_STRIDE], one[_SIZE], one[_WIDTH]
    rows, columns, taps = one[_ROWS], one[_COLUMNS], one[_SIZE] * one[_SIZE]
    w0 = one[_PACKED] + plane * out * taps * _TILE
    for i in range(start, end):
        top, many, r = _outside(i, rows, stride, size)
        for j in range(width):
            left, wide, c = _outside(j, columns, stride, size)
            if more and many * wide == 0:
                continue
            weighted(
                d, d0 + ((plane * one[_HEIGHT] + i) * width + j) * PIXEL,
                dz, z0 + (top * columns + left) * PIXEL, rows * columns * PIXEL, columns * PIXEL,
                w, w0 + (r * size + c) * _TILE, taps * _TILE, size * _TILE,
                out, many, wide * CHANNELS, more,
            )  # fmt: skip


@njit(**_COMPILED)
def _gate(d, d0, x, x0, z, z0, pixels, scale, shift, plane, sums, products):  # type: ignore[no-untyped-def]
    """Set d to 0 where x is; sum it, and its products with the normalised z, over pixels for each channel and image."""
    for i in range(0, PIXEL, LANES):
        channel, at = plane * CHANNELS + i // WIDE, plane * PIXEL + i
        by, off = fill(z, scale[channel]), fill(z, shift[channel])
        summed, product = load(sums, at), load(products, at)
        for p in range(i, i + pixels * PIXEL, PIXEL):
            back = gated(load(d, d0 + p), load(x, x0 + p))
            store(d, d0 + p, back)
            summed, product = add(summed, back), muladd(back, muladd(load(z, z0 + p), by, off), product)
        store(sums, at, summed)
        store(products, at, product)


@njit(**_COMPILED)
def _correlate(g, dz, z0, x, x0, blocks, one):  # type: ignore[no-untyped-def]
    """Add to g, (plane out, plane in, row, column, out, in, lane), the gradient of the filters from some blocks."""
    into, out, stride, size = _planes(one[_INTO]), _planes(one[_OUT]), one[_STRIDE], one[_SIZE]
    height, width, rows, columns = one[_HEIGHT], one[_WIDTH], one[_ROWS], one[_COLUMNS]
    piece, x_block, z_block = max(1, _PIECE // columns), into * height * width * PIXEL, out * rows * columns * PIXEL
    for o in range(out):
        for c in range(into):
            g0 = (o * into + c) * size * size * _TILE * LANES
            for block in range(blocks):
                d1 = z0 + block * z_block + o * rows * columns * PIXEL
                x1 = x0 + block * x_block + c * height * width * PIXEL
                for start in range(0, rows, piece):
                    for r in range(size):
                        up = r - size // 2
                        first = max(start, (stride - 1 - up) // stride)
                        last = min(start + piece, rows, (height - 1 - up) // stride + 1)
                        for k in range(size):
                            aside = k - size // 2
                            j = max(0, (stride - 1 - aside) // stride)
                            wide = min(columns, (width - 1 - aside) // stride + 1) - j
                            correlated(
                                g, g0 + (r * size + k) * _TILE * LANES,
                                dz, d1 + (first * columns + j) * PIXEL, columns * PIXEL,
                                x, x1 + ((first * stride + up) * width + j * stride + aside) * PIXEL,
                                stride * width * PIXEL, stride * PIXEL, last - first, wide,
                            )  # fmt: skip


@njit(**_COMPILED)
def _fold(g, one, y, y0):  # type: ignore[no-untyped-def]
    """Gradient of the filters, (out, in, row, column), from the vectors of :func:`_correlate`, which become 0."""
    into, out, taps = one[_INTO], one[_OUT], one[_SIZE] * one[_SIZE]
    for o in range(out):
        for c in range(into):
            plane = (o // CHANNELS * _planes(into) + c // CHANNELS) * taps
            for tap in range(taps):
                at = ((plane + tap) * CHANNELS + o % CHANNELS) * CHANNELS + c % CHANNELS
                y[y0 + (o * into + c) * taps + tap] = total(load(g, at * LANES))
    g[: _planes(into) * _planes(out) * taps * _TILE * LANES] = 0


@njit(**_COMPILED)
def _activate(y, y0, z, z0, scale, shift, other, o0, scale2, shift2, mask, m0, planes, pixels):  # type: ignore[no-untyped-def]
    """The positive part of a block's normalised z; of the sum with the other, normalised too, if it has a scale."""
    for plane in range(planes):
        for start in range(0, pixels, _PIECE):
            at, many = (plane * pixels + start) * PIXEL, min(_PIECE, pixels - start) * PIXEL
            for i in range(0, PIXEL, LANES):
                channel, real = plane * CHANNELS + i // WIDE, load(mask, m0 + i % WIDE)
                by, off = fill(z, scale[channel]), mul(fill(z, shift[channel]), real)
                if scale2.size == 0:
                    for p in range(at + i, at + i + many, PIXEL):
                        sum_ = muladd(load(z, z0 + p), by, off)
                        store(y, y0 + p, gated(sum_, sum_))
                    continue
                by2, off = fill(z, scale2[channel]), add(off, mul(fill(z, shift2[channel]), real))
                for p in range(at + i, at + i + many, PIXEL):
                    sum_ = muladd(load(other, o0 + p), by2, muladd(load(z, z0 + p), by, off))
                    store(y, y0 + p, gated(sum_, sum_))


@njit(**_COMPILED)
def _normalise_back(y, y0, d, d0, z, z0, scale, shift, sums, products, mask, m0, planes, pixels):  # type: ignore[no-untyped-def]
    """From the gradient of a block's normalised z to that of z; sums and products are means over batch and picture."""
    for plane in range(planes):
        for start in range(0, pixels, _PIECE):
            at, many = (plane * pixels + start) * PIXEL, min(_PIECE, pixels - start) * PIXEL
            for i in range(0, PIXEL, LANES):
                channel, real = plane * CHANNELS + i // WIDE, load(mask, m0 + i % WIDE)
                by, off = fill(z, scale[channel]), mul(fill(z, shift[channel]), real)
                mean, product = mul(fill(z, -sums[channel]), real), fill(z, -products[channel])
                for p in range(at + i, at + i + many, PIXEL):
                    rest = muladd(muladd(load(z, z0 + p), by, off), product, mean)
                    store(y, y0 + p, mul(by, add(load(d, d0 + p), rest)))


class Work(NamedTuple):
    """Memory for a run, kept from step to step: fresh pages would cost a tenth of it.

    What belongs to a convolution begins where its row of the table says: what comes out of it (`z`), the signal after
    its normalisation where that is kept (`x`), BatchNorm's factors and additions, the statistics that they are made
    from, and in the backward pass the means of a gradient and of its product with the normalised signal.
    """

    image: NDArray
    z: NDArray
    x: NDArray
    scale: NDArray
    shift: NDArray
    means: NDArray
    squares: NDArray
    sums: NDArray
    products: NDArray
    sum_means: NDArray
    product_means: NDArray
    forth: NDArray
    back: NDArray
    g: NDArray
    g2: NDArray
    signal: NDArray
    dz: NDArray
    dz2: NDArray
    inner: NDArray
    outer: NDArray
    lower: NDArray
    mask: NDArray
    ones: NDArray
    zeros: NDArray
    lines: NDArray


def work(table: NDArray, classes: int, batch: int, dtype: Any) -> Work:
    """Reserve memory for :func:`gradients`."""
    blocks, planes = -(-batch // WIDE), -(-table[:, [_INTO, _OUT]] // CHANNELS)
    sizes = planes * np.stack([table[:, _HEIGHT] * table[:, _WIDTH], table[:, _ROWS] * table[:, _COLUMNS]], 1)
    every, most, across = int(sizes[:, 1].sum()) * PIXEL * blocks, int(sizes.max()) * PIXEL * blocks, planes[:, 1].sum()
    filters = planes.prod(1) * table[:, _SIZE] ** 2 * _TILE
    channels = across * CHANNELS

    def empty(size: Any) -> NDArray:
        return np.empty(int(size), dtype)

    mask = np.zeros(blocks * WIDE, dtype)
    mask[:batch] = 1
    return Work(
        np.zeros(sizes[0, 0] * PIXEL * blocks, dtype),
        *(empty(every) for _ in range(2)),
        *(empty(channels) for _ in range(2)),
        *(empty(across * PIXEL * blocks) for _ in range(2)),
        *(empty(across * PIXEL) for _ in range(2)),
        *(empty(channels) for _ in range(2)),
        *(empty(filters.sum()) for _ in range(2)),
        *(np.zeros(filters.max() * LANES, dtype) for _ in range(2)),
        *(empty(most) for _ in range(6)),
        mask,
        np.ones(channels, dtype),
        np.zeros(channels, dtype),
        empty((2 * classes + planes.max() * CHANNELS + 2) * blocks * WIDE),
    )


@njit(**_COMPILED)
def _enter(image, x, first, rows, batch, padded, channels, pixels, near):  # type: ignore[no-untyped-def]
    """Lay out a run's images, which are rows of x, (channel, picture) each, or follow each other from the first."""
    size = channels * pixels
    for start in range(0, padded, LANES):
        for b in range(start, start + LANES):
            to = (b - start) * size
            if b < batch:
                at = (rows[b] if rows.size else first + b) * size
                near[to : to + size] = x[at : at + size]
            else:
                near[to : to + size] = 0
        for c in range(channels):
            plane = start // WIDE * _planes(channels) + c // CHANNELS
            to = plane * pixels * PIXEL + c % CHANNELS * WIDE + start % WIDE
            if pixels < LANES:
                for p in range(pixels):
                    for i in range(LANES):
                        image[to + p * PIXEL + i] = near[i * size + c * pixels + p]
            for p in range(0, pixels if pixels >= LANES else 0, LANES):
                p = min(p, pixels - LANES)  # the last square overlaps the one before
                turn(image, to + p * PIXEL, PIXEL, near, c * pixels + p, size)


@njit(**_COMPILED)
def _settle(one, batch, eps, m):  # type: ignore[no-untyped-def]
    """BatchNorm's factor and addition, from each image's statistics, once all blocks are through the convolution."""
    planes, pixels, blocks = _planes(one[_OUT]), one[_ROWS] * one[_COLUMNS], m.mask.size // WIDE
    for c in range(planes * CHANNELS):
        mean, square, start = 0.0, 0.0, (one[_PLANE] * blocks * CHANNELS + c) * WIDE
        for b in range(batch):
            mean += m.means[start + b // WIDE * planes * PIXEL + b % WIDE]
        mean /= batch
        for b in range(batch):
            at = start + b // WIDE * planes * PIXEL + b % WIDE
            square += m.squares[at] + pixels * (m.means[at] - mean) ** 2
        scale = 1 / math.sqrt(square / (pixels * batch) + eps)
        m.scale[one[_PLANE] * CHANNELS + c], m.shift[one[_PLANE] * CHANNELS + c] = scale, -mean * scale


@njit(**_COMPILED)
def _signal(table, before, side, kept, m, y, y0, block):  # type: ignore[no-untyped-def]
    """One block of the signal after a convolution; `side` is that of a shortcut, `kept` the signal it passes, or -1."""
    one = table[before]
    planes, pixels, channel = _planes(one[_OUT]), one[_ROWS] * one[_COLUMNS], one[_PLANE] * CHANNELS
    size, blocks = planes * pixels * PIXEL, m.mask.size // WIDE
    at, m0 = one[_OUTPUT] * blocks * PIXEL + block * size, block * WIDE
    z, scale, shift = m.z, m.scale[channel:], m.shift[channel:]
    if side >= 0:
        second = table[side]
        o0, channel = second[_OUTPUT] * blocks * PIXEL + block * size, second[_PLANE] * CHANNELS
        by, off = m.scale[channel:], m.shift[channel:]
        _activate(y, y0, z, at, scale, shift, z, o0, by, off, m.mask, m0, planes, pixels)
    elif kept >= 0:
        o0 = table[kept, _OUTPUT] * blocks * PIXEL + block * size
        _activate(y, y0, z, at, scale, shift, m.x, o0, m.ones, m.zeros, m.mask, m0, planes, pixels)
    else:
        _activate(y, y0, z, at, scale, shift, z, 0, scale[:0], scale[:0], m.mask, m0, planes, pixels)


@njit(**_COMPILED)
def _through(table, number, m, x, x0, block):  # type: ignore[no-untyped-def]
    """Convolve one block of a signal."""
    one = table[number]
    planes, blocks = _planes(one[_OUT]), m.mask.size // WIDE
    z0 = (one[_OUTPUT] * blocks + block * planes * one[_ROWS] * one[_COLUMNS]) * PIXEL
    m0 = (one[_PLANE] * blocks + block * planes) * PIXEL
    _convolve(m.z, z0, x, x0, m.forth, one, m.means, m.squares, m0)


@njit(**_COMPILED)
def _before(units, u):  # type: ignore[no-untyped-def]
    """Convolution before unit u, that of a shortcut beside it, and the one whose signal a bare shortcut passes."""
    if u == 0:
        return 0, -1, -1
    side = units[u - 1, 2]
    if side >= 0 or u == 1:
        return units[u - 1, 1], side, 0 if side < 0 else -1
    return units[u - 1, 1], side, units[u - 2, 1]


@njit(**_COMPILED)
def _forward(table, units, batch, eps, m):  # type: ignore[no-untyped-def]
    """From the images to the last signal."""
    blocks = m.mask.size // WIDE
    for block in range(blocks):
        _through(table, 0, m, m.image, block * (m.image.size // blocks), block)
    _settle(table[0], batch, eps, m)
    for u in range(len(units) + 1):
        before, side, kept = _before(units, u)
        one = table[before]
        size = _planes(one[_OUT]) * one[_ROWS] * one[_COLUMNS] * PIXEL
        for block in range(blocks):
            at = one[_OUTPUT] * blocks * PIXEL + block * size
            _signal(table, before, side, kept, m, m.x, at, block)
            if u < len(units):
                _through(table, units[u, 0], m, m.x, at, block)
                if units[u, 2] >= 0:
                    _through(table, units[u, 2], m, m.x, at, block)
        if u == len(units):
            break
        first, second, shortcut = units[u]
        _settle(table[first], batch, eps, m)
        if shortcut >= 0:
            _settle(table[shortcut], batch, eps, m)
        for block in range(blocks):
            _signal(table, first, -1, -1, m, m.signal, 0, block)
            _through(table, second, m, m.signal, 0, block)
        _settle(table[second], batch, eps, m)


@njit(**_COMPILED)
def _last(table, number, head, labels, batch, m, d):  # type: ignore[no-untyped-def]
    """Loss of the last signal, and the gradient with respect to it, which goes to d."""
    one = table[number]
    classes, last = head.shape
    padded, planes, pixels = m.mask.size, _planes(one[_OUT]), one[_ROWS] * one[_COLUMNS]
    size, share = planes * pixels * PIXEL, 1 / d.dtype.type(pixels)
    x0 = one[_OUTPUT] * padded // WIDE * PIXEL
    split = np.array([planes * CHANNELS, classes, classes, 1, 1]).cumsum() * padded
    mean, logits, raised = m.lines[: split[0]], m.lines[split[0] : split[1]], m.lines[split[1] : split[2]]
    norms, tops = m.lines[split[2] : split[3]], m.lines[split[3] :]
    for c in range(planes * CHANNELS):
        for b in range(0, padded, LANES):
            at = b // WIDE * size + c // CHANNELS * pixels * PIXEL + c % CHANNELS * WIDE + b % WIDE
            summed = fill(d, 0.0)
            for p in range(at, at + pixels * PIXEL, PIXEL):
                summed = add(summed, load(m.x, x0 + p))
            store(mean, c * padded + b, mul(summed, fill(d, share)))
    for k in range(classes):
        for b in range(0, padded, LANES):
            summed = fill(d, 0.0)
            for c in range(last):
                summed = muladd(load(mean, c * padded + b), fill(d, head[k, c]), summed)
            store(logits, k * padded + b, summed)
    loss = cross_entropy(logits, padded, batch, classes, labels, raised, norms, tops) / batch
    for c in range(planes * CHANNELS):
        for b in range(0, padded, LANES):
            summed = fill(d, 0.0)
            for k in range(classes if c < last else 0):
                summed = muladd(load(raised, k * padded + b), fill(d, head[k, c] * share), summed)
            summed = mul(summed, load(m.mask, b))
            at = b // WIDE * size + c // CHANNELS * pixels * PIXEL + c % CHANNELS * WIDE + b % WIDE
            for p in range(at, at + pixels * PIXEL, PIXEL):
                store(d, p, summed)
    return loss


@njit(**_COMPILED)
def _sum_up(one, count, m):  # type: ignore[no-untyped-def]
    """Means over batch and picture of the gradient that enters BatchNorm and of its product with what left it."""
    for c in range(one[_PLANE] * CHANNELS, (one[_PLANE] + _planes(one[_OUT])) * CHANNELS):
        m.sum_means[c] = m.sums[c * WIDE : (c + 1) * WIDE].sum() / count
        m.product_means[c] = m.products[c * WIDE : (c + 1) * WIDE].sum() / count


@njit(**_COMPILED)
def _filters(table, number, m, g, dz, d, x, x0, first, many):  # type: ignore[no-untyped-def]
    """Gradient of what some blocks left a convolution with, to dz, and of the filters, added up in g."""
    one = table[number]
    planes, pixels, channel = _planes(one[_OUT]), one[_ROWS] * one[_COLUMNS], one[_PLANE] * CHANNELS
    size, z0 = planes * pixels * PIXEL, one[_OUTPUT] * m.mask.size // WIDE * PIXEL
    means, products = m.sum_means[channel:], m.product_means[channel:]
    for block in range(first, first + many):
        _normalise_back(
            dz, (block - first) * size, d, block * size, m.z, z0 + block * size,
            m.scale[channel:], m.shift[channel:], means, products, m.mask, block * WIDE, planes, pixels,
        )  # fmt: skip
    _correlate(g, dz, 0, x, x0, many, one)


@njit(**_COMPILED)
def _gates(table, number, m, d, d0, x, x0, block, plane, start, pixels):  # type: ignore[no-untyped-def]
    """Gate a piece of a gradient by the signal it belongs to, and sum it for the convolution before."""
    one = table[number]
    planes, every = _planes(one[_OUT]), one[_ROWS] * one[_COLUMNS]
    at = (plane * every + start) * PIXEL
    z0 = (one[_OUTPUT] * (m.mask.size // WIDE) + block * planes * every) * PIXEL + at
    channel, s0 = one[_PLANE] * CHANNELS, one[_PLANE] * PIXEL
    scale, shift = m.scale[channel:], m.shift[channel:]
    _gate(d, d0 + at, x, x0 + at, m.z, z0, pixels, scale, shift, plane, m.sums[s0:], m.products[s0:])


@njit(**_COMPILED)
def _descend(table, first, side, more, m, d, x, x0, block, at, before, before_side):  # type: ignore[no-untyped-def]
    """Gradient of one block of a signal, from those of the convolutions it enters; `at` is its place in dz."""
    one = table[first]
    height, width, planes = one[_HEIGHT], one[_WIDTH], _planes(one[_INTO])
    pixels, left = height * width, _planes(one[_OUT]) * one[_ROWS] * one[_COLUMNS] * PIXEL
    d0, piece = block * planes * pixels * PIXEL, max(1, _PIECE // width)
    for plane in range(planes):
        for start in range(0, height, piece):
            end = min(start + piece, height)
            _back(d, d0, start, end, m.dz, at * left, m.back, plane, one, more)
            if side >= 0:
                _back(d, d0, start, end, m.dz2, at * left, m.back, plane, table[side], 1)
            many = (end - start) * width
            _gates(table, before, m, d, d0, x, x0, block, plane, start * width, many)
            if before_side >= 0:
                _gates(table, before_side, m, d, d0, x, x0, block, plane, start * width, many)


@njit(**_COMPILED)
def _unit_back(table, units, u, m, d, lower, flat, batch):  # type: ignore[no-untyped-def]
    """Gradients of a unit's filters, and from the gradient d of its output that of its input, in d or `lower`."""
    blocks = m.mask.size // WIDE
    first, second, side = units[u]
    before, before_side, _ = _before(units, u)
    one, two = table[first], table[second]
    inner = _planes(two[_OUT]) * two[_ROWS] * two[_COLUMNS] * PIXEL
    together = max(1, _CHUNK // inner)
    _sum_up(two, batch * two[_ROWS] * two[_COLUMNS], m)
    for start in range(0, blocks, together):
        many = min(together, blocks - start)
        for i in range(many):
            _signal(table, first, -1, -1, m, m.signal, i * inner, start + i)
        _filters(table, second, m, m.g, m.dz, d, m.signal, 0, start, many)
        for i in range(many):
            _descend(table, second, -1, 0, m, m.inner, m.signal, i * inner, start + i, i, first, -1)
    _fold(m.g, two, flat, two[_WEIGHTS])
    _sum_up(one, batch * one[_ROWS] * one[_COLUMNS], m)
    if side >= 0:
        _sum_up(table[side], batch * one[_ROWS] * one[_COLUMNS], m)
    target, more = (lower, 0) if side >= 0 else (d, 1)
    outer = _planes(one[_INTO]) * one[_HEIGHT] * one[_WIDTH] * PIXEL
    together, x0 = max(1, _CHUNK // outer), table[before, _OUTPUT] * blocks * PIXEL
    for start in range(0, blocks, together):
        many, at = min(together, blocks - start), x0 + start * outer
        _filters(table, first, m, m.g, m.dz, m.inner, m.x, at, start, many)
        if side >= 0:
            _filters(table, side, m, m.g2, m.dz2, d, m.x, at, start, many)
        for i in range(many):
            here = at + i * outer
            _descend(table, first, side, more, m, target, m.x, here, start + i, i, before, before_side)
    _fold(m.g, one, flat, one[_WEIGHTS])
    if side >= 0:
        _fold(m.g2, table[side], flat, table[side, _WEIGHTS])


@njit(**_COMPILED)
def gradients(flat, table, units, head, samples, rows, labels, eps, m, out, losses):  # type: ignore[no-untyped-def]
    """Losses and gradients of all runs; see :meth:`empirics.models.base.Model.loss_and_grad_of`.

    `flat` and `out` are the weights, filter after filter, and their gradients, (run, d); `table` and `units` those of
    :func:`tables` and `m` the memory of :func:`work`. Without `rows` the samples are the minibatches, one after the
    other.
    """
    batch, blocks, stem, everything = labels.shape[1], m.mask.size // WIDE, table[0], samples.ravel()
    for r in range(len(flat)):
        for i in range(len(table)):
            _pack(flat[r], table[i, _WEIGHTS], table[i], m.forth, m.back)
        m.sums[:] = 0
        m.products[:] = 0
        near, pixels = m.signal, stem[_HEIGHT] * stem[_WIDTH]
        mine = rows[r] if rows.size else rows[0:1].ravel()
        _enter(m.image, everything, r * batch, mine, batch, m.mask.size, stem[_INTO], pixels, near)
        _forward(table, units, batch, eps, m)
        before, side, _ = _before(units, len(units))
        d, lower = m.outer, m.lower
        losses[r] = _last(table, before, head[r], labels[r], batch, m, d)
        one = table[before]
        size = _planes(one[_OUT]) * one[_ROWS] * one[_COLUMNS] * PIXEL
        for block in range(blocks):
            x0 = one[_OUTPUT] * blocks * PIXEL + block * size
            for plane in range(_planes(one[_OUT])):
                for number in (before, side):
                    if number >= 0:
                        every = one[_ROWS] * one[_COLUMNS]
                        _gates(table, number, m, d, block * size, m.x, x0, block, plane, 0, every)
        for u in range(len(units) - 1, -1, -1):
            _unit_back(table, units, u, m, d, lower, out[r], batch)
            if units[u, 2] >= 0:
                d, lower = lower, d
        _sum_up(stem, batch * stem[_ROWS] * stem[_COLUMNS], m)
        size = m.image.size // blocks
        for block in range(blocks):
            _filters(table, 0, m, m.g, m.dz, d, m.image, block * size, block, 1)
        _fold(m.g, stem, out[r], stem[_WEIGHTS])

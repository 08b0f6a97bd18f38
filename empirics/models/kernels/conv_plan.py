"""The memory layout of :mod:`empirics.models.kernels.conv`; plain reference: that of ResNet-18, in torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirics.models.kernels.lanes import CHANNELS, LANES, PIXEL, WIDE

#: Columns of a convolution. Its channels; its planes of `CHANNELS` channels, the last of which is padded with zeros;
#: stride; size of its filters, of the input picture and of the output picture; size of a block of images on either
#: side; its first weight.
(INTO, OUT, PLANES_IN, PLANES_OUT, STRIDE, SIZE, HEIGHT, WIDTH, ROWS, COLUMNS, BLOCK_IN, BLOCK_OUT, WEIGHTS) = range(13)
#: Where its results begin: its output, and the signal made of it if that is kept; BatchNorm's scale and shift and the
#: images' means and sums of squares; of the gradient, lanes of sums and of products with BatchNorm's output, and their
#: means; its filters in the order of the forward and of the backward pass.
(OUTPUT, KEPT, SCALE, SHIFT, MEANS, SQUARES, SUMS, PRODUCTS, MEAN_SUM, MEAN_PRODUCT, FORTH, BACK) = range(13, 25)
#: Columns of a unit: its convolutions, the last one that of its shortcut, or -1; the convolutions whose sum is its
#: input, the second of which may be a signal that is kept (of the convolution in the last column) or absent.
FIRST, SECOND, SHORTCUT, BEFORE, BESIDE, PASSED = range(6)
#: The rest. Numbers: images of a minibatch, blocks of them. Places: the images; a signal inside a unit; the gradients
#: of the outputs of a unit's convolutions, of its inner signal, of its output and of the next unit's; sums over pixels
#: of products, for the filters; 1 for images and 0 for padding; ones; zeros; the last layer.
(BATCH, BLOCKS, IMAGES, SIGNAL, LEFT, LEFT_BESIDE, INNER, OUTER, NEXT, PAIRS, PAIRS_BESIDE, MASK, ONES, ZEROS, HEAD) = (
    range(15)
)
_TILE = CHANNELS * CHANNELS


@dataclass(frozen=True)
class ConvPlan:
    """Tables of a network's convolutions, units and other places, and the memory itself.

    Examples
    --------
    >>> plan = ConvPlan.of((3, 8, 8), [(4, 4, 1, False), (4, 8, 2, True)], classes=10, batch=40, dtype=np.float32)
    >>> plan.convolutions[:, [INTO, OUT, STRIDE, SIZE, ROWS]].tolist()
    [[3, 4, 1, 3, 8], [4, 4, 1, 3, 8], [4, 4, 1, 3, 8], [4, 8, 2, 3, 4], [8, 8, 1, 3, 4], [4, 8, 2, 1, 4]]
    >>> plan.units.tolist()
    [[1, 2, -1, 0, -1, -1], [3, 4, 5, 2, -1, 0], [-1, -1, -1, 4, 5, -1]]
    """

    convolutions: NDArray
    units: NDArray
    places: NDArray
    memory: NDArray

    @classmethod
    def of(
        cls,
        shape: tuple[int, ...],
        units: Sequence[tuple[int, int, int, bool]],
        classes: int,
        batch: int,
        dtype: Any,
    ) -> "ConvPlan":
        """Reserve the memory once: fresh pages in every step would cost a tenth of the time.

        Parameters
        ----------
        shape
            (channel, height, width) of an image.
        units
            Per residual unit: channels in and out, stride, and whether its shortcut is a convolution.
        classes, batch, dtype
            Number of classes, images per minibatch, type of all numbers.
        """
        layout = _Layout(-(-batch // WIDE))
        layout.convolution(shape[0], units[0][0], 1, 3, shape[1], shape[2])
        rows = []
        before, beside, passed = 0, -1, -1
        for into, out, stride, projects in units:
            height, width = layout.rows[before][ROWS : COLUMNS + 1]
            first = layout.convolution(into, out, stride, 3, height, width)
            second = layout.convolution(out, out, 1, 3, *layout.rows[first][ROWS : COLUMNS + 1])
            shortcut = layout.convolution(into, out, stride, 1, height, width) if projects else -1
            rows.append([first, second, shortcut, before, beside, passed])
            before, beside, passed = second, shortcut, -1 if projects else before
        rows.append([-1, -1, -1, before, beside, passed])
        table = np.array(layout.rows)
        places = layout.others(table, classes, batch)
        memory = _aligned(layout.end, dtype)
        memory[places[MASK] : places[MASK] + batch] = 1
        memory[places[ONES] : places[ZEROS]] = 1
        return cls(table, np.array(rows), places, memory)


class _Layout:
    """Lays pieces out one after the other."""

    def __init__(self, blocks: int) -> None:
        self.blocks, self.end, self.weights = blocks, 0, 0
        self.rows: list[list[int]] = []

    def piece(self, size: int) -> int:
        """Place a piece of `size` numbers, rounded up to whole vectors."""
        start, self.end = self.end, self.end + -(-int(size) // LANES) * LANES
        return start

    def convolution(self, into: int, out: int, stride: int, size: int, height: int, width: int) -> int:
        """Place everything of a convolution; returns its index."""
        rows, columns = (height - 1) // stride + 1, (width - 1) // stride + 1
        planes_in, planes_out = -(-into // CHANNELS), -(-out // CHANNELS)
        block_in, block_out = planes_in * height * width * PIXEL, planes_out * rows * columns * PIXEL
        row = [into, out, planes_in, planes_out, stride, size, height, width, rows, columns, block_in, block_out]
        row.append(self.weights)
        row += [self.piece(block_out * self.blocks) for _ in range(2)]
        row += [self.piece(planes_out * CHANNELS) for _ in range(2)]
        row += [self.piece(planes_out * PIXEL * self.blocks) for _ in range(2)]
        row += [self.piece(planes_out * PIXEL) for _ in range(2)]
        row += [self.piece(planes_out * CHANNELS) for _ in range(2)]
        row += [self.piece(planes_in * planes_out * size**2 * _TILE) for _ in range(2)]
        self.weights += into * out * size**2
        self.rows.append(row)
        return len(self.rows) - 1

    def others(self, table: NDArray, classes: int, batch: int) -> NDArray:
        """Place the rest."""
        blocks, most = self.blocks, table[:, [BLOCK_IN, BLOCK_OUT]].max() * self.blocks
        tiles, channels = (table[:, PLANES_IN] * table[:, PLANES_OUT]).max() * 9 * _TILE, table[:, PLANES_OUT].max() * 4
        found = [batch, blocks, self.piece(table[0, BLOCK_IN] * blocks)]
        found += [self.piece(most) for _ in range(6)]
        found += [self.piece(tiles * LANES) for _ in range(2)]
        found += [self.piece(blocks * WIDE)]
        found += [self.piece(channels) for _ in range(2)]
        found += [self.piece((channels + 2 * classes + 2) * blocks * WIDE)]
        return np.array(found)


def _aligned(size: int, dtype: Any) -> NDArray:
    """Zeros aligned to a cache line: a vector that crosses a boundary is read twice."""
    line = 64
    memory = np.zeros(size * np.dtype(dtype).itemsize + line, np.uint8)
    start = -memory.ctypes.data % line
    return memory[start : start + size * np.dtype(dtype).itemsize].view(dtype)

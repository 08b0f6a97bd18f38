"""Vectors of `LANES` numbers inside compiled functions; plain reference: that of each kernel made of them, in torch.

Numba cannot tell LLVM that two arrays do not overlap, so a loop that sums into one array from another becomes scalar
code. These few functions emit the vector instructions themselves, and keep sums in registers; they work on any
processor that LLVM supports.
"""

import math
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

__all__ = ["CHANNELS", "LANES", "PIXEL", "TILE", "WIDE", "add", "correlated", "div", "exp", "fill", "gated", "larger"]
__all__ += ["load", "many", "mul", "muladd", "single", "store", "sub", "total", "turn", "weighted"]

#: Numbers per vector: 64 bytes of float32.
LANES = 16
#: Rows per tile: eight accumulators of 64 bytes fit into the registers of AVX-512, four into those of AVX2. The order
#: of the sums is the same for both.
TILE = 8 if binding.get_host_cpu_features().get("avx512f") else 4
#: Images side by side in a convolution (two vectors), channels one after the other, and numbers per pixel.
WIDE, CHANNELS = 2 * LANES, 4
PIXEL = CHANNELS * WIDE
_INDEX = ir.IntType(32)


class Lanes(types.Type):
    """The type of a vector."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


def _number(dtype: types.Float) -> Any:
    return ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Lanes) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(_number(fe_type.dtype), LANES))


def _constant(vector: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(vector, [ir.Constant(vector.element, value)] * LANES)


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    bits = 32 if isinstance(a.type.element, ir.FloatType) else 64
    signature = ir.FunctionType(a.type, [a.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fmuladd.v{LANES}f{bits}")
    return builder.call(function, [a, b, c])


def _spread(builder: Any, number: Any) -> Any:
    """Repeat one number in a vector."""
    undefined = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INDEX, LANES), None))


def _whole(value: int) -> ir.Constant:
    return ir.Constant(ir.IntType(64), value)


class _Lines:
    """Vectors in flat arrays of one type, in code that is being built."""

    def __init__(self, context: Any, builder: Any, kind: Any) -> None:
        self.context, self.builder, self.kind = context, builder, kind
        self.vector = ir.VectorType(_number(kind.dtype), LANES)

    def at(self, array: Any, start: Any, *steps: tuple[Any, Any]) -> Any:
        """Point at the vector that begins at ``start + step · number + ...``."""
        for step, number in steps:
            start = self.builder.add(start, self.builder.mul(step, number))
        data = self.context.make_array(self.kind)(self.context, self.builder, array).data
        return self.builder.bitcast(self.builder.gep(data, [start]), self.vector.as_pointer())

    def read(self, place: Any) -> Any:
        """Read a vector."""
        found = self.builder.load(place)
        found.align = self.kind.dtype.bitwidth // 8
        return found

    def write(self, value: Any, place: Any) -> Any:
        """Write a vector; returns what a function without a result returns."""
        self.builder.store(value, place).align = self.kind.dtype.bitwidth // 8
        return self.context.get_dummy_value()

    def muladd(self, a: Any, b: Any, register: Any) -> None:
        """Add a product to a register."""
        self.builder.store(_fused(self.builder, a, b, self.builder.load(register)), register)


@intrinsic
def load(context, x, at):  # type: ignore[no-untyped-def]
    """Read the vector that begins at ``x[at]``."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        lines = _Lines(context, builder, signature.args[0])
        return lines.read(lines.at(*arguments))

    return Lanes(x.dtype)(x, types.int64), generate


@intrinsic
def store(context, x, at, value):  # type: ignore[no-untyped-def]
    """Write a vector to memory, beginning at ``x[at]``."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        lines = _Lines(context, builder, signature.args[0])
        return lines.write(arguments[2], lines.at(*arguments[:2]))

    return types.void(x, types.int64, value), generate


@intrinsic
def fill(context, x, value):  # type: ignore[no-untyped-def]
    """Repeat one number, of the type of the array `x`, in a vector."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return _spread(builder, arguments[1])

    return Lanes(x.dtype)(x, x.dtype), generate


def _elementwise(build: Callable[..., Any], count: int) -> Any:
    """Make an elementwise function of `count` vectors."""

    def typed(context, *vectors):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return build(builder, *arguments)

        return vectors[0](*vectors), generate

    if count == 1:
        return intrinsic(lambda context, a: typed(context, a))
    if count == 2:
        return intrinsic(lambda context, a, b: typed(context, a, b))
    return intrinsic(lambda context, a, b, c: typed(context, a, b, c))


def _gated(builder: Any, value: Any, gate: Any) -> Any:
    closed = builder.fcmp_ordered("<=", gate, _constant(gate.type, 0.0))
    return builder.select(closed, _constant(value.type, 0.0), value)


def _exp(builder: Any, x: Any) -> Any:
    """``2^n e^s`` with ``x = n log 2 + s``, ``|s| <= log(2)/2``, by a power series; x is at least -87 (-708)."""
    vector = x.type
    if isinstance(vector.element, ir.FloatType):
        bits, mantissa, bias, degree, smallest = 32, 23, 127, 7, -87.0
        high, low = 0.693359375, -2.12194440e-4
    else:
        bits, mantissa, bias, degree, smallest = 64, 52, 1023, 13, -708.0
        high, low = 0.6931471803691238, 1.9082149292705877e-10
    integers = ir.VectorType(ir.IntType(bits), LANES)

    def whole(value: int) -> ir.Constant:
        return ir.Constant(integers, [ir.Constant(integers.element, value)] * LANES)

    x = builder.select(builder.fcmp_ordered("<", x, _constant(vector, smallest)), _constant(vector, smallest), x)
    # Adding 1.5 * 2^mantissa leaves n, rounded, in the lowest bits.
    magic = _constant(vector, 1.5 * 2.0**mantissa)
    shifted = builder.fadd(builder.fmul(x, _constant(vector, 1 / math.log(2))), magic)
    n = builder.fsub(shifted, magic)
    s = _fused(builder, n, _constant(vector, -low), _fused(builder, n, _constant(vector, -high), x))
    series = _constant(vector, 1 / math.factorial(degree))
    for power in range(degree - 1, -1, -1):
        series = _fused(builder, series, s, _constant(vector, 1 / math.factorial(power)))
    exponent = builder.shl(builder.bitcast(shifted, integers), whole(mantissa))
    scale = builder.bitcast(builder.add(exponent, whole(bias << mantissa)), vector)
    return builder.fmul(series, scale)


add = _elementwise(lambda builder, a, b: builder.fadd(a, b), 2)
sub = _elementwise(lambda builder, a, b: builder.fsub(a, b), 2)
mul = _elementwise(lambda builder, a, b: builder.fmul(a, b), 2)
div = _elementwise(lambda builder, a, b: builder.fdiv(a, b), 2)
#: The larger of each pair.
larger = _elementwise(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b), 2)
#: ``a b + c``.
muladd = _elementwise(_fused, 3)
#: The first vector where the second is not <= 0 (so also where it is NaN), else 0.
gated = _elementwise(_gated, 2)
#: The exponential of numbers <= 0.
exp = _elementwise(_exp, 1)


def _tile(rows: int) -> Any:
    """Make ``tile(y, y0, y_row, x, x0, x_row, x_step, w, w0, w_step, depth)``.

    It sets ``y[y0 + i y_row + j] = sum over k of x[x0 + i x_row + k x_step] w[w0 + k w_step + j]`` for `rows` rows i
    and `LANES` columns j; all arrays flat. The sums run over k in order, each in its own register.
    """

    @intrinsic
    def tile(context, y, y0, y_row, x, x0, x_row, x_step, w, w0, w_step, depth):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            y, y0, y_row, x, x0, x_row, x_step, w, w0, w_step, depth = arguments
            lines = _Lines(context, builder, signature.args[0])
            data = context.make_array(lines.kind)(context, builder, x).data
            sums = [cgutils.alloca_once_value(builder, ir.Constant(lines.vector, None)) for _ in range(rows)]
            starts = [builder.add(x0, builder.mul(x_row, _whole(i))) for i in range(rows)]
            with cgutils.for_range(builder, depth) as loop:
                line = lines.read(lines.at(w, w0, (loop.index, w_step)))
                along = builder.mul(loop.index, x_step)
                for start, one in zip(starts, sums, strict=True):
                    factor = builder.load(builder.gep(data, [builder.add(start, along)]))
                    lines.muladd(_spread(builder, factor), line, one)
            for i, one in enumerate(sums):
                lines.write(builder.load(one), lines.at(y, y0, (y_row, _whole(i))))
            return context.get_dummy_value()

        wide = types.int64
        return types.void(y, wide, wide, x, wide, wide, wide, w, wide, wide, wide), generate

    return tile


many, single = _tile(TILE), _tile(1)


@intrinsic
def turn(context, y, y0, y_row, x, x0, x_row):  # type: ignore[no-untyped-def]
    """Transpose a square of `LANES` by `LANES` numbers: ``y[y0 + k y_row + i] = x[x0 + i x_row + k]``."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        y, y0, y_row, x, x0, x_row = arguments
        lines = _Lines(context, builder, signature.args[0])
        rows = [lines.read(lines.at(x, x0, (x_row, _whole(i)))) for i in range(LANES)]
        # A perfect shuffle of the rows, with the numbers of each two interleaved, moves one bit of the row's number
        # to that of the column; after as many shuffles as it has bits the two have changed places.
        half, masks = LANES // 2, []
        for first in (0, half):
            pairs = [index for i in range(first, first + half) for index in (i, i + LANES)]
            masks.append(ir.Constant(ir.VectorType(_INDEX, LANES), [ir.Constant(_INDEX, index) for index in pairs]))
        for _ in range(LANES.bit_length() - 1):
            halves = zip(rows[:half], rows[half:], strict=True)
            rows = [builder.shuffle_vector(a, b, mask) for a, b in halves for mask in masks]
        for i, one in enumerate(rows):
            lines.write(one, lines.at(y, y0, (y_row, _whole(i))))
        return context.get_dummy_value()

    wide = types.int64
    return types.void(y, wide, wide, x, wide, wide), generate


@intrinsic
def total(context, vector):  # type: ignore[no-untyped-def]
    """Sum the numbers of a vector, halves first."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        (summed,) = arguments
        half = LANES // 2
        while half:
            low, high = (ir.Constant(ir.VectorType(_INDEX, half), list(range(i, i + half))) for i in (0, half))
            summed = builder.fadd(*(builder.shuffle_vector(summed, summed, mask) for mask in (low, high)))
            half //= 2
        return builder.extract_element(summed, ir.Constant(_INDEX, 0))

    return vector.dtype(vector), generate


@intrinsic
def weighted(context, y, y0, x, x0, x_plane, x_row, w, w0, w_plane, w_row, planes, rows, depth, more):  # type: ignore[no-untyped-def]
    """One pixel of a convolution, `CHANNELS` channels of `WIDE` images, which are `PIXEL` numbers at ``y[y0]``.

    It sets ``y[y0 + c WIDE + i]`` to the sum over planes p, rows r and k < depth of ``w[w0 + p w_plane + r w_row +
    k CHANNELS + c] x[x0 + p x_plane + r x_row + k WIDE + i]``, or adds the sum to it if `more` is not 0.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = signature.args[0]
        y, y0, x, x0, x_plane, x_row, w, w0, w_plane, w_row, planes, rows, depth, more = arguments
        lines, weights = _Lines(context, builder, kind), context.make_array(kind)(context, builder, w).data
        ways = [builder.add(y0, _whole(start)) for start in range(0, PIXEL, LANES)]
        zero = ir.Constant(lines.vector, None)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in ways]
        for one in sums:  # in every pass: an alloca is set only once
            builder.store(zero, one)
        with builder.if_then(builder.icmp_signed("!=", more, _whole(0))):
            for one, way in zip(sums, ways, strict=True):
                builder.store(lines.read(lines.at(y, way)), one)
        with cgutils.for_range(builder, planes) as plane, cgutils.for_range(builder, rows) as row:
            x1 = builder.add(builder.mul(plane.index, x_plane), builder.mul(row.index, x_row))
            w1 = builder.add(builder.mul(plane.index, w_plane), builder.mul(row.index, w_row))
            x1, w1 = builder.add(x0, x1), builder.add(w0, w1)
            with cgutils.for_range(builder, depth) as loop:
                along = (loop.index, _whole(WIDE))
                both = [lines.read(lines.at(x, x1, along, (_whole(LANES), _whole(i)))) for i in range(WIDE // LANES)]
                w2 = builder.add(w1, builder.mul(loop.index, _whole(CHANNELS)))
                for c in range(CHANNELS):
                    factor = _spread(builder, builder.load(builder.gep(weights, [builder.add(w2, _whole(c))])))
                    for i, line in enumerate(both):
                        lines.muladd(factor, line, sums[c * len(both) + i])
        for one, way in zip(sums, ways, strict=True):
            lines.write(builder.load(one), lines.at(y, way))
        return context.get_dummy_value()

    wide = types.int64
    return types.void(y, wide, x, wide, wide, wide, w, wide, wide, wide, wide, wide, wide, wide), generate


@intrinsic
def correlated(context, g, g0, d, d0, d_row, x, x0, x_row, x_step, rows, columns):  # type: ignore[no-untyped-def]
    """Products of each of `CHANNELS` channels of d with each of x, summed over pixels and added to vectors of g.

    The vector at ``g[g0 + (o CHANNELS + c) LANES]`` gets the sum over rows r, columns q and halves h of a pixel of the
    vectors at ``d[d0 + r d_row + q PIXEL + o WIDE + h LANES]`` and ``x[x0 + r x_row + q x_step + c WIDE + h LANES]``.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = signature.args[0]
        g, g0, d, d0, d_row, x, x0, x_row, x_step, rows, columns = arguments
        lines, pairs = _Lines(context, builder, kind), range(CHANNELS * CHANNELS)
        ways = [builder.add(g0, _whole(i * LANES)) for i in pairs]
        sums = [cgutils.alloca_once_value(builder, ir.Constant(lines.vector, None)) for _ in pairs]
        for one, way in zip(sums, ways, strict=True):
            builder.store(lines.read(lines.at(g, way)), one)
        with cgutils.for_range(builder, _whole(WIDE // LANES)) as half, cgutils.for_range(builder, rows) as row:
            d1 = builder.add(builder.mul(half.index, _whole(LANES)), builder.mul(row.index, d_row))
            x1 = builder.add(builder.mul(half.index, _whole(LANES)), builder.mul(row.index, x_row))
            d1, x1 = builder.add(d0, d1), builder.add(x0, x1)
            with cgutils.for_range(builder, columns) as loop:
                d2, x2 = (loop.index, _whole(PIXEL)), (loop.index, x_step)
                channels = [(_whole(WIDE), _whole(c)) for c in range(CHANNELS)]
                ours = [lines.read(lines.at(d, d1, d2, channel)) for channel in channels]
                for c, channel in enumerate(channels):
                    theirs = lines.read(lines.at(x, x1, x2, channel))
                    for o, line in enumerate(ours):
                        lines.muladd(line, theirs, sums[o * CHANNELS + c])
        for one, way in zip(sums, ways, strict=True):
            lines.write(builder.load(one), lines.at(g, way))
        return context.get_dummy_value()

    wide = types.int64
    return types.void(g, wide, d, wide, wide, x, wide, wide, wide, wide, wide), generate

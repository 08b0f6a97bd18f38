"""Vectors of `LANES` numbers as values inside numba's compiled functions, so that sums stay in registers.

Numba cannot tell LLVM that two arrays do not overlap, so that a loop which sums into one array from another becomes
scalar code. These few functions say the vector instructions themselves; they work on any processor LLVM knows.
"""

import math
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

__all__ = ["LANES", "TILE", "add", "div", "exp", "fill", "gated", "larger", "load", "many", "mul", "muladd", "single"]
__all__ += ["store", "sub", "turn"]

#: Numbers of a vector: 64 bytes of float32.
LANES = 16
#: Rows of a tile: eight accumulators of 64 bytes fit into the registers of AVX-512, four into those of AVX2. The order
#: of the sums is the same.
TILE = 8 if binding.get_host_cpu_features().get("avx512f") else 4
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
    """Make a vector of one number."""
    undefined = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INDEX, LANES), None))


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Point at the vector that begins at an element of a flat array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.VectorType(_number(kind.dtype), LANES).as_pointer())


@intrinsic
def load(context, x, at):  # type: ignore[no-untyped-def]
    """Read the vector that begins at ``x[at]``."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        found = builder.load(_place(context, builder, signature.args[0], *arguments))
        found.align = signature.args[0].dtype.bitwidth // 8
        return found

    return Lanes(x.dtype)(x, types.int64), generate


@intrinsic
def store(context, x, at, value):  # type: ignore[no-untyped-def]
    """Write a vector to ``x[at]`` and what follows."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        x, at, value = arguments
        done = builder.store(value, _place(context, builder, signature.args[0], x, at))
        done.align = signature.args[0].dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(x, types.int64, value), generate


@intrinsic
def fill(context, x, value):  # type: ignore[no-untyped-def]
    """Make a vector of one number, of the type that the array `x` holds."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return _spread(builder, arguments[1])

    return Lanes(x.dtype)(x, x.dtype), generate


def _elementwise(build: Callable[..., Any], count: int) -> Any:
    """Make a function of `count` vectors that gives a vector."""

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
    """``2^n e^s`` with ``x = n log 2 + s``, ``|s| <= log(2)/2``, and a power series; what is below e^-87 is e^-87."""
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
            kind = signature.args[0]
            vector, size = ir.VectorType(_number(kind.dtype), LANES), kind.dtype.bitwidth // 8
            y, y0, y_row, x, x0, x_row, x_step, w, w0, w_step, depth = arguments
            data = context.make_array(kind)(context, builder, x).data
            sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in range(rows)]
            starts = [builder.add(x0, builder.mul(x_row, ir.Constant(x_row.type, i))) for i in range(rows)]
            with cgutils.for_range(builder, depth) as loop:
                at = builder.add(w0, builder.mul(loop.index, w_step))
                line = builder.load(_place(context, builder, kind, w, at))
                line.align = size
                along = builder.mul(loop.index, x_step)
                for start, one in zip(starts, sums, strict=True):
                    factor = builder.load(builder.gep(data, [builder.add(start, along)]))
                    builder.store(_fused(builder, _spread(builder, factor), line, builder.load(one)), one)
            for i, one in enumerate(sums):
                at = builder.add(y0, builder.mul(y_row, ir.Constant(y_row.type, i)))
                builder.store(builder.load(one), _place(context, builder, kind, y, at)).align = size
            return context.get_dummy_value()

        wide = types.int64
        return types.void(y, wide, wide, x, wide, wide, wide, w, wide, wide, wide), generate

    return tile


many, single = _tile(TILE), _tile(1)


@intrinsic
def turn(context, y, y0, y_row, x, x0, x_row):  # type: ignore[no-untyped-def]
    """Transpose a square of `LANES` by `LANES` numbers: ``y[y0 + k y_row + i] = x[x0 + i x_row + k]``."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = signature.args[0]
        size = kind.dtype.bitwidth // 8
        y, y0, y_row, x, x0, x_row = arguments

        def row(array: Any, start: Any, step: Any, i: int) -> Any:
            at = builder.add(start, builder.mul(step, ir.Constant(step.type, i)))
            return _place(context, builder, kind, array, at)

        rows = []
        for i in range(LANES):
            rows.append(builder.load(row(x, x0, x_row, i)))
            rows[-1].align = size
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
            builder.store(one, row(y, y0, y_row, i)).align = size
        return context.get_dummy_value()

    wide = types.int64
    return types.void(y, wide, wide, x, wide, wide), generate

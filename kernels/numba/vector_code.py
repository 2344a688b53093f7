"""Pieces of LLVM code for kernels that keep vectors in registers.

With plain Numba loops, LLVM decides what stays in registers and which instructions rearrange vectors. Kernels that
decide it themselves are written with llvmlite and called through Numba intrinsics. Addresses, distances and counts are
64-bit integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigan_kernels.numba.cpu import vector_bytes

I32, I64 = ir.IntType(32), ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()


def constant(number: int) -> ir.Constant:
    """`number` as a 64-bit integer."""
    return ir.Constant(I64, number)


def size_of(scalar: ir.Type) -> int:
    """The bytes of a number of the type `scalar`, float or double."""
    return 4 if isinstance(scalar, ir.FloatType) else 8


def float_type(bits: int) -> ir.Type:
    """LLVM's type of the numbers with `bits` bits, 32 or 64."""
    return ir.FloatType() if bits == 32 else ir.DoubleType()


@dataclass(frozen=True)
class Native:
    """A function in LLVM code: its name, the number of its 64-bit integers, and what writes its body.

    `write(builder, number, *integers)` gets one number of the dtype first. The function returns nothing.
    """

    name: str
    integers: int
    write: Callable

    def define(self, module: ir.Module, scalar: ir.Type) -> ir.Function:
        """Add the function for numbers of the type `scalar` to the module."""
        kind = ir.FunctionType(ir.VoidType(), [scalar, *(I64,) * self.integers])
        function = ir.Function(module, kind, f"minigan_{self.name}")
        function.linkage = "internal"
        builder = ir.IRBuilder(function.append_basic_block())
        self.write(builder, *function.args)
        builder.ret_void()
        return function


def addresses_of(natives: Sequence[Native]) -> Callable:
    """The intrinsic that defines these functions for the dtype of its argument and returns their addresses.

    So they are compiled once for a dtype, however many kernels call them.
    """

    @intrinsic
    def addresses(typingctx, zero):
        signature = types.UniTuple(types.int64, len(natives))(zero)

        def codegen(context, builder, signature, args):
            functions = [native.define(builder.module, args[0].type) for native in natives]
            return context.make_tuple(builder, signature.return_type, [builder.ptrtoint(f, I64) for f in functions])

        return signature, codegen

    return addresses


@intrinsic
def call_native(typingctx, function, number, integers):
    """Call the native function at the address `function` with a number and a tuple of integers, which may be nested."""
    signature = types.void(types.int64, number, integers)

    def codegen(context, builder, signature, args):
        arguments = [args[1], *_flattened(builder, args[2])]
        kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), arguments)
        return context.get_dummy_value()

    return signature, codegen


def _flattened(builder: ir.IRBuilder, value: Any) -> list:
    if isinstance(value.type, ir.IntType):
        return [value]
    return [part for element in cgutils.unpack_tuple(builder, value) for part in _flattened(builder, element)]


def pointer(builder: ir.IRBuilder, base: Any, kind: ir.Type, offset: Any = 0) -> Any:
    """A pointer to a value of type `kind`, `offset` bytes after the address `base`; `offset` may be computed."""
    offset = constant(offset) if isinstance(offset, int) else offset
    return builder.inttoptr(builder.add(base, offset), kind.as_pointer())


def load(builder: ir.IRBuilder, base: Any, kind: ir.Type, size: int, offset: Any = 0) -> Any:
    """The value of type `kind` at `offset` bytes after `base`, which is aligned to numbers of `size` bytes at least."""
    return builder.load(pointer(builder, base, kind, offset), align=size)


def store(builder: ir.IRBuilder, value: Any, base: Any, size: int, offset: Any = 0) -> None:
    """Store `value` at `offset` bytes after `base`; see `load`."""
    builder.store(value, pointer(builder, base, value.type, offset), align=size)


def shuffle(builder: ir.IRBuilder, x: Any, y: Any, lanes: Sequence[int]) -> Any:
    """The vector of these lanes of x, which come first, and y."""
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))


def prefetch(builder: ir.IRBuilder, address: Any, level: int = 1) -> None:
    """Begin to load the cache line at `address`, which may be any number, into the cache of this level, 1 or 2."""
    kind = ir.FunctionType(ir.VoidType(), [_BYTES, I32, I32, I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    reading, locality, data = (ir.Constant(I32, number) for number in (0, 4 - level, 1))
    builder.call(function, [builder.inttoptr(address, _BYTES), reading, locality, data])


class Vectors:
    """Emits arithmetic on vectors of `lanes` numbers, which fill a register of this CPU, or on single numbers.

    With one lane the arithmetic is that of each lane of a vector, so its results have the same bits.
    """

    def __init__(self, builder: ir.IRBuilder, scalar: ir.Type, lanes: int | None = None) -> None:
        self.builder, self.scalar, self.size = builder, scalar, size_of(scalar)
        self.lanes = vector_bytes() // self.size if lanes is None else lanes
        self.kind = scalar if self.lanes == 1 else ir.VectorType(scalar, self.lanes)
        self.add, self.subtract, self.multiply, self.divide = builder.fadd, builder.fsub, builder.fmul, builder.fdiv

    def constant(self, value: float) -> ir.Constant:
        """`value` in every lane."""
        return ir.Constant(self.kind, value if self.lanes == 1 else [value] * self.lanes)

    def repeat(self, number: Any) -> Any:
        """The computed `number` in every lane."""
        if self.lanes == 1:
            return number
        undefined = ir.Constant(self.kind, ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.Constant(I32, 0))
        return shuffle(self.builder, first, undefined, [0] * self.lanes)

    def load(self, base: Any, offset: Any = 0) -> Any:
        """The numbers at `offset` bytes after the address `base`."""
        return load(self.builder, base, self.kind, self.size, offset)

    def store(self, value: Any, base: Any, offset: Any = 0) -> None:
        """Store `value` at `offset` bytes after the address `base`."""
        store(self.builder, value, base, self.size, offset)

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """x * y + z: one fused instruction if the CPU has it, else a multiplication and an addition."""
        return self._call("fmuladd", x, y, z)

    def square_root(self, x: Any) -> Any:
        """The square root of x."""
        return self._call("sqrt", x)

    def _call(self, name: str, *operands: Any) -> Any:
        suffix = f"{'' if self.lanes == 1 else f'v{self.lanes}'}f{8 * self.size}"
        kind = ir.FunctionType(self.kind, [self.kind] * len(operands))
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}.{suffix}")
        return self.builder.call(function, operands)

    def slope_gate(self, x: Any, v: Any, slope: Any) -> Any:
        """v where x > 0, slope * v elsewhere; see `reference.slope_gate`, also for NaN and a slope of 0."""
        build, zero = self.builder, self.constant(0.0)
        is_relu = build.fcmp_ordered("==", slope, zero)
        # ReLU passes v on where x is NaN: `x <= 0` does not hold there.
        low = build.select(is_relu, build.fcmp_ordered("<=", x, zero), build.fcmp_unordered("<=", x, zero))
        return build.select(low, build.select(is_relu, slope, build.fmul(v, slope)), v)

    def leaky_relu(self, x: Any, slope: Any) -> Any:
        """slope_gate(x, x, slope) with one comparison: NaN stays NaN, whichever side it is on."""
        build, zero = self.builder, self.constant(0.0)
        is_relu = build.fcmp_ordered("==", slope, zero)
        below = build.select(is_relu, slope, build.fmul(x, slope))  # with a slope of 0, -inf * slope would be NaN
        return build.select(build.fcmp_unordered(">", x, zero), x, below)

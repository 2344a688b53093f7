"""parallel_for(threads, work, arguments) runs work(t, threads, *arguments) on a thread of its own for each t < threads.

Numba's own `prange` does the same, but every loop with it takes about a second to compile, whatever its body is. So one
`prange` loop, compiled once, runs any function: it gets the address of a small function that unpacks the arguments and
calls `work`, and the address of the arguments. With one thread `work` is called directly.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from minigan_kernels.numba.disk_cache import compile_or_load

_I64 = ir.IntType(64)
_BODY = ir.FunctionType(ir.VoidType(), [_I64, _I64])  # (address of the packed arguments, thread number)
_RUN_ARGUMENTS = (types.int64,) * 3
_SYMBOL = "minigan_run_on_threads"


@intrinsic
def _call(typingctx, body, arguments, t):
    """Call the function at the address `body`."""

    def codegen(context, builder, signature, args):
        builder.call(builder.inttoptr(args[0], _BODY.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*_RUN_ARGUMENTS), codegen


@njit(parallel={"fusion": False})
def _run(body, arguments, threads):
    for t in prange(threads):
        _call(body, arguments, t)


@lru_cache
def load_thread_loop() -> None:
    """Compile or load `_run`, and register its symbol; kernels refer to it by name, so this must happen first."""
    compile_or_load(_run, _RUN_ARGUMENTS, "'threads'")
    compiled = _run.overloads[_RUN_ARGUMENTS]
    llvm.add_symbol(_SYMBOL, compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


@intrinsic
def parallel_for(typingctx, threads, work, arguments):
    """Run work(t, threads, *arguments) for t = 0 .. threads - 1, each on its own thread; return when all have ended."""
    work_types = (types.int64, types.int64, *arguments.types)
    called = typingctx.resolve_function_type(work, work_types, {})

    def codegen(context, builder, signature, args):
        thread_count, _, values = args
        packed = cgutils.alloca_once(builder, ir.LiteralStructType([_I64, values.type]))
        builder.store(thread_count, cgutils.gep_inbounds(builder, packed, 0, 0))
        builder.store(values, cgutils.gep_inbounds(builder, packed, 0, 1))
        body = _unpacking(context, builder.module, packed.type, work.dispatcher.overloads[called.args], called)
        packed_address = builder.ptrtoint(packed, _I64)
        single = builder.icmp_signed("<=", thread_count, ir.Constant(_I64, 1))
        with builder.if_else(single) as (one_thread, many_threads):
            with one_thread:
                builder.call(body, [packed_address, ir.Constant(_I64, 0)])
            with many_threads:
                convention = context.call_conv
                run_type = convention.get_function_type(types.none, _RUN_ARGUMENTS)
                run = cgutils.get_or_insert_function(builder.module, run_type, _SYMBOL)
                values = [builder.ptrtoint(body, _I64), packed_address, thread_count]
                convention.call_function(builder, run, types.none, _RUN_ARGUMENTS, values)
        return context.get_dummy_value()

    return types.void(types.int64, work, arguments), codegen


def _unpacking(context: Any, module: ir.Module, pointer: ir.PointerType, compiled: Any, called: Any) -> ir.Function:
    """A function of type _BODY that calls `compiled` with the thread number and the packed arguments."""
    body = ir.Function(module, _BODY, module.get_unique_name("parallel_for"))
    body.linkage = "internal"
    builder = ir.IRBuilder(body.append_basic_block())
    packed = builder.inttoptr(body.args[0], pointer)
    thread_count = builder.load(cgutils.gep_inbounds(builder, packed, 0, 0))
    values = builder.load(cgutils.gep_inbounds(builder, packed, 0, 1))
    arguments = [builder.extract_value(values, i) for i in range(len(called.args) - 2)]
    context.active_code_library.add_linking_library(compiled.library)
    context.call_internal_no_propagate(builder, compiled.fndesc, called, [body.args[1], thread_count, *arguments])
    builder.ret_void()
    return body

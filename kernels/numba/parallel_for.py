"""Sharing work among threads: `share(threads, work, arguments)` runs work(t, threads, *arguments) for each t < threads.

Numba's own `prange` does the same, but takes about a second to compile for every loop, whatever is in it. So one
`prange`, compiled once, runs any function: it is given the address of a small function that unpacks the arguments
and calls `work`, and the address of the arguments. With one thread `work` is called straight away.
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
_BODY = ir.FunctionType(ir.VoidType(), [_I64, _I64])  # (address of the arguments, number of the thread)
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
    """Compile `_run`, or load it, and make it known to the functions that call it by name; before those are loaded."""
    compile_or_load(_run, _RUN_ARGUMENTS, "'threads'")
    compiled = _run.overloads[_RUN_ARGUMENTS]
    llvm.add_symbol(_SYMBOL, compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


@intrinsic
def parallel_for(typingctx, threads, work, arguments):
    """Run work(t, threads, *arguments) for t = 0 .. threads - 1, each on a thread of its own; returns when all have."""
    wanted = (types.int64, types.int64, *arguments.types)
    called = typingctx.resolve_function_type(work, wanted, {})

    def codegen(context, builder, signature, args):
        crew, _, values = args
        place = cgutils.alloca_once(builder, ir.LiteralStructType([_I64, values.type]))
        builder.store(crew, cgutils.gep_inbounds(builder, place, 0, 0))
        builder.store(values, cgutils.gep_inbounds(builder, place, 0, 1))
        body = _unpacking(context, builder.module, place.type, work.dispatcher.overloads[called.args], called)
        packed = builder.ptrtoint(place, _I64)
        with builder.if_else(builder.icmp_signed("<=", crew, ir.Constant(_I64, 1))) as (alone, together):
            with alone:
                builder.call(body, [packed, ir.Constant(_I64, 0)])
            with together:
                convention = context.call_conv
                kind = convention.get_function_type(types.none, _RUN_ARGUMENTS)
                run = cgutils.get_or_insert_function(builder.module, kind, _SYMBOL)
                values = [builder.ptrtoint(body, _I64), packed, crew]
                convention.call_function(builder, run, types.none, _RUN_ARGUMENTS, values)
        return context.get_dummy_value()

    return types.void(types.int64, work, arguments), codegen


def _unpacking(context: Any, module: ir.Module, pointer: ir.PointerType, compiled: Any, called: Any) -> ir.Function:
    """A function of type _BODY that calls `compiled` with the thread's number and the packed arguments."""
    body = ir.Function(module, _BODY, module.get_unique_name("share"))
    body.linkage = "internal"
    builder = ir.IRBuilder(body.append_basic_block())
    place = builder.inttoptr(body.args[0], pointer)
    crew = builder.load(cgutils.gep_inbounds(builder, place, 0, 0))
    values = builder.load(cgutils.gep_inbounds(builder, place, 0, 1))
    arguments = [builder.extract_value(values, i) for i in range(len(called.args) - 2)]
    context.active_code_library.add_linking_library(compiled.library)
    context.call_internal_no_propagate(builder, compiled.fndesc, called, [body.args[1], crew, *arguments])
    builder.ret_void()
    return body

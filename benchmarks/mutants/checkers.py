"""minigan's gradient checker and those of other libraries, behind one interface."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigan as mg
from mutants.case import Case


@dataclass(frozen=True)
class CheckResult:
    """A checker's result for a case: whether it accepted the derivative, the calls of f, the seconds, and its message.

    cause, entry, inconclusive: as minigan reports them; the other checkers report nothing of the kind.
    """

    accepted: bool
    evaluations: int
    seconds: float
    message: str
    cause: str = ""
    entry: tuple[str, tuple[int, ...]] | None = None
    inconclusive: bool = False


_MAX_LETTERS = 2000  # of a message; some checkers print whole Jacobians
_JAX_CASES = itertools.count()


class Counted:
    """A function that counts its calls."""

    def __init__(self, f: Callable) -> None:
        self.f, self.calls = f, 0

    def __call__(self, *arrays: Any) -> Any:
        self.calls += 1
        return self.f(*arrays)


def run_checker(name: str, case: Case, seed: int) -> CheckResult:
    """The result of the checker of this name for a case; an exception counts as a rejection."""
    f, vjp = case.build()
    counted = Counted(f)
    np.random.seed(seed)  # autograd draws from NumPy's global generator
    with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        check = prepared(name)(counted, vjp, case, seed)
        start = time.perf_counter()
        try:
            result = check()
        except Exception as error:
            result = {"accepted": False, "message": f"{type(error).__name__}: {error}"[:_MAX_LETTERS]}
        seconds = time.perf_counter() - start
    return CheckResult(evaluations=counted.calls, seconds=seconds, **result)


def prepared(name: str) -> Callable[[Counted, Callable, Case, int], Callable[[], dict[str, Any]]]:
    """A function that turns a case into a check without arguments; it imports the library."""
    return {
        "minigan": _minigan,
        "torch": functools.partial(_torch, fast=False),
        "torch fast": functools.partial(_torch, fast=True),
        "jax": _jax,
        "autograd": _autograd,
    }[name]


def _minigan(f: Counted, vjp: Callable, case: Case, seed: int) -> Callable[[], dict[str, Any]]:
    def check() -> dict[str, Any]:
        report = mg.check_vjp(f, vjp, case.point, names=case.names, seed=seed)
        entry = None if report.name is None or report.index is None else (report.name, report.index)
        inconclusive = report.verdict == "NOISY"
        return {"accepted": report.ok, "message": str(report), "cause": report.cause, "entry": entry,
                "inconclusive": inconclusive}  # fmt: skip

    return check


def _torch(f: Counted, vjp: Callable, case: Case, seed: int, *, fast: bool) -> Callable[[], dict[str, Any]]:
    import torch

    class Wrapped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *arrays):
            ctx.save_for_backward(*arrays)
            return torch.from_numpy(np.array(f(*(x.detach().numpy() for x in arrays))))

        @staticmethod
        def backward(ctx, u):
            arrays = [x.detach().numpy() for x in ctx.saved_tensors]
            gradients = vjp(*arrays, u.numpy())
            return tuple(torch.from_numpy(np.array(g, x.dtype)) for g, x in zip(gradients, arrays, strict=True))

    torch.manual_seed(seed)
    inputs = tuple(torch.tensor(x, requires_grad=True) for x in case.point)
    return lambda: _result(torch.autograd.gradcheck(Wrapped.apply, inputs, fast_mode=fast))


def _result(accepted: bool) -> dict[str, Any]:
    return {"accepted": accepted, "message": ""}


@functools.cache
def _jax_in_float64() -> Any:
    import jax
    import jax.test_util

    logging.getLogger("jax._src.callback").setLevel(logging.CRITICAL)  # exceptions in a rule are expected

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # a callback that waits for an array could wait forever
    return jax


def _jax(f: Counted, vjp: Callable, case: Case, seed: int) -> Callable[[], dict[str, Any]]:
    jax = _jax_in_float64()
    if next(_JAX_CASES) % 100 == 99:
        jax.clear_caches()  # compiled functions of all shapes would fill the memory
    own_f, _ = case.build()
    y = np.asarray(own_f(*(x.copy() for x in case.point)))  # JAX needs the shape of the output in advance
    result = jax.ShapeDtypeStruct(y.shape, y.dtype)
    gradients = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in case.point)

    def host_f(*arrays):
        return np.asarray(f(*map(np.asarray, arrays)), y.dtype)

    def host_vjp(*arguments):
        returned = vjp(*map(np.asarray, arguments))
        return tuple(np.asarray(g, x.dtype) for g, x in zip(returned, case.point, strict=True))

    @jax.custom_vjp
    def wrapped(*arrays):
        return jax.pure_callback(host_f, result, *arrays)

    wrapped.defvjp(
        lambda *arrays: (wrapped(*arrays), arrays),
        lambda arrays, u: jax.pure_callback(host_vjp, gradients, *arrays, u),
    )
    point = tuple(jax.numpy.array(x) for x in case.point)

    def check() -> dict[str, Any]:
        jax.test_util.check_grads(wrapped, point, order=1, modes=["rev"])
        return _result(True)

    return check


def _autograd(f: Counted, vjp: Callable, case: Case, seed: int) -> Callable[[], dict[str, Any]]:
    from autograd.extend import defvjp_argnums, primitive
    from autograd.test_util import check_grads

    wrapped = primitive(lambda *arrays: np.asarray(f(*arrays)))

    def vjps(which, value, arrays, options):
        def pull_back(u):
            returned = vjp(*arrays, u)
            return tuple(np.asarray(returned[i], arrays[i].dtype) for i in which)

        return pull_back

    defvjp_argnums(wrapped, vjps)
    point = tuple(x.copy() for x in case.point)

    def check() -> dict[str, Any]:
        everything = tuple(range(len(point)))  # without this it checks the first argument only
        check_grads(wrapped, everything, modes=["rev"], order=1)(*point)
        return _result(True)

    return check

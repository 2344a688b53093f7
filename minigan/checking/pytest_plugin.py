"""The pytest fixture `gradcheck`: a test fails with the checker's report when a derivative is wrong.

Installing minigan is enough, nothing needs to be imported:

    def test_my_gradient(gradcheck):
        gradcheck(f, grad_f, x)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from minigan.checking import pair, tensors
from minigan.checking.report import Report


class Gradcheck:
    """Gradient checks that raise GradientError, an AssertionError with the report as its message, for a failure."""

    def __call__(self, f: Callable[..., Any], grad_f: Callable[..., Any], x: Any, **options: Any) -> Report:
        """Is `grad_f(x)` the gradient of `f(x)`? See `minigan.check_pair`."""
        __tracebackhide__ = True
        return pair.check_pair(f, grad_f, x, **options).raise_for_failure()

    def vjp(self, f: Callable[..., Any], vjp: Callable[..., Any], x: Any, **options: Any) -> Report:
        """Is `vjp(x, u)` the gradient of <u, f(x)>? See `minigan.check_vjp`."""
        __tracebackhide__ = True
        return pair.check_vjp(f, vjp, x, **options).raise_for_failure()

    def tensors(self, f: Callable[..., Any], inputs: Any, **options: Any) -> Report:
        """Are minigan's derivatives of `f(*inputs)` right? See `minigan.gradcheck`."""
        __tracebackhide__ = True
        return tensors.gradcheck(f, inputs, **options).raise_for_failure()


@pytest.fixture
def gradcheck() -> Gradcheck:
    """Check a derivative: `gradcheck(f, grad_f, x)`, `gradcheck.vjp(f, vjp, x)`, `gradcheck.tensors(f, inputs)`."""
    return Gradcheck()

"""Check the derivatives that minigan itself computes, to order 1, 2 or 3."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minigan import autodiff, ops
from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Parameter
from minigan.checking.check import check_derivative
from minigan.checking.pair import as_point, names_of
from minigan.checking.problem import Arrays, Problem
from minigan.checking.report import Report, Verdict
from minigan.checking.step_limits import first_in_domain, nearby_points
from minigan.core import random
from minigan.nn import Module
from minigan.nn.module import preserve_state

# A function of all leaves (inputs, parameters, cotangents), and of whether to record the graph of its derivatives.
_Recorded = Callable[[list[Tensor], bool], Tensor]


def gradcheck(
    f: Callable[..., Tensor],
    inputs: Any,
    *,
    order: int = 1,
    parameters: Mapping[str, Parameter] | None = None,
    modules: Sequence[Module] = (),
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Report:
    """Are the derivatives of `f(*inputs)` right, to `order` 1, 2 or 3?

    f: a function of Tensors that returns a Tensor of any shape, or a Module. inputs: an array or Tensor, float32 or
    float64, or a list of them. parameters: further Parameters, by name, by which to differentiate; those of a Module
    are included without being named. modules: Modules whose buffers f changes (running statistics, the number of
    dropout's draws); their buffers are restored after every call, so that the same draws are repeated. Each Module
    stays in its mode, training or evaluation. names: of the inputs. seed: of the random directions.

    Order 2 checks the derivative as a function of the inputs and of its cotangent, order 3 the derivative of that.
    Returns the report of the first order that is wrong, or of the last one. Raises ValueError for another order,
    TypeError for inputs that are not floating-point arrays or an f that does not return a Tensor.
    """
    if order not in (1, 2, 3):
        raise ValueError(f"derivatives are checked to order 1, 2 or 3, not {order}")
    if isinstance(f, Module):
        parameters, modules = {**f.parameters(), **(parameters or {})}, [f, *modules]
    arrays = [as_point(x.numpy() if isinstance(x, Tensor) else x) for x in _as_list(inputs)]
    further = dict(parameters or {})
    leaves = _Leaves(len(arrays), list(further.values()), modules)
    labels = [*names_of(f, names, len(arrays)), *further]
    before = [p.numpy() for p in further.values()]
    try:
        return _check_orders(leaves, _of_leaves(f, len(arrays)), [*arrays, *before], labels, order, seed)
    finally:
        leaves.assign(before)


def _check_orders(
    leaves: _Leaves, function: _Recorded, point: Arrays, labels: list[str], order: int, seed: int
) -> Report:
    evaluations = 0
    for level in range(1, order + 1):
        problem = Problem(*leaves.as_arrays(function), point, labels, f_is_derivative=level > 1)
        report = check_derivative(problem, seed)
        evaluations += report.evaluations
        if not report.ok or level == order:
            break
        if report.verdict is Verdict.KINK:  # a derivative that jumps has no derivative there
            point = first_in_domain(problem, nearby_points(point, seed)) or point
        y = problem.f(point)
        u = random.generator(seed, "cotangent", level).uniform(0.5, 1.5, y.shape)
        function, point, labels = _derivative(function), [*point, u.astype(y.dtype)], [*labels, "u" + "'" * (level - 1)]
    return dataclasses.replace(report, order=level, evaluations=evaluations)


def _of_leaves(f: Callable[..., Tensor], inputs: int) -> _Recorded:
    """f as a function of all leaves, of which it uses the first `inputs`."""

    def function(leaves: list[Tensor], record: bool) -> Tensor:
        y = f(*leaves[:inputs])
        if not isinstance(y, Tensor):
            raise TypeError(f"f returned {type(y).__name__}, expected a Tensor; check_pair is for functions of arrays")
        return y

    return function


def _derivative(function: _Recorded) -> _Recorded:
    """The function that returns the gradients of <last leaf, function(the other leaves)>, in one vector."""

    def derived(leaves: list[Tensor], record: bool) -> Tensor:
        *others, cotangent = leaves
        gradients = autodiff.vjp(function(others, True), others, cotangent, create_graph=record)
        return ops.concatenate([ops.reshape(g, (g.size,)) for g in gradients])

    return derived


@dataclasses.dataclass(frozen=True)
class _Leaves:
    """The leaves of a function: first `inputs` Tensors, then `parameters`, then cotangents; it may change `modules`."""

    inputs: int
    parameters: list[Parameter]
    modules: Sequence[Module]

    def assign(self, arrays: Arrays) -> None:
        """Set the parameters to these values."""
        for parameter, array in zip(self.parameters, arrays, strict=True):
            parameter.assign(array)

    def as_arrays(self, function: _Recorded) -> tuple[Callable[[Arrays], np.ndarray], Callable[..., list[np.ndarray]]]:
        """The function and its vector-Jacobian product, as functions of arrays."""

        def value(arrays: Arrays) -> np.ndarray:
            with preserve_state(*self.modules):
                return function(self._tensors(arrays), False).numpy()

        def vjp(arrays: Arrays, weights: np.ndarray) -> list[np.ndarray]:
            with preserve_state(*self.modules):
                leaves = self._tensors(arrays)
                return [g.numpy() for g in autodiff.vjp(function(leaves, True), leaves, Tensor(weights))]

        return value, vjp

    def _tensors(self, arrays: Arrays) -> list[Tensor]:
        """The leaves with these values."""
        last = self.inputs + len(self.parameters)
        self.assign(arrays[self.inputs : last])
        return [*map(Tensor, arrays[: self.inputs]), *self.parameters, *map(Tensor, arrays[last:])]


def _as_list(inputs: Any) -> list[Any]:
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]

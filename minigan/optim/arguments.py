"""What an optimiser is given: parameters in one of several forms, a learning rate, and settings within their ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Parameter
from minigan.optim.numbers import require_number
from minigan.optim.schedules import Schedule


class HasParameters(Protocol):
    """A Module: an object whose method `trainable_parameters` gives its Parameters by name, without frozen ones."""

    def trainable_parameters(self) -> Mapping[str, Parameter]: ...


Parameters = HasParameters | Mapping[str, Parameter] | Iterable[Parameter]
"""A Module, a dict of Parameters by name, or a list of them, which are then called "0", "1", ..."""


def named_parameters(source: Parameters) -> dict[str, Parameter]:
    """The Parameters of `source` by name.

    Raises TypeError if it holds anything else, ValueError if there are none, or one of them twice.
    """
    named = _by_name(source)
    for name, value in named.items():
        if hasattr(value, "trainable_parameters"):
            raise TypeError(
                f"an optimiser takes one Module or a list of Parameters, but '{name}' is a {type(value).__name__}; put "
                "several Modules into one, such as nn.Sequential, or join their parameters"
            )
        if not isinstance(value, Parameter):
            raise TypeError(
                f"an optimiser trains Parameters, but '{name}' is a {type(value).__name__}; wrap its numbers in "
                "minigan.Parameter where the network sets the attribute"
            )
    if not named:
        raise ValueError("an optimiser needs at least one parameter, but there is none")
    first: dict[Parameter, str] = {}
    for name, parameter in named.items():
        if parameter in first:
            raise ValueError(f"an optimiser updates each parameter once, but '{first[parameter]}' and '{name}' are one")
        first[parameter] = name
    return named


def _by_name(source: Any) -> dict[str, Any]:
    if isinstance(source, type):
        raise TypeError(f"an optimiser got the class {source.__name__}; make an instance of it first")
    if hasattr(source, "trainable_parameters"):
        source = source.trainable_parameters()
    if isinstance(source, Mapping):
        return dict(source)
    if isinstance(source, Iterable) and not isinstance(source, (str, Tensor)):
        return {str(i): value for i, value in enumerate(source)}
    raise TypeError(
        f"an optimiser takes a Module, or a dict or list of Parameters, such as network.parameters(); got a "
        f"{type(source).__name__}"
    )


def in_order(gradients: Sequence[Tensor] | Mapping[str, Tensor], names: Sequence[str]) -> Sequence[Tensor]:
    """The gradients of the parameters called `names`, in this order, from a list in this order or a dict by name.

    Raises ValueError unless there is one for each.
    """
    if isinstance(gradients, Mapping):
        if missing := [name for name in names if name not in gradients]:
            raise ValueError(
                f"there is no gradient of the parameter '{missing[0]}'; its loss has to be differentiated by all"
            )
        return [gradients[name] for name in names]
    if len(gradients) != len(names):
        raise ValueError(
            f"an optimiser of {len(names)} parameters got {len(gradients)} gradients; it takes one for each, in order"
        )
    return gradients


def require_learning_rate(rate: float | Schedule) -> None:
    """Raise TypeError or ValueError unless `rate` is a number above 0 or a schedule."""
    if isinstance(rate, type):
        raise TypeError(
            f"the learning rate is the class {rate.__name__}; make a schedule, such as Linear(2e-4, 0, 1000)"
        )
    number = hasattr(rate, "__float__") and not isinstance(rate, (bool, Tensor)) and not getattr(rate, "ndim", 0)
    if hasattr(rate, "trainable_parameters") or not (callable(rate) or number):
        raise TypeError(f"the learning rate is {rate!r}; expected a number, or a schedule (a function of the step)")
    if not (callable(rate) or rate > 0):
        raise ValueError(f"the learning rate must be above 0, got {rate}")


def require_limit(what: str, limit: float | None) -> None:
    """Raise TypeError or ValueError unless `limit` is a number above 0, or None."""
    if limit is None:
        return
    require_number(f"the limit of {what}", limit)
    if not limit > 0:
        raise ValueError(f"the limit of {what} must be above 0, got {limit}; leave it out for no limit")


def require_fraction(optimizer: str, **values: float) -> None:
    """Raise TypeError or ValueError unless each of `values` is a number in [0, 1)."""
    for name, value in values.items():
        require_number(f"{optimizer}'s {name}", value)
        if not 0 <= value < 1:
            raise ValueError(f"{optimizer}'s {name} must lie in [0, 1), got {value}")


def require_eps(optimizer: str, eps: float) -> None:
    """Raise TypeError or ValueError unless `eps` is a number above 0."""
    require_number(f"{optimizer}'s eps", eps)
    if not eps > 0:
        raise ValueError(f"{optimizer}'s eps must be above 0, got {eps}")

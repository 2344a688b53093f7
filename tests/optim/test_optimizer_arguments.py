"""What an optimiser is given: a Module, a dict or a list of Parameters; else one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan import Parameter, Tensor, grad, nn, ops
from minigan.optim import SGD, Adam, Optimizer, RMSprop, schedules


def _network() -> nn.Sequential:
    rng = np.random.default_rng(0)
    return nn.Sequential(nn.Dense(3, 5, rng), nn.Tanh(), nn.Dense(5, 1, rng))


FORMS: dict[str, Callable[[nn.Module], Any]] = {
    "Module": lambda network: network,
    "dict": lambda network: network.parameters(),
    "list": lambda network: list(network.parameters().values()),
    "iterator": lambda network: iter(network.parameters().values()),
    "view": lambda network: network.parameters().values(),
}


def _trained(form: str, kind: Callable[..., Optimizer]) -> tuple[list[str], list[bytes]]:
    network = _network()
    optimizer = kind(FORMS[form](network), 0.1)
    x = np.random.default_rng(1).standard_normal((6, 3)).astype("float32")
    for _ in range(5):
        optimizer.step(grad(ops.mean(network(x) * network(x)), optimizer.parameters))
    return optimizer.names, [p.numpy().tobytes() for p in network.parameters().values()]


@pytest.mark.parametrize("kind", [SGD, Adam, RMSprop])
def test_every_form_trains_the_same(kind: Callable[..., Optimizer]) -> None:
    names, numbers = _trained("Module", kind)
    assert names == ["0.weight", "0.bias", "2.weight", "2.bias"]
    for form in FORMS:
        assert _trained(form, kind)[1] == numbers
    assert _trained("dict", kind)[0] == names
    assert _trained("list", kind)[0] == ["0", "1", "2", "3"]


def test_frozen_parts_of_a_module_stay_as_they_are() -> None:
    network = _network()
    network.layers[0].frozen()
    assert SGD(network).names == ["2.weight", "2.bias"]


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "class": (nn.Sequential, TypeError, "an optimiser got the class Sequential; make an instance of it first"),
    "method": (_network().parameters, TypeError, r"such as network.parameters\(\); got a method"),
    "number": (3, TypeError, "a dict or list of Parameters, .* got a int"),
    "text": ("weights", TypeError, "got a str"),
    "one Tensor": (Tensor([1.0]), TypeError, "got a Tensor"),
    "one Parameter": (Parameter([1.0]), TypeError, "got a Parameter"),
    "Tensors": ([Tensor([1.0])], TypeError, "but '0' is a Tensor; wrap its numbers in minigan.Parameter"),
    "Modules": ([_network()], TypeError, "takes one Module or a list of Parameters, but '0' is a Sequential; put"),
    "array": ({"w": np.zeros(3)}, TypeError, "trains Parameters, but 'w' is a ndarray"),
    "nothing": ([], ValueError, "at least one parameter"),
    "network without parameters": (nn.Tanh(), ValueError, "at least one parameter"),
    "the same twice": ([w := Parameter([1.0]), w], ValueError, "each parameter once, but '0' and '1' are one"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_are_no_parameters(kind: str) -> None:
    given, error, sentence = WRONG[kind]
    with pytest.raises(error, match=sentence):
        Adam(given)


@pytest.mark.parametrize(
    ("rate", "error", "sentence"),
    [
        ("0.1", TypeError, "the learning rate is '0.1'; expected a number, or a schedule"),
        (None, TypeError, "the learning rate is None; expected a number, or a schedule"),
        (True, TypeError, "the learning rate is True"),
        (np.array([0.1, 0.2]), TypeError, "the learning rate is array"),
        (_network(), TypeError, "the learning rate is Dense"),
        (schedules.Linear, TypeError, "the learning rate is the class Linear; make a schedule, such as Linear"),
        (0.0, ValueError, "the learning rate must be above 0, got 0.0"),
        (float("nan"), ValueError, "the learning rate must be above 0, got nan"),
    ],
)
def test_what_is_no_learning_rate(rate: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        SGD(_network(), rate)


def test_a_learning_rate_may_be_a_numpy_number() -> None:
    assert SGD(_network(), np.float32(0.5)).current_learning_rate == 0.5
    assert SGD(_network(), np.array(0.5)).current_learning_rate == 0.5


def test_an_optimiser_says_what_it_is() -> None:
    network = _network()
    assert repr(Adam(network)) == "Adam(26 parameters, learning_rate=0.0002, beta1=0.5, beta2=0.999, eps=1e-08)"
    assert repr(SGD(network, 0.1, momentum=0.9)) == "SGD(26 parameters, learning_rate=0.1, momentum=0.9)"
    limited = RMSprop(network, schedules.Linear(1.0, 0.1, 5), weight_limit=0.01, gradient_limit=2.0)
    assert repr(limited) == (
        "RMSprop(26 parameters, learning_rate=Linear(first=1.0, last=0.1, steps=5), decay=0.9, eps=1e-08, "
        "gradient_limit=2.0, weight_limit=0.01)"
    )


def test_gradients_by_name_or_in_order() -> None:
    x = np.random.default_rng(1).standard_normal((6, 3)).astype("float32")
    found = []
    for by_name in (False, True):
        network = _network()
        optimizer = Adam(network, 0.1)
        loss = ops.mean(network(x) * network(x))
        optimizer.step(mg.grad(loss, network) if by_name else mg.grad(loss, optimizer.parameters))
        found.append([p.numpy().tobytes() for p in network.parameters().values()])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("gradients", "sentence"),
    [
        ([], "an optimiser of 4 parameters got 0 gradients; it takes one for each, in order"),
        ({"0.weight": Tensor(np.zeros((3, 5), "float32"))}, "there is no gradient of the parameter '0.bias'"),
    ],
)
def test_a_gradient_for_each_parameter(gradients: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Adam(_network()).step(gradients)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Adam(_network(), beta1="0.5"), "Adam's beta1 is '0.5', expected a number"),
        (lambda: Adam(_network(), eps=None), "Adam's eps is None, expected a number"),
        (
            lambda: SGD(_network(), gradient_limit="1"),
            "limit of the norm of the gradients is '1', expected",
        ),
        (lambda: RMSprop(_network(), weight_limit=[1]), "the limit of the weights is a list, expected a number"),
        (lambda: schedules.Linear("1", 0.0, 5), "a schedule's first is '1', expected a number"),
    ],
)
def test_settings_are_numbers(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        make()

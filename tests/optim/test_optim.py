"""Optimisers against textbook loops; flat buffers; schedules; clipping; resuming."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

import minigan as mg
from minigan import Parameter, Tensor, grad, ops
from minigan.optim import SGD, Adam, Optimizer, RMSprop, clip_by_global_norm, schedules

SHAPES = {"w": (3, 5), "b": (5,), "scalar": (), "long": (131,), "one": (1, 1)}
Numbers = dict[str, np.ndarray]


def _parameters(dtype: str = "float64", seed: int = 0) -> dict[str, Parameter]:
    rng = np.random.default_rng(seed)
    return {name: Parameter(np.asarray(rng.standard_normal(shape), dtype)) for name, shape in SHAPES.items()}


def _gradients(step: int, dtype: str = "float64") -> list[Tensor]:
    rng = np.random.default_rng([7, step])
    return [Tensor(np.asarray(rng.standard_normal(shape), dtype)) for shape in SHAPES.values()]


class Textbook:
    """An update rule as its paper states it, for one parameter."""

    def __init__(self, rule: Callable, p: np.ndarray) -> None:
        self.rule, self.p, self.step = rule, p.copy(), 0
        self.m, self.v = np.zeros_like(p), np.zeros_like(p)

    def update(self, g: np.ndarray) -> None:
        self.step += 1
        self.rule(self, g)


def _sgd(rate: float, momentum: float) -> Callable:
    def rule(t: Textbook, g: np.ndarray) -> None:
        t.v = momentum * t.v + g
        t.p = t.p - rate * t.v

    return rule


def _adam(rate: float, beta1: float, beta2: float, eps: float) -> Callable:
    def rule(t: Textbook, g: np.ndarray) -> None:
        t.m = beta1 * t.m + (1 - beta1) * g
        t.v = beta2 * t.v + (1 - beta2) * g * g
        m_hat, v_hat = t.m / (1 - beta1**t.step), t.v / (1 - beta2**t.step)
        t.p = t.p - rate * m_hat / (np.sqrt(v_hat) + eps)

    return rule


def _rmsprop(rate: float, decay: float, eps: float) -> Callable:
    def rule(t: Textbook, g: np.ndarray) -> None:
        t.v = decay * t.v + (1 - decay) * g * g
        t.p = t.p - rate * g / (np.sqrt(t.v) + eps)

    return rule


RULES: dict[str, tuple[Callable[[dict], Optimizer], Callable]] = {
    "sgd": (lambda p: SGD(p, 0.1), _sgd(0.1, 0.0)),
    "momentum": (lambda p: SGD(p, 0.1, momentum=0.9), _sgd(0.1, 0.9)),
    "adam": (lambda p: Adam(p, 0.01), _adam(0.01, 0.5, 0.999, 1e-8)),
    "adam-other": (lambda p: Adam(p, 0.1, beta1=0.9, beta2=0.95, eps=1e-3), _adam(0.1, 0.9, 0.95, 1e-3)),
    "adam-no-memory": (lambda p: Adam(p, 0.1, beta1=0.0, beta2=0.0, eps=0.1), _adam(0.1, 0.0, 0.0, 0.1)),
    "rmsprop": (lambda p: RMSprop(p, 0.01), _rmsprop(0.01, 0.9, 1e-8)),
    "rmsprop-other": (lambda p: RMSprop(p, 0.1, decay=0.5, eps=0.01), _rmsprop(0.1, 0.5, 0.01)),
}
by_rule = pytest.mark.parametrize("rule", RULES)


@by_rule
def test_fifty_steps_equal_the_textbook_rule(rule: str, kernels: str) -> None:
    make, textbook = RULES[rule]
    parameters = _parameters()
    expected = [Textbook(textbook, p.numpy()) for p in parameters.values()]
    optimizer = make(parameters)
    for step in range(50):
        gradients = _gradients(step)
        optimizer.step(gradients)
        for one, g in zip(expected, gradients, strict=True):
            one.update(g.numpy())
    for p, one in zip(parameters.values(), expected, strict=True):
        np.testing.assert_allclose(p.numpy(), one.p, rtol=1e-13, atol=1e-13)
    assert optimizer.steps == 50
    assert optimizer.first_nonfinite_gradient() is None


@by_rule
def test_a_quadratic_loss_decreases(rule: str, kernels: str) -> None:
    p = Parameter(np.array([1.0, -1.0]))
    optimizer = RULES[rule][0]({"p": p})
    start = 1.0 + 1.0
    for _ in range(30):
        optimizer.step(grad(ops.sum(p * p), [p]))
    assert (p.numpy() ** 2).sum() < start


@by_rule
def test_moving_into_an_optimiser_keeps_values_and_graphs(rule: str, kernels: str) -> None:
    parameters = _parameters()
    before = {name: p.numpy() for name, p in parameters.items()}
    optimizer = RULES[rule][0](parameters)
    for name, p in parameters.items():
        assert p.shape == SHAPES[name]
        np.testing.assert_array_equal(p.numpy(), before[name])
    loss = ops.sum(parameters["w"] * 2.0)
    assert grad(loss, [parameters["w"]])[0].shape == (3, 5)
    versions = [p.version for p in parameters.values()]
    optimizer.step(_gradients(0))
    assert [p.version for p in parameters.values()] == [v + 1 for v in versions]
    for name, p in parameters.items():
        assert (p.numpy() != before[name]).all()


def test_a_step_invalidates_graphs_made_before_it(kernels: str) -> None:
    parameters = _parameters()
    optimizer = Adam(parameters)
    loss = ops.sum(parameters["w"] * parameters["w"])
    optimizer.step(_gradients(0))
    with pytest.raises(RuntimeError, match="changed since"):
        grad(loss, [parameters["w"]])


def test_assign_reaches_the_optimiser() -> None:
    p = Parameter(np.array([1.0]))
    optimizer = SGD({"p": p}, 0.5)
    p.assign([10.0])
    optimizer.step([Tensor([2.0])])
    assert p.numpy().tolist() == [9.0]


@by_rule
def test_a_resumed_run_gives_the_same_bits(rule: str, kernels: str) -> None:
    make, _ = RULES[rule]
    straight, stopped = _parameters(), _parameters()
    one, two = make(straight), make(stopped)
    for step in range(3):
        one.step(_gradients(step))
        two.step(_gradients(step))
    state = two.state()
    resumed = {name: Parameter(p.numpy()) for name, p in stopped.items()}
    three = make(resumed)
    three.load_state(state)
    two.step(_gradients(99))  # the state is a copy: this changes nothing in it
    for step in range(3, 6):
        one.step(_gradients(step))
        three.step(_gradients(step))
    for name in SHAPES:
        assert straight[name].numpy().tobytes() == resumed[name].numpy().tobytes()
    assert one.steps == three.steps


@by_rule
def test_a_state_that_does_not_fit_changes_nothing(rule: str) -> None:
    optimizer = RULES[rule][0](_parameters())
    optimizer.step(_gradients(0))
    before = optimizer.state()
    other = RULES[rule][0]({"w": Parameter(np.zeros(1000))}).state()
    incomplete = {name: value for name, value in before.items() if name != "steps"}
    for wrong in (other, incomplete, {**before, "more": np.zeros(3)}, {}):
        with pytest.raises(ValueError, match=r"missing|not known here|has shape"):
            optimizer.load_state(wrong)
    for name, value in optimizer.state().items():
        np.testing.assert_array_equal(value, before[name])


def _nonfinite_gradients(step: int, value: float) -> list[Tensor]:
    """The gradients of `step`, with `value` as one element at steps 2 (last parameter) and 3 (first parameter)."""
    gradients = _gradients(step, "float32")
    if step in (2, 3):
        index = 3 if step == 2 else 0
        broken = gradients[index].numpy()
        broken.flat[-1] = value
        gradients[index] = Tensor(broken)
    return gradients


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_nonfinite_gradient_is_reported_by_step_and_name(value: float, kernels: str) -> None:
    optimizer = Adam(_parameters("float32"))
    with np.errstate(invalid="ignore"):
        for step in range(5):
            optimizer.step(_nonfinite_gradients(step, value))
    assert optimizer.first_nonfinite_gradient() == (3, "long")


# Schedules of the learning rate.


@by_rule
def test_a_schedule_gives_the_rate_of_each_update(rule: str, kernels: str) -> None:
    """Update number n, counted from 0, is that of an optimiser with the learning rate schedule(n)."""
    schedule = schedules.get("linear")(0.5, 0.0, 3)  # 0 from update 3 on
    scheduled, stepped = _parameters(), _parameters()
    one, two = RULES[rule][0](scheduled), RULES[rule][0](stepped)
    one.learning_rate = schedule
    for step in range(3):
        two.learning_rate = schedule(step)
        assert one.current_learning_rate == two.current_learning_rate == schedule(step)
        one.step(_gradients(step))
        two.step(_gradients(step))
        for name in SHAPES:
            assert scheduled[name].numpy().tobytes() == stepped[name].numpy().tobytes()
    before = {name: p.numpy() for name, p in scheduled.items()}
    assert one.current_learning_rate == 0
    one.step(_gradients(3))
    for name in SHAPES:
        np.testing.assert_array_equal(scheduled[name].numpy(), before[name])


def test_a_resumed_run_continues_its_schedule() -> None:
    schedule = schedules.get("exponential")(0.1, 1e-3, 10)
    one = SGD(_parameters(), schedule)
    for step in range(4):
        one.step(_gradients(step))
    two = SGD(_parameters(), schedule)
    two.load_state(one.state())
    assert two.current_learning_rate == one.current_learning_rate == schedule(4)


@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf")])
def test_a_schedule_must_give_a_rate(wrong: float) -> None:
    parameters = _parameters()
    before = {name: p.numpy() for name, p in parameters.items()}
    optimizer = Adam(parameters, lambda step: wrong)
    with pytest.raises(ValueError, match="rate at step 0 must be a finite number from 0 up"):
        optimizer.step(_gradients(0))
    assert optimizer.steps == 0
    for name, p in parameters.items():
        np.testing.assert_array_equal(p.numpy(), before[name])


# Refusals.


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one parameter"):
        SGD({})
    for rate in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="rate must be above 0"):
            Adam(_parameters(), rate)
    for make in (
        lambda: SGD(_parameters(), momentum=1.0),
        lambda: Adam(_parameters(), beta1=-0.1),
        lambda: Adam(_parameters(), beta2=1.0),
        lambda: RMSprop(_parameters(), decay=1.5),
    ):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
            make()
    for kind in (SGD, Adam, RMSprop):
        for limit in (0.0, -1.0, float("nan")):
            with pytest.raises(ValueError, match="limit of the norm of the gradients must be above 0"):
                kind(_parameters(), gradient_limit=limit)
            with pytest.raises(ValueError, match="limit of the weights must be above 0"):
                kind(_parameters(), weight_limit=limit)
    with pytest.raises(ValueError, match="same dtype"):
        SGD({"a": Parameter(np.ones(2)), "b": Parameter(np.ones(2, np.float32))})


def test_gradients_that_do_not_fit_are_refused(kernels: str) -> None:
    parameters = _parameters()
    before = {name: p.numpy() for name, p in parameters.items()}
    optimizer = Adam(parameters)
    with pytest.raises(ValueError, match=r"gradient of b has shape \(3, 5\), the parameter \(5,\)"):
        optimizer.step([_gradients(0)[0]] * 5)
    with pytest.raises(ValueError, match="an optimiser of 5 parameters got 4 gradients"):
        optimizer.step(_gradients(0)[:4])
    for name, p in parameters.items():
        np.testing.assert_array_equal(p.numpy(), before[name])
    assert optimizer.steps == 0


def test_gradients_of_another_type_are_refused(kernels: str) -> None:
    """The fast kernel takes their addresses, so it would read float32 as float64."""
    p = Parameter(np.ones(4))
    with pytest.raises((TypeError, ValueError), match="float32"):
        Adam({"p": p}).step([Tensor(np.ones(4, np.float32))])


def test_a_parameter_has_one_optimiser() -> None:
    parameters = _parameters()
    first = SGD(parameters)
    SGD(parameters)
    with pytest.raises(RuntimeError, match="w now belongs to another optimiser"):
        first.step(_gradients(0))


# Clipping.


def test_clipping_scales_to_the_limit_and_keeps_the_direction() -> None:
    gradients = [Tensor([3.0, 0.0]), Tensor([[4.0]])]
    clipped, norm = clip_by_global_norm(gradients, 1.0)
    assert norm.item() == 5.0
    np.testing.assert_allclose(clipped[0].numpy(), [0.6, 0.0], rtol=1e-12)
    np.testing.assert_allclose(clipped[1].numpy(), [[0.8]], rtol=1e-12)
    assert gradients[0].numpy().tolist() == [3.0, 0.0]


def test_clipping_leaves_short_gradients_alone() -> None:
    for gradients in ([Tensor([3.0]), Tensor([4.0])], [Tensor([0.0, 0.0])]):
        clipped, _ = clip_by_global_norm(gradients, 5.5)
        for one, two in zip(clipped, gradients, strict=True):
            np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_clipping_keeps_float32_and_refuses_a_limit_of_0() -> None:
    clipped, norm = clip_by_global_norm([Tensor(np.ones(3, np.float32))], 0.5)
    assert clipped[0].dtype == norm.dtype == np.float32
    with pytest.raises(ValueError, match="above 0"):
        clip_by_global_norm([Tensor([1.0])], 0.0)


@pytest.mark.parametrize("kind", [SGD, Adam, RMSprop])
def test_gradients_are_clipped_before_the_update(kind: Callable, kernels: str) -> None:
    """As by hand. The limit lies between the norms of the test's gradients, so that some of them are clipped."""
    norms = [clip_by_global_norm(_gradients(step), 1.0)[1].item() for step in range(4)]
    limit = sum(norms) / 4
    assert min(norms) < limit < max(norms)
    by_itself, by_hand = _parameters(), _parameters()
    one, two = kind(by_itself, gradient_limit=limit), kind(by_hand)
    for step in range(4):
        one.step(_gradients(step))
        two.step(clip_by_global_norm(_gradients(step), limit)[0])
    for name in SHAPES:
        assert by_itself[name].numpy().tobytes() == by_hand[name].numpy().tobytes()
    assert one.first_nonfinite_gradient() is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_clipping_does_not_hide_the_first_nonfinite_gradient(value: float, kernels: str) -> None:
    """Clipping by a norm of NaN makes every gradient NaN, but only the one that was not finite is reported."""
    optimizer = Adam(_parameters("float32"), gradient_limit=1.0)
    with np.errstate(invalid="ignore"):
        for step in range(4):
            optimizer.step(_nonfinite_gradients(step, value))
    assert optimizer.first_nonfinite_gradient() == (3, "long")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [SGD, Adam, RMSprop])
def test_weights_are_clipped_after_each_update(kind: Callable, dtype: str, kernels: str) -> None:
    """p -> clip(p - update, -c, c): the update is that of the unclipped optimiser from the same point."""
    parameters = _parameters(dtype)
    optimizer = kind(parameters, 0.05, weight_limit=0.5)
    for step in range(3):
        free = {name: Parameter(p.numpy()) for name, p in parameters.items()}
        other = kind(free, 0.05)
        other.load_state(optimizer.state())
        other.step(_gradients(step, dtype))
        optimizer.step(_gradients(step, dtype))
        for name, p in parameters.items():
            expected = np.clip(free[name].numpy(), -0.5, 0.5)
            assert p.numpy().tobytes() == expected.astype(dtype).tobytes()
    assert max(np.abs(p.numpy()).max() for p in parameters.values()) == 0.5
    assert min(np.abs(p.numpy()).min() for p in parameters.values()) < 0.5


@pytest.mark.parametrize("kind", [SGD, Adam, RMSprop])
def test_limits_and_schedules_never_wait_for_the_device(
    kind: Callable, standin: ModuleType, standin_kernels: str
) -> None:
    def run() -> tuple[list[np.ndarray], tuple[int, str] | None]:
        parameters = {name: Parameter(Tensor(p.numpy()).data) for name, p in _parameters().items()}
        schedule = schedules.get("cosine")(0.1, 0.01, 3)
        optimizer = kind(parameters, schedule, gradient_limit=5.0, weight_limit=0.7)
        batches = [[Tensor(g.numpy()) for g in _gradients(step)] for step in range(3)]
        with standin._standin.count_synchronisations() as waits:
            for gradients in batches:
                optimizer.step(gradients)
        assert waits.count == 0
        return [p.numpy() for p in parameters.values()], optimizer.first_nonfinite_gradient()

    mg.use("numpy", "reference")
    expected = run()
    mg.use("cupy", standin_kernels)
    found = run()
    for one, two in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-13)
    assert found[1] is expected[1] is None


def test_optimisers_are_part_of_the_library() -> None:
    assert {mg.optim.SGD, mg.optim.Adam, mg.optim.RMSprop} == {SGD, Adam, RMSprop}

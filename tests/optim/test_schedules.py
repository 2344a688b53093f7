"""Schedules: ends, defining properties, errors."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from minigan.core.errors import UsageError
from minigan.optim import schedules

STEPS = 10


@pytest.fixture(params=sorted(schedules.SCHEDULES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize(("first", "last"), [(0.3, 0.007), (1e-4, 1.1), (0.1, 0.1)])
def test_a_schedule_goes_from_first_to_last_and_stays_there(name: str, first: float, last: float) -> None:
    schedule = schedules.get(name)(first, last, STEPS)
    values = [schedule(step) for step in range(STEPS + 1)]
    assert values[0] == first
    assert [schedule(step) for step in (STEPS, STEPS + 1, 10**9)] == [last] * 3
    direction = np.sign(last - first)
    assert all(np.sign(b - a) == direction for a, b in itertools.pairwise(values))


@pytest.mark.parametrize(
    ("name", "straightened"),
    [("linear", lambda y: y), ("exponential", math.log), ("cosine", lambda y: math.acos((y - 2.75) / 2.25))],
)
def test_each_schedule_is_linear_after_its_transformation(name: str, straightened: Callable[[float], float]) -> None:
    schedule = schedules.get(name)(0.5, 5.0, STEPS)
    line = [straightened(schedule(step)) for step in range(STEPS + 1)]
    np.testing.assert_allclose(line, np.linspace(line[0], line[-1], STEPS + 1), rtol=1e-7, atol=1e-7)


def test_halfway_is_the_arithmetic_or_geometric_mean() -> None:
    halfway = {name: make(0.1, 10.0, 4)(2) for name, make in schedules.SCHEDULES.items()}
    assert halfway == pytest.approx({"linear": 5.05, "cosine": 5.05, "exponential": 1.0}, rel=1e-14)


def test_a_number_is_its_own_schedule() -> None:
    assert [schedules.value_at(2.5, step) for step in (0, 7)] == [2.5, 2.5]
    assert [schedules.value_at(schedules.Constant(2.5), step) for step in (0, 7)] == [2.5, 2.5]
    assert schedules.value_at(lambda step: step / 2, 7) == 3.5


def test_schedules_can_be_compared_and_copied(name: str) -> None:
    schedule = schedules.get(name)(1.0, 0.1, 5)
    for equal in (schedules.get(name)(1.0, 0.1, 5), copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):
        assert equal == schedule
    assert schedule != schedules.get(name)(1.0, 0.1, 6)
    others = {other: make(1.0, 0.1, 5) for other, make in schedules.SCHEDULES.items()}
    assert [other for other, made in others.items() if made == schedule] == [name]


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="no schedule 'cosin'; did you mean 'cosine'"):
        schedules.get("cosin")


@pytest.mark.parametrize("steps", [0, -1, 2.5, math.nan])
def test_steps_are_a_count(name: str, steps: int) -> None:
    with pytest.raises(ValueError, match="whole number of at least 1"):
        schedules.get(name)(1.0, 0.1, steps)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_ends_must_be_finite(name: str, wrong: float) -> None:
    for first, last, which in ((wrong, 1.0, "first"), (1.0, wrong, "last")):
        with pytest.raises(ValueError, match=f"a schedule's {which} must be a finite number"):
            schedules.get(name)(first, last, STEPS)
    with pytest.raises(ValueError, match="a schedule's value must be a finite number"):
        schedules.Constant(wrong)


@pytest.mark.parametrize(("first", "last"), [(0.0, 1.0), (1.0, 0.0), (-1.0, -2.0)])
def test_an_exponential_schedule_needs_numbers_above_0(first: float, last: float) -> None:
    with pytest.raises(ValueError, match="between numbers above 0"):
        schedules.get("exponential")(first, last, STEPS)


def test_steps_count_from_0(name: str) -> None:
    with pytest.raises(ValueError, match="steps count from 0, got step -1"):
        schedules.get(name)(1.0, 0.1, STEPS)(-1)


def test_a_rise_waits_and_then_goes_along_a_line() -> None:
    rise = schedules.Rise(0.4, 3, 4)
    assert [rise(step) for step in (0, 3, 4, 5, 7, 10**9)] == pytest.approx([0.0, 0.0, 0.1, 0.2, 0.4, 0.4])
    for arguments in ((math.inf, 3, 4), (0.4, -1, 4), (0.4, 3, 0)):
        with pytest.raises(ValueError, match=r"finite number|expected >= 0"):
            schedules.Rise(*arguments)

"""Indices of the examples in each batch."""

from __future__ import annotations

import numpy as np
import pytest
from support.idx_files import assert_one_sentence

from minigan.core.errors import UsageError
from minigan.data import Batches


@pytest.mark.parametrize(("count", "batch_size"), [(1, 1), (10, 3), (12, 4), (7, 7), (100, 1)])
def test_an_epoch_takes_each_example_at_most_once(count: int, batch_size: int) -> None:
    batches = Batches(count, batch_size, seed=3)
    per_epoch = count // batch_size
    for epoch in range(4):
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        taken = np.concatenate([batches.indices(step) for step in steps])
        assert len(np.unique(taken)) == len(taken) == per_epoch * batch_size
        assert taken.min() >= 0 and taken.max() < count


def test_batches_are_int64_of_the_batch_size() -> None:
    indices = Batches(10, 4, seed=0).indices(5)
    assert indices.shape == (4,)
    assert indices.dtype == np.int64


def test_batches_are_pure_in_the_step_whatever_the_order_of_calls() -> None:
    expected = [Batches(10, 3, seed=1).indices(step) for step in range(30)]
    batches = Batches(10, 3, seed=1)
    for step in np.random.default_rng(0).permutation(np.repeat(np.arange(30), 3)):
        indices = batches.indices(int(step))
        np.testing.assert_array_equal(indices, expected[step])
        indices[:] = -1  # changing the result must not change later calls


def test_every_epoch_and_every_seed_has_its_own_order() -> None:
    epochs = [Batches(50, 50, seed=0).indices(step) for step in range(3)]
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[1], epochs[2])
    assert not np.array_equal(epochs[0], Batches(50, 50, seed=1).indices(0))


def test_dropped_examples_come_in_other_epochs() -> None:
    batches = Batches(10, 4, seed=0)
    assert {int(index) for step in range(20) for index in batches.indices(step)} == set(range(10))


@pytest.mark.parametrize("per_step", [2, 3, 5])
def test_a_step_of_several_batches_is_one_large_batch_if_the_data_set_is_large_enough(per_step: int) -> None:
    together, large = Batches(30, 6, seed=1, per_step=per_step), Batches(30, 6 * per_step, seed=1)
    for step in range(7):
        np.testing.assert_array_equal(together.indices(step), large.indices(step))


@pytest.mark.parametrize(("count", "batch_size", "per_step"), [(7, 3, 5), (6, 6, 2), (10, 4, 3), (1, 1, 9)])
def test_a_step_that_needs_more_examples_than_there_are_spans_several_epochs(
    count: int, batch_size: int, per_step: int
) -> None:
    """A step has the same batches as several steps of one batch each, whatever the order of calls."""
    steps, single = Batches(count, batch_size, seed=4, per_step=per_step), Batches(count, batch_size, seed=4)
    for step in (3, 0, 8, 1, 3):
        batches = steps.indices(step).reshape(per_step, batch_size)
        for i, batch in enumerate(batches):
            np.testing.assert_array_equal(batch, single.indices(step * per_step + i))
            assert len(np.unique(batch)) == batch_size


def test_a_step_without_batches_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        Batches(10, 3, seed=0, per_step=0)
    assert_one_sentence(error, "the number of batches in a step is 0")


@pytest.mark.parametrize(("count", "batch_size"), [(10, 0), (10, -1), (10, 11), (0, 1)])
def test_impossible_batch_sizes_are_refused(count: int, batch_size: int) -> None:
    with pytest.raises(UsageError) as error:
        Batches(count, batch_size, seed=0)
    assert_one_sentence(error, f"the batch size is {batch_size}")


def test_negative_step_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        Batches(10, 3, seed=0).indices(-1)
    assert_one_sentence(error, "-1")

"""Masks of Dropout that are drawn before a pass and given to the layers."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from minigan import Tensor
from minigan.nn import BatchNorm, Dense, Dropout, Sequential, SpectralNorm, dropout
from minigan.nn.module import preserve_state


def _x(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def _drawn(layer: Dropout, *numbers: int, shape: tuple[int, ...] = (5, 7)) -> dropout.DrawnMasks:
    drawn = tuple(dropout.draw_mask(layer, number, shape, np.dtype(np.float32)) for number in numbers)
    return dropout.DrawnMasks(layer, drawn, len(numbers))


def test_given_masks_are_used_and_no_draw_is_counted() -> None:
    layer, x = Dropout(0.5, seed=4), Tensor(_x(5, 7))
    with dropout.using_masks([_drawn(layer, 1, 0)]):
        second, first = layer(x).numpy(), layer(x).numpy()
    assert layer.draws.item() == 0
    np.testing.assert_array_equal(first, layer(x).numpy())
    np.testing.assert_array_equal(second, layer(x).numpy())
    assert layer.draws.item() == 2


def test_each_layer_takes_its_own_masks_in_whatever_order_they_ask() -> None:
    one, other, x = Dropout(0.5, seed=4), Dropout(0.2, seed=5), Tensor(_x(5, 7))
    with dropout.using_masks([_drawn(one, 0, 1), _drawn(other, 0, 1)]):
        found = [layer(x).numpy() for layer in (other, one, one, other)]
    np.testing.assert_array_equal(found, [layer(x).numpy() for layer in (other, one, one, other)])


def test_requested_masks_can_be_drawn_before_the_pass() -> None:
    rng = np.random.default_rng(2)
    network = Sequential(Dense(3, 4, rng), BatchNorm(4), Dropout(0.5, 1), SpectralNorm(Dense(4, 2, rng), rng))
    x = Tensor(_x(6, 3))
    network(x)  # so that the count is not 0
    with preserve_state(network), dropout.recording_requests() as requests:
        network(x)
        network(x)
    copied = copy.deepcopy(network)
    drawn = [request.draw() for request in requests]
    assert [masks.draw_count for masks in drawn] == [2]
    expected = [copied(x).numpy() for _ in range(2)]
    with dropout.using_masks(drawn):
        found = [network(x).numpy() for _ in range(2)]
    np.testing.assert_array_equal(found, expected)


def test_masks_are_given_within_the_context_only() -> None:
    layer, x = Dropout(0.5, seed=4), Tensor(np.ones((2, 2)))
    with pytest.raises(ZeroDivisionError), dropout.using_masks([_drawn(layer, 0)]):
        raise ZeroDivisionError
    assert set(layer(x).numpy().ravel()) <= {0.0, 2.0}


def test_a_mask_of_another_shape_type_or_layer_is_refused() -> None:
    layer, other = Dropout(0.5, seed=4), Dropout(0.25, seed=4)
    sentence = (
        r"Dropout\(0\.5\) needs a mask of float32 and shape \(5, 1\), but the next is of float32 and shape \(5, 7\)"
    )
    with pytest.raises(RuntimeError, match=sentence), dropout.using_masks([_drawn(layer, 0)]):
        layer(_x(5, 1))  # to which a mask of (5, 7) would be broadcast
    with (
        pytest.raises(RuntimeError, match=r"of float64 .* the next is of float32"),
        dropout.using_masks([_drawn(layer, 0)]),
    ):
        layer(_x(5, 7).astype(np.float64))
    for masks in (_drawn(other, 0), _drawn(layer)):
        with (
            pytest.raises(RuntimeError, match="but none is left; masks are drawn before"),
            dropout.using_masks([masks]),
        ):
            layer(_x(5, 7))


def test_masks_that_no_layer_takes_are_reported() -> None:
    layer = Dropout(0.5, seed=4)
    with (
        pytest.raises(RuntimeError, match=r"Dropout\(0.5\) did not use 2 of the masks that were drawn for it"),
        dropout.using_masks([_drawn(layer, 0, 1, 2)]),
    ):
        layer(_x(5, 7))

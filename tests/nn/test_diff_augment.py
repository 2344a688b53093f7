"""DiffAugment against a direct implementation of the paper's definition, and as a part of a discriminator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from minigan import Tensor, vjp
from minigan.nn import DiffAugment, Module, random_layer

SIDES = (9, 12)


def _images(make_rng: Callable, count: int = 5) -> np.ndarray:
    return make_rng().uniform(-1, 1, (count, *SIDES, 3))


def _drawn(part: random_layer.RandomLayer, x: np.ndarray, number: int = 0) -> np.ndarray:
    return random_layer.draw_array(part, number, x.shape, x.dtype).numpy()


def test_color_is_brightness_then_saturation_then_contrast(make_rng: Callable) -> None:
    x = _images(make_rng)
    layer = DiffAugment("color", seed=4)
    u = _drawn(layer.parts[0], x)
    assert (u >= 0).all()
    assert (u < 1).all()
    for y, image, (brightness, saturation, contrast) in zip(layer(x).numpy(), x, u.reshape(-1, 3), strict=True):
        expected = image + brightness - 0.5
        grey = expected.mean(axis=2, keepdims=True)
        expected = (expected - grey) * 2 * saturation + grey
        expected = (expected - expected.mean()) * (contrast + 0.5) + expected.mean()
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)


def test_translation_moves_whole_pixels_and_zeros_enter(make_rng: Callable) -> None:
    x = _images(make_rng, 200) + 5  # so that no pixel is 0
    y = DiffAugment("translation", seed=4)(x).numpy()
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    seen = set()
    for moved, image in zip(y, padded, strict=True):
        fits = [
            (down, across)
            for down in range(-1, 2)  # 1/8 of 9 and of 12 pixels, rounded
            for across in range(-2, 3)
            if np.array_equal(moved, image[2 - down : 2 - down + SIDES[0], 2 - across : 2 - across + SIDES[1]])
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) == 3 * 5


def test_cutout_zeroes_a_rectangle_of_half_of_each_side(make_rng: Callable) -> None:
    x = _images(make_rng, 300) + 5
    y = DiffAugment("cutout", seed=4)(x).numpy()
    kept = y != 0
    np.testing.assert_array_equal(y[kept], x[kept])
    extents = set()
    for hole in ~kept.any(axis=3):
        rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
        assert hole.sum() == len(rows) * len(columns)
        for lines, size, side in ((rows, 5, SIDES[0]), (columns, 6, SIDES[1])):
            assert len(lines) == lines[-1] - lines[0] + 1 <= size
            assert len(lines) == size or lines[0] == 0 or lines[-1] == side - 1  # else cut off by the border
        extents.add((len(rows), len(columns)))
    assert (5, 6) in extents
    assert min(columns for _, columns in extents) == 3


def test_its_derivative_is_the_adjoint_of_its_linear_part(make_rng: Callable) -> None:
    """Given the draws, the augmented image is affine in the image: <g, T(x) - T(0)> = <T'(g), x>."""
    x, g = _images(make_rng), make_rng(1).standard_normal((5, *SIDES, 3))
    one, two = DiffAugment(seed=4), DiffAugment(seed=4)
    leaf = Tensor(x)
    y = one(leaf)
    (pulled_back,) = vjp(y, [leaf], Tensor(g))
    offset = two(np.zeros_like(x)).numpy()
    assert (g * (y.numpy() - offset)).sum() == pytest.approx((pulled_back.numpy() * x).sum(), rel=1e-10)


def test_in_evaluation_nothing_changes_and_nothing_is_drawn(make_rng: Callable) -> None:
    layer, x = DiffAugment(seed=4).eval(), _images(make_rng)
    np.testing.assert_array_equal(layer(x).numpy(), x)
    assert not any(draws.item() for draws in layer.buffers().values())


def test_its_parts_have_seeds_of_their_own(make_rng: Callable) -> None:
    x = np.ones((50, 8, 8, 1))
    down, across = DiffAugment("translation", seed=4).parts
    assert (_drawn(down, x) != _drawn(across, x)).any()
    assert (_drawn(down, x) != _drawn(down, x, 1)).any()
    same: list[Module] = [DiffAugment("translation", seed=4) for _ in range(2)]
    np.testing.assert_array_equal(*[layer(x).numpy() for layer in same])


def test_another_policy_or_input_is_refused() -> None:
    with pytest.raises(ValueError, match="has no policy 'colour'; did you mean 'color'"):
        DiffAugment("colour")
    with pytest.raises(ValueError, match=r"DiffAugment\('cutout'\) takes images .* got shape \(3, 4\)"):
        DiffAugment("cutout")(np.ones((3, 4), np.float32))

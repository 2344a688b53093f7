"""Paths between latent vectors."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.gan import latent_paths


def test_an_arc_has_equal_steps_and_the_length_of_its_ends():
    rng = np.random.default_rng(0)
    a = rng.standard_normal(50)
    b = rng.standard_normal(50)
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    path = latent_paths.between("normal", a, b, 9)
    np.testing.assert_allclose(path[[0, -1]], [a, b], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), np.linalg.norm(a))
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0])
    plane = np.linalg.svd(path, compute_uv=False)
    assert plane[2] < 1e-12 * plane[0]  # all of it lies in the plane of its ends
    assert np.linalg.norm(latent_paths.lerp(a, b, 0.5)) < 0.9 * np.linalg.norm(a)  # unlike a line


def test_the_ends_of_an_arc_may_have_different_lengths():
    a, b = np.array([3.0, 0.0]), np.array([0.0, 1.0])
    np.testing.assert_allclose(latent_paths.slerp(a, b, 0.5), np.array([3.0, 1.0]) / np.sqrt(2))


@pytest.mark.parametrize("b", [[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 1e-9]])
def test_between_parallel_vectors_the_path_is_a_line(b):
    a = np.array([1.0, 0.0])
    np.testing.assert_allclose(latent_paths.slerp(a, np.array(b), 0.25), 0.75 * a + 0.25 * np.array(b), atol=1e-8)


@pytest.mark.parametrize("distribution", ["uniform", "logistic"])
def test_for_other_distributions_it_is_a_line(distribution):
    a, b = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)
    path = latent_paths.between(distribution, a, b, 5)
    np.testing.assert_array_equal(path, [[1, 0], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0, 1]])
    assert path.dtype == np.float32

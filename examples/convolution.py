"""A convolution and its two derivatives are one trilinear form: <g, conv(x, w)> is linear in each of g, x and w.

Each of the three operations is the adjoint of the two others, so derivatives of any order consist of the same three.
Prints the number <g, conv(x, w)> computed in three ways, a third derivative beside finite differences, and the
transposed convolution of a single pixel. Takes a second.
"""

import numpy as np

import minigan as mg
from minigan import Tensor, ops

RNG = np.random.default_rng(0)
GEOMETRY = {"stride": 2, "padding": 1}


def inner(a: Tensor, b: Tensor) -> Tensor:
    """<a, b>: the sum of the products of their elements."""
    return ops.sum(a * b)


def show_that_all_three_are_adjoint() -> None:
    """<g, conv(x, w)> = <input_grad(g, w), x> = <weight_grad(x, g), w>, for any g, x and w."""
    x, w = Tensor(RNG.normal(size=(2, 8, 8, 3))), Tensor(RNG.normal(size=(4, 4, 3, 5)))
    y = ops.conv2d(x, w, **GEOMETRY)
    g = Tensor(RNG.normal(size=y.shape))
    numbers = {
        "<g, conv2d(x, w)>": inner(g, y),
        "<conv2d_input_grad(g, w), x>": inner(ops.conv2d_input_grad(g, w, size=(8, 8), **GEOMETRY), x),
        "<conv2d_weight_grad(x, g), w>": inner(ops.conv2d_weight_grad(x, g, kernel=(4, 4), **GEOMETRY), w),
    }
    for name, number in numbers.items():
        print(f"{name:30} = {number.item():.12f}")
    values = [number.item() for number in numbers.values()]
    assert np.ptp(values) < 1e-10, "they differ"


def third_derivative(values: np.ndarray, w: Tensor) -> float:
    """The sum of the derivatives of `squared_second_derivative` by all entries of x."""
    x = Tensor(values)
    loss = ops.sum(ops.tanh(ops.conv2d(x, w, **GEOMETRY)))
    (first,) = mg.grad(loss, [x], create_graph=True)
    (second,) = mg.grad(inner(first, first), [x], create_graph=True)
    (third,) = mg.grad(inner(second, second), [x])
    return ops.sum(third).item()


def squared_second_derivative(values: np.ndarray, w: Tensor) -> float:
    """The squared norm of the gradient of the squared norm of the gradient of a loss with a convolution."""
    x = Tensor(values)
    (first,) = mg.grad(ops.sum(ops.tanh(ops.conv2d(x, w, **GEOMETRY))), [x], create_graph=True)
    (second,) = mg.grad(inner(first, first), [x])
    return inner(second, second).item()


def check_the_third_derivative() -> None:
    """Compare the third derivative with a central difference."""
    x, w, step = RNG.normal(size=(1, 6, 6, 2)), Tensor(RNG.normal(size=(4, 4, 2, 3)) * 0.3), 1e-5
    found = third_derivative(x, w)
    expected = (squared_second_derivative(x + step, w) - squared_second_derivative(x - step, w)) / (2 * step)
    print(f"third derivative                 {found:.9f}   finite differences {expected:.9f}")
    assert abs(found - expected) < 1e-6 * (1 + abs(expected)), "the derivative is wrong"


def show_a_transposed_convolution() -> None:
    """Print the output for a single pixel of 1: a copy of the kernel."""
    pixel = np.zeros((1, 2, 2, 1))
    pixel[0, 0, 1, 0] = 1
    kernel = Tensor(np.arange(1.0, 10.0).reshape(3, 3, 1, 1))
    print("a transposed convolution with stride 2 maps these 2 x 2 pixels")
    print(pixel[0, :, :, 0])
    print("to these 5 x 5:")
    print(ops.conv_transpose2d(Tensor(pixel), kernel, stride=2).numpy()[0, :, :, 0])


if __name__ == "__main__":
    show_that_all_three_are_adjoint()
    check_the_third_derivative()
    show_a_transposed_convolution()

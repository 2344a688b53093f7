"""A convolution's three derivatives are one idea: <g, conv(x, w)> is linear in each of g, x and w.

Each of the three operations that follow from this is the adjoint of the two others, so derivatives of any order are
made of the same three. Prints the number <g, conv(x, w)> found in three ways, a third derivative against finite
differences, and what a transposed convolution does to a single pixel; takes a second.
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
    """The derivative, in all of x at once, of the squared length of the gradient of a loss of a convolution."""
    x = Tensor(values)
    loss = ops.sum(ops.tanh(ops.conv2d(x, w, **GEOMETRY)))
    (first,) = mg.grad(loss, [x], create_graph=True)
    (second,) = mg.grad(inner(first, first), [x], create_graph=True)
    (third,) = mg.grad(inner(second, second), [x])
    return ops.sum(third).item()


def squared_second_derivative(values: np.ndarray, w: Tensor) -> float:
    """What `third_derivative` is the derivative of."""
    x = Tensor(values)
    (first,) = mg.grad(ops.sum(ops.tanh(ops.conv2d(x, w, **GEOMETRY))), [x], create_graph=True)
    (second,) = mg.grad(inner(first, first), [x])
    return inner(second, second).item()


def check_the_third_derivative() -> None:
    """Compare it with a central difference."""
    x, w, step = RNG.normal(size=(1, 6, 6, 2)), Tensor(RNG.normal(size=(4, 4, 2, 3)) * 0.3), 1e-5
    found = third_derivative(x, w)
    expected = (squared_second_derivative(x + step, w) - squared_second_derivative(x - step, w)) / (2 * step)
    print(f"third derivative                 {found:.9f}   finite differences {expected:.9f}")
    assert abs(found - expected) < 1e-6 * (1 + abs(expected)), "the derivative is wrong"


def show_what_a_transposed_convolution_does() -> None:
    """One pixel becomes a copy of the kernel: what a generator's last layer paints with."""
    pixel = np.zeros((1, 2, 2, 1))
    pixel[0, 0, 1, 0] = 1
    kernel = Tensor(np.arange(1.0, 10.0).reshape(3, 3, 1, 1))
    print("a transposed convolution with stride 2 makes of the 2 x 2 pixels")
    print(pixel[0, :, :, 0])
    print("these, 5 x 5:")
    print(ops.conv_transpose2d(Tensor(pixel), kernel, stride=2).numpy()[0, :, :, 0])


if __name__ == "__main__":
    show_that_all_three_are_adjoint()
    check_the_third_derivative()
    show_what_a_transposed_convolution_does()

"""A new differentiable operation in six lines: swish(x) = x sigmoid(x), and its derivatives to the third order.

An operation is a forward on raw arrays and, for each input, a vector-Jacobian product made of other operations.
Because the derivative is itself made of operations, it has a derivative too, to any order. Prints each derivative's
largest difference from finite differences; takes a moment.
"""

import numpy as np

import minigan as mg
from minigan import Tensor, ops
from minigan.autodiff import primitive

STEP = 1e-5


# g is the derivative of the loss by the result y; the rule returns the derivative of the loss by x, g * dy/dx:
#   swish'(x) = sigmoid(x) + x sigmoid'(x) = sigmoid(x) + x sigmoid(x) sigmoid(-x) = sigmoid(x) + y sigmoid(-x)
@primitive(lambda g, y, x: g * (ops.sigmoid(x) + y * ops.sigmoid(-x)))
def swish(B, x):
    """x * sigmoid(x) (Ramachandran et al., 2017), without overflow for large x."""
    decay = B.xp.exp(-abs(x))  # B.xp is NumPy, or CuPy for arrays on a GPU
    return x * B.xp.where(x >= 0, 1.0, decay) / (1.0 + decay)


def derivative(values: np.ndarray, order: int) -> np.ndarray:
    """The derivative of swish of that order at each of `values`; order 0 is swish itself."""
    x = Tensor(values)
    y = swish(x)
    for _ in range(order):
        # Element i of y depends on element i of x only, so the gradient of the sum holds all derivatives at once.
        # create_graph keeps how the gradient was computed, so that it can be differentiated in turn.
        (y,) = mg.grad(ops.sum(y), [x], create_graph=True)
    return y.numpy()


def main() -> None:
    """Compare each derivative with central differences of the one below it."""
    x = np.linspace(-6, 6, 121)
    print("order  at x = 1   largest difference")
    for order in (1, 2, 3):
        exact = derivative(x, order)
        differences = (derivative(x + STEP, order - 1) - derivative(x - STEP, order - 1)) / (2 * STEP)
        error = np.abs(exact - differences).max()
        at_one = derivative(np.array([1.0]), order).item()
        print(f"{order:5d} {at_one:9.6f}   {error:.1e}")
        assert error < 1e-8, "the derivative is wrong"
    print("all three agree")


if __name__ == "__main__":
    main()

"""numpy-ml's WGAN-GP: the generator's caches are emptied just before its backward pass.

Where: `models/wgan_gp.py`. `update_generator` begins with `flush_gradients("G")`, which sets the gradients to zero,
as it should, and also empties the lists in which each layer keeps its inputs. The backward pass loops over these empty
lists. No exception is raised, and the gradient of every weight stays zero.

In training: the critic learns and its loss changes, but the generator never does.
"""

import numpy as np

import minigan as mg

rng = np.random.default_rng(0)
NOISE, CRITIC, WEIGHTS = rng.normal(size=(8, 3)), rng.normal(size=5), rng.normal(size=(3, 5))


class Layer:
    """A layer that keeps its inputs for the backward pass, until they are flushed."""

    def __init__(self, weights):
        self.weights, self.inputs = weights, []

    def forward(self, x):
        self.inputs.append(x)
        return x @ self.weights

    def backward(self, g):
        return sum((x.T @ g for x in self.inputs), start=np.zeros_like(self.weights))


def loss(weights):
    """The generator's loss: minus the critic's mean score; the critic is tanh(x) @ CRITIC."""
    return -(np.tanh(NOISE @ weights) @ CRITIC).mean()


def published(weights):
    """Flushed after the forward pass."""
    layer = Layer(weights)
    fakes = layer.forward(NOISE)
    layer.inputs.clear()
    return layer.backward(-CRITIC * (1 - np.tanh(fakes) ** 2) / len(fakes))


def corrected(weights):
    """Flushed before the forward pass."""
    layer = Layer(weights)
    layer.inputs.clear()
    fakes = layer.forward(NOISE)
    return layer.backward(-CRITIC * (1 - np.tanh(fakes) ** 2) / len(fakes))


def check(derivative=published):
    """The report of the checker."""
    return mg.check_pair(loss, derivative, WEIGHTS)


if __name__ == "__main__":
    print(check())

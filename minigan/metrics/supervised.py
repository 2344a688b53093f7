"""Supervised learning of a classifier: what a network learns from labelled examples alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, grad, no_grad
from minigan.nn import Module
from minigan.nn.module import preserve_state
from minigan.ops import cross_entropy
from minigan.optim import Adam
from minigan.optim.schedules import Linear

_AT_ONCE = 1000


def train_classifier(
    network: Module,
    batch: Callable[[int], tuple[Any, Any]],
    steps: int,
    *,
    rate: float,
    logits_of: Callable[[Any], Tensor] = lambda output: output,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> None:
    """Train `network` by Adam on the cross-entropy of batch(0), batch(1), ...; the rate falls linearly to 0.

    batch(step): examples x and class numbers y, (n, ...) and (n,). logits_of: the class logits (n, classes) in the
    output of the network. progress(step, steps) is called every 50 steps.
    """
    optimizer = Adam(network, Linear(rate, 0.0, steps), beta1=0.9)
    network.train()
    for step in range(steps):
        x, y = batch(step)
        loss = cross_entropy(logits_of(network(x)), y)
        optimizer.step(grad(loss, optimizer.parameters))
        if step % 50 == 0 or step == steps - 1:
            progress(step + 1, steps)


def predicted_classes(
    network: Module, x: np.ndarray, *, logits_of: Callable[[Any], Tensor] = lambda output: output
) -> np.ndarray:
    """The class number of each of `x` (N, ...) with the largest logit, (N,), by the network in evaluation mode."""
    with preserve_state(network), no_grad():
        network.eval()
        parts = [logits_of(network(Tensor(x[i : i + _AT_ONCE]))).numpy() for i in range(0, len(x), _AT_ONCE)]
    return np.concatenate(parts).argmax(axis=1)

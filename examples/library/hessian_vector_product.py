"""The sharpest direction of a loss: power iteration with Hessian-vector products, never with the Hessian."""

import numpy as np

import minigan as mg
from minigan import ops

rng = np.random.default_rng(0)
inputs = rng.standard_normal((200, 10)) * np.linspace(0.1, 2.0, 10)
targets = (inputs @ rng.standard_normal(10) + rng.standard_normal(200) > 0) * 1.0


def loss(w):
    """Logistic regression: the mean of log(1 + exp(logit)) - target * logit; w (10,)."""
    logits = inputs @ w
    return ops.mean(ops.softplus(logits) - targets * logits)


w = rng.standard_normal(10) * 0.1
v = rng.standard_normal(10)
for _ in range(200):
    v = v / np.linalg.norm(v)
    v = mg.hvp(loss, w, v).numpy()  # the Hessian of the loss at w, times v
sharpness = np.linalg.norm(v)

value, gradient = mg.value_and_grad(loss)(w)
p = 1 / (1 + np.exp(-inputs @ w))
hessian = (inputs * (p * (1 - p))[:, None]).T @ inputs / len(inputs)  # in closed form, for this loss
print(f"loss {value:.4f}, |gradient| {np.linalg.norm(gradient.numpy()):.4f}")
print(f"largest eigenvalue {sharpness:.6f}, by the whole Hessian {np.linalg.eigvalsh(hessian)[-1]:.6f}")
print(f"gradient descent is stable below a learning rate of {2 / sharpness:.3f}")
assert np.isclose(sharpness, np.linalg.eigvalsh(hessian)[-1])

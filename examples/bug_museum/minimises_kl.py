"""An article's claim: a GAN's generator minimises the Kullback-Leibler divergence KL(p || q) from the data.

Where: a tutorial on GANs that this project grew from. With the optimal discriminator, D = p / (p + q), the generator
minimises (Goodfellow et al., 2014, theorem 1)

    C = sum p log(p / (p + q)) + sum q log(q / (p + q)) = 2 JSD(p, q) - log 4

The check takes C as the function and the gradient of KL(p || q) as its derivative. The distributions have six outcomes;
that of the generator is the softmax of its logits.

In training: KL penalises a missing mode without limit, while 2 JSD never exceeds 2 log 2; a reader who confuses the two
does not expect mode collapse.
"""

import numpy as np

import minigan as mg

rng = np.random.default_rng(0)
P = rng.dirichlet(np.ones(6))
LOGITS = rng.normal(size=6)


def softmax(logits):
    """The generator's distribution."""
    return np.exp(logits) / np.exp(logits).sum()


def value(logits):
    """C: the value with the optimal discriminator."""
    q = softmax(logits)
    return (P * np.log(P / (P + q)) + q * np.log(q / (P + q))).sum()


def published(logits):
    """The gradient of KL(p || q)."""
    return softmax(logits) - P


def corrected(logits):
    """The gradient of C: dC/dq = log(q / (p + q)), through the softmax."""
    q = softmax(logits)
    by_q = np.log(q / (P + q))
    return q * (by_q - q @ by_q)


def check(derivative=published):
    """The report of the checker."""
    return mg.check_pair(value, derivative, LOGITS)


if __name__ == "__main__":
    print(check())

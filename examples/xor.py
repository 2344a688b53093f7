"""The smallest training loop: a network of nine neurons learns exclusive or.

Prints the loss now and then and the learned table, and checks that all four answers are right. Takes a second.
"""

import argparse

import numpy as np

import minigan as mg
from minigan.nn import Dense, Sequential, Tanh

QUESTIONS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
ANSWERS = np.array([[0], [1], [1], [0]], np.float32)


def main(steps: int) -> None:
    """Train for `steps` steps, each on all four questions."""
    rng = np.random.default_rng(0)
    network = Sequential(Dense(2, 8, rng), Tanh(), Dense(8, 1, rng))
    adam = mg.optim.Adam(network.parameters(), 0.05, beta1=0.9)

    # The network gives logits: P(yes) = sigmoid(logit). The loss is minus the mean log probability of the right
    # answer: -log sigmoid(logit) = softplus(-logit) where that is yes, softplus(logit) where it is no.
    x, signs = mg.Tensor(QUESTIONS), mg.Tensor(1 - 2 * ANSWERS)
    for step in range(steps):
        loss = mg.ops.mean_softplus(network(x) * signs)
        adam.step(mg.grad(loss, adam.parameters))
        if step % 50 == 0:
            print(f"step {step:3d}  loss {loss.item():.4f}")

    with mg.no_grad():
        probabilities = mg.ops.sigmoid(network(x)).numpy()
    print("\n a  b  a xor b  P(yes)")
    for (a, b), answer, probability in zip(QUESTIONS, ANSWERS, probabilities, strict=True):
        print(f"{a:2.0f} {b:2.0f} {answer.item():8.0f} {probability.item():7.3f}")
    assert ((probabilities > 0.5) == ANSWERS).all(), "not learned yet: take more steps"
    print("all four are right")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    main(parser.parse_args().steps)

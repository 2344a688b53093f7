"""The gradient of every GAN loss in three ways: by autodiff, in closed form, and by finite differences.

Prints, for each loss and each player, a table over the logits from -10 to 10, then the largest disagreement, and why
the non-saturating generator loss does not saturate. With --out FILE.png it also draws the gradients of the generator
losses over the logit. Takes a second.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import minigan as mg
from minigan import Tensor

LOGITS = (-10.0, -5.0, -2.0, 0.0, 2.0, 5.0, 10.0)
STEP = 1e-5  # of the finite differences; a smaller one would lose more digits to rounding


def table(title: str, loss: Callable[[Tensor], Tensor], closed_form: Callable[[Tensor], Tensor]) -> float:
    """Print the gradients of `loss` at each logit, a batch of one; return the largest disagreement."""
    print(f"{title}\n  logit       D(x)     autodiff  closed form  differences")
    worst = 0.0
    for value in LOGITS:
        logit = Tensor([value])
        by_autodiff = mg.grad(loss(logit), [logit])[0].item()
        by_formula = closed_form(logit).item()
        by_differences = (loss(logit + STEP).item() - loss(logit - STEP).item()) / (2 * STEP)
        score = mg.ops.sigmoid(logit).item()
        print(f"{value:7.1f} {score:10.2e} {by_autodiff:12.4e} {by_formula:12.4e} {by_differences:12.4e}")
        worst = max(worst, abs(by_autodiff - by_formula), abs(by_autodiff - by_differences))
    print()
    return worst


def draw(out: Path) -> None:
    """Draw the gradient of each generator loss over the logit."""
    logits = Tensor(np.linspace(-10, 10, 401))
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, loss in mg.losses.LOSSES.items():
        # Losses are means over the batch: times its size gives the gradient of one example. Real logits are 0 here.
        found = loss.generator_logit_grads(logits, logits * 0.0)
        axes.plot(logits.numpy(), found.numpy() * logits.size, label=name)
    axes.set(xlabel="logit of a generated picture", ylabel="gradient of the generator's loss")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out, dpi=110)
    print(f"wrote {out}")


def tables(name: str, loss: mg.losses.Loss) -> float:
    """Print the tables of both players; return the largest disagreement."""
    zero = Tensor([0.0])  # the logit of the other batch
    samples = (lambda x: loss.generator(x, zero), lambda x: loss.generator_logit_grads(x, zero))
    real = (lambda x: loss.discriminator(x, zero), lambda x: loss.discriminator_logit_grads(x, zero)[0])
    fake = (lambda x: loss.discriminator(zero, x), lambda x: loss.discriminator_logit_grads(zero, x)[1])
    return max(
        table(f"{name}: the generator, at D's logit of its fake", *samples),
        table(f"{name}: the discriminator, at the logit of a real picture", *real),
        table(f"{name}: the discriminator, at the logit of a fake picture", *fake),
    )


def explain() -> None:
    """Compare two generator losses where they differ most: early in training, when D rejects every fake."""
    logit = Tensor([-10.0])
    minimax = mg.losses.get("minimax").generator_logit_grads(logit).item()
    steep = mg.losses.get("non-saturating").generator_logit_grads(logit).item()
    print("Early in training D rejects every fake, say with a logit of -10. Then the minimax generator's gradient is")
    print(f"-D(G(z)) = {minimax:.1e}, nearly 0 just when it has most to learn. The non-saturating generator's is")
    print(f"-(1 - D(G(z))) = {steep:.5f}, {steep / minimax:,.0f} times as large, and small where D accepts fakes.")


def main(out: Path | None) -> None:
    """Print all tables and their explanation."""
    worst = max([tables(name, loss) for name, loss in mg.losses.LOSSES.items()])
    print(f"largest disagreement: {worst:.1e}\n")
    explain()
    if out is not None:
        draw(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a PNG file for the picture")
    main(parser.parse_args().out)

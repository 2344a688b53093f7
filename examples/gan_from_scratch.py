"""A GAN on handwritten digits without a GAN class: Algorithm 1 of Goodfellow et al., 2014, written out.

Two networks, two losses and two updates, without a recipe. The default of 2,000 steps takes about 10 seconds on one
core; the very first run also compiles the kernels, which takes 10 seconds more. Prints the losses and the mean scores
D(x) and D(G(z)) ten times, and writes a picture of 64 generated digits to gan_from_scratch.png, or to the file that
--out names. The digits are rough; `minigan train` makes better ones.
"""

import argparse
from pathlib import Path

import numpy as np

import minigan as mg
from minigan import data
from minigan.figures.image_grid import image_grid, save_png, to_bytes
from minigan.nn import BatchNorm, Dense, LeakyReLU, Sequential, Tanh

BATCH, LATENT, PIXELS = 64, 64, 28 * 28


def main(steps: int, out: Path) -> None:
    """Train for `steps` steps on the 10,000 digits that come with minigan; write samples to `out`."""
    rng = np.random.default_rng(0)
    images = data.load().images.reshape(-1, PIXELS)
    batches = data.Batches(len(images), BATCH, seed=0)

    # G maps noise to images with pixels in [-1, 1], so it ends with tanh.
    generator = Sequential(
        *(Dense(LATENT, 256, rng), LeakyReLU(0.2), BatchNorm(256, momentum=0.8)),
        *(Dense(256, 512, rng), LeakyReLU(0.2), BatchNorm(512, momentum=0.8)),
        *(Dense(512, PIXELS, rng), Tanh()),
    )
    # D maps images to logits, with D(x) = sigmoid(logit). It does not end with a sigmoid, because the losses take the
    # logit, which is accurate where the probability would be rounded to 0 or 1.
    discriminator = Sequential(
        *(Dense(PIXELS, 256, rng), LeakyReLU(0.2)),
        *(Dense(256, 128, rng), LeakyReLU(0.2)),
        Dense(128, 1, rng),
    )
    loss = mg.losses.NonSaturating()
    g_adam = mg.optim.Adam(generator.parameters(), 5e-4, beta1=0.5)
    d_adam = mg.optim.Adam(discriminator.parameters(), 5e-4, beta1=0.5)

    def noise() -> mg.Tensor:
        return mg.Tensor(rng.standard_normal((BATCH, LATENT), dtype=np.float32))

    for step in range(steps):
        real = mg.Tensor(images[batches.indices(step)].astype(np.float32) / 127.5 - 1)

        # D minimises -mean log D(x) - mean log(1 - D(G(z))). The fakes need no detach: grad visits only operations that
        # lead to the requested parameters, here the weights of D, so it computes no gradients in G.
        real_logits, fake_logits = discriminator(real), discriminator(generator(noise()))
        d_loss = loss.discriminator(real_logits, fake_logits)
        d_adam.step(mg.grad(d_loss, d_adam.parameters))

        # G minimises -mean log D(G(z)), with the updated D and with new noise, as in Algorithm 1. The gradient passes
        # through D, but D's weights get none. There is no zero_grad, because grad returns gradients as values and
        # nothing accumulates them between steps.
        g_loss = loss.generator(discriminator(generator(noise())))
        g_adam.step(mg.grad(g_loss, g_adam.parameters))

        if (step + 1) % max(1, steps // 10) == 0:
            scores = [mg.ops.mean(mg.ops.sigmoid(logits)).item() for logits in (real_logits, fake_logits)]
            print(
                f"step {step + 1:5d}  loss of D {d_loss.item():.3f}  loss of G {g_loss.item():.3f}"
                f"  D(x) {scores[0]:.2f}  D(G(z)) {scores[1]:.2f}"
            )

    generator.eval()  # batch norm uses its running statistics, so that a sample does not depend on the others
    with mg.no_grad():
        samples = generator(noise()).numpy()
    save_png(out, image_grid(to_bytes(samples.reshape(-1, 28, 28, 1), (-1, 1))))
    print(f"wrote {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("gan_from_scratch.png"))
    arguments = parser.parse_args()
    main(arguments.steps, arguments.out)

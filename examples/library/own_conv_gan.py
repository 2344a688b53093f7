"""A convolutional GAN on your own pictures: an array of bytes (examples, height, width, channels)."""

import sys

import numpy as np

import minigan as mg
from minigan import figures, nn

steps = int(sys.argv[1]) if sys.argv[1:] else 1000

rng = np.random.default_rng(0)  # discs of any size and place, 16 x 16, red, green and blue
y, x = np.mgrid[:16, :16]
centre, radius = rng.uniform(4, 12, (2, 2000, 1, 1)), rng.uniform(2, 5, (2000, 1, 1))
inside = np.hypot(y - centre[0], x - centre[1]) < radius
pictures = (inside[..., None] * rng.integers(64, 256, (2000, 1, 1, 3))).astype(np.uint8)

generator = nn.Sequential(
    nn.Dense(32, 4 * 4 * 64), nn.Reshape(4, 4, 64), nn.BatchNorm(64), nn.ReLU(),
    nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1), nn.BatchNorm(32), nn.ReLU(),  # 8 x 8
    nn.ConvTranspose2d(32, 3, 4, stride=2, padding=1), nn.Tanh(),  # 16 x 16, pixels in [-1, 1]
)  # fmt: skip
discriminator = nn.Sequential(
    nn.Conv2d(3, 32, 4, stride=2, padding=1), nn.LeakyReLU(0.2),  # 8 x 8
    nn.Conv2d(32, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2),  # 4 x 4
    nn.Flatten(), nn.Dense(4 * 4 * 64, 1),
)  # fmt: skip
adams = mg.optim.Adam(generator, 2e-3, beta1=0.5), mg.optim.Adam(discriminator, 4e-4, beta1=0.5)
gan = mg.GAN(generator, discriminator, "non-saturating", *adams, latent_size=32, ema_decay=0.99)
print(gan.summary())
gan.fit(pictures, steps=steps, out="runs/discs")  # bytes become numbers in [-1, 1]; Ctrl-C keeps what was learned

figures.save_grid("discs.png", gan.sample(64), value_range=(-1, 1))
print("wrote discs.png and runs/discs")

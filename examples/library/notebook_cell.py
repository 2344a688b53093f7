# %% Cells of a notebook: the value of each last line shows itself, as a picture or a table.
import numpy as np

import minigan as mg
from minigan import data, figures, nn

digits = data.load().subset(per_class=200)
digits

# %%
generator = nn.Sequential(nn.mlp([32, 256, 28 * 28]), nn.Tanh(), nn.Reshape(28, 28, 1))
discriminator = nn.Sequential(nn.Flatten(), nn.mlp([28 * 28, 256, 1]))
gan = mg.GAN(generator, discriminator, latent_size=32)
gan.summary()

# %% With a progress bar that fits a notebook
history = gan.fit(digits.images, steps=300)
history

# %% 16 samples as pictures
figures.Samples(gan.sample(16), value_range=(-1, 1))

# %% Are the derivatives of a loss right?
logits = np.random.default_rng(0).standard_normal((2, 8, 1))
mg.gradcheck(mg.losses.get("hinge").discriminator, list(logits))

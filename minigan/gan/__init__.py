"""A GAN: two networks, and one training step, defined once."""

from minigan.gan import losses, penalties
from minigan.gan.gan import GAN, GradientObserver, Pass

__all__ = ["GAN", "GradientObserver", "Pass", "losses", "penalties"]

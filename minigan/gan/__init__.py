"""What makes a GAN: its training step, losses, penalties, rules, latent vectors and moving average."""

from minigan.gan import losses, penalties
from minigan.gan.gan import GAN
from minigan.gan.interface import GradientObserver, Pass

__all__ = ["GAN", "GradientObserver", "Pass", "losses", "penalties"]

"""minigan: generative adversarial networks from scratch, every gradient explicit."""

from minigan import losses, nn, ops, optim, recipes
from minigan.autodiff import Tensor, grad, no_grad, vjp
from minigan.backend import use
from minigan.errors import MiniganError
from minigan.gan import GAN
from minigan.parameter import Parameter

__version__ = "0.1.0"

__all__ = [
    "GAN", "MiniganError", "Parameter", "Tensor", "grad", "losses", "nn", "no_grad", "ops", "optim", "recipes",
    "use", "vjp",
]  # fmt: skip

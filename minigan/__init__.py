"""minigan: generative adversarial networks from scratch, every gradient explicit."""

from minigan import losses, nn, ops, optim, penalties, recipes
from minigan.autodiff import Tensor, grad, no_grad, vjp
from minigan.backend import use
from minigan.checking import check_pair, check_vjp, gradcheck
from minigan.errors import MiniganError
from minigan.gan import GAN
from minigan.parameter import Parameter

__version__ = "0.1.0"

__all__ = [
    "GAN", "MiniganError", "Parameter", "Tensor", "check_pair", "check_vjp", "grad", "gradcheck", "losses", "nn",
    "no_grad", "ops", "optim", "penalties", "recipes", "use", "vjp",
]  # fmt: skip

"""minigan: generative adversarial networks from scratch, every gradient explicit."""

from minigan import losses, nn, ops, optim, penalties, recipes, schedules
from minigan.autodiff import Tensor, no_grad
from minigan.backend import use
from minigan.checking import check_pair, check_vjp, gradcheck
from minigan.derivatives import grad, vjp
from minigan.errors import MiniganError
from minigan.gan import GAN
from minigan.parameter import Parameter
from minigan.rules import Rules

__version__ = "0.1.0"

__all__ = [
    "GAN", "MiniganError", "Parameter", "Rules", "Tensor", "check_pair", "check_vjp", "grad", "gradcheck", "losses",
    "nn", "no_grad", "ops", "optim", "penalties", "recipes", "schedules", "use", "vjp",
]  # fmt: skip

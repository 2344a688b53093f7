"""minigan: generative adversarial networks from scratch, every gradient explicit."""

from __future__ import annotations

TYPE_CHECKING = False  # that of `typing`, without the time that its import takes
if TYPE_CHECKING:
    from minigan import losses, nn, ops, optim, penalties, recipes, schedules
    from minigan.autodiff import Tensor, no_grad
    from minigan.backend import use
    from minigan.checking import check_pair, check_vjp, gradcheck
    from minigan.derivatives import grad, vjp
    from minigan.errors import MiniganError
    from minigan.gan import GAN
    from minigan.parameter import Buffer, Parameter
    from minigan.rules import Rules

__version__ = "0.1.0"

__all__ = [
    "GAN", "Buffer", "MiniganError", "Parameter", "Rules", "Tensor", "check_pair", "check_vjp", "grad", "gradcheck",
    "losses", "nn", "no_grad", "ops", "optim", "penalties", "recipes", "schedules", "use", "vjp",
]  # fmt: skip

# Imported when they are asked for, modules too: a command imports this package before it can tell of an interrupt.
_MODULES = {
    "autodiff": ("Tensor", "no_grad"),
    "backend": ("use",),
    "checking": ("check_pair", "check_vjp", "gradcheck"),
    "derivatives": ("grad", "vjp"),
    "errors": ("MiniganError",),
    "gan": ("GAN",),
    "parameter": ("Buffer", "Parameter"),
    "rules": ("Rules",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    import importlib.util

    if name in _MODULE_OF:
        found: object = getattr(importlib.import_module(f"minigan.{_MODULE_OF[name]}"), name)
    elif not name.startswith("_") and importlib.util.find_spec(f"minigan.{name}") is not None:
        found = importlib.import_module(f"minigan.{name}")
    else:
        raise AttributeError(f"module 'minigan' has no attribute '{name}'")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

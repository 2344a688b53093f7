"""minigan: generative adversarial networks from scratch, with every gradient explicit."""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it as True; importing it from `typing` would take time
if TYPE_CHECKING:
    from minigan import nn, ops, optim, recipes
    from minigan.autodiff import Tensor, no_grad
    from minigan.autodiff.derivatives import grad, vjp
    from minigan.autodiff.parameter import Buffer, Parameter
    from minigan.checking import check_pair, check_vjp, gradcheck
    from minigan.core.backend import use
    from minigan.core.errors import MiniganError
    from minigan.gan import GAN, losses, penalties
    from minigan.gan.rules import Rules
    from minigan.optim import schedules

__version__ = "0.1.0"

__all__ = [
    "GAN", "Buffer", "MiniganError", "Parameter", "Rules", "Tensor", "check_pair", "check_vjp", "errors", "grad",
    "gradcheck", "losses", "nn", "no_grad", "ops", "optim", "penalties", "recipes", "schedules", "use", "vjp",
]  # fmt: skip

# The names above are imported on first use (PEP 562): a program loads only what it uses, and a command can handle an
# interrupt before the slow imports begin.
_NAMES = {  # module: the names that come from it
    "autodiff": ("Tensor", "no_grad"),
    "autodiff.derivatives": ("grad", "vjp"),
    "autodiff.parameter": ("Buffer", "Parameter"),
    "checking": ("check_pair", "check_vjp", "gradcheck"),
    "core.backend": ("use",),
    "core.errors": ("MiniganError",),
    "gan": ("GAN",),
    "gan.rules": ("Rules",),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = {  # modules that have a shorter name here
    "errors": "core.errors",
    "losses": "gan.losses",
    "penalties": "gan.penalties",
    "schedules": "optim.schedules",
}


def __getattr__(name: str) -> object:
    import importlib.util

    if name in _MODULE_OF:
        if _MODULE_OF[name].startswith("autodiff"):
            importlib.import_module("minigan.ops")  # which gives tensors their operators
        value: object = getattr(importlib.import_module(f"minigan.{_MODULE_OF[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"minigan.{_MODULES[name]}")
    elif not name.startswith("_") and importlib.util.find_spec(f"minigan.{name}") is not None:
        value = importlib.import_module(f"minigan.{name}")
    else:
        raise AttributeError(f"module 'minigan' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

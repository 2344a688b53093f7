"""minigan: generative adversarial networks from scratch, with every gradient explicit.

To train:
    GAN             Two networks, a loss and an optimiser for each; `fit` trains it, `train_step` takes one step.
    Rules           The order of updates, packing, unrolling, noise: what Algorithm 1 leaves open.
    losses          What each player minimises, by name or as a class of your own.
    penalties       Penalties on the critic's gradient: WGAN-GP, R1, R2, DRAGAN and their sums.
    nn              Modules, layers, initial weights.
    optim           Adam, SGD, RMSprop.
    schedules       Learning rates and weights as functions of the step.
    recipes         Networks and settings that are known to train.
    data            Data sets of arrays, folders and files; the digits that come with minigan.
    training        Runs: a folder, checkpoints, callbacks, diagnosis; `Loop` for a step of your own.
    figures         Grids of samples, curves, histories.
    save            Write a module, a GAN or an optimiser to a file.
    load            Read such a file into one that is built alike.
    load_run        The GAN, the data's shape and the history of a run.
    manual_seed     Begin the default stream of initial weights anew.

To differentiate:
    Tensor          An array that remembers how it was computed.
    Parameter       A Tensor that is trained.
    Buffer          An array of a module that is not trained, such as running statistics.
    ops             Every operation on Tensors, beside its derivatives.
    grad            The gradient of a scalar, in the form of what it is taken by; it changes nothing.
    value_and_grad  A function that gives the value of another and its gradient.
    vjp             The gradient of <cotangent, y>.
    jvp             The Jacobian of a function times a vector.
    hvp             The Hessian of a function times a vector.
    jacobian        The Jacobian of a function, whole.
    no_grad         A context in which no graph is recorded.

To check, and the rest:
    gradcheck       Are the derivatives of a function of Tensors right, to order 1, 2 or 3?
    check_pair      Is this function the gradient of that one? In any library.
    check_vjp       Is this the vector-Jacobian product of that function?
    use             Choose the backend, the kernels, and whether steps are replayed.
    errors          The errors that minigan raises.
    MiniganError    The base of all of them.

`dir(minigan)` lists the other public modules, too; docs/api.md has every name.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it as True; importing it from `typing` would take time
if TYPE_CHECKING:
    from minigan import data, figures, nn, ops, optim, recipes, training
    from minigan.autodiff import Tensor, no_grad
    from minigan.autodiff.derivatives import grad, vjp
    from minigan.autodiff.functional import hvp, jacobian, jvp, value_and_grad
    from minigan.autodiff.parameter import Buffer, Parameter
    from minigan.checking import check_pair, check_vjp, gradcheck
    from minigan.core.backend import use
    from minigan.core.errors import MiniganError
    from minigan.gan import GAN, losses, penalties
    from minigan.gan.rules import Rules
    from minigan.nn.seeds import manual_seed
    from minigan.optim import schedules
    from minigan.training.runs import load_run
    from minigan.training.saved_state import load, save

__version__ = "0.1.0"

__all__ = [
    "GAN", "Buffer", "MiniganError", "Parameter", "Rules", "Tensor", "check_pair", "check_vjp", "data", "errors",
    "figures", "grad", "gradcheck", "hvp", "jacobian", "jvp", "load", "load_run", "losses", "manual_seed", "nn",
    "no_grad", "ops", "optim", "penalties", "recipes", "save", "schedules", "training", "use", "value_and_grad", "vjp",
]  # fmt: skip

# The names above are imported on first use (PEP 562): a program loads only what it uses, and a command can handle an
# interrupt before the slow imports begin.
_NAMES = {  # module: the names that come from it
    "autodiff": ("Tensor", "no_grad"),
    "autodiff.derivatives": ("grad", "vjp"),
    "autodiff.functional": ("hvp", "jacobian", "jvp", "value_and_grad"),
    "autodiff.parameter": ("Buffer", "Parameter"),
    "checking": ("check_pair", "check_vjp", "gradcheck"),
    "core.backend": ("use",),
    "core.errors": ("MiniganError",),
    "gan": ("GAN",),
    "gan.rules": ("Rules",),
    "nn.seeds": ("manual_seed",),
    "training.runs": ("load_run",),
    "training.saved_state": ("load", "save"),
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
    # Public, too, and seldom needed.
    further = ("autodiff", "checking", "domains", "export", "gan", "metrics", "report", "selftest")
    return sorted({*__all__, *further, *(name for name in globals() if name.startswith("__"))})

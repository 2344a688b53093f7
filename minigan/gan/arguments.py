"""What a GAN is given, checked: networks, a loss and a penalty or their names, optimisers, and settings."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from minigan.gan import losses, penalties
from minigan.gan.generator_terms import GeneratorTerm, changing_variables, module_of
from minigan.gan.losses import LabelSmoothing, Loss
from minigan.gan.penalties import Penalty
from minigan.gan.rules import Rules
from minigan.nn import BatchNorm, Module, Sigmoid
from minigan.optim import Adam, Optimizer
from minigan.optim.numbers import is_number, require_number

PLAYERS = ("generator", "discriminator")


def networks(generator: Any, discriminator: Any) -> tuple[Module, Module]:
    """Both networks. Raises TypeError unless they are Modules, ValueError unless they have parameters of their own."""
    names: list[dict[Any, str]] = []
    for player, network in zip(PLAYERS, (generator, discriminator), strict=True):
        _require_instance(f"the {player}", network, Module, "a Module, such as nn.Sequential(...)")
        names.append({parameter: name for name, parameter in network.trainable_parameters().items()})
        if not names[-1]:
            raise ValueError(
                f"the {player} has no parameters to train; set them or layers as attributes of the Module, not frozen"
            )
    shared = [name for parameter, name in names[0].items() if parameter in names[1]]
    if shared:
        raise ValueError(
            f"generator and discriminator share {len(shared)} parameters, such as '{shared[0]}', but each is trained "
            "by one player; make two networks"
        )
    dtypes = [str(next(iter(parameters)).dtype) for parameters in names]
    if dtypes[0] != dtypes[1]:
        raise TypeError(
            f"the generator computes with {dtypes[0]}, the discriminator with {dtypes[1]}; convert one with astype "
            "before its optimiser is made"
        )
    return generator, discriminator


def loss(value: Loss | str, smoothing: float) -> Loss:
    """The loss, or the one of this name, with its labels smoothed. Raises TypeError or UsageError if it is none."""
    if isinstance(value, str):
        value = losses.get(value)
    _require_instance(
        "the loss", value, Loss,
        "a name such as 'hinge', or a subclass of minigan.losses.Loss with methods discriminator(real, fake) and "
        "generator(fake, real)",
    )  # fmt: skip
    _require_methods(value)
    return LabelSmoothing(value, smoothing) if smoothing else value


def penalty(value: Penalty | str | None) -> Penalty | None:
    """The penalty, or the one of this name. Raises TypeError or UsageError if it is none."""
    if value is None:
        return None
    if isinstance(value, str):
        return penalties.get(value)
    expected = "a name such as 'r1', or a function (critic, real, fake, draws) that gives a scalar"
    if isinstance(value, type) or not callable(value):
        raise TypeError(f"the penalty is {_described(value)}; expected {expected}")
    if not _takes(value, None, None, None, None):
        raise TypeError(
            f"the penalty {getattr(value, '__name__', value)}{inspect.signature(value)} takes other arguments than a "
            "penalty gets; expected a function (critic, real, fake, draws), where draws are its random numbers"
        )
    return value


def optimizers(networks: tuple[Module, Module], given: tuple[Any, Any]) -> tuple[Optimizer, Optimizer]:
    """The optimiser of each network: those `given`, Adam in place of None.

    Raises TypeError unless they are optimisers, ValueError unless each has parameters of its network, and holds them.
    """
    own = [set(network.parameters().values()) for network in networks]
    for i, (player, optimizer) in enumerate(zip(PLAYERS, given, strict=True)):
        if optimizer is None:
            continue
        _require_instance(f"the {player}'s optimiser", optimizer, Optimizer, "such as optim.Adam(network)")
        foreign = [
            name
            for name, parameter in zip(optimizer.names, optimizer.parameters, strict=True)
            if parameter not in own[i]
        ]
        if foreign and set(optimizer.parameters) <= own[1 - i]:
            raise ValueError(
                f"the {player}'s optimiser has the {PLAYERS[1 - i]}'s parameters; give the optimisers in the order "
                "generator, discriminator"
            )
        if foreign:
            raise ValueError(
                f"the {player}'s optimiser has the parameter '{foreign[0]}', which is not in the {player}; make it "
                f"with the {player}'s parameters"
            )
        if any(p.owner is None or p.owner() is not optimizer.flat for p in optimizer.parameters):
            raise ValueError(
                f"the {player}'s optimiser lost its parameters to another that was made for them later; give that one"
            )
    first, second = (
        Adam(network) if optimizer is None else optimizer for network, optimizer in zip(networks, given, strict=True)
    )
    return first, second


def doubt(discriminator: Module, loss: Loss, penalty: Penalty | None) -> str | None:
    """A warning about a combination that computes something else than what its user probably wants."""
    layers = list(discriminator.modules())
    batch_norms = [layer for layer in layers if isinstance(layer, BatchNorm)]
    if penalty is not None and any(layer.trainable_parameters() for layer in batch_norms):  # frozen ones mix nothing
        return (
            "the discriminator has batch norm, so its score of one example depends on all others, but a gradient "
            "penalty constrains its slope at each example alone; leave batch norm out, or train without penalty"
        )
    if isinstance(layers[-1], Sigmoid) and type(loss) in (losses.NonSaturating, losses.Minimax, losses.Hinge):
        return (
            f"the discriminator ends in Sigmoid, but the loss '{loss.name}' takes logits, of which it computes "
            "probabilities itself where it needs them; leave Sigmoid out"
        )
    return None


def generator_term(value: GeneratorTerm | None, generator: Module, adversarial_weight: Any) -> GeneratorTerm | None:
    """The term. Raises TypeError or ValueError if it is none, or if it contains what a run would not save."""
    if value is None:
        if not callable(adversarial_weight) and adversarial_weight == 0:
            raise ValueError("adversarial_weight is 0 and there is no generator_term, so the generator learns nothing")
        return None
    expected = "a function (fake, real, condition) that gives a scalar"
    if isinstance(value, type) or not callable(value):
        raise TypeError(f"the generator term is {_described(value)}; expected {expected}")
    if not _takes(value.forward if isinstance(value, Module) else value, None, None, None):
        raise TypeError(
            f"the generator term {getattr(value, '__name__', type(value).__name__)} takes other arguments than it "
            f"gets; expected {expected}"
        )
    own = {*generator.parameters().values(), *generator.buffers().values()}
    for name, variable in changing_variables(module) if (module := module_of(value)) is not None else ():
        if variable not in own:
            raise ValueError(
                f"the generator term's module has '{name}', which is not in the generator, so that no optimiser trains "
                "it and no checkpoint keeps it; freeze the module with frozen(), or make it a part of the generator"
            )
    return value


def require_weights(**weights: Any) -> None:
    """Raise TypeError or ValueError unless each is a schedule, or a number from 0 up."""
    for name, weight in weights.items():
        if isinstance(weight, type) or not (callable(weight) or is_number(weight)):
            raise TypeError(f"{name} is {_described(weight)}; expected a number or a schedule")
        if not callable(weight) and not weight >= 0:
            raise ValueError(f"{name} is {weight!r}, expected a number of at least 0")


def require_settings(latent_size: Any, seed: Any, ema_decay: Any, penalty_every: Any, rules: Any) -> None:
    """Raise TypeError or ValueError unless these arguments of a GAN lie in their ranges."""
    if not _is_whole(latent_size) or latent_size < 1:
        raise ValueError(
            f"latent_size is {latent_size!r}, expected the number of inputs of the generator, a whole number from 1 up"
        )
    if not _is_whole(seed) or seed < 0:
        raise ValueError(f"the seed is {seed!r}, expected a whole number from 0 up")
    require_number("ema_decay", ema_decay)
    if not _is_whole(penalty_every) or penalty_every < 1:
        raise ValueError(f"penalty_every is {penalty_every!r}, expected 1 for every step, 2 for every second, ...")
    _require_instance("rules", rules, Rules, "such as Rules(n_critic=5)")


def _require_instance(what: str, value: Any, kind: type, expected: str) -> None:
    """Raise TypeError unless `value` is a `kind`."""
    if isinstance(value, type) and issubclass(value, kind):
        raise TypeError(f"{what} is the class {value.__name__}; make an instance of it: {value.__name__}(...)")
    if not isinstance(value, kind):
        raise TypeError(f"{what} is {_described(value)}; expected {expected}")


def _require_methods(loss: Loss) -> None:
    """Raise TypeError unless the loss has its two methods, and each can be called as a step does."""
    for player, given in zip(PLAYERS, ("fake, real", "real, fake"), strict=True):
        expected = f"{player}(self, {given}{', condition' * loss.uses_condition})"
        method = getattr(loss, player)
        if getattr(method, "__func__", None) is getattr(Loss, player):
            raise TypeError(f"the loss '{type(loss).__name__}' lacks a method; define {expected}")
        if not _takes(method, None, None, **({"condition": None} if loss.uses_condition else {})):
            raise TypeError(
                f"the loss '{loss.name}' has a method {player} of {', '.join(inspect.signature(method).parameters)}, "
                f"which are other arguments than it gets; define {expected}"
            )


def _takes(function: Any, *arguments: Any, **options: Any) -> bool:
    """Whether `function` can be called with these, as far as it tells its signature."""
    try:
        inspect.signature(function).bind(*arguments, **options)
    except TypeError:
        return False
    except ValueError:  # it tells none
        pass
    return True


def _described(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return repr(value) if isinstance(value, (str, int, float, bool, type(None))) else f"a {type(value).__name__}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)

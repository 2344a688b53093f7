"""Module: a function with parameters, made of other Modules; Sequential: one after another."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Buffer, Parameter, Variable
from minigan.core.state_check import require_matching_state


class Module:
    """Base of everything with parameters.

    A subclass sets Parameters, Buffers, Modules, or lists, tuples and dicts of them (to any depth) as attributes and
    defines `forward`. A forward may change its Buffers, in place, and then calls their `increment_version()`.

    What lies inside is named by its place: "left.weight", "parts.0.weight" in a list, "parts.a.weight" in a dict. What
    several places share is found once, by the first of its names. Raises TypeError where a set holds some of it: a set
    has no order, so there would be no lasting names; ValueError where two places have one name.
    """

    training = True

    def __init_subclass__(cls) -> None:
        if "buffer_names" in vars(cls):  # their arrays would be left out of states without a word
            raise TypeError(
                f"{cls.__name__} lists its buffers in buffer_names; set each as an attribute instead, such as "
                "self.running_mean = Buffer(values)"
            )

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def __call__(self, x: Any) -> Tensor:
        return self.forward(x if isinstance(x, Tensor) else Tensor(x))

    def _contents(self) -> Iterator[tuple[str, Variable | Module]]:
        """The Parameters, Buffers and Modules directly inside, by name, in the order they were set."""
        for name, value in vars(self).items():
            yield from _leaves(value, name)

    def children(self) -> Iterator[tuple[str, Module]]:
        """The Modules directly inside, by name, in the order they were set."""
        yield from ((name, item) for name, item in self._contents() if isinstance(item, Module))

    def modules(self) -> Iterator[Module]:
        """This Module and every one inside it, each once."""
        yield from (module for _, module in self._places("", set()))

    def _places(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
        """`modules()`, each with what comes before the names of its contents; without those `seen` before."""
        if id(self) not in seen:
            seen.add(id(self))
            yield prefix, self
            for name, child in self.children():
                yield from child._places(f"{prefix}{name}.", seen)

    def parameters(self, prefix: str = "") -> dict[str, Parameter]:
        """Every Parameter, each once, by its name, such as "3.weight"."""
        return self._variables(Parameter, prefix)

    def buffers(self, prefix: str = "") -> dict[str, Buffer]:
        """Every Buffer, each once, by its name, such as "1.running_mean"."""
        return self._variables(Buffer, prefix)

    def _variables(self, kind: type, prefix: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        seen: set[Any] = set()
        for place, module in self._places(prefix, set()):
            for name, item in module._contents():
                if isinstance(item, kind) and item not in seen:
                    seen.add(item)
                    _add(found, place + name, item)
        return found

    def train(self, on: bool = True) -> Self:
        """Behave as in training (batch statistics, dropout)."""
        for module in self.modules():
            module.training = on
        return self

    def eval(self) -> Self:
        """Behave as in use (running statistics, no dropout)."""
        return self.train(False)

    def astype(self, dtype: str) -> Self:
        """Convert every parameter and buffer to `dtype`, "float32" or "float64".

        Raises RuntimeError if an optimiser already holds the parameters: it would go on with the old ones.
        """
        parameters = self.parameters().values()
        if any(p.owner is not None for p in parameters):
            raise RuntimeError("convert the parameters with astype before an optimiser is made for them")
        for p in parameters:
            p.convert(dtype)
        for b in self.buffers().values():
            if not b.is_count:
                b.convert(dtype)
        return self

    def state(self, prefix: str = "") -> dict[str, np.ndarray]:
        """Parameters and buffers by name, copied to the host."""
        found = {name: p.numpy() for name, p in self.parameters(prefix).items()}
        for name, b in self.buffers(prefix).items():
            _add(found, name, b.numpy())
        return found

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take the values of `state` (see `state`); raises ValueError, and changes nothing, unless all fit."""
        require_matching_state(self.state(), state)
        for name, x in (self.parameters() | self.buffers()).items():
            x.assign(state[name])


@contextlib.contextmanager
def preserve_state(*modules: Module) -> Iterator[None]:
    """A context after which the buffers of `modules` and the mode, training or use, of every part are as before."""
    parts = [part for module in modules for part in module.modules()]
    modes = [part.training for part in parts]
    buffers = {b: b.version for part in parts for _, b in part._contents() if isinstance(b, Buffer)}
    before = [int(b.data) if b.is_count else b.constant_copy() for b in buffers]
    try:
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode
        for (b, version), values in zip(buffers.items(), before, strict=True):
            if b.version != version:  # what is not changed needs no new version, which graphs that hold it would refuse
                b.assign(values)


def _leaves(value: Any, name: str, above: tuple[int, ...] = ()) -> Iterator[tuple[str, Variable | Module]]:
    """The Variables and Modules in an attribute `name`; `above` are the containers that `value` lies in."""
    if isinstance(value, (Variable, Module)):
        yield name, value
    elif isinstance(value, (set, frozenset)) and any(isinstance(item, (Variable, Module)) for item in value):
        raise TypeError(
            f"'{name}' is a set of Modules, Parameters or Buffers, which has no order; make it a list or a dict"
        )
    elif isinstance(value, (list, tuple, dict)) and id(value) not in above:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _leaves(item, f"{name}.{key}", (*above, id(value)))


def tree_map(value: Any, exchange: Callable[[Variable | Module], Any], above: tuple[int, ...] = ()) -> Any:
    """`value`, an attribute of a Module, with exchange(item) in place of every Variable and Module in it.

    Lists, tuples and dicts are made anew where they change. `above` are the containers that `value` lies in.
    """
    if isinstance(value, (Variable, Module)):
        return exchange(value)
    if not isinstance(value, (list, tuple, dict)) or id(value) in above:
        return value
    items = value.values() if isinstance(value, dict) else value
    new = [tree_map(item, exchange, (*above, id(value))) for item in items]
    if all(a is b for a, b in zip(new, items, strict=True)):
        return value
    if isinstance(value, tuple):
        return value._make(new) if hasattr(value, "_make") else type(value)(new)  # a named tuple takes no sequence
    out = copy.copy(value)
    for key, item in zip(out if isinstance(out, dict) else range(len(new)), new, strict=True):
        out[key] = item
    return out


def _add(found: dict[str, Any], name: str, item: Any) -> None:
    if name in found:
        raise ValueError(f"two parameters or buffers are called '{name}'; rename an attribute or the key of a dict")
    found[name] = item


class Sequential(Module):
    """Modules applied one after another. A layer that can do the next one's work in its own pass does so."""

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential takes Modules, got {type(layer).__name__} in place {i}")
        self.layers = layers
        self._passes = _fused(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer, following in self._passes:
            x = layer(x) if following is None else layer.forward_fused(following, x)
        return x

    def _contents(self) -> Iterator[tuple[str, Variable | Module]]:
        """The layers by their number, and what a subclass adds."""
        yield from ((str(i), layer) for i, layer in enumerate(self.layers))
        for name, value in vars(self).items():
            if name not in ("layers", "_passes"):
                yield from _leaves(value, name)

    def __getitem__(self, i: int) -> Module:
        return self.layers[i]

    def __repr__(self) -> str:
        return " - ".join(map(repr, self.layers))

    def __len__(self) -> int:
        return len(self.layers)


class Fusible(Module):
    """A Module that may compute itself and the one after it in a single pass."""

    def can_fuse(self, following: Module) -> bool:
        """Whether `forward_fused(following, x)` can serve."""
        raise NotImplementedError

    def forward_fused(self, following: Any, x: Tensor) -> Tensor:
        """`following(self(x))` in one pass."""
        raise NotImplementedError


def _fused(layers: Sequence[Module]) -> list[tuple[Any, Module | None]]:
    """The passes that compute `layers`: each layer with the one after it, where one pass can do the work of both."""
    passes: list[tuple[Any, Module | None]] = []
    i = 0
    while i < len(layers):
        layer, following = layers[i], layers[i + 1] if i + 1 < len(layers) else None
        both = isinstance(layer, Fusible) and following is not None and layer.can_fuse(following)
        passes.append((layer, following if both else None))
        i += 2 if both else 1
    return passes

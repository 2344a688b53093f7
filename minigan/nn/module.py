"""Module, a function with parameters, composed of other Modules, and Sequential, which applies Modules in order."""

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
    """The base class of all layers and networks.

    A subclass sets Parameters, Buffers, Modules, or lists, tuples and dicts of them (to any depth) as attributes and
    defines `forward`. A forward may change its Buffers with `assign`, or their `data` in place; after the latter it
    calls their `increment_version()`.

    Parameters and Buffers are named by their attributes: "left.weight"; "parts.0.weight" in a list, "parts.a.weight" in
    a dict. One that several attributes share is listed once, under the first name. Raises TypeError if a set contains
    any: a set has no order, so their names would change. Raises ValueError if two have the same name.
    """

    training = True

    def __init_subclass__(cls) -> None:
        if "buffer_names" in vars(cls):  # `state` would silently leave out the arrays that it names
            raise TypeError(
                f"{cls.__name__} lists its buffers in buffer_names; set each as an attribute instead, such as "
                "self.running_mean = Buffer(values)"
            )

    def forward(self, x: Tensor) -> Tensor:
        """The output for the input x; a subclass defines it."""
        raise NotImplementedError

    def __call__(self, x: Any) -> Tensor:
        return self.forward(x if isinstance(x, Tensor) else Tensor(x))

    def _contents(self) -> Iterator[tuple[str, Variable | Module]]:
        """(name, item) of the Parameters, Buffers and Modules directly inside, in the order in which they were set."""
        for name, value in vars(self).items():
            yield from _leaves(value, name)

    def children(self) -> Iterator[tuple[str, Module]]:
        """(name, Module) of the Modules directly inside, in the order in which they were set."""
        yield from ((name, item) for name, item in self._contents() if isinstance(item, Module))

    def modules(self) -> Iterator[Module]:
        """This Module and every one inside it, each once."""
        yield from (module for _, module in self._modules_with_prefix("", set()))

    def _modules_with_prefix(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
        """(prefix of the names of its contents, Module) of `modules()`, without those in `seen`, by id."""
        if id(self) not in seen:
            seen.add(id(self))
            yield prefix, self
            for name, child in self.children():
                yield from child._modules_with_prefix(f"{prefix}{name}.", seen)

    def parameters(self, prefix: str = "") -> dict[str, Parameter]:
        """Every Parameter once, by name, such as "3.weight"."""
        return self._variables(Parameter, prefix)

    def buffers(self, prefix: str = "") -> dict[str, Buffer]:
        """Every Buffer once, by name, such as "1.running_mean"."""
        return self._variables(Buffer, prefix)

    def _variables(self, kind: type, prefix: str) -> dict[str, Any]:
        variables: dict[str, Any] = {}
        seen: set[Any] = set()
        for path, module in self._modules_with_prefix(prefix, set()):
            for name, item in module._contents():
                if isinstance(item, kind) and item not in seen:
                    seen.add(item)
                    _add(variables, path + name, item)
        return variables

    def train(self, on: bool = True) -> Self:
        """Switch all Modules to training mode: batch statistics, dropout. With on=False, to evaluation mode."""
        for module in self.modules():
            module.training = on
        return self

    def eval(self) -> Self:
        """Switch all Modules to evaluation mode: running statistics, no dropout."""
        return self.train(False)

    def astype(self, dtype: str) -> Self:
        """Convert every parameter and buffer to `dtype`, "float32" or "float64".

        Raises RuntimeError if an optimiser already has the parameters: it would continue with the old arrays.
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
        state = {name: p.numpy() for name, p in self.parameters(prefix).items()}
        for name, b in self.buffers(prefix).items():
            _add(state, name, b.numpy())
        return state

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Set the parameters and buffers to `state`. Raises ValueError, and changes nothing, unless all of it fits."""
        require_matching_state(self.state(), state)
        for name, x in (self.parameters() | self.buffers()).items():
            x.assign(state[name])


@contextlib.contextmanager
def preserve_state(*modules: Module) -> Iterator[None]:
    """A context that restores, when it ends, the buffers of `modules` and the mode of every Module in them."""
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
            if b.version != version:  # assigning would increment the version, which invalidates graphs
                b.assign(values)


def _leaves(value: Any, name: str, above: tuple[int, ...] = ()) -> Iterator[tuple[str, Variable | Module]]:
    """(name, item) of the Variables and Modules in attribute `name`; `above`: ids of the containers around `value`."""
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


def map_container(value: Any, function: Callable[[Variable | Module], Any], above: tuple[int, ...] = ()) -> Any:
    """`value`, an attribute of a Module, with function(item) in place of every Variable and Module in it.

    Lists, tuples and dicts are copied if an item changes. `above`: ids of the containers around `value`.
    """
    if isinstance(value, (Variable, Module)):
        return function(value)
    if not isinstance(value, (list, tuple, dict)) or id(value) in above:
        return value
    items = value.values() if isinstance(value, dict) else value
    new = [map_container(item, function, (*above, id(value))) for item in items]
    if all(a is b for a, b in zip(new, items, strict=True)):
        return value
    if isinstance(value, tuple):
        return value._make(new) if hasattr(value, "_make") else type(value)(new)  # a named tuple
    out = copy.copy(value)
    for key, item in zip(out if isinstance(out, dict) else range(len(new)), new, strict=True):
        out[key] = item
    return out


def _add(items: dict[str, Any], name: str, item: Any) -> None:
    if name in items:
        raise ValueError(f"two parameters or buffers are called '{name}'; rename an attribute or the key of a dict")
    items[name] = item


class Sequential(Module):
    """Modules applied in order. A layer that can compute the next one in the same pass (see `Fusible`) does so."""

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential takes Modules, got {type(layer).__name__} in place {i}")
        self.layers = layers
        self._passes = _fuse(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer, following in self._passes:
            x = layer(x) if following is None else layer.forward_fused(following, x)
        return x

    def _contents(self) -> Iterator[tuple[str, Variable | Module]]:
        """The layers by number, and the attributes that a subclass adds."""
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
    """A Module that can compute itself and the Module after it in one pass."""

    def can_fuse(self, following: Module) -> bool:
        """Whether `forward_fused(following, x)` may be called."""
        raise NotImplementedError

    def forward_fused(self, following: Any, x: Tensor) -> Tensor:
        """`following(self(x))` in one pass."""
        raise NotImplementedError


def _fuse(layers: Sequence[Module]) -> list[tuple[Any, Module | None]]:
    """(layer, the next layer if one pass computes both, else None) for each pass that computes `layers`."""
    passes: list[tuple[Any, Module | None]] = []
    i = 0
    while i < len(layers):
        layer, following = layers[i], layers[i + 1] if i + 1 < len(layers) else None
        both = isinstance(layer, Fusible) and following is not None and layer.can_fuse(following)
        passes.append((layer, following if both else None))
        i += 2 if both else 1
    return passes

"""Module: a function with parameters, made of other Modules; Sequential: one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from minigan import backend
from minigan.autodiff import Tensor
from minigan.parameter import Parameter
from minigan.state import require_fit


class Module:
    """Base of everything with parameters.

    A subclass sets Parameters, Modules, or lists of Modules as attributes and defines `forward`; arrays that
    learning does not change by gradients (running statistics) are named in `buffer_names`.
    """

    training = True
    buffer_names: tuple[str, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def __call__(self, x: Any) -> Tensor:
        return self.forward(x if isinstance(x, Tensor) else Tensor(x))

    def children(self) -> Iterator[tuple[str, Module]]:
        """The Modules directly inside, by name, in the order they were set."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, (list, tuple)):
                yield from ((f"{name}.{i}", item) for i, item in enumerate(value) if isinstance(item, Module))

    def modules(self) -> Iterator[Module]:
        """This Module and every one inside it."""
        yield self
        for _, child in self.children():
            yield from child.modules()

    def parameters(self, prefix: str = "") -> dict[str, Parameter]:
        """Every Parameter by its name, such as "3.weight"."""
        found = {prefix + name: value for name, value in vars(self).items() if isinstance(value, Parameter)}
        for name, child in self.children():
            found |= child.parameters(f"{prefix}{name}.")
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
        if any(p.home is not None for p in self.parameters().values()):
            raise RuntimeError("convert the parameters with astype before an optimiser is made for them")
        converted: dict[Parameter, Parameter] = {}  # a Parameter that two modules share stays one
        for module in self.modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    if value not in converted:
                        converted[value] = Parameter(value.data.astype(dtype))
                    setattr(module, name, converted[value])
                elif name in module.buffer_names and value.dtype.kind == "f":
                    setattr(module, name, value.astype(dtype))
        return self

    def state(self, prefix: str = "") -> dict[str, np.ndarray]:
        """Parameters and buffers by name, copied to the host."""
        own = {name: value.numpy() for name, value in vars(self).items() if isinstance(value, Parameter)}
        own |= {name: _to_host(getattr(self, name)) for name in self.buffer_names}
        found = {prefix + name: value for name, value in own.items()}
        for name, child in self.children():
            found |= child.state(f"{prefix}{name}.")
        return found

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take the values of `state` (see `state`); raises ValueError, and changes nothing, unless all fit."""
        require_fit(self.state(), state)
        self._take_state(state, "")

    def _take_state(self, state: Mapping[str, np.ndarray], prefix: str) -> None:
        for name, value in list(vars(self).items()):
            if isinstance(value, Parameter):
                value.assign(state[prefix + name])
            elif name in self.buffer_names:
                setattr(self, name, backend.of(value).asarray(state[prefix + name]))
        for name, child in self.children():
            child._take_state(state, f"{prefix}{name}.")


def _to_host(buffer: Any) -> np.ndarray:
    return backend.of(buffer).to_numpy(buffer)


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
            x = layer(x) if following is None else layer.forward_with(following, x)
        return x

    def children(self) -> Iterator[tuple[str, Module]]:
        yield from ((str(i), layer) for i, layer in enumerate(self.layers))

    def __getitem__(self, i: int) -> Module:
        return self.layers[i]

    def __repr__(self) -> str:
        return " - ".join(map(repr, self.layers))

    def __len__(self) -> int:
        return len(self.layers)


class Fusible(Module):
    """A Module that may compute itself and the one after it in a single pass."""

    def fuses_with(self, following: Module) -> bool:
        """Whether `forward_with(following, x)` can serve."""
        raise NotImplementedError

    def forward_with(self, following: Any, x: Tensor) -> Tensor:
        """`following(self(x))` in one pass."""
        raise NotImplementedError


def _fused(layers: Sequence[Module]) -> list[tuple[Any, Module | None]]:
    """The passes that compute `layers`: each layer with the one after it, where one pass can do the work of both."""
    passes: list[tuple[Any, Module | None]] = []
    i = 0
    while i < len(layers):
        layer, following = layers[i], layers[i + 1] if i + 1 < len(layers) else None
        both = isinstance(layer, Fusible) and following is not None and layer.fuses_with(following)
        passes.append((layer, following if both else None))
        i += 2 if both else 1
    return passes

"""Sequential, which applies Modules in order, and two layers that contain Modules: Residual and Concatenate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from minigan import ops
from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Variable
from minigan.nn.module import Module, _leaves


class Sequential(Module):
    """Modules applied in order: Sequential(a, b) or Sequential([a, b]). Without any, the output is the input.

    The first layer gets all inputs. A layer that can compute the next one in the same pass (see `Fusible`) does so.
    `network[i]` is a layer, `network[:k]` a Sequential of the same layers. Raises TypeError for anything but Modules,
    ValueError if a layer cannot take what the one before it gives, as far as their arguments say.
    """

    def __init__(self, *layers: Module | Sequence[Module]) -> None:
        self.layers = _as_modules("Sequential", layers)
        _require_fit(self.layers, None)
        self._passes = _fuse(self.layers)

    def forward(self, *inputs: Tensor) -> Tensor:
        if not self._passes:
            return _only(inputs)
        for layer, following in self._passes:
            inputs = (layer(*inputs) if following is None else layer.forward_fused(following, *inputs),)
        return inputs[0]

    def _contents(self) -> Iterator[tuple[str, Variable | Module]]:
        """The layers by number, and the attributes that a subclass adds."""
        yield from ((str(i), layer) for i, layer in enumerate(self.layers))
        for name, value in vars(self).items():
            if name not in ("layers", "_passes"):
                yield from _leaves(value, name)

    @overload
    def __getitem__(self, i: int) -> Module: ...
    @overload
    def __getitem__(self, i: slice) -> Sequential: ...
    def __getitem__(self, i: int | slice) -> Module:
        return Sequential(*self.layers[i]) if isinstance(i, slice) else self.layers[i]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        return " - ".join(map(repr, self.layers)) or "Sequential()"

    def _channels_out(self, channels: int | None) -> int | None:
        return _require_fit(self.layers, channels)


class Residual(Module):
    """x + layers(x): the layers in order, beside a shortcut (He et al., 2016, equation 1). Same shape in and out.

    shortcut: a Module that takes x to the shape of the layers' output where that differs, such as a convolution with
    one pixel (equation 2). Raises TypeError for anything but Modules, ValueError for layers whose output has another
    shape than the shortcut's.
    """

    def __init__(self, *layers: Module | Sequence[Module], shortcut: Module | None = None) -> None:
        self.body = Sequential(*_as_modules("Residual", layers))
        self.shortcut = None if shortcut is None else _as_modules("Residual's shortcut", (shortcut,))[0]

    def forward(self, x: Tensor) -> Tensor:
        change, kept = self.body(x), x if self.shortcut is None else self.shortcut(x)
        if change.shape != kept.shape:
            raise ValueError(
                f"{self} adds shapes {kept.shape} and {change.shape}, which must be equal; give a shortcut that maps "
                "the input to the shape of the layers' output"
            )
        return kept + change

    def __repr__(self) -> str:
        return f"Residual({self.body}{'' if self.shortcut is None else f', shortcut={self.shortcut}'})"

    def _channels_out(self, channels: int | None) -> int | None:
        body, kept = self.body._channels_out(channels), channels
        if self.shortcut is not None:
            kept = _require_fit([self.shortcut], channels)
        if None not in (body, kept) and body != kept:
            raise ValueError(f"{self} adds {kept} channels and {body}, which must be equal; give a shortcut")
        return body if kept is None else kept


class Concatenate(Module):
    """The outputs of several branches, joined along the last axis: (batch, ..., c1) and (batch, ..., c2) to c1 + c2.

    Every branch gets the one input; or, if there are as many inputs as branches, each branch its own. So
    `Concatenate(Sequential(), Embedding(10, 8))(x, labels)` puts 8 numbers that stand for the label beside x. Raises
    TypeError for anything but Modules, ValueError for fewer than two branches, another number of inputs, or outputs
    that differ in another axis than the last.
    """

    def __init__(self, *branches: Module | Sequence[Module]) -> None:
        self.branches = _as_modules("Concatenate", branches)
        if len(self.branches) < 2:
            raise ValueError(f"Concatenate takes two branches or more, got {len(self.branches)}")

    def forward(self, *inputs: Tensor) -> Tensor:
        count = len(self.branches)
        if len(inputs) not in (1, count):
            raise ValueError(f"{self} takes one input or {count}, one for each branch, got {len(inputs)}")
        each = inputs * count if len(inputs) == 1 else inputs
        outputs = [branch(x) for branch, x in zip(self.branches, each, strict=True)]
        if len({y.shape[:-1] for y in outputs}) != 1:
            shapes = " and ".join(str(y.shape) for y in outputs)
            raise ValueError(f"{self} joins its branches along the last axis, so the others must agree, got {shapes}")
        return ops.concatenate(outputs, axis=-1)

    def _channels_out(self, channels: int | None) -> int | None:
        outputs = [_require_fit([branch], channels) for branch in self.branches]
        return None if None in outputs else sum(filter(None, outputs))

    def __repr__(self) -> str:
        return f"Concatenate({', '.join(map(repr, self.branches))})"


class Fusible(Module):
    """A Module that can compute itself and the Module after it in one pass."""

    def can_fuse(self, following: Module) -> bool:
        """Whether `forward_fused(following, x)` may be called."""
        raise NotImplementedError

    def forward_fused(self, following: Any, x: Tensor) -> Tensor:
        """`following(self(x))` in one pass."""
        raise NotImplementedError


def _as_modules(name: str, layers: Sequence[Any]) -> tuple[Module, ...]:
    """`layers`, or the layers in the one list or tuple in it. Raises TypeError, naming the first that is no Module."""
    if len(layers) == 1 and isinstance(layers[0], (list, tuple)):
        layers = layers[0]
    for i, layer in enumerate(layers):
        if isinstance(layer, type):
            raise TypeError(
                f"{name} takes Modules, got the class {layer.__name__} in place {i}; write {layer.__name__}(...)"
            )
        if not isinstance(layer, Module):
            raise TypeError(f"{name} takes Modules, got {type(layer).__name__} in place {i}")
    return tuple(layers)


def _require_fit(layers: Sequence[Module], channels: int | None) -> int | None:
    """The extent of the last axis after all `layers`, None if it is unknown. Raises ValueError if two do not fit.

    Only minigan's own layers are asked: a subclass may compute something else than the layer that it inherits from.
    """
    for layer in layers:
        known = type(layer).__module__.startswith("minigan.")
        channels = layer._channels_out(channels) if known else None
    return channels


def _only(inputs: Sequence[Tensor]) -> Tensor:
    if len(inputs) != 1:
        raise ValueError(f"Sequential without layers takes one input, got {len(inputs)}")
    return inputs[0]


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

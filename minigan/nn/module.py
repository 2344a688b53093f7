"""Module, a function with parameters, composed of other Modules."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from minigan.autodiff import Tensor, no_grad
from minigan.autodiff.parameter import Buffer, Parameter, Variable
from minigan.core import backend
from minigan.core.state_check import require_matching_state
from minigan.nn.summary import Summary, summarize


class Module:
    """The base class of all layers and networks: functions of Tensors (batch, ...), with parameters.

    A subclass sets Parameters, Buffers, Modules, or lists, tuples and dicts of them (to any depth) as attributes and
    defines `forward`. A forward may change its Buffers with `assign`, or their `data` in place; after the latter it
    calls their `increment_version()`.

    Parameters and Buffers are named by their attributes: "left.weight"; "parts.0.weight" in a list, "parts.a.weight" in
    a dict. One that several attributes share is listed once, under the first name. Raises TypeError if a set contains
    any: a set has no order, so their names would change. Raises ValueError if two have the same name.

    training: whether it is in training mode (see `train`). mixes_examples: whether its output for one example depends
    on the other examples of the batch in training; a subclass of which this is true says so.
    """

    training = True
    mixes_examples = False
    _frozen = False

    def __init_subclass__(cls) -> None:
        if "buffer_names" in vars(cls):  # `state` would silently leave out the arrays that it names
            raise TypeError(
                f"{cls.__name__} lists its buffers in buffer_names; set each as an attribute instead, such as "
                "self.running_mean = Buffer(values)"
            )

    def forward(self, *inputs: Any, **options: Any) -> Any:  # for type checkers an override may have any arguments
        """The output for one input or several, each (batch, ...), or a tuple of outputs; a subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, *inputs: Any) -> Tensor:
        """`forward(*inputs)`, with arrays and nested numbers as Tensors of the network's dtype.

        Raises TypeError for pictures of bytes (uint8 and three axes or more): a network takes them scaled.
        """
        y: Tensor = self.forward(*[x if isinstance(x, Tensor) else self._as_input(x) for x in inputs])
        return y

    def _as_input(self, x: Any) -> Tensor:
        array = _as_array(x)
        if array.dtype == np.uint8 and array.ndim > 2:
            raise TypeError(
                f"{type(self).__name__} got bytes (uint8) of shape {array.shape}; scale them to the range of the data, "
                "such as x / 127.5 - 1"
            )
        dtype = dtype_of(self)
        return Tensor(array if dtype is None or array.dtype.kind not in "biuf" else array.astype(dtype, copy=False))

    def predict(self, *inputs: Any, batch: int = 500) -> np.ndarray:
        """The outputs for `inputs`, arrays (n, ...) of one n, in evaluation mode: an array (n, ...) on the host.

        They are computed without a graph, in batches of `batch` examples; the mode and the buffers stay as they were.
        Inputs are converted to the network's dtype. A network that gives a tuple gives a tuple of arrays here. Raises
        ValueError unless there are inputs, of one length, and `batch` is a whole number from 1 up; TypeError for
        pictures of bytes.
        """
        arrays = [x.data if isinstance(x, Tensor) else _as_array(x) for x in inputs]
        if len({x.shape[:1] for x in arrays}) != 1 or not arrays[0].ndim:
            raise ValueError(f"predict takes arrays (n, ...) of one n, got shapes {[tuple(x.shape) for x in arrays]}")
        if not isinstance(batch, int) or batch < 1:
            raise ValueError(f"predict's batch must be a whole number of at least 1, got {batch!r}")
        with preserve_state(self), no_grad():
            self.eval()
            starts = range(0, max(len(arrays[0]), 1), batch)
            outputs: list[Any] = [self(*[x[i : i + batch] for x in arrays]) for i in starts]
        if isinstance(outputs[0], tuple):
            return tuple(map(_joined, zip(*outputs, strict=True)))  # type: ignore[return-value] # as documented
        return _joined(outputs)

    def summary(self, *input_shapes: int | tuple[int, ...]) -> Summary:
        """A table of the layers: their output's shape and their number of parameters; `print` and notebooks show it.

        input_shapes: the shape of one example of each input, without the batch, such as (28, 28, 1); an int n stands
        for (n,), and () for a label. Without them there are no output shapes. Otherwise the network computes two
        examples of zeros, in evaluation mode; its state stays as it was. Raises ValueError for what is no shape, and
        whatever a layer raises for the zeros.
        """
        shapes = [(shape,) if isinstance(shape, int) else tuple(shape) for shape in input_shapes]
        if not all(isinstance(extent, (int, np.integer)) for shape in shapes for extent in shape):
            raise ValueError(f"summary takes shapes of one example, such as (28, 28, 1), got {input_shapes}")
        with preserve_state(self), no_grad():
            return summarize(self.eval(), shapes, dtype_of(self))

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={child!r}" for name, child in self.children())
        return f"{type(self).__name__}({parts})"

    def _channels_out(self, channels: int | None) -> int | None:
        """The extent of the output's last axis, if that of the input is `channels`; None stands for unknown.

        Raises ValueError if the input cannot have this extent. Sequential asks its layers when it is made.
        """
        return None

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

    def trainable_parameters(self, prefix: str = "") -> dict[str, Parameter]:
        """`parameters()` without those of frozen Modules: the ones that an optimiser is to change."""
        frozen = {
            item
            for part in self.modules()
            if part._frozen
            for _, item in part._contents()
            if isinstance(item, Parameter)
        }
        return {name: p for name, p in self.parameters(prefix).items() if p not in frozen}

    def frozen(self, on: bool = True) -> Self:
        """Freeze this Module and all inside, and return it: training does not change it from now on.

        It stays in evaluation mode, and optimisers that are made for it, or for a network that contains it, leave its
        Parameters alone. Gradients flow through it to what comes before it. So a trained network becomes a part of
        another one: `Sequential(features.frozen(), Dense(64, 1))`. `frozen(False)` undoes it, and switches to training
        mode. The two networks of a GAN need no freezing: each step differentiates by the parameters of one of them.

        Raises RuntimeError if an optimiser already has its Parameters: it would go on changing them.
        """
        if on and any(_has_optimizer(p) for p in self.parameters().values()):
            raise RuntimeError(
                "an optimiser already has these parameters and would go on changing them; call frozen() before the "
                "optimiser is made, delete the optimiser, or freeze a copy: copy.deepcopy(module).frozen()"
            )
        for module in self.modules():
            module._frozen, module.training = on, not on
        return self

    def train(self, on: bool = True) -> Self:
        """Switch all Modules to training mode: batch statistics, dropout. With on=False, to evaluation mode.

        Frozen Modules stay in evaluation mode.
        """
        for module in self.modules():
            module.training = on and not module._frozen
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


def _as_array(x: Any) -> Any:
    return x if type(x) in backend.by_array_type else np.asarray(x)


def _joined(outputs: Sequence[Tensor]) -> np.ndarray:
    return np.concatenate([y.numpy() for y in outputs])


def dtype_of(module: Module) -> np.dtype | None:
    """The dtype of the first Parameter or Buffer of `module` that is no count; None if there is none."""
    for part in module.modules():
        for _, item in part._contents():
            if isinstance(item, Variable) and item.dtype.kind == "f":
                return item.dtype
    return None


def _has_optimizer(parameter: Parameter) -> bool:
    """Whether the flat memory that holds `parameter` is in use; a copy names that of its original."""
    flat = parameter.owner() if parameter.owner is not None else None
    return flat is not None and any(p is parameter for p in flat.parameters)


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

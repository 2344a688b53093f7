"""The model card of an exported run: what it is, how well it does, what it is good for, and how to load it.

The sections follow Mitchell et al., 2019, "Model cards for model reporting", as far as a run knows about them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minigan.gan.latents import LOGISTIC_SCALE
from minigan.training.recorded_scores import flat

_MNIST = (
    "MNIST (Yann LeCun, Corinna Cortes, Christopher J. C. Burges), under the Creative Commons licence "
    "[CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/)"
)
_EMBEDDED = "mnist-10k.npz in the package"  # the source of the digits that come with minigan
_MNIST_PIXELS = "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"  # SHA-256 of the 60,000 pictures
_DRAWN = "drawn from a known distribution, so that no licence applies to them"
_LIMITS = """For teaching, for experiments, and as a starting point of further training. Samples resemble the training
data and share their gaps and biases; some may be close to a training example (`minigan sample RUN --nearest 1` shows
how close). They are not to be passed off as real, and a generator makes nothing but what its training data are like."""
_LATENTS = {
    "normal": "standard_normal(",
    "uniform": "uniform(-(3**0.5), 3**0.5, ",
    "logistic": f"logistic(0, {LOGISTIC_SCALE:.6f}, ",
}
"""How NumPy draws latent vectors as minigan does, of variance 1, up to the shape."""
_NO_SCORES = "None were measured: `minigan evaluate RUN` measures and records them; export again afterwards."


def card(model: Mapping[str, Any]) -> str:
    """The card as Markdown, from the content of model.json."""
    return "\n".join(_lines(model)) + "\n"


def _lines(model: Mapping[str, Any]) -> Iterator[str]:
    kind = "conditional generator" if model["condition"] else "generator"
    yield f"# {model['recipe']}: a {kind}, trained with minigan"
    yield ""
    yield f"The {kind} of a generative adversarial network after {model['step']:,} of {model['steps']:,} training steps"
    yield f"of the recipe `{model['recipe']}` (minigan {model['versions'].get('minigan', 'of an unknown version')},"
    yield f"seed {model['seed']}, {model['dtype']}). {model['weights']}"
    yield ""
    yield "## Data"
    yield ""
    yield f"Trained on {model['data_in_words']}: {_licence(model)}. The code of minigan is under the MIT licence."
    yield ""
    yield "## Scores"
    yield ""
    yield from _scores(model["scores"], model["step"], model["versions"])
    yield ""
    yield "## Use and limits"
    yield ""
    yield _LIMITS
    yield ""
    yield from _loading(model)
    yield ""
    yield "## Settings"
    yield ""
    yield "| setting | value |"
    yield "|---|---|"
    yield from (f"| {name} | {value} |" for name, value in model["settings"].items())
    yield ""
    yield "To train it again: `minigan train --config config.json`, with the same version on the same kind of device."


def _licence(model: Mapping[str, Any]) -> str:
    data = model["data"]
    if data.get("source") == _EMBEDDED or data.get("pixels_sha256") == _MNIST_PIXELS:
        return _MNIST
    return "their own licence applies, also to how samples may be used" if "image_shape" in data else _DRAWN


def _scores(scores: Mapping[str, Any] | None, step: int, versions: Mapping[str, str]) -> Iterator[str]:
    if not scores:
        yield _NO_SCORES
        return
    measured_at = scores.get("step", step)
    late = "" if measured_at == step else f" These are of step {measured_at:,}, not of the exported one."
    yield f"Measured by `minigan evaluate` (minigan {versions.get('minigan', '?')}).{late}"
    yield ""
    yield "| measure | value |"
    yield "|---|---|"
    yield from (f"| {name} | {value} |" for name, value in flat(scores) if name != "step")


def _loading(model: Mapping[str, Any]) -> Iterator[str]:
    low, high = model["output"]["value_range"] or (None, None)
    size, shape = model["latent"]["size"], tuple(model["output"]["example_shape"])
    draw = _LATENTS[model["latent"]["distribution"]]
    condition = model["condition"]
    yield "## Loading"
    yield ""
    yield f"Input: latent vectors (batch, {size}), {model['latent']['distribution']}, of variance 1."
    if condition:
        yield f"A second input, the condition of each sample, (batch{''.join(f', {n}' for n in condition['shape'])})."
    yield f"Output: (batch, {', '.join(map(str, model['output']['shape']))})"
    yield f"in the range {low} to {high}, images (batch, height, width, channels)." if low is not None else "numbers."
    yield ""
    if "generator.onnx" in model["files"]:
        given = ', "condition": condition' if condition else ""
        yield "With onnxruntime:"
        yield ""
        yield "```python"
        yield "import numpy as np, onnxruntime"
        yield 'session = onnxruntime.InferenceSession("generator.onnx")'
        yield f"latent = np.random.default_rng(0).{draw}(8, {size})).astype(np.float32)"
        if condition:
            yield f"condition = np.zeros({(8, *condition['shape'])}, np.float32)  # class numbers, or examples"
        yield f'samples = session.run(None, {{"latent": latent{given}}})[0].reshape(-1, {", ".join(map(str, shape))})'
        if low is not None:
            yield f"pixels = ((samples - ({low:g})) * {255 / (high - low):g}).round().clip(0, 255).astype(np.uint8)"
        yield "```"
        yield ""
    yield "The numbers alone, with NumPy:"
    yield ""
    yield "```python"
    yield "from safetensors.numpy import load_file"
    yield 'weights = load_file("generator.safetensors")  # by name; model.json lists layers, their settings and shapes'
    yield "```"
    yield ""
    yield "Into the layers of PyTorch, whose images are (batch, channels, height, width):"
    yield ""
    yield "```python"
    yield "from safetensors.torch import load_file"
    yield 'w = load_file("generator.safetensors")'
    yield 'linear.weight.data, linear.bias.data = w["0.weight"].T, w["0.bias"]  # Dense'
    yield 'conv.weight.data = w["3.weight"].permute(3, 2, 0, 1)  # Conv2d and ConvTranspose2d alike'
    yield 'norm.weight.data, norm.bias.data = w["1.scale"], w["1.shift"]  # BatchNorm; model.json has its eps'
    yield 'norm.running_mean, norm.running_var = w["1.running_mean"], w["1.running_variance"]'
    yield "```"
    yield ""
    yield "How numbers lie in memory:"
    yield ""
    yield from (f"- {name}: {text}" for name, text in model["layout"].items())

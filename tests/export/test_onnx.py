"""ONNX files of generators: onnxruntime computes what minigan does, for every recipe and every kind of layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minigan import nn, ops
from minigan.autodiff import Tensor
from minigan.core.errors import UsageError
from minigan.export import EXAMPLES, save_onnx
from minigan.export.onnx_model import OUTPUT
from minigan.nn import Module
from minigan.recipes import RECIPES
from minigan.selftest.recipes import narrowed

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'minigan[onnx]'")
pytest.importorskip("onnx", reason="needs onnx: pip install 'minigan[onnx]'")

TOLERANCE = 1e-5  # relative to the largest number


def as_trained(network: Module, rng: np.random.Generator) -> Module:
    """`network` with weights and running statistics that are none of the initial ones."""
    for parameter in network.parameters().values():
        parameter.assign(rng.normal(0, 0.3, parameter.shape).astype(np.float32))
    for buffer in network.buffers().values():
        if not buffer.is_count:
            buffer.assign(rng.uniform(0.5, 1.5, buffer.shape).astype(np.float32))
    return network


def require_round_trip(path: Path, network: Module, **inputs: np.ndarray) -> None:
    """Whether the file gives what the network gives, for batches of several sizes, also of one."""
    session = onnxruntime.InferenceSession(save_onnx(path, network, inputs), providers=["CPUExecutionProvider"])
    assert [x.name for x in session.get_inputs()] == list(inputs)
    more = {name: np.concatenate([x, x[::-1], x]) for name, x in inputs.items()}
    for count in (1, EXAMPLES, 2 * EXAMPLES + 1):
        given = {name: x[:count] for name, x in more.items()}
        expected = network.predict(*given.values())
        (found,) = session.run([OUTPUT], given)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= TOLERANCE * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipes_generator(name, tmp_path):
    recipe, rng = RECIPES[name], np.random.default_rng(0)
    changes = narrowed(recipe)
    gan = recipe.build(seed=0, dtype="float32", **changes)
    inputs = {"latent": gan.latent_from(rng, EXAMPLES).numpy()}
    condition = recipe.domain.noise_condition(EXAMPLES, recipe.resolve(changes), rng, "float32")
    if condition is not None:
        inputs["condition"] = condition
    require_round_trip(tmp_path / "generator.onnx", as_trained(gan.generator, rng), **inputs)


class Own(Module):
    """A module of the user's own, of operations."""

    def __init__(self, function, *layers: Module) -> None:
        self.function, self.layers = function, layers

    def forward(self, x, *rest):
        return self.function(x, *rest, *self.layers)


def convolution(transposed: bool, kernel: int, stride: int, padding, **options) -> Module:
    layer = nn.ConvTranspose2d if transposed else nn.Conv2d
    return layer(3, 4, kernel, stride=stride, padding=padding, rng=0, **options)


CONVOLUTIONS = {
    f"{'conv_transpose' if transposed else 'conv'} {kernel} {stride} {padding}": convolution(
        transposed, kernel, stride, padding
    )
    for transposed in (False, True)
    for kernel, stride, padding in (
        (3, 1, "same"), (4, 2, 1), (3, 2, "same"), (2, 3, "valid"), (3, 2, ((1, 0), (0, 2))),
    )
}  # fmt: skip
ON_IMAGES = {
    **CONVOLUTIONS,
    "conv_transpose without bias": nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1, bias=False, rng=0),
    "fused": nn.Sequential(nn.Conv2d(3, 4, 3, rng=0), nn.LeakyReLU(0.1), nn.BatchNorm(4), nn.ReLU()),
    "spectral_norm": nn.spectral_norm(nn.Sequential(nn.Conv2d(3, 4, 3, rng=0), nn.ReLU()), rng=0),
    "nearest": nn.Upsample2d((2, 3)),
    "bilinear": nn.Upsample2d(2, mode="bilinear"),
    "instance_norm": nn.InstanceNorm(3),
    "layer_norm": nn.LayerNorm(3),
    "dropout": nn.Sequential(nn.Dropout(0.5), nn.GaussianNoise(0.2)),
    "max_pool": Own(lambda x: ops.max_pool2d(x, 3, stride=2, padding=1)),
    "average_pool": Own(lambda x: ops.average_pool2d(x, 3, stride=2, padding=1)),
    "flips and slices": Own(lambda x: ops.concatenate([x[:, ::-1, 1:, None], x[:, :, 1:, None]], axis=3)),
    "columns": Own(lambda x: ops.stack([x[..., 0], x[:, :, 0, 1:2] * x[..., -1]], axis=1)),
    "pad": Own(lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)))),
    "reductions": Own(lambda x: ops.softmax(ops.max(x, (1, 2))) + ops.logsumexp(ops.mean(x, 1), -1).sum(1, True)),
    "elementwise": Own(
        lambda x: (ops.sin(x) - ops.cos(x) / 3) * ops.exp(-x) + ops.sqrt(abs(x)) ** 3 - ops.softplus(x).sigmoid()
    ),
    "choices": Own(lambda x: ops.where(ops.maximum(x - 1, 0.0), ops.clip(x, -1, 1), ops.sign(x) * 2)),
    "constants": Own(lambda x: ops.concatenate([x, ops.broadcast_to(Tensor(np.float32([[[[1]]]])), x.shape)], 1)),
    "zeros": Own(lambda x: x + Tensor(np.zeros((len(x), 1, 1, 2), np.float32))[..., :1]),
    "examples as rows": Own(lambda x: ops.matmul(ops.reshape(x, (-1, 7, 18)), ops.reshape(x, (-1, 18, 7)))),
}  # fmt: skip


@pytest.mark.parametrize("name", ON_IMAGES)
def test_layers_and_operations_on_images(name, tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(EXAMPLES, 6, 7, 3)).astype(np.float32)
    require_round_trip(tmp_path / "network.onnx", as_trained(ON_IMAGES[name], rng), images=x)


def test_a_condition_and_an_input_without_effect(tmp_path):
    rng = np.random.default_rng(2)
    network = Own(
        lambda z, y, unused, embed, dense, norm: norm(dense(ops.concatenate([z, embed(y)], 1))),
        nn.Embedding(10, 3, rng=0), nn.Dense(7, 5, rng=0), nn.BatchNorm(5),
    )  # fmt: skip
    z, labels = rng.normal(size=(EXAMPLES, 4)).astype(np.float32), np.float32([0, 9, 3, 3, 1])
    require_round_trip(tmp_path / "network.onnx", as_trained(network, rng), latent=z, condition=labels, unused=z)


def test_a_network_of_float64_becomes_float32(tmp_path):
    network = nn.Sequential(nn.Dense(2, 3, rng=0), nn.Tanh()).astype("float64")
    require_round_trip(tmp_path / "network.onnx", network, latent=np.ones((EXAMPLES, 2), np.float32))


def test_another_number_of_examples_is_refused(tmp_path):
    with pytest.raises(UsageError, match=f"expected {EXAMPLES} examples"):
        save_onnx(tmp_path / "network.onnx", nn.Dense(2, 3, rng=0), {"latent": np.ones((EXAMPLES + 1, 2))})


def test_the_network_keeps_its_mode_and_its_statistics(tmp_path):
    network = as_trained(nn.Sequential(nn.Dense(2, 3, rng=0), nn.BatchNorm(3)), np.random.default_rng(0))
    before = network.state()
    save_onnx(tmp_path / "network.onnx", network, {"latent": np.ones((EXAMPLES, 2), np.float32)})
    assert network.training
    assert all((network.state()[name] == value).all() for name, value in before.items())


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: ops.tanh_grad(x, x), "'tanh_grad'"),
        (lambda x: x[np.array([0, 1])], "'index'"),
        (lambda x: ops.batch_norm(x, np.ones(2, np.float32), np.ones(2, np.float32), eps=1e-3), "'batch_norm'"),
        (lambda x: ops.mean(x, 0), "depends on the batch size"),
        (lambda x: x * Tensor(x.numpy()), "without recording"),
        (lambda x: (x, x), "several outputs"),
        (lambda x: x if len(x) == 3 else x + 1, "other operations"),
    ],
)
def test_what_has_no_onnx_form_is_named_in_one_sentence(function, said, tmp_path):
    x = np.random.default_rng(0).normal(size=(EXAMPLES, 2)).astype(np.float32)
    with pytest.raises(UsageError, match=said) as caught:
        save_onnx(tmp_path / "network.onnx", Own(function), {"latent": x})
    assert "--no-onnx" in str(caught.value)
    assert str(caught.value).endswith(".")
    assert not list(tmp_path.iterdir())

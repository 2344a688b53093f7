"""The training step in PyTorch, in the fastest way known, eager or through torch.compile.

Images are (N, C, H, W) in channels_last memory, activations work in place, D's parameters are frozen in the
generator's step, Adam is the fused one. D receives real and fake in one batch, unless it has batch norm, which would
mix them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn as torch_nn
from twins.arrays import Results, parameters

from minigan import nn


class TorchTwin:
    """See `make_twin`."""

    def __init__(self, gan: Any, real: Any, *, compiled: bool = False, device: str = "cpu") -> None:
        self.real = as_torch(real).to(device)
        dtype = self.real.dtype
        self.generator = torch_network(gan.generator, dtype).to(device)
        self.discriminator = torch_network(gan.discriminator, dtype).to(device)
        self.generator_optimizer = adam(self.generator, gan.generator_optimizer)
        self.discriminator_optimizer = adam(self.discriminator, gan.discriminator_optimizer)
        self.generate = compile_from_scratch(self.generator) if compiled else self.generator
        self.discriminate = torch.compile(self.discriminator, dynamic=False) if compiled else self.discriminator
        self.one_batch_for_both = not any(isinstance(layer, nn.BatchNorm) for layer in gan.discriminator)
        self.loss = torch_nn.BCEWithLogitsLoss()
        self.latent_shape = (len(real), gan.latent_size)
        self.ones = torch.ones(len(real), 1, dtype=dtype, device=device)
        self.zeros = torch.zeros_like(self.ones)
        self.real_then_fake = torch.cat([self.ones, self.zeros])

    def step(self) -> None:
        self._training_step(torch.randn(self.latent_shape, dtype=self.real.dtype, device=self.real.device))

    def _training_step(self, latent: Any, update: bool = True) -> tuple[Any, Any]:
        fake = self.generate(latent)

        self.discriminator_optimizer.zero_grad()
        discriminator_loss = self._discriminator_loss(fake.detach())
        discriminator_loss.backward()
        if update:
            self.discriminator_optimizer.step()

        self.discriminator.requires_grad_(False)
        self.generator_optimizer.zero_grad()
        generator_loss = self.loss(self.discriminate(fake), self.ones)
        generator_loss.backward()
        if update:
            self.generator_optimizer.step()
        self.discriminator.requires_grad_(True)
        return discriminator_loss, generator_loss

    def _discriminator_loss(self, fake: Any) -> Any:
        if self.one_batch_for_both:
            logits = self.discriminate(torch.cat([self.real, fake]))
            return self.loss(logits, self.real_then_fake) * 2  # two means, each over half of the batch
        return self.loss(self.discriminate(self.real), self.ones) + self.loss(self.discriminate(fake), self.zeros)

    def losses_and_gradients(self, latent: Any) -> Results:
        discriminator_loss, generator_loss = self._training_step(
            torch.tensor(latent, device=self.real.device), update=False
        )
        return {
            "discriminator loss": [discriminator_loss.detach().cpu().numpy()],
            "generator loss": [generator_loss.detach().cpu().numpy()],
            "discriminator gradients": [from_torch(p.grad) for p in self.discriminator.parameters()],
            "generator gradients": [from_torch(p.grad) for p in self.generator.parameters()],
        }

    def advance(self, latent: Any) -> None:
        self._training_step(torch.tensor(latent, device=self.real.device))

    def weights(self) -> Results:
        return {
            "discriminator weights": [from_torch(p) for p in self.discriminator.parameters()],
            "generator weights": [from_torch(p) for p in self.generator.parameters()],
        }


class GraphTwin(TorchTwin):
    """The same step, captured once as a CUDA graph and launched as a whole."""

    _UNCAPTURED_STEPS = 3  # in which PyTorch allocates and chooses algorithms

    def __init__(self, gan: Any, real: Any) -> None:
        super().__init__(gan, real, device="cuda")
        self.generator_optimizer = adam(self.generator, gan.generator_optimizer, capturable=True)
        self.discriminator_optimizer = adam(self.discriminator, gan.discriminator_optimizer, capturable=True)
        self.latent = torch.randn(self.latent_shape, dtype=self.real.dtype, device="cuda")
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(self._UNCAPTURED_STEPS):
                self._training_step(self.latent)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self._training_step(self.latent)

    def step(self) -> None:
        self.latent.normal_()
        self.graph.replay()


class FromPixels(torch_nn.Module):
    """(batch, features) to (batch, C, H, W), where the features are minigan's, (H, W, C): a view, channels_last."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        super().__init__()
        self.shape = (height, width, channels)

    def forward(self, x: Any) -> Any:
        return x.reshape(-1, *self.shape).permute(0, 3, 1, 2)


class ToFeatures(torch_nn.Module):
    """The inverse of FromPixels: (batch, C, H, W) to (batch, H * W * C): a view of channels_last memory."""

    def forward(self, x: Any) -> Any:
        return x.permute(0, 2, 3, 1).flatten(1)


def torch_network(network: Any, dtype: Any) -> Any:
    """minigan's Sequential as PyTorch's, with copies of its weights."""
    twin = torch_nn.Sequential(*(torch_layer(layer) for layer in network))
    twin = twin.to(dtype=dtype, memory_format=torch.channels_last)
    with torch.no_grad():
        for p, values in zip(twin.parameters(), parameters(network), strict=True):
            p.copy_(torch.from_numpy(values.transpose(_TO_TORCH[values.ndim])))
    return twin


def torch_layer(layer: Any) -> Any:
    match layer:
        case nn.Dense():
            return torch_nn.Linear(layer.inputs, layer.outputs, bias=layer.bias is not None)
        case nn.Conv2d() | nn.ConvTranspose2d():
            kind = torch_nn.Conv2d if isinstance(layer, nn.Conv2d) else torch_nn.ConvTranspose2d
            geometry = {"stride": layer.stride, "padding": layer.padding, "bias": layer.bias is not None}
            return kind(layer.inputs, layer.outputs, layer.kernel, **geometry)
        case nn.BatchNorm():
            return AnyBatchNorm(layer.features, eps=layer.eps, momentum=1 - layer.momentum)
        case nn.ReLU():
            return torch_nn.ReLU(inplace=True)
        case nn.LeakyReLU():
            return torch_nn.LeakyReLU(layer.slope, inplace=True)
        case nn.Tanh():
            return torch_nn.Tanh()
        case nn.Reshape():
            return FromPixels(*layer.shape)
        case nn.Flatten():
            return ToFeatures()
    raise TypeError(f"no PyTorch twin for {layer}")


class AnyBatchNorm(torch_nn.modules.batchnorm._BatchNorm):
    """BatchNorm1d and BatchNorm2d in one class; they differ only in the shapes they refuse."""

    def _check_input_dim(self, x: Any) -> None:
        pass


def adam(network: Any, like: Any, capturable: bool = False) -> Any:
    settings = {"betas": (like.beta1, like.beta2), "eps": like.eps, "fused": True, "capturable": capturable}
    return torch.optim.Adam(network.parameters(), like.learning_rate, **settings)


def compile_from_scratch(network: Any) -> Any:
    """The compiled network, with an empty compile cache: torch.compile gives up after several versions of one code."""
    torch._dynamo.reset()
    return torch.compile(network, dynamic=False)


def why_not_compiled() -> str | None:
    """Why torch.compile does not work here, as a clause; None if it does."""
    try:
        compile_from_scratch(torch_nn.Linear(2, 2))(torch.ones(1, 2))
    except Exception as error:  # a missing compiler, or any error of the compiler
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return None


# minigan's weights are (inputs, outputs), (kh, kw, in, out) and for transposed ones (kh, kw, out, in); PyTorch's
# (outputs, inputs), (out, in, kh, kw) and (in, out, kh, kw).
_TO_TORCH = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_FROM_TORCH = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}


def as_torch(data: Any) -> Any:
    """A batch of minigan's as PyTorch's; pictures (N, H, W, C) become (N, C, H, W) in the same memory order."""
    tensor = torch.tensor(data)
    return tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor


def from_torch(tensor: Any) -> Any:
    """A parameter or its gradient on the host in minigan's layout."""
    values = tensor.detach().cpu().numpy()
    return values.transpose(_FROM_TORCH[values.ndim]).copy()

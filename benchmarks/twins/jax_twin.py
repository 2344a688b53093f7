"""The training step in JAX: one compiled function for all of it, noise included, with donated buffers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from twins.arrays import Results

from minigan import nn

_LAYOUT = ("NHWC", "HWIO", "NHWC")
Tree = dict[str, Any]


class JaxTwin:
    """See `make_twin`."""

    def __init__(self, gan: Any, real: Any) -> None:
        self.gan = gan
        self.real = jnp.array(real)
        self.key = jax.random.key(0)
        self.state = {"generator": player(gan.generator), "discriminator": player(gan.discriminator)}
        self.state["steps"] = jnp.zeros((), self.real.dtype)
        self.one_batch_for_both = not any(isinstance(layer, nn.BatchNorm) for layer in gan.discriminator)
        self._whole_step = jax.jit(self._step, donate_argnums=(0, 1))
        self._step_with_latent = jax.jit(self._training_step, static_argnames="update")

    def step(self) -> None:
        self.step_without_waiting().block_until_ready()

    def step_without_waiting(self) -> Any:
        """One step; returns the losses, which are there when the step is done."""
        self.state, self.key, losses = self._whole_step(self.state, self.key, self.real)
        return losses

    def _step(self, state: Tree, key: Any, real: Any) -> tuple[Any, ...]:
        key, ours = jax.random.split(key)
        latent = jax.random.normal(ours, (len(real), self.gan.latent_size), real.dtype)
        state, losses, _ = self._training_step(state, latent, real)
        return state, key, losses

    def _training_step(self, state: Tree, latent: Any, real: Any, update: bool = True) -> tuple[Any, ...]:
        steps = state["steps"] + 1
        generator, discriminator = state["generator"], state["discriminator"]
        fake, pull_back, g_buffers = jax.vjp(
            lambda w: apply(self.gan.generator, w, generator["buffers"], latent), generator["weights"], has_aux=True
        )
        (discriminator_loss, buffers), d_gradients = jax.value_and_grad(self._discriminator_loss, has_aux=True)(
            discriminator["weights"], discriminator["buffers"], real, fake
        )
        if update:
            discriminator = adam(self.gan.discriminator_optimizer, discriminator, d_gradients, steps)
        (generator_loss, buffers), fake_gradient = jax.value_and_grad(self._generator_loss, has_aux=True)(
            fake, discriminator["weights"], buffers
        )
        (g_gradients,) = pull_back(fake_gradient)
        if update:
            generator = adam(self.gan.generator_optimizer, generator, g_gradients, steps)
        state = {
            "generator": generator | {"buffers": g_buffers},
            "discriminator": discriminator | {"buffers": buffers},
            "steps": steps,
        }
        return state, jnp.stack([discriminator_loss, generator_loss]), (d_gradients, g_gradients)

    def _discriminator_loss(self, weights: Tree, buffers: Tree, real: Any, fake: Any) -> tuple[Any, Tree]:
        if self.one_batch_for_both:
            logits, buffers = apply(self.gan.discriminator, weights, buffers, jnp.concatenate([real, fake]))
            on_real, on_fake = logits[: len(real)], logits[len(real) :]
        else:
            on_real, buffers = apply(self.gan.discriminator, weights, buffers, real)
            on_fake, buffers = apply(self.gan.discriminator, weights, buffers, fake)
        return jax.nn.softplus(-on_real).mean() + jax.nn.softplus(on_fake).mean(), buffers

    def _generator_loss(self, fake: Any, weights: Tree, buffers: Tree) -> tuple[Any, Tree]:
        logits, buffers = apply(self.gan.discriminator, weights, buffers, fake)
        return jax.nn.softplus(-logits).mean(), buffers

    def losses_and_gradients(self, latent: Any) -> Results:
        _, losses, gradients = self._step_with_latent(self.state, jnp.array(latent), self.real, update=False)
        return {
            "discriminator loss": [losses[0]],
            "generator loss": [losses[1]],
            "discriminator gradients": [gradients[0][name] for name in self.gan.discriminator.parameters()],
            "generator gradients": [gradients[1][name] for name in self.gan.generator.parameters()],
        }

    def advance(self, latent: Any) -> None:
        self.state, *_ = self._step_with_latent(self.state, jnp.array(latent), self.real)

    def weights(self) -> Results:
        players = {"discriminator": self.gan.discriminator, "generator": self.gan.generator}
        return {
            f"{name} weights": [self.state[name]["weights"][parameter] for parameter in network.parameters()]
            for name, network in players.items()
        }


def player(network: Any) -> Tree:
    """Weights, moments and running statistics of one of minigan's networks, by minigan's names."""
    values = {name: jnp.array(value) for name, value in network.state().items()}
    weights = {name: values.pop(name) for name in network.parameters()}
    zeros = {name: jnp.zeros_like(value) for name, value in weights.items()}
    return {"weights": weights, "m": zeros, "v": jax.tree.map(jnp.copy, zeros), "buffers": values}


def apply(network: Any, weights: Tree, buffers: Tree, x: Any) -> tuple[Any, Tree]:
    """The output of minigan's `network` for x with `weights`, and the running statistics after it."""
    buffers = dict(buffers)
    for i, layer in enumerate(network):
        match layer:
            case nn.Dense():
                x = x @ weights[f"{i}.weight"] + weights[f"{i}.bias"]
            case nn.Conv2d() | nn.ConvTranspose2d():
                x = convolve(layer, x, weights[f"{i}.weight"])
                x = x if layer.bias is None else x + weights[f"{i}.bias"]
            case nn.BatchNorm():
                axes = tuple(range(x.ndim - 1))
                mean, variance = x.mean(axes), x.var(axes)
                x = (x - mean) / jnp.sqrt(variance + layer.eps)
                x = x * weights[f"{i}.scale"] + weights[f"{i}.shift"]
                for name, value in (("running_mean", mean), ("running_variance", variance)):
                    before = buffers[f"{i}.{name}"]
                    buffers[f"{i}.{name}"] = layer.momentum * before + (1 - layer.momentum) * value
            case nn.LeakyReLU():
                x = jnp.where(x > 0, x, x * layer.slope)
            case nn.Tanh():
                x = jnp.tanh(x)
            case nn.Reshape():
                x = x.reshape(len(x), *layer.shape)
            case nn.Flatten():
                x = x.reshape(len(x), -1)
            case _:
                raise TypeError(f"no JAX twin for {layer}")
    return x, buffers


def convolve(layer: Any, x: Any, w: Any) -> Any:
    """The convolution of `layer`, or its transposed one, without its bias."""
    p = layer.padding
    if isinstance(layer, nn.Conv2d):
        return jax.lax.conv_general_dilated(x, w, layer.stride, [(p, p), (p, p)], dimension_numbers=_LAYOUT)
    around = [(extent - 1 - p, extent - 1 - p) for extent in layer.kernel]  # padding of the input dilated by the stride
    return jax.lax.conv_transpose(x, w, layer.stride, around, dimension_numbers=_LAYOUT, transpose_kernel=True)


def adam(like: Any, player: Tree, gradients: Tree, steps: Any) -> Tree:
    """Kingma and Ba, 2015, Algorithm 1, with the settings of minigan's optimiser `like`."""
    m = jax.tree.map(lambda m, g: like.beta1 * m + (1 - like.beta1) * g, player["m"], gradients)
    v = jax.tree.map(lambda v, g: like.beta2 * v + (1 - like.beta2) * g * g, player["v"], gradients)
    rate = like.learning_rate / (1 - like.beta1**steps)
    correction = 1 / jnp.sqrt(1 - like.beta2**steps)
    weights = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) * correction + like.eps), player["weights"], m, v
    )
    return player | {"weights": weights, "m": m, "v": v}

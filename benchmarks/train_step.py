"""Times a GAN's training step in minigan, PyTorch and JAX: the same networks, in one process, taking turns.

    python benchmarks/train_step.py --peers torch,jax --networks toy,mlp --threads 2 --json result.json

Before anything is timed, every implementation computes losses, gradients and some updates from the same weights,
noise and data in float64, and the comparison ends if they differ. See benchmarks/README.md.

The libraries are imported late, inside functions: they count the cores they may use when they are imported, and
by then `limit_cores` has chosen them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

PEERS = ("torch", "jax")
PAUSE = 0.02  # seconds for the spinning threads of the implementation before to come to rest
UPDATES_COMPARED = 3
WIDE = 0.2
# In float64 the implementations differ by the order of their sums: 1e-16 times the square root of at most 1024
# terms, over a dozen layers, is 1e-13. A wrong factor or epsilon shows above 1e-6, and an activation so near
# LeakyReLU's kink that rounding could flip it is a matter of 1e-10 in probability; in float32 it is to be expected.
TOLERANCE = 1e-9

Evidence = dict[str, list[Any]]  # what is compared -> arrays


class DisagreementError(Exception):
    """An implementation computes something else than minigan."""


class RequestError(Exception):
    """A request that cannot be carried out; its sentence is printed and the exit code is 2."""


class MiniganTwin:
    """minigan itself, seen as the peers are."""

    def __init__(self, name: str, dtype: str) -> None:
        from minigan import bench

        self.gan, self.real = bench.build(name, dtype)

    def step(self) -> None:
        self.gan.train_step(self.real)

    def latents(self, count: int) -> list[Any]:
        """The noise of the first `count` steps."""
        return [self.gan.latent(len(self.real), "train", step).data for step in range(count)]

    def losses_and_gradients(self) -> Evidence:
        """Of the step to come, exactly as `train_step` computes them, which then updates nothing."""
        optimizers = {"discriminator": self.gan.discriminator_optimizer, "generator": self.gan.generator_optimizer}
        seen: dict[str, list[Any]] = {}
        for player, optimizer in optimizers.items():
            optimizer.step = lambda gradients, player=player: seen.update({player: gradients})
        try:
            said = self.gan.train_step(self.real)
        finally:
            for optimizer in optimizers.values():
                del optimizer.step
            self.gan.step -= 1
        evidence = {f"{player} gradients": [g.numpy() for g in gradients] for player, gradients in seen.items()}
        return evidence | {f"{player} loss": [said[f"{player}_loss"].numpy()] for player in optimizers}

    def weights(self) -> Evidence:
        players = {"discriminator": self.gan.discriminator, "generator": self.gan.generator}
        return {f"{player} weights": parameters(network) for player, network in players.items()}


class TorchTwin:
    """The same in PyTorch, in the fastest eager way known.

    D judges real and fake in one batch, its parameters are frozen in the generator's step, Adam is the fused one.
    """

    def __init__(self, gan: Any, real: Any, *, compiled: bool = False) -> None:
        import torch
        from torch import nn

        self.torch = torch
        self.real = torch.tensor(real)
        self.generator = torch_network(gan.generator, self.real.dtype)
        self.discriminator = torch_network(gan.discriminator, self.real.dtype)
        self.generator_optimizer = self._adam(self.generator, gan.generator_optimizer)
        self.discriminator_optimizer = self._adam(self.discriminator, gan.discriminator_optimizer)
        self.generate = torch.compile(self.generator) if compiled else self.generator
        self.judge = torch.compile(self.discriminator) if compiled else self.discriminator
        self.loss = nn.BCEWithLogitsLoss()
        self.latent_shape = (len(real), gan.latent_size)
        ones = torch.ones(len(real), 1, dtype=self.real.dtype)
        self.ones, self.real_then_fake = ones, torch.cat([ones, torch.zeros_like(ones)])

    def _adam(self, network: Any, like: Any) -> Any:
        betas = (like.beta1, like.beta2)
        return self.torch.optim.Adam(network.parameters(), like.rate, betas=betas, eps=like.eps, fused=True)

    def step(self) -> None:
        self._play(self.torch.randn(self.latent_shape, dtype=self.real.dtype))

    def _play(self, latent: Any, update: bool = True) -> tuple[Any, Any]:
        fake = self.generate(latent)

        self.discriminator_optimizer.zero_grad()
        logits = self.judge(self.torch.cat([self.real, fake.detach()]))
        discriminator_loss = self.loss(logits, self.real_then_fake) * 2  # two means, each over half of the batch
        discriminator_loss.backward()
        if update:
            self.discriminator_optimizer.step()

        self._learn_discriminator(False)
        self.generator_optimizer.zero_grad()
        generator_loss = self.loss(self.judge(fake), self.ones)
        generator_loss.backward()
        if update:
            self.generator_optimizer.step()
        self._learn_discriminator(True)
        return discriminator_loss, generator_loss

    def _learn_discriminator(self, on: bool) -> None:
        for p in self.discriminator.parameters():
            p.requires_grad_(on)

    def losses_and_gradients(self, latent: Any) -> Evidence:
        discriminator_loss, generator_loss = self._play(self.torch.tensor(latent), update=False)
        return {
            "discriminator loss": [discriminator_loss.detach().numpy()],
            "generator loss": [generator_loss.detach().numpy()],
            "discriminator gradients": [from_torch(p.grad) for p in self.discriminator.parameters()],
            "generator gradients": [from_torch(p.grad) for p in self.generator.parameters()],
        }

    def advance(self, latent: Any) -> None:
        self._play(self.torch.tensor(latent))

    def weights(self) -> Evidence:
        return {
            "discriminator weights": [from_torch(p) for p in self.discriminator.parameters()],
            "generator weights": [from_torch(p) for p in self.generator.parameters()],
        }


def torch_network(network: Any, dtype: Any) -> Any:
    """minigan's Sequential as PyTorch's, with copies of its weights."""
    import torch

    twin = torch.nn.Sequential(*(torch_layer(layer) for layer in network)).to(dtype)
    with torch.no_grad():
        for p, values in zip(twin.parameters(), parameters(network), strict=True):
            p.copy_(torch.from_numpy(values.T if values.ndim == 2 else values))
    return twin


def torch_layer(layer: Any) -> Any:
    from torch import nn as torch_nn

    from minigan import nn

    match layer:
        case nn.Dense():
            return torch_nn.Linear(layer.inputs, layer.outputs)
        case nn.BatchNorm():
            return torch_nn.BatchNorm1d(layer.features, eps=layer.eps, momentum=1 - layer.momentum)
        case nn.LeakyReLU():
            return torch_nn.LeakyReLU(layer.slope)
        case nn.Tanh():
            return torch_nn.Tanh()
    raise TypeError(f"no PyTorch twin for {layer}")


def from_torch(tensor: Any) -> Any:
    """On the host in minigan's layout: a dense weight is (inputs, outputs), PyTorch's is (outputs, inputs)."""
    values = tensor.detach().numpy()
    return (values.T if values.ndim == 2 else values).copy()


class JaxTwin:
    """The same in JAX: one compiled function for the whole step, noise included, with its buffers donated."""

    def __init__(self, gan: Any, real: Any) -> None:
        import jax
        import jax.numpy as jnp

        self.jax, self.jnp, self.gan = jax, jnp, gan
        self.real = jnp.array(real)
        self.key = jax.random.key(0)
        self.state = {"generator": self._player(gan.generator), "discriminator": self._player(gan.discriminator)}
        self.state["steps"] = jnp.zeros((), self.real.dtype)
        self.buffers = {name: jnp.array(values) for name, values in buffers(gan.generator).items()}
        self._whole_step = jax.jit(self._step, donate_argnums=(0, 1, 2))
        self._given_step = jax.jit(self._play)

    def _player(self, network: Any) -> dict[str, Any]:
        weights = {name: self.jnp.array(p.numpy()) for name, p in network.parameters().items()}
        zeros = self.jax.tree.map(self.jnp.zeros_like, weights)
        return {"weights": weights, "m": zeros, "v": self.jax.tree.map(self.jnp.copy, zeros)}

    def step(self) -> None:
        self.state, self.buffers, self.key, losses = self._whole_step(self.state, self.buffers, self.key, self.real)
        losses.block_until_ready()

    def _step(self, state: Any, buffers: Any, key: Any, real: Any) -> tuple[Any, ...]:
        key, ours = self.jax.random.split(key)
        latent = self.jax.random.normal(ours, (len(real), self.gan.latent_size), real.dtype)
        state, buffers, losses, _ = self._play(state, buffers, latent, real)
        return state, buffers, key, losses

    def _play(self, state: Any, buffers: Any, latent: Any, real: Any, update: bool = True) -> tuple[Any, ...]:
        steps = state["steps"] + 1
        fake, pull_back, buffers = self.jax.vjp(
            lambda w: self._apply(self.gan.generator, w, buffers, latent), state["generator"]["weights"], has_aux=True
        )
        discriminator = state["discriminator"]
        discriminator_loss, d_gradients = self.jax.value_and_grad(self._discriminator_loss)(
            discriminator["weights"], real, fake
        )
        if update:
            discriminator = self._adam(discriminator, d_gradients, steps)
        generator_loss, fake_gradient = self.jax.value_and_grad(self._generator_loss)(fake, discriminator["weights"])
        (g_gradients,) = pull_back(fake_gradient)
        generator = self._adam(state["generator"], g_gradients, steps) if update else state["generator"]
        state = {"generator": generator, "discriminator": discriminator, "steps": steps}
        return state, buffers, self.jnp.stack([discriminator_loss, generator_loss]), (d_gradients, g_gradients)

    def _discriminator_loss(self, weights: Any, real: Any, fake: Any) -> Any:
        logits, _ = self._apply(self.gan.discriminator, weights, {}, self.jnp.concatenate([real, fake]))
        softplus = self.jax.nn.softplus
        return softplus(-logits[: len(real)]).mean() + softplus(logits[len(real) :]).mean()

    def _generator_loss(self, fake: Any, weights: Any) -> Any:
        logits, _ = self._apply(self.gan.discriminator, weights, {}, fake)
        return self.jax.nn.softplus(-logits).mean()

    def _apply(self, network: Any, weights: Any, buffers: Any, x: Any) -> tuple[Any, Any]:
        """What minigan's `network` makes of x with `weights`, and the running statistics thereafter."""
        from minigan import nn

        buffers = dict(buffers)
        for i, layer in enumerate(network):
            match layer:
                case nn.Dense():
                    x = x @ weights[f"{i}.weight"] + weights[f"{i}.bias"]
                case nn.BatchNorm():
                    mean, variance = x.mean(0), x.var(0)
                    x = (x - mean) / self.jnp.sqrt(variance + layer.eps)
                    x = x * weights[f"{i}.scale"] + weights[f"{i}.shift"]
                    for name, value in (("running_mean", mean), ("running_variance", variance)):
                        before = buffers[f"{i}.{name}"]
                        buffers[f"{i}.{name}"] = layer.momentum * before + (1 - layer.momentum) * value
                case nn.LeakyReLU():
                    x = self.jnp.where(x > 0, x, x * layer.slope)
                case nn.Tanh():
                    x = self.jnp.tanh(x)
                case _:
                    raise TypeError(f"no JAX twin for {layer}")
        return x, buffers

    def _adam(self, player: Any, gradients: Any, steps: Any) -> dict[str, Any]:
        like, tree = self.gan.generator_optimizer, self.jax.tree
        m = tree.map(lambda m, g: like.beta1 * m + (1 - like.beta1) * g, player["m"], gradients)
        v = tree.map(lambda v, g: like.beta2 * v + (1 - like.beta2) * g * g, player["v"], gradients)
        rate = like.rate / (1 - like.beta1**steps)
        correction = 1 / self.jnp.sqrt(1 - like.beta2**steps)
        weights = tree.map(
            lambda p, m, v: p - rate * m / (self.jnp.sqrt(v) * correction + like.eps), player["weights"], m, v
        )
        return {"weights": weights, "m": m, "v": v}

    def losses_and_gradients(self, latent: Any) -> Evidence:
        compute = self.jax.jit(self._play, static_argnames="update")
        _, _, losses, gradients = compute(self.state, self.buffers, self.jnp.array(latent), self.real, update=False)
        return {
            "discriminator loss": [losses[0]],
            "generator loss": [losses[1]],
            "discriminator gradients": [gradients[0][name] for name in self.gan.discriminator.parameters()],
            "generator gradients": [gradients[1][name] for name in self.gan.generator.parameters()],
        }

    def advance(self, latent: Any) -> None:
        self.state, self.buffers, *_ = self._given_step(self.state, self.buffers, self.jnp.array(latent), self.real)

    def weights(self) -> Evidence:
        players = {"discriminator": self.gan.discriminator, "generator": self.gan.generator}
        return {
            f"{player} weights": [self.state[player]["weights"][name] for name in network.parameters()]
            for player, network in players.items()
        }


def parameters(network: Any) -> list[Any]:
    return [p.numpy() for p in network.parameters().values()]


def buffers(network: Any) -> dict[str, Any]:
    return {name: values for name, values in network.state().items() if name not in network.parameters()}


def make_twin(peer: str, network: str, dtype: str) -> Any:
    """`peer`'s implementation of the step, starting from minigan's weights."""
    from minigan import bench

    gan, real = bench.build(network, dtype)
    if peer == "jax":
        return JaxTwin(gan, real)
    return TorchTwin(gan, real, compiled=peer == "torch.compile")


def check(network: str, peer: str) -> None:
    """Raises DisagreementError unless `peer` computes what minigan computes, in float64."""
    with double_precision(peer):
        mine, theirs = MiniganTwin(network, "float64"), make_twin(peer, network, "float64")
        latents = mine.latents(UPDATES_COMPARED)
        require_same(network, peer, mine.losses_and_gradients(), theirs.losses_and_gradients(latents[0]))
        for latent in latents:
            mine.step()
            theirs.advance(latent)
        require_same(network, peer, mine.weights(), theirs.weights())


@contextmanager
def double_precision(peer: str) -> Iterator[None]:
    """JAX computes in float64 where asked; the others do so anyway."""
    config = importlib.import_module("jax").config if peer == "jax" else None
    if config:
        config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        if config:
            config.update("jax_enable_x64", False)


def require_same(network: str, peer: str, mine: Evidence, theirs: Evidence) -> None:
    """Raises DisagreementError if an array differs by more than TOLERANCE times the largest number of its kind.

    Of its kind, not its own: the bias before a batch norm has gradient zero, and both sides get rounding noise.
    """
    import numpy as np

    for what, ours in mine.items():
        scale = max(np.abs(values).max() for values in ours)
        for i, (a, b) in enumerate(zip(ours, theirs[what], strict=True)):
            distance = np.abs(a - np.asarray(b)).max()
            if not distance <= TOLERANCE * scale:  # also if it is NaN
                raise DisagreementError(
                    f"The {what} of {network} (number {i}) differ between minigan and {peer} by {distance:.1e} where "
                    f"the largest is {scale:.1e}; timing them would mean nothing."
                )


def compare(network: str, peers: list[str], seconds: float) -> dict[str, Any]:
    """Summaries by implementation, each peer's ratio to minigan, and the name and ratio of the fastest peer."""
    from minigan import bench

    steps: dict[str, Callable[[], None]] = {"minigan": MiniganTwin(network, "float32").step}
    steps |= {peer: make_twin(peer, network, "float32").step for peer in peers}
    rounds = bench.timed_rounds(steps, seconds=seconds, pause=PAUSE)
    result: dict[str, Any] = {name: bench.summary(times) for name, times in rounds.items()}
    for peer in peers:
        result[peer]["ratio"] = ratio(rounds[peer], rounds["minigan"])
    fastest = min(peers, key=lambda peer: result[peer]["ratio"])
    return {"implementations": result, "fastest_peer": fastest, "ratio_to_fastest_peer": result[fastest]["ratio"]}


def ratio(theirs: list[list[float]], mine: list[list[float]]) -> float:
    """How many times longer a peer takes: each round's ratio of medians, and the median of those."""
    pairs = zip(theirs, mine, strict=True)
    return statistics.median(statistics.median(a) / statistics.median(b) for a, b in pairs)


def limit_cores(threads: int | None, peers: list[str]) -> int:
    """Keep this process, and every library it will import, on `threads` cores (all it may use if None)."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    threads = threads or len(allowed)
    if threads > len(allowed):
        raise RequestError(f"--threads {threads} asks for more cores than the {len(allowed)} this process may use.")
    if threads < len(allowed):
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, list(allowed)[:threads])
        elif "jax" in peers:
            raise RequestError(
                f"This system cannot limit JAX to {threads} of {len(allowed)} cores; leave --threads out."
            )
    for variable in ("NUMBA_NUM_THREADS", "MINIGAN_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    return threads


def import_peers(peers: list[str], threads: int) -> None:
    for peer in peers:
        package = peer.split(".")[0]
        try:
            module = importlib.import_module(package)
        except ImportError as error:
            raise RequestError(
                f'{package} cannot be imported ({error}); install the peers with: pip install -e ".[bench]"'
            ) from error
        if package == "torch":
            module.set_num_threads(threads)


def require_networks(names: list[str]) -> None:
    from minigan import bench
    from minigan.errors import UsageError

    for name in names:
        try:
            bench.build(name)
        except UsageError as error:
            raise RequestError(str(error)) from error


def machine(threads: int) -> dict[str, Any]:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "threads": threads, "load_before": load}


def cpu_model() -> str:
    """The processor's name with its widest vectors, as far as the system tells."""
    try:
        lines = [line.partition(":")[::2] for line in Path("/proc/cpuinfo").read_text().splitlines()]
    except OSError:
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip() for key, value in lines}
    flags = facts.get("flags", "").split()
    vectors = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else ""
    return " ".join(filter(None, [facts.get("model name", platform.machine()), vectors]))


def versions(peers: list[str]) -> dict[str, str]:
    packages = ["minigan", "numpy", "numba", *dict.fromkeys(peer.split(".")[0] for peer in peers)]
    return {"python": platform.python_version()} | {package: version(package) for package in packages}


def report(facts: dict[str, Any]) -> str:
    """The result as a table for people."""
    where, load = facts["machine"], facts["machine"]["load_before"]
    lines = [
        f"{where['cpu']}, {where['cores']} cores, {where['threads']} thread{'s' * (where['threads'] > 1)} each"
        + (f", load before {load:.2f}" if load is not None else ""),
        ", ".join(f"{name} {number}" for name, number in facts["versions"].items()),
        "",
        f"{'network':8} {'implementation':15} {'median ms':>9} {'quartiles':>16} {'steps':>6}  {'time / minigan':>14}",
    ]
    for network, result in facts["networks"].items():
        for name, row in result["implementations"].items():
            quartiles = f"{row['q1_ms']:.3f} - {row['q3_ms']:.3f}"
            times = f"{row['ratio']:.2f}" if "ratio" in row else ""
            lines.append(f"{network:8} {name:15} {row['median_ms']:9.3f} {quartiles:>16} {row['steps']:6}  {times:>14}")
        lines.append(f"{network}: the faster peer, {result['fastest_peer']}, takes "
                     f"{result['ratio_to_fastest_peer']:.2f} times as long as minigan.")  # fmt: skip
    if unsteady(facts["networks"]):
        lines.append("The quartiles lie far apart: the machine was not idle. Do not quote these figures; run it again.")
    return "\n".join(lines)


def unsteady(networks: dict[str, Any]) -> bool:
    """Whether the middle half of some implementation's steps spreads over more than WIDE of their median."""
    rows = [row for result in networks.values() for row in result["implementations"].values()]
    return any(row["q3_ms"] - row["q1_ms"] > WIDE * row["median_ms"] for row in rows)


def words(text: str) -> list[str]:
    """The different words of "one,two"."""
    return list(dict.fromkeys(filter(None, text.split(","))))


def parsed_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time a GAN's training step in minigan, PyTorch and JAX.")
    parser.add_argument("--peers", type=words, default=list(PEERS), metavar="NAMES", help="torch,jax (both)")
    parser.add_argument("--networks", type=words, default=["toy", "mlp"], metavar="NAMES", help="toy,mlp (both)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads for everybody (all cores)")
    parser.add_argument("--seconds", type=float, default=4.0, help="timed seconds of each implementation (4)")
    parser.add_argument("--compile", action="store_true", help="time torch.compile as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    if not options.peers or set(options.peers) - set(PEERS):
        parser.error(f"--peers takes one or more of {', '.join(PEERS)}, separated by commas")
    if not options.networks:
        parser.error("--networks takes one or more names, separated by commas")
    if options.threads is not None and options.threads < 1:
        parser.error("--threads must be at least 1")
    if not options.seconds > 0:
        parser.error("--seconds must be above 0")
    if options.compile and "torch" not in options.peers:
        parser.error("--compile needs torch among --peers")
    return options


def run(options: argparse.Namespace) -> dict[str, Any]:
    threads = limit_cores(options.threads, options.peers)
    where = machine(threads)
    import_peers(options.peers, threads)
    require_networks(options.networks)
    peers = options.peers + ["torch.compile"] * options.compile
    for network in options.networks:
        for peer in peers:
            check(network, peer)
    return {
        "machine": where,
        "versions": versions(peers),
        "networks": {network: compare(network, peers, options.seconds) for network in options.networks},
    }


def main(arguments: list[str] | None = None) -> int:
    options = parsed_arguments(arguments)
    try:
        facts = run(options)
    except RequestError as error:
        print(error, file=sys.stderr)
        return 2
    except DisagreementError as error:
        print(error, file=sys.stderr)
        return 1
    print(report(facts))
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One training step in each of the compared implementations.

The modules of this folder import their libraries at the top, and are therefore imported late, by `make`.
"""

from __future__ import annotations

from typing import Any

from machine import RequestError

NETWORKS = ("toy", "mlp", "dcgan28", "dcgan64")
PEERS = ("torch", "torch.compile", "jax")


def make_twin(implementation: str, network: str, dtype: str, examples: int | None = None) -> Any:
    """`implementation` ("minigan" or a peer) of the step, from minigan's weights, on the first `examples` of the data.

    All have `step()`, `losses_and_gradients(latent)`, `advance(latent)` and `weights()`.
    """
    from minigan.training import benchmark

    gan, real = benchmark.build(network, dtype)
    real = real[:examples]
    if implementation == "minigan":
        from twins.minigan_twin import MiniganTwin

        return MiniganTwin(gan, real)
    if implementation == "jax":
        from twins.jax_twin import JaxTwin

        return JaxTwin(gan, real)
    from twins.torch_twin import TorchTwin

    return TorchTwin(gan, real, compiled=implementation == "torch.compile")


def require_networks(names: list[str]) -> None:
    """Raises RequestError, naming the nearest, if minigan has no benchmark network of a name."""
    from minigan.core.errors import UsageError
    from minigan.training import benchmark

    for name in names:
        try:
            benchmark.build(name)
        except UsageError as error:
            raise RequestError(str(error)) from error

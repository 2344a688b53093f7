"""The arrays that the implementations start from and are compared by."""

from __future__ import annotations

from typing import Any

Results = dict[str, list[Any]]  # by what is compared, such as "generator gradients", its arrays


def parameters(network: Any) -> list[Any]:
    """Copies on the host of the parameters of one of minigan's networks, in order."""
    return [p.numpy() for p in network.parameters().values()]

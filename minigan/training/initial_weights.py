"""The weights that a new run begins with: random ones, or those of another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minigan.core.errors import UsageError
from minigan.core.state_check import require_matching_state
from minigan.gan import GAN
from minigan.training import checkpoint, consistency, kept_checkpoints
from minigan.training.config import RunConfig
from minigan.training.run_folder import open_run
from minigan.training.trained_run import untrained_gan

_NETWORKS = ("generator", "discriminator", "generator_average")


def source(run: Path, selection: str | None = None) -> dict[str, Any]:
    """The entry "init_from" of a configuration for the checkpoint `selection` of the run in the folder `run`.

    Raises CheckpointError if there is no such run or checkpoint.
    """
    path = kept_checkpoints.choose(open_run(run), selection)
    step = checkpoint.read_metadata(path).step
    return {"run": str(run.absolute()), "step": step, "sha256": checkpoint.recorded_checksum(path)}


def new_gan(config: RunConfig, shape: tuple[int, ...]) -> GAN:
    """The GAN that a run of `config` begins with, for examples of `shape`.

    With `config.init_from` both networks, and the average of the generator's weights if there is one, start from the
    weights of another run; optimisers, and the counts of draws of dropout, are new. Raises CheckpointError if that run
    has changed since, UsageError if its weights do not fit.
    """
    gan = untrained_gan(config, shape)
    if config.init_from is None:
        return gan
    run = Path(config.init_from["run"])
    path = kept_checkpoints.choose(open_run(run), str(config.init_from.get("step")))
    stored = checkpoint.load_any(path, config.init_from["sha256"])
    if "generator_average" in {name.partition(".")[0] for name in gan.state()}:
        # A run without an average of its weights gives the weights themselves.
        plain = {name: array for name, array in stored.items() if name.startswith("generator.")}
        stored = {name.replace("generator", "generator_average", 1): array for name, array in plain.items()} | stored
    else:
        stored = {name: array for name, array in stored.items() if not name.startswith("generator_average.")}
    weights = {name: array for name, array in stored.items() if _is_weight(name)}
    state = gan.state()
    expected = {name: array for name, array in state.items() if _is_weight(name)}
    try:
        consistency.require_finite(weights)
        converted = {name: array.astype(expected[name].dtype) if name in expected else array
                     for name, array in weights.items()}  # fmt: skip
        require_matching_state(expected, converted)
    except ValueError as error:
        raise UsageError(
            f"the weights of {run} do not fit this run: {error}; take the recipe and the settings of that run, or "
            "leave --init-from out."
        ) from None
    gan.load_state(state | converted)
    return gan


def _is_weight(name: str) -> bool:
    """Whether the array called `name` in the state of a GAN is a parameter or a statistic of a network."""
    network, _, rest = name.partition(".")
    return network in _NETWORKS and rest.rpartition(".")[2] != "draws"

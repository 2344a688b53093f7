"""Train a GAN of the user's own on any data, in the loop that also trains the recipes: what `GAN.fit` does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.core.errors import CheckpointError, NonFiniteError, UsageError, clause
from minigan.figures.history import History
from minigan.gan import GAN
from minigan.gan.dry_run import announced_training
from minigan.training import checkpoint, own_runs
from minigan.training.base_loop import print_notice, require_recorded
from minigan.training.callbacks import Callbacks, Stop
from minigan.training.diagnosis import Diagnosis
from minigan.training.fit_data import FitData, dtype_of, fit_data
from minigan.training.gan_loop import GANLoop
from minigan.training.run_folder import RunFolder
from minigan.training.settings import LoopSettings
from minigan.training.statistics import TrainingMonitor

MADE_BY = "gan.fit"


@dataclass(frozen=True)
class FitSettings(LoopSettings):
    """The settings of a fit. value_range: as given. seed, dtype: of the GAN."""

    batch_size: int = 64
    value_range: tuple[float, float] | None = None
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.value_range is not None and not _is_range(self.value_range):
            raise UsageError(f"value_range is {self.value_range!r}, expected (low, high), such as (-1, 1).")


def _is_range(values: Any) -> bool:
    try:
        low, high = (float(value) for value in values)
    except (TypeError, ValueError):
        return False
    return -math.inf < low < high < math.inf


def fit(
    gan: GAN,
    data: Any,
    *,
    out: str | Path | None,
    callbacks: Sequence[object],
    resume: bool,
    progress: bool,
    **settings: Any,
) -> History:
    """Train `gan` on `data`; see `GAN.fit`."""
    Callbacks(callbacks)  # refuses what cannot be one
    folder = None if out is None else RunFolder(Path(out))
    config = FitSettings(MADE_BY, **settings, seed=gan.seed, dtype=str(dtype_of(gan)))
    found = folder if own_runs.holds_run(folder, resume) else None
    recorded = own_runs.read_config(found.config, MADE_BY) if found else {"first_step": gan.step}
    first_step = recorded["first_step"]
    config = replace(config, steps=first_step + config.steps, first_step=first_step)
    own = fit_data(data, gan, config.batch_size, config.value_range)
    diagnosis_state = _load(gan, own, config, found, recorded) if found else {}
    with announced_training(gan, lambda: own.batch(gan.step)):
        loop = FitLoop(gan, own, config, folder, callbacks, progress)
        loop.try_first_step()
        loop.begin_diagnosis()
    if found:
        loop.resume_from(found, diagnosis_state)
    return loop.run()


class FitLoop(GANLoop):
    """The loop of a fit."""

    config: FitSettings

    def __init__(
        self,
        gan: GAN,
        data: FitData,
        config: FitSettings,
        folder: RunFolder | None,
        callbacks: Sequence[object],
        progress: bool,
    ) -> None:
        super().__init__(
            gan, data.view, data.batch, config, folder, callbacks, condition=data.condition, diagnose=False,
            progress=progress,
        )  # fmt: skip
        self.data, self._first_step, self._needs_folder = data, config.first_step, folder is not None

    def begin_diagnosis(self) -> None:
        """Diagnose the training, if its statistics can be measured; an error in a network is found before this."""
        if _can_be_diagnosed(self.gan, self.data):
            self._diagnosis = Diagnosis(self.gan)

    def resume_from(self, folder: RunFolder, diagnosis_state: Mapping[str, np.ndarray]) -> None:
        """Go on with the run in `folder`, from whose checkpoint the GAN and this state come."""
        self._needs_folder = False
        self._load_diagnosis(diagnosis_state, folder.checkpoint)
        if not self.data.is_pure:
            print_notice("the batches come from an iterable, which begins anew in a resumed run")

    def _take_step(self) -> Mapping[str, Tensor]:
        self._real_batch(self.step)  # which is when an iterable is found to have ended
        if self.data.has_ended():
            raise Stop("the data have come to their end, and cannot be begun again; give an array or a Dataset")
        return super()._take_step()

    def try_first_step(self) -> None:
        """Raise UsageError if the first passes fail, since the networks or the data are the reason."""
        try:
            self._try_passes()
        except (TypeError, ValueError) as error:
            raise UsageError(f"the GAN cannot be trained on these data: {clause(error)}.") from error
        except NonFiniteError as error:
            raise UsageError(
                f"the GAN cannot be trained on these data: {error}, even before the first step; look for NaN in the "
                "data, or scale them."
            ) from None

    def _save_config(self, path: Path) -> None:
        gan = self.gan
        parts = {
            name: own_runs.in_words(getattr(gan, name))
            for name in ("generator", "discriminator", "generator_optimizer", "discriminator_optimizer", "rules")
        }
        numbers = {"latent_size": gan.latent_size, "loss": self.history.loss}
        own_runs.save_config(
            path,
            {
                **asdict(self.config),
                "gan": {**numbers, **parts},
                "data": self.data.facts,
                "samples": self.data.view.facts(),
            },
        )

    def _advice(self) -> str:
        rates = [
            f"the {name}'s is {getattr(self.gan, f'{name}_optimizer').current_learning_rate:g}"
            for name in ("generator", "discriminator")
        ]
        return f"take a lower learning rate ({' and '.join(rates)}), or look for large numbers in the data."


def _load(
    gan: GAN, data: FitData, config: FitSettings, folder: RunFolder, recorded: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Load the last checkpoint of the run in `folder` into `gan`, and return the state of the diagnosis.

    Raises CheckpointError if the data or the settings are not those of the run, or the checkpoint does not fit.
    """
    own_runs.require_same(config, recorded, folder)
    if not data.matches(recorded.get("data", {})):
        raise CheckpointError(
            f"these data are not what the run in {folder.path} was trained on; give the same, or name another folder."
        )
    folder.require_regular_files()
    arrays = own_runs.load_state(folder.checkpoint, gan.state(), config.steps, MADE_BY)
    require_recorded(int(arrays["step"]), config, folder, config.first_step)
    state = checkpoint.without_diagnosis(arrays)
    gan.load_state(state)
    prefix = checkpoint.DIAGNOSIS_PREFIX
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name not in state}


def _can_be_diagnosed(gan: GAN, data: FitData) -> bool:
    """Whether the diagnosis can measure this GAN; a loss of several outputs, or of the condition, it cannot call."""
    if gan.loss.multi_head or gan.loss.uses_condition:
        print_notice(f"this training is not diagnosed, since the loss '{gan.loss.name}' takes more than logits")
        return False
    try:
        TrainingMonitor(gan).measure(data.batch(gan.step))
    except Exception as error:  # of a loss or a network of the user's
        print_notice(f"this training is not diagnosed, since its statistics cannot be measured ({clause(error)})")
        return False
    return True

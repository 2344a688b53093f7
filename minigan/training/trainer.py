"""Train the GAN of a recipe into a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigan import recipes
from minigan.autodiff import Tensor
from minigan.core import files
from minigan.core.errors import NonFiniteError, UsageError
from minigan.domains import Data, Domain
from minigan.gan import GAN
from minigan.gan.dry_run import announced_training
from minigan.training import kept_checkpoints, saved_state
from minigan.training.base_loop import device_facts, require_recorded
from minigan.training.config import RunConfig, load_config
from minigan.training.gan_loop import GANLoop
from minigan.training.initial_weights import new_gan
from minigan.training.read_ahead import ReadAhead
from minigan.training.run_data import require_same_data
from minigan.training.run_folder import RunFolder
from minigan.training.trained_run import generate, load_into, untrained_gan

_MUCH_LARGER = 10  # if one learning rate is this many times the other, only that one is advised to be lowered


class Trainer(GANLoop):
    """A run of a recipe: a GAN, its data and its folder. Make one with `begin` or `resume`, then call `run`.

    Raises UsageError for --evaluate-every if the domain has no `progress_measure`.
    """

    config: RunConfig
    folder: RunFolder
    domain: Domain[Any]

    def __init__(
        self, config: RunConfig, gan: GAN, data: Data, folder: RunFolder, callbacks: Sequence[object] = ()
    ) -> None:
        domain = recipes.get(config.recipe).domain.with_shape(data.shape)
        domain = domain.with_settings(config.settings).showing(data, config)
        condition = None if domain.shown_condition is None else Tensor(domain.shown_condition)
        batch = ReadAhead(domain.batches(data, config))
        super().__init__(gan, domain, batch, config, folder, callbacks, condition=condition)
        self.data = data
        self._progress_measure = domain.progress_measure(data) if config.evaluate_every else None
        if config.evaluate_every and self._progress_measure is None:
            raise UsageError(
                f"the recipe '{config.recipe}' measures its samples with every picture (--sample-every), so "
                "--evaluate-every adds nothing; leave it out."
            )

    @classmethod
    def prepare(cls, config: RunConfig, data: Data, folder: RunFolder, callbacks: Sequence[object] = ()) -> Trainer:
        """A new run without a folder on disk; raises UsageError for settings or data that cannot be trained."""
        trainer = cls(config, new_gan(config, data.shape), data, folder, callbacks)
        with announced_training(trainer.gan, lambda: trainer._real_batch(0)):
            trainer._try_first_step()
        return trainer

    @classmethod
    def begin(
        cls,
        config: RunConfig,
        data: Data,
        folder: RunFolder,
        *,
        numbered: bool = False,
        callbacks: Sequence[object] = (),
    ) -> Trainer:
        """A new run in `folder`, which appears with a first checkpoint in it (see BaseLoop.create_folder).

        The folder is made only after `prepare` has succeeded.
        """
        trainer = cls.prepare(config, data, folder, callbacks)
        trainer.create_folder(numbered=numbered)
        return trainer

    @classmethod
    def resume(
        cls,
        config: RunConfig,
        data: Data,
        folder: RunFolder,
        selection: str | None = None,
        callbacks: Sequence[object] = (),
    ) -> Trainer:
        """The run in `folder` at the checkpoint `selection` (see kept_checkpoints.choose; None: the last).

        `run` moves aside what was recorded after that checkpoint; nothing in the folder changes before. Raises
        CheckpointError if the checkpoint, the data and the metrics do not belong together, UsageError if the run
        already has more steps than `config.steps`.
        """
        require_same_data(data, folder)
        folder.require_regular_files()
        last = files.identity(folder.checkpoint)
        gan, source = untrained_gan(config, data.shape), kept_checkpoints.choose(folder, selection)
        diagnosis_state = load_into(gan, load_config(folder.config), folder, source)
        require_recorded(gan.step, config, folder)
        if gan.step > config.steps:
            raise UsageError(f"{folder.path} is at step {gan.step} already; ask for at least as many --steps.")
        trainer = cls(config, gan, data, folder, callbacks)
        trainer._source, trainer._last_checkpoint = source, last
        trainer._load_diagnosis(diagnosis_state, source)
        return trainer

    def _try_first_step(self) -> None:
        """Raise UsageError if the first passes fail, since the settings or the data are the reason."""
        try:
            self._try_passes()
        except (TypeError, ValueError) as error:
            place = recipes.get(self.config.recipe).place(error)
            sentence = f"the recipe '{self.config.recipe}' cannot be trained: {error}{place}"
            raise UsageError(sentence if sentence.endswith("?") else f"{sentence}.") from None
        except NonFiniteError as error:
            defaults = recipes.get(self.config.recipe).settings
            changed = [f"{key}={value}" for key, value in self.config.settings.items() if value != defaults[key]]
            raise UsageError(
                f"the recipe '{self.config.recipe}' cannot be trained with {', '.join(changed) or 'its defaults'}: "
                f"{error}, even before the first step; choose less extreme settings."
            ) from None

    def _evaluation_is_due(self) -> bool:
        """With --evaluate-every: so often, and at each checkpoint that may be kept, so that each has a score."""
        every = self.config.evaluate_every
        if not every:
            return False
        step = self.step
        return step % every == 0 or step % self.config.checkpoint_every == 0 or step == self.config.steps

    def _evaluation(self) -> dict[str, float]:
        """What the domain measures of samples from latent vectors that are the same at every step."""
        measure = self._progress_measure
        assert measure is not None
        condition = self.domain.sample_condition(
            measure.samples, self.config.seed, self.config.settings, lambda: self.data
        )
        try:
            latent = self.gan.latent(measure.samples, "evaluated samples")
            return measure(generate(self.gan, self.domain, latent, condition))
        except NonFiniteError as error:
            raise self._nonfinite_error(str(error), self.step) from None

    def _look_is_due(self) -> bool:
        return super()._look_is_due() or self._export_is_due()

    def _look(self) -> dict[str, float]:
        """What GANLoop does; the weights are exported after the samples, whose numbers have proved to be finite."""
        measured = super()._look()
        if self._export_is_due():
            generator = self.gan.ema.network if self.gan.ema else self.gan.generator
            saved_state.save(self.folder.weights_path(self.step), generator)
        return measured

    def _export_is_due(self) -> bool:
        every = self.config.export_every
        return every is not None and self.step > 0 and self.step % every == 0

    def _save_config(self, path: Path) -> None:
        self.config.save(path, data=self.data.describe(), computed_on=device_facts())

    def _advice(self) -> str:
        return _advice(self.config.settings)

    def _how_to_resume(self) -> str:
        return f"minigan train --resume {self.folder.path}"


def _advice(settings: dict[str, Any]) -> str:
    """Which learning rate to lower: that of one network if it is much larger than the other, else both."""
    rates = {name: settings[name] for name in ("rate", "generator_rate") if settings.get(name)}
    if not rates:  # a recipe of the user's, whose rates have other names
        return "train with a lower learning rate."
    largest = max(rates.values())
    named = [f"--set {name}=..., now {rate}" for name, rate in rates.items() if rate * _MUCH_LARGER > largest]
    return f"train with a lower learning rate ({' and '.join(named)})."

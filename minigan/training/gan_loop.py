"""The training of a GAN in a loop: its steps, pictures of its samples, their film, measurements, and the diagnosis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from minigan.autodiff import Tensor, no_grad
from minigan.core.errors import CheckpointError, NonFiniteError
from minigan.core.notice import Notice
from minigan.domains import View
from minigan.figures import gif, loss_curves
from minigan.figures.image_grid import save_png
from minigan.gan import GAN
from minigan.gan.batches import Batch
from minigan.gan.generator_terms import weighted
from minigan.nn.module import preserve_state
from minigan.training import checkpoint, consistency
from minigan.training.base_loop import BaseLoop, failure_as_notice, read_numbers
from minigan.training.diagnosis import Diagnosis
from minigan.training.metrics_file import Row
from minigan.training.run_folder import RunFolder
from minigan.training.settings import RunSettings
from minigan.training.trained_run import generate

_DIAGNOSIS_EVERY = 100  # steps


class GANLoop(BaseLoop):
    """The loop of a GAN.

    batch(step): the real examples of a step; a pure function of it, if a resumed run is to have the same bits. domain:
    what the samples are and how they are drawn. condition: (n, ...), that of the samples of a picture, None for a GAN
    without. diagnose: whether the training is diagnosed.
    """

    def __init__(
        self,
        gan: GAN,
        domain: View,
        batch: Callable[[int], Batch],
        config: RunSettings,
        folder: RunFolder | None,
        callbacks: Sequence[object] = (),
        *,
        condition: Tensor | None = None,
        diagnose: bool = True,
        progress: bool = True,
    ) -> None:
        super().__init__(config, folder, callbacks, loss=getattr(gan.loss, "name", ""), progress=progress)
        self.gan, self.domain, self.condition = gan, domain, condition
        self._real_batch = batch
        self._diagnosis = Diagnosis(gan) if diagnose else None
        self._replay_notice_given = False
        self._frames = gif.Frames()
        self._film_steps = _film_steps(config)

    @property
    def step(self) -> int:
        return self.gan.step

    def state(self) -> dict[str, np.ndarray]:
        """The arrays of a checkpoint: the state of the GAN, and the state of the diagnosis under prefixed names."""
        diagnosis_state = self._diagnosis.state() if self._diagnosis else {}
        prefix = checkpoint.DIAGNOSIS_PREFIX
        return self.gan.state() | {f"{prefix}{name}": value for name, value in diagnosis_state.items()}

    def _take_step(self) -> Mapping[str, Tensor]:
        observer = self._diagnosis.gradient_observer() if self._diagnosis else None
        return self.gan.train_step(self._real_batch(self.gan.step), observer)

    def _after_step(self, notice: Notice) -> None:
        """Notice once why steps run without replay, which is slower."""
        reason = self.gan.replay.fallback_reason
        if reason is not None and not self._replay_notice_given:
            self._replay_notice_given = True
            notice(f"training steps run without replay: {reason}")

    def _require_finite_step(self) -> None:
        first = self.gan.first_nonfinite_gradient()
        if first is None:
            return
        step, name = first
        metrics = dict(self._pending_metrics).get(step, {})
        loss = f"{name.partition('.')[0]}_loss"
        value = f" ({loss.replace('_', ' ')} {metrics[loss].item():.4g})" if loss in metrics else ""
        raise self._nonfinite_error(f"the gradient of {name} is not finite{value}", step)

    def _learning_rates(self) -> dict[str, float]:
        optimizers = {"generator": self.gan.generator_optimizer, "discriminator": self.gan.discriminator_optimizer}
        return {f"{name}_learning_rate": optimizer.last_learning_rate for name, optimizer in optimizers.items()}

    # The diagnosis.

    def _diagnosis_is_due(self) -> bool:
        return self._diagnosis is not None and self.step % _DIAGNOSIS_EVERY == 0

    def _findings(self) -> list[str]:
        assert self._diagnosis is not None
        found = self._diagnosis.check(self._real_batch(self.step))
        return [f"{finding.name}: {finding.sentence}" for finding in found]

    def _load_diagnosis(self, state: Mapping[str, np.ndarray], source: Path) -> None:
        """Restore the state of the diagnosis, by names without prefix, from the checkpoint `source`."""
        try:
            if self._diagnosis is not None:
                self._diagnosis.load_state(state, self._real_batch)
        except ValueError as error:
            raise CheckpointError(
                f"the checkpoint {source} does not fit its configuration: {checkpoint.DIAGNOSIS_PREFIX}{error}; "
                "restore both from the same run."
            ) from None

    # Samples.

    def _look_is_due(self) -> bool:
        return self.step % self.config.sample_every == 0 or self.step == self.config.steps

    def _samples(self) -> np.ndarray:
        """The samples of a picture of progress, from fixed latent vectors; NonFiniteError if one is not finite."""
        count = self.domain.samples_shown if self.condition is None else len(self.condition)
        return generate(self.gan, self.domain, self.gan.latent(count, "samples"), self.condition)

    def _look(self) -> dict[str, float]:
        """Save a picture of samples, and return what the domain and the callbacks measure of them."""
        try:
            samples = self._samples()
            measured = self._measure(samples)
            if self._callbacks.have("look"):  # a copy, as they may change it while a thread draws the samples
                for numbers in self._callbacks.call("look", self, self.step, samples.copy()):
                    measured |= _finite(read_numbers("the method look of a callback", numbers))
        except NonFiniteError as error:
            raise self._nonfinite_error(str(error), self.step) from None
        if self.folder is not None:
            step = self.step
            self._files.submit(lambda: self._write_picture(step, samples))
        return measured

    def _write_picture(self, step: int, samples: np.ndarray) -> None:
        assert self.folder is not None
        path, image = self.folder.sample_path(step), self.domain.draw(samples)
        save_png(path, image)
        if step in self._film_steps:
            self._frames.add(path, image)

    def _measure(self, samples: np.ndarray) -> dict[str, float]:
        """What the domain measures of `samples`; raises NonFiniteError unless all of it is finite."""
        return _finite(self.domain.measure(samples))

    def _score(self, measured: Mapping[str, float]) -> float | None:
        return self.domain.score(measured or self._measure(self._samples()))

    # Checks.

    def _require_savable(self, state: Mapping[str, np.ndarray]) -> None:
        consistency.require_finite(checkpoint.without_diagnosis(state))
        self._require_finite_passes()

    def _require_finite_passes(self) -> None:
        """Raise NonFiniteError unless both networks, in evaluation mode, give finite outputs for reals and fakes.

        Raises TypeError or ValueError for a generator term that is no scalar.
        """
        gan = self.gan
        inputs = gan.draw_update(gan.rules.batches(self._real_batch(gan.step))[0])
        inputs = replace(inputs, latent=gan.latent(len(inputs.real), "samples"), penalty_weight=None)
        with preserve_state(gan.generator, gan.discriminator), np.errstate(all="ignore"):
            gan.generator.eval()
            gan.discriminator.eval()
            with no_grad():
                outputs = gan.discriminator_pass(inputs)
            term, _ = weighted(gan.generator_term, outputs.loss, outputs.fake, inputs)
        _require_finite("the samples", outputs.fake)
        _require_finite("the discriminator's scores", outputs.real_logits, outputs.fake_logits)
        _require_finite("the values of the generator term", term)

    def _try_passes(self) -> None:
        """Make the first batch and the first samples and pass them through the networks; no state changes."""
        self._require_finite_passes()
        with np.errstate(all="ignore"):
            samples = self._samples()
            self.domain.draw(samples)
            self._measure(samples)

    # Pictures at the end.

    def _save_final_pictures(self, rows: list[Row], notice: Notice) -> None:
        """Make the pictures of the whole run; a failure causes a notice only."""
        if self.folder is None:
            return
        folder, samples, how = self.folder, self.folder.sample_paths(), self._how_to_resume()
        if rows:
            with failure_as_notice(folder.curves, how, notice):
                loss_curves.save_curves(folder.curves, rows, self.history.loss, notice)
        if samples:
            with failure_as_notice(folder.animation, how, notice):
                gif.save(folder.animation, samples, notice, self._frames)
        for name, save in self.domain.artefacts().items():
            with failure_as_notice(folder.path / name, how, notice):
                save(folder.path / name, self._samples())

    def _how_to_resume(self) -> str:
        """What resumes the run."""
        return "fit with resume=True"


def _finite(measured: dict[str, float]) -> dict[str, float]:
    """`measured`, the numbers of samples; raises NonFiniteError unless all of them are finite."""
    for name, value in measured.items():
        if not math.isfinite(value):
            raise NonFiniteError(f"the {name.replace('_', ' ')} of the samples is {value}")
    return measured


def _require_finite(what: str, *tensors: Tensor | None) -> None:
    if not all(np.isfinite(values.numpy()).all() for values in tensors if values is not None):
        raise NonFiniteError(f"{what} are not finite")


def _film_steps(config: RunSettings) -> set[int]:
    """The steps whose pictures will be in the animation of a run that has no others."""
    count = -(-config.steps // config.sample_every) + 1
    return {min(place * config.sample_every, config.steps) for place in gif.places(count)}

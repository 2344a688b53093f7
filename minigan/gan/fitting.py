"""The method `fit` of a GAN; the loop itself is in minigan.training, a layer above, which is imported when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from minigan.figures.history import History


class Fitting:
    """Gives a GAN the method `fit`."""

    def fit(
        self,
        data: Any,
        *,
        steps: int,
        out: str | Path | None = None,
        batch_size: int = 64,
        callbacks: Sequence[object] = (),
        sample_every: int = 500,
        checkpoint_every: int = 1000,
        log_every: int = 10,
        keep_checkpoints: int = 2,
        resume: bool = False,
        progress: bool = True,
        value_range: tuple[float, float] | None = None,
    ) -> History:
        """Train on `data` for `steps` steps, and return what was recorded.

        data: an array of examples (N, ...), uint8 or floats; a pair (examples, labels) or a labelled `data.Dataset` for
        networks that take a condition; a Dataset or a path (see `data.as_dataset`); a distribution of points; an
        iterable of batches, x or (x, y), which is begun again when it ends; or a function of the step (0, 1, ...) that
        returns its batch. Labels of a Dataset are left out if the generator takes latent vectors alone.
        steps: of the whole run; a GAN that has been trained before takes so many more.
        out: a folder for checkpoints, pictures of samples with their film, metrics and curves; None to write nothing.
        batch_size: examples in a batch, of which each update of the discriminator takes one; for arrays and Datasets.
        callbacks: objects with some of the methods start(loop), step(loop, step, metrics), look(loop, step, samples),
        save(loop, path), end(loop, outcome) (see `training.callbacks`); one may raise `training.Stop`.
        sample_every, checkpoint_every, log_every: steps between pictures of samples, checkpoints, rows of metrics.
        keep_checkpoints: how many of the last checkpoints to keep.
        resume: whether to go on with the run in `out`, with the same GAN, untrained; where there is none, a new run
        begins. It then has the same bits as an uninterrupted one if the data are an array, a Dataset or a function.
        progress: whether to show a bar.
        value_range: the numbers (low, high) to which uint8 is scaled, and which are black and white in pictures. None:
        (0, 1) if the generator ends in Sigmoid, else (-1, 1); for pictures of floats the range of the data.

        Ctrl-C ends the training after a checkpoint, and fit returns; a second one ends it at once. The training is
        diagnosed as that of recipes; findings are printed, and recorded under "diagnosis".

        Raises UsageError, before any step, for arguments and data that cannot be trained on, CheckpointError if the run
        in `out` is damaged or of other data, NonFiniteError if a loss, a gradient or a weight becomes NaN or infinite.
        """
        fit = import_module("minigan.training.fit").fit  # imports point down everywhere else
        history: History = fit(
            self,
            data,
            steps=steps,
            out=out,
            batch_size=batch_size,
            callbacks=callbacks,
            sample_every=sample_every,
            checkpoint_every=checkpoint_every,
            log_every=log_every,
            keep_checkpoints=keep_checkpoints,
            resume=resume,
            progress=progress,
            value_range=value_range,
        )
        return history

"""The pictures of a report: samples over the training, paths between latent vectors, pictures of an evaluation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.figures.html_parts import picture, slideshow, text
from minigan.figures.image_grid import as_pillow, image_grid
from minigan.figures.svg import PLANE, Chart
from minigan.gan import latent_paths
from minigan.report.curves import COLOURS, span
from minigan.report.run_facts import Networks
from minigan.training.run_folder import RunFolder
from minigan.training.trained_run import generate

if TYPE_CHECKING:
    from PIL import Image

_MOST_FRAMES = 12
_MOST_SIDE = 560  # pixels; larger pictures are reduced by a whole factor
_COLOURS = 128  # of a picture in colour
_BYTES_OF_ALL, _LEAST_FRAMES = 2_500_000, 3
_ROWS, _COLUMNS, _POINTS = 6, 8, 24  # of the paths; points along a path in the plane
_NOT_SHOWN = ("losses", "samples-", "interpolate-", "nearest-", "real-")  # beginnings of names


def timeline(folder: RunFolder) -> str:
    """The pictures of samples with a slider, evenly spaced over the training, as HTML; "" if there are none."""
    paths = folder.sample_paths()
    chosen = [paths[i] for i in _evenly(len(paths), _MOST_FRAMES)]
    frames = {path: _small_png(path) for path in chosen}
    readable = [path for path in chosen if frames[path]]
    if not readable:
        return ""
    most = max(_LEAST_FRAMES, _BYTES_OF_ALL * len(readable) // sum(len(frames[path]) for path in readable))
    shown = [readable[i] for i in _evenly(len(readable), most)]
    steps = [int(path.stem.removeprefix("step_")) for path in shown]
    return slideshow(
        "samples",
        [picture(frames[path], f"samples of step {step:,}") for path, step in zip(shown, steps, strict=True)],
        [f"step {step:,}" for step in steps],
        slider="training step",
        start=len(shown) - 1,
    )


def of_evaluation(folder: RunFolder) -> str:
    """The pictures in the run folder that evaluations and the kind of data have made, as HTML."""
    paths = [path for path in sorted(folder.path.glob("*.png")) if not path.stem.startswith(_NOT_SHOWN)]
    contents = [(path.stem.replace("_", " "), _small_png(path)) for path in paths]
    return "".join(
        f"<figure>{picture(png, name)}<figcaption>{text(name)}</figcaption></figure>" for name, png in contents if png
    )


def paths_between_latents(networks: Networks) -> str:
    """Samples along paths from one latent vector to the next, as HTML: rows of pictures, or lines in the plane.

    Within a row the condition is the same. Raises what the data raise if the conditions need them, NonFiniteError for
    samples that are not finite; returns "" for samples that cannot be shown so.
    """
    view, in_plane = networks.view, len(networks.view.shape) == 1
    columns = _POINTS if in_plane else _COLUMNS
    samples = _along_paths(networks, columns)
    if samples.ndim == 4 and samples.dtype == np.uint8:
        return picture(_encoded(as_pillow(image_grid(samples, columns))), "samples along paths between latent vectors")
    if in_plane and view.shape == (2,):
        return _lines_in_the_plane(samples.reshape(_ROWS, columns, 2))
    return ""


def _along_paths(networks: Networks, columns: int) -> np.ndarray:
    gan, conditions = networks.gan, networks.condition(_ROWS)
    ends = gan.latent_from(random.generator(1, "paths of a report"), _ROWS + 1).numpy()
    latent = [latent_paths.between(gan.latent_distribution, ends[i], ends[i + 1], columns) for i in range(_ROWS)]
    along = None if conditions is None else conditions.repeat(columns, axis=0)
    return generate(gan, networks.view, Tensor(np.concatenate(latent)), along)


def _lines_in_the_plane(paths: np.ndarray) -> str:
    chart = Chart(span([paths[..., 0].ravel()]), span([paths[..., 1].ravel()]), size=PLANE)
    for number, path in enumerate(paths):
        chart.line(path, COLOURS[number % len(COLOURS)]).dots(path, COLOURS[number % len(COLOURS)], radius=2.5)
    return picture(chart.svg(), "paths of samples in the plane")


def _evenly(count: int, most: int) -> Sequence[int]:
    """At most `most` places of `count`, evenly spaced, with the first and the last."""
    return [int(place) for place in np.rint(np.linspace(0, count - 1, min(count, most)))]


def _small_png(path: Path) -> bytes:
    """The picture in `path` as a small PNG; no bytes if it cannot be read."""
    from PIL import Image  # comes with matplotlib; imported late because it takes a moment

    try:
        with Image.open(path, formats=["PNG"]) as opened:
            return _encoded(opened.convert("L" if opened.mode == "L" else "RGB"))
    except Exception:  # Pillow has no common base class for decoding errors
        return b""


def _encoded(image: Image.Image) -> bytes:
    image = image.reduce(max(1, -(-max(image.size) // _MOST_SIDE)))
    if image.mode == "RGB":
        image = image.quantize(_COLOURS)
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=6)
    return stream.getvalue()

"""Pictures of a run: grids of samples, their film, and the curves of the losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigan.files import atomic_path

_MARGIN = 2  # pixels between pictures
_REST_MILLISECONDS = 2000  # on the last frame of a film
_MIN_HEIGHT = 480  # a small grid is enlarged by a whole factor to at least this


def image_grid(images: np.ndarray) -> np.ndarray:
    """`images` (N, H, W, C) uint8 as one picture (height, width, C), row by row in a near-square grid on white."""
    count, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    cell_height, cell_width = height + _MARGIN, width + _MARGIN
    grid = np.full((rows * cell_height + _MARGIN, columns * cell_width + _MARGIN, channels), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = _MARGIN + i // columns * cell_height, _MARGIN + i % columns * cell_width
        grid[top : top + height, left : left + width] = image
    factor = max(1, -(-_MIN_HEIGHT // grid.shape[0]))
    return grid.repeat(factor, axis=0).repeat(factor, axis=1)


def to_bytes(values: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """Pixels in `value_range` as uint8, clipped."""
    low, high = value_range
    return np.clip(np.rint((values - low) * (255 / (high - low))), 0, 255).astype(np.uint8)


def save_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture (H, W, C) uint8, grey (C = 1) or RGB (C = 3), as PNG, atomically."""
    from PIL import Image  # comes with matplotlib; imported late because it takes a moment

    with atomic_path(path) as temporary:
        Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(temporary, format="PNG")


def save_film(path: Path, frames: Sequence[Path], milliseconds: int = 150) -> None:
    """Write the PNG pictures `frames` as one animated GIF that rests on the last, atomically."""
    from PIL import Image

    def picture(frame: Path) -> Image.Image:
        with Image.open(frame) as opened:
            if opened.mode == "L":
                return opened.copy()
            # Each frame in its own best 256 colours, dithered; Pillow alone would leave bands of one colour.
            return opened.quantize(palette=opened.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)

    durations = [milliseconds] * (len(frames) - 1) + [_REST_MILLISECONDS]
    following = (picture(frame) for frame in frames[1:])  # one at a time, for there may be thousands
    with atomic_path(path) as temporary:
        picture(frames[0]).save(
            temporary, format="GIF", save_all=True, append_images=following, duration=durations, loop=0
        )


def save_curves(path: Path, rows: Sequence[dict[str, Any]], loss: str) -> None:
    """Write the curves of the losses and of the mean scores over the steps as PNG, atomically."""
    from matplotlib.figure import Figure

    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(9, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for key, label in (("discriminator_loss", "discriminator"), ("generator_loss", "generator")):
        _draw_smoothed(upper, steps, [row[key] for row in rows], label)
    upper.set_ylabel(f"loss ({loss})")
    for key, label in (("real_score", "D(x), real"), ("fake_score", "D(G(z)), generated")):
        _draw_smoothed(lower, steps, [row[key] for row in rows], label)
    lower.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    lower.set(ylabel="mean score", xlabel="step", ylim=(0, 1))
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        axes.legend(loc="upper right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw_smoothed(axes: Any, steps: Sequence[int], values: Sequence[float], label: str) -> None:
    """The values, faint, and their running mean over a fiftieth of the run."""
    window = max(1, len(values) // 50)
    (line,) = axes.plot(steps, values, alpha=0.25, linewidth=0.6)
    smooth = np.convolve(values, np.ones(window) / window, mode="valid")
    axes.plot(steps[window - 1 :], smooth, color=line.get_color(), label=label)

"""A heat map of the errors of a derivative over an array."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minigan.figures import charts


def save_error_map(path: str | Path, errors: np.ndarray, name: str, shape: tuple[int, ...]) -> None:
    """Write the map as an image, in the format that the ending of `path` names (.png, .svg, .pdf).

    errors: (rows, columns), one number for each entry or block of entries. name, shape: of the array whose entries they
    are; its last axis is drawn as columns, all others as rows. Raises DrawingError if Matplotlib cannot be imported.
    """
    columns = shape[-1] if shape else 1
    rows = int(np.prod(shape)) // columns
    with charts.chart(Path(path), (6, 5), dpi=100) as figure:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        image = axes.imshow(
            errors, aspect="auto", extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), interpolation="nearest"
        )
        axes.set_title(f"|analytic - numeric| of {name}, shape {shape}")
        axes.set_xlabel("last axis")
        axes.set_ylabel("all other axes" if len(shape) > 2 else "first axis")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        figure.colorbar(image)

"""Charts drawn by Matplotlib with its default settings, whatever the user's matplotlibrc and MPLBACKEND say."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.core.errors import DrawingError, clause
from minigan.core.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def chart(path: Path, size: tuple[float, float], dpi: int) -> Iterator[Figure]:
    """A context with an empty figure; what the block draws on it is then written to `path`, atomically.

    size: (width, height) in inches. dpi: pixels per inch. The ending of `path` names the format (.png, .svg, .pdf; PNG
    without an ending). In the block Matplotlib has its default settings, afterwards the user's again. Nothing is
    written if the block raises. Raises DrawingError if Matplotlib cannot be imported.
    """
    with _figure(size) as figure:
        yield figure
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=dpi)


def pixels(size: tuple[float, float], dpi: int, draw: Callable[[Figure], None]) -> np.ndarray:
    """What `draw` draws on an empty figure, (height, width, 3) uint8. Arguments and errors are those of `chart`."""
    with _figure(size) as figure:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        figure.dpi = dpi
        draw(figure)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())[..., :3]


@contextmanager
def _figure(size: tuple[float, float]) -> Iterator[Figure]:
    """A context with an empty figure, in which Matplotlib has its default settings."""
    matplotlib = _matplotlib()
    from matplotlib.figure import Figure

    # A figure without a window needs no backend, and rc_context would not restore the user's.
    defaults = {name: matplotlib.rcParamsDefault[name] for name in matplotlib.rcParamsDefault if name != "backend"}
    with matplotlib.rc_context(defaults):
        yield Figure(figsize=size, layout="constrained")


def _matplotlib() -> Any:
    """The package matplotlib, imported late because that takes a moment.

    Its import fails if MPLBACKEND names an unknown backend. So the variable is hidden during the import, and applied
    afterwards if possible, since the calling program may want to open windows.
    """
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"]
    user_backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    except Exception as error:  # the import reads the user's matplotlibrc, and raises many kinds of errors
        raise DrawingError(
            f"Matplotlib cannot be imported ({clause(error)}); mend or remove its settings file matplotlibrc, or "
            "install it again."
        ) from None
    finally:
        if user_backend is not None:
            os.environ["MPLBACKEND"] = user_backend
    if user_backend:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = user_backend
    return matplotlib

"""Charts by Matplotlib under its default settings, whatever the user's matplotlibrc and MPLBACKEND say."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigan.core.errors import DrawingError, clause
from minigan.core.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def chart(path: Path, size: tuple[float, float], dpi: int) -> Iterator[Figure]:
    """An empty figure of `size` (width, height) in inches; what the block draws on it is written to `path`, atomically.

    The ending of `path` names the format (.png, .svg, .pdf; PNG without one), `dpi` the pixels an inch. The settings
    that hold in the block are Matplotlib's defaults, and the user's again after it. Nothing is written if the block
    raises. Raises DrawingError if Matplotlib cannot be imported.
    """
    matplotlib = _matplotlib()
    from matplotlib.figure import Figure

    # The backend is for windows, of which there are none here; rc_context would not put it back.
    defaults = {name: matplotlib.rcParamsDefault[name] for name in matplotlib.rcParamsDefault if name != "backend"}
    with matplotlib.rc_context(defaults):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=dpi)


def _matplotlib() -> Any:
    """The package, imported late because that takes a moment.

    Its import fails if MPLBACKEND names no backend, so the variable is hidden from it, and obeyed afterwards if it can
    be: the program that calls may want to open windows.
    """
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"]
    asked = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    except Exception as error:  # it reads the user's matplotlibrc, and has no one error for what it finds there
        raise DrawingError(
            f"Matplotlib cannot be imported ({clause(error)}); mend or remove its settings file matplotlibrc, or "
            "install it again."
        ) from None
    finally:
        if asked is not None:
            os.environ["MPLBACKEND"] = asked
    if asked:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = asked
    return matplotlib

"""Drawing: arrays and callables in; images, charts, animations and SVG out."""

from minigan.figures.samples import Samples, save_grid

__all__ = ["Samples", "save_grid"]

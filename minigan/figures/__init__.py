"""Drawing: arrays and callables in; images, charts, animations and SVG out."""

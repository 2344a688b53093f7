"""Small charts as SVG text: a few kilobytes each, sharp at any size, and fast enough for the frames of an animation."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

INK, FAINT = "#26313d", "#8a94a0"  # of text, and of axes
REAL, FAKE, THIRD, FOURTH = "#1d5fa8", "#c2470d", "#2c7a4b", "#7b3fa0"
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 24, 36  # pixels around the axes
PLANE = (340, 340)  # the size of a chart whose axes are equally long: equal spans then have equal scales
_LINE_HEIGHT = 15  # pixels, of the legend
Span = tuple[float, float]  # (lowest, highest)


class Chart:
    """Axes and what is drawn on them, later drawings on top; `svg()` returns the text.

    x, y: the spans of the axes. size: (width, height) in pixels. Colours are CSS colours. Points are (n, 2), in units
    of the axes. Titles and labels are HTML. Each method that draws returns the chart itself.
    """

    def __init__(
        self,
        x: Span,
        y: Span,
        *,
        title: str = "",
        x_label: str = "",
        y_label: str = "",
        size: tuple[float, float] = (340, 290),
    ) -> None:
        self.x, self.y, self.size = x, y, size
        self._gap = 12 if x_label else -2  # above the legend
        self._inside: list[str] = []
        self._legend: list[str] = []
        self._around = self._axes(title, x_label, y_label)

    def line(self, points: Any, colour: str, *, label: str = "", dashed: bool = False, width: float = 1.8) -> Chart:
        """A polyline; `label` goes into the legend."""
        style = _stroke(colour, width, dashed)
        self._inside.append(f'<path d="{self._path(points)}" fill="none" {style}/>')
        if label:
            self._add_to_legend(label, f'<path d="M0 -4h18" {style}/>')
        return self

    def dots(self, points: Any, colour: str, *, label: str = "", radius: float = 3.5) -> Chart:
        """Filled circles."""
        circles = (f'<circle cx="{u:.1f}" cy="{v:.1f}" r="{radius:g}"/>' for u, v in self._pixels(points))
        self._inside.append(f'<g fill="{colour}">{"".join(circles)}</g>')
        if label:
            self._add_to_legend(label, f'<circle cx="9" cy="-4" r="{radius:g}" fill="{colour}"/>')
        return self

    def arrows(self, starts: Any, vectors: Any, colour: str, *, label: str = "", width: float = 1.3) -> Chart:
        """Arrows from `starts` by `vectors`, both (n, 2) in units of the axes; those below a pixel become dots."""
        tails, tips = self._pixels(starts), self._pixels(np.asarray(starts) + np.asarray(vectors))
        paths = [_arrow(tail, tip) for tail, tip in zip(tails, tips, strict=True)]
        style = f'fill="none" stroke="{colour}" stroke-width="{width:g}" stroke-linecap="round"'
        self._inside.append(f'<path d="{"".join(paths)}" {style}/>')
        if label:
            self._add_to_legend(label, f'<path d="{_arrow(np.array([0.0, -4.0]), np.array([16.0, -4.0]))}" {style}/>')
        return self

    def contours(
        self, x: np.ndarray, y: np.ndarray, values: np.ndarray, levels: Sequence[float], colour: str, *,
        label: str = "", dashed: bool = False,
    ) -> Chart:  # fmt: skip
        """The contour lines at `levels` of a function with these values on the grid x, y: (len(x), len(y))."""
        from contourpy import contour_generator  # comes with matplotlib

        generator = contour_generator(x, y, values.T)
        for piece in (piece for level in levels for piece in generator.lines(level)):
            self.line(piece, colour, dashed=dashed, width=1.4)
        if label:
            self._add_to_legend(label, f'<path d="M0 -4h18" {_stroke(colour, 1.4, dashed)}/>')
        return self

    def heat(self, values: np.ndarray) -> Chart:
        """A heat map of values from 0 to 1 on equal cells (columns, rows) that fill the axes.

        Colours go from FAKE (0) over white (1/2) to REAL (1).
        """
        left, top, right, bottom = self._frame()
        data = base64.b64encode(_png(_diverging_colours(values.T[::-1]))).decode("ascii")
        self._inside.append(
            f'<image x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}" '
            f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
        )
        return self

    def svg(self) -> str:
        """The chart as an <svg> element of its natural width."""
        left, top, right, bottom = self._frame()
        frame = f'x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}"'
        box = f"{left:g} {top:g} {right - left:g} {bottom - top:g}"
        width, height = self.size
        height += (_LINE_HEIGHT * len(self._legend) + self._gap - 6) * bool(self._legend)
        legend = "".join(
            f'<g transform="translate({_LEFT} {self.size[1] + _LINE_HEIGHT * i + self._gap})">{entry}</g>'
            for i, entry in enumerate(self._legend)
        )
        return (
            f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" font-size="12" fill="{INK}">'
            f'<svg {frame} viewBox="{box}">{"".join(self._inside)}</svg>{self._around}{legend}</svg>'  # it clips
        )

    def _frame(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the axes, in pixels."""
        return _LEFT, _TOP, self.size[0] - _RIGHT, self.size[1] - _BOTTOM

    def _pixels(self, points: Any) -> np.ndarray:
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        left, top, right, bottom = self._frame()
        u = left + (points[:, 0] - self.x[0]) / (self.x[1] - self.x[0]) * (right - left)
        v = top + (self.y[1] - points[:, 1]) / (self.y[1] - self.y[0]) * (bottom - top)
        return np.clip(np.stack([u, v], axis=1), -9999, 9999)

    def _path(self, points: Any) -> str:
        return "M" + "L".join(f"{u:.1f} {v:.1f}" for u, v in self._pixels(points)) if len(points) else ""

    def _add_to_legend(self, label: str, symbol: str) -> None:
        self._legend.append(f'{symbol}<text x="24">{label}</text>')

    def _axes(self, title: str, x_label: str, y_label: str) -> str:
        left, top, right, bottom = self._frame()
        parts = [
            f'<path d="M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}" fill="none" stroke="{FAINT}"/>',
            _text(title, left, 14, "start", weight=600),
            _text(x_label, (left + right) / 2, bottom + 31),
            f'<g transform="translate(11 {(top + bottom) / 2:.1f}) rotate(-90)">{_text(y_label, 0, 0)}</g>',
        ]
        for value in ticks(self.x):
            u = self._pixels([(value, self.y[0])])[0, 0]
            parts.append(f'<path d="M{u:.1f} {bottom:.1f}v4" stroke="{FAINT}"/>')
            parts.append(_text(_tick(value, self.x), u, bottom + 16))
        for value in ticks(self.y):
            v = self._pixels([(self.x[0], value)])[0, 1]
            parts.append(f'<path d="M{left:.1f} {v:.1f}h-4" stroke="{FAINT}"/>')
            parts.append(_text(_tick(value, self.y), left - 6, v + 4, "end"))
        return "".join(parts)


def ticks(span: Span, most: int = 6) -> list[float]:
    """At most `most` + 1 round numbers within `span`, evenly spaced by 1, 2 or 5 times a power of ten."""
    low, high = span
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _stroke(colour: str, width: float, dashed: bool) -> str:
    return f'stroke="{colour}" stroke-width="{width:g}"' + (' stroke-dasharray="5 4"' if dashed else "")


def _tick(value: float, span: Span) -> str:
    digits = max(0, math.ceil(-math.log10((span[1] - span[0]) / 6)))
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}") if value else "0"


def _text(html: str, x: float, y: float, anchor: str = "middle", weight: int = 400) -> str:
    bold = f' font-weight="{weight}"' if weight != 400 else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{bold}>{html}</text>' if html else ""


def _arrow(tail: np.ndarray, tip: np.ndarray) -> str:
    along = tip - tail
    length = float(np.hypot(*along))
    if length < 1:
        return f"M{tail[0]:.1f} {tail[1]:.1f}h.01"
    head = min(5.0, length / 2) / length
    left, right = (tip - head * (along + side * np.array([-along[1], along[0]])) for side in (0.6, -0.6))
    corners = zip("MLMLL", (tail, tip, left, tip, right), strict=True)
    return "".join(f"{letter}{u:.1f} {v:.1f}" for letter, (u, v) in corners)


def _diverging_colours(values: np.ndarray) -> np.ndarray:
    """RGB colours of values from 0 to 1: FAKE, white, REAL; (rows, columns) to (rows, columns, 3) uint8."""
    fake, real = (np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float) for colour in (FAKE, REAL))
    towards = np.where(values[..., None] < 0.5, fake, real)
    strength = np.abs(2 * values[..., None] - 1) * 0.85
    return np.rint(255 + (towards - 255) * strength).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image  # comes with matplotlib; imported late because it takes a moment

    stream = io.BytesIO()
    Image.fromarray(pixels).quantize(64, dither=Image.Dither.NONE).save(stream, format="PNG", optimize=True)
    return stream.getvalue()

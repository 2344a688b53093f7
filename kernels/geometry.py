"""The geometry of a convolution, which its forward pass, input gradient and weight gradient share."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple, SupportsIndex

Pair = tuple[int, int]
Padding = int | str | tuple[Pair, Pair]


class Geometry(NamedTuple):
    """The extents, stride and padding of a convolution.

    size: (H, W) of the image; kernel: (kh, kw); stride: (down, across); padding: numbers of zero rows and columns
    around the image, ((top, bottom), (left, right)). For output pixel (i, j), tap (u, v) of the kernel is multiplied
    with image pixel (i * down + u - top, j * across + v - left). `precision` "fast" allows Winograd transforms with a
    larger rounding error; see `minigan_kernels.numba.cook_toom`.
    """

    size: Pair
    kernel: Pair
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    precision: str = "exact"

    @property
    def padded(self) -> Pair:
        """(H, W) of the padded image."""
        (top, bottom), (left, right) = self.padding
        return self.size[0] + top + bottom, self.size[1] + left + right

    @property
    def out(self) -> Pair:
        """(H, W) of the output; an extent is below 1 if the kernel does not fit into the padded image."""
        rows, columns = ((n - k) // s + 1 for n, k, s in zip(self.padded, self.kernel, self.stride, strict=True))
        return rows, columns

    def __str__(self) -> str:
        (kh, kw), (down, across) = self.kernel, self.stride
        return f"a kernel of {kh} x {kw}, stride {down} x {across}, padding {self.padding}"


def of_convolution(size: Pair, kernel: Pair, stride: Any, padding: Padding, precision: str = "exact") -> Geometry:
    """The geometry of a convolution on images of `size`; `padding` as in `padding_widths`.

    Raises ValueError if an argument is invalid or the kernel does not fit.
    """
    if precision not in ("exact", "fast"):
        raise ValueError(f"the precision must be 'exact' or 'fast', not {precision!r}")
    step, kernel = pair(stride, "stride"), pair(kernel, "kernel")
    geometry = Geometry(size, kernel, step, padding_widths(padding, size, kernel, step), precision)
    if min(geometry.out) < 1:
        (rows, columns), (height, width) = geometry.out, geometry.padded
        raise ValueError(
            f"{geometry} does not fit an image of {size[0]} x {size[1]}: that would give "
            f"({height} - {kernel[0]}) // {step[0]} + 1 = {rows} rows, ({width} - {kernel[1]}) // {step[1]} + 1 = "
            f"{columns} columns; use a smaller kernel or more padding"
        )
    return geometry


def of_transposed(
    small: Pair, kernel: Pair, stride: Any, padding: Padding, size: Pair | None, precision: str = "exact"
) -> Geometry:
    """The geometry of the convolution that maps images of extents `size` to outputs of extents `small`.

    A transposed convolution runs it backwards: its input has the extents `small` and its output the extents `size`. If
    `size` is None, it follows from `padding`: (H - 1) * stride + kernel - padding, the smallest possible size, if the
    padding is given by numbers; H * stride for "same"; (H - 1) * stride + max(kernel, stride) for "valid", as in Keras.
    Raises ValueError if an argument is invalid or no such convolution exists.
    """
    step, kernel = pair(stride, "stride"), pair(kernel, "kernel")
    size = _implied_size(small, kernel, step, padding) if size is None else pair(size, "size")
    if min(size) < 1:
        raise ValueError(f"padding {padding} leaves {size[0]} x {size[1]} pixels of {small[0]} x {small[1]}; use less")
    geometry = of_convolution(size, kernel, step, padding, precision)
    if geometry.out != small:
        raise ValueError(
            f"{small[0]} x {small[1]} pixels cannot become {size[0]} x {size[1]}: a convolution with {geometry} maps "
            f"{size[0]} x {size[1]} to {geometry.out[0]} x {geometry.out[1]}; choose another output_size"
        )
    return geometry


def _implied_size(small: Pair, kernel: Pair, stride: Pair, padding: Padding) -> Pair:
    """The output size of a transposed convolution that `padding` implies."""
    if padding == "same":
        return small[0] * stride[0], small[1] * stride[1]
    around = padding_widths(padding, small, kernel, stride)
    extents = [max(k, s) if padding == "valid" else k for k, s in zip(kernel, stride, strict=True)]
    rows, columns = ((n - 1) * s + k - sum(p) for n, s, k, p in zip(small, stride, extents, around, strict=True))
    return rows, columns


def padding_widths(padding: Padding, size: Pair, kernel: Pair, stride: Pair) -> tuple[Pair, Pair]:
    """((top, bottom), (left, right)), where `padding` is either that, or one number for all sides, "valid" or "same".

    "valid" means no padding. "same" is Keras's: the output has the extents ceil(size / stride), and if the total
    padding is odd, the bottom and the right get one zero more. Raises ValueError for any other `padding`.
    """
    if isinstance(padding, str) and padding == "same":
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, stride, strict=True)]
        return (totals[0] // 2, totals[0] - totals[0] // 2), (totals[1] // 2, totals[1] - totals[1] // 2)
    around: Any = 0 if isinstance(padding, str) and padding == "valid" else padding
    if isinstance(around, SupportsIndex):
        around = ((around, around), (around, around))
    try:
        (top, bottom), (left, right) = around
        sides = [operator.index(side) for side in (top, bottom, left, right)]
    except (TypeError, ValueError):
        sides = [-1]
    if min(sides) < 0:
        raise ValueError(
            "padding must be a whole number of at least 0, 'same', 'valid' or ((top, bottom), (left, right)), "
            f"not {padding!r}"
        )
    return (sides[0], sides[1]), (sides[2], sides[3])


def pair(value: Any, what: str) -> Pair:
    """(down, across) from one number for both directions, or two; raises ValueError unless they are integers >= 1."""
    try:
        first, second = (value, value) if isinstance(value, SupportsIndex) else value
        both = operator.index(first), operator.index(second)
    except (TypeError, ValueError):
        both = 0, 0
    if min(both) < 1:
        raise ValueError(f"a {what} is one or two whole numbers of at least 1, not {value!r}")
    return both

"""What a section of the study page is made of: text, numbers, tables, pictures, and films to slide through.

Every number that is a result goes through `number`, which leaves the exact value in the page beside its rounded form,
so that a test can hold each one against an independent truth.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MOST_LOST = 0.05  # of a number, by rounding it to a count of digits after the point


@dataclass(frozen=True)
class Section:
    """A claim, explained and shown.

    name: the anchor, such as "two-gaussians"; body: HTML without any reference to other files; figures: every number
    that the body shows, by a speaking name.
    """

    name: str
    title: str
    body: str
    figures: Mapping[str, float]


class Numbers:
    """Shows numbers and remembers them by name: `numbers(name, value)` is `number(value)`, `figures` what was shown."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}

    def __call__(self, name: str, value: float, digits: int = 3) -> str:
        if self.figures.setdefault(name, float(value)) != float(value):
            raise ValueError(f"'{name}' was {self.figures[name]!r} and is now {value!r}; give each figure its own name")
        return number(value, digits)


def text(words: str) -> str:
    """`words` for use inside of HTML."""
    return html.escape(words)


def number(value: float, digits: int = 3) -> str:
    """`value` rounded to that many digits after the point, or with a power of ten where that would lose too much.

    The element is HTML's <data>, whose attribute holds the value unrounded.
    """
    return f'<data value="{float(value)!r}">{printed(value, digits)}</data>'


def printed(value: float, digits: int = 3) -> str:
    """The text of `number`, with a proper minus sign."""
    rounded = round(value, digits)
    if abs(rounded - value) > _MOST_LOST * abs(value):
        mantissa, exponent = f"{value:.1e}".split("e")
        words = f"{mantissa}e{int(exponent)}"
    else:
        words = f"{rounded + 0.0:,.{digits}f}"  # + 0.0: a zero without a sign
    return words.replace("-", "\N{MINUS SIGN}")


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table of cells that are HTML already; the first cell of each row is its heading."""
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>" for row in rows
    )
    said = f"<caption>{caption}</caption>" if caption else ""
    return f'<div class="wide"><table>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def picture(content: bytes | str, alt: str) -> str:
    """A picture from the bytes of a PNG or the text of an SVG; `alt` is plain text that says what there is to see."""
    if isinstance(content, bytes):
        data = base64.b64encode(content).decode("ascii")
        return f'<img src="data:image/png;base64,{data}" alt="{text(alt)}">'
    return f'<div class="drawing" role="img" aria-label="{text(alt)}">{content}</div>'


def beside(*pictures: str) -> str:
    """Pictures side by side, one below the other where there is no room."""
    return f'<div class="beside">{"".join(pictures)}</div>'


def figure(content: str, caption: str) -> str:
    """A picture, or several, with a caption in HTML."""
    return f"<figure>{content}<figcaption>{caption}</figcaption></figure>"


def film(name: str, frames: Sequence[str], captions: Sequence[str], *, slider: str = "frame", start: int = 0) -> str:
    """Pictures one at a time, with a slider: `frames` and `captions` are HTML, one caption for each frame.

    name: unique in the page; slider: what the slider moves through, such as "training step"; start: the frame shown
    first. The page's script moves it; without scripts all frames are shown, one below the other. Raises ValueError if
    there is not one caption for each frame, or no frame.
    """
    if not frames or len(frames) != len(captions):
        raise ValueError(
            f"a film of {len(frames)} frames has {len(captions)} captions; give at least one, one for each"
        )
    shown = "".join(
        f'<div class="frame"{"" if i == start else " hidden"}>{frame}<p class="caption">{caption}</p></div>'
        for i, (frame, caption) in enumerate(zip(frames, captions, strict=True))
    )
    return (
        f'<figure class="film" id="film-{text(name)}">{shown}<div class="controls">'
        f'<button type="button" aria-label="play or pause">▶</button><label>{text(slider)} '
        f'<input type="range" min="0" max="{len(frames) - 1}" step="1" value="{start}"></label></div></figure>'
    )

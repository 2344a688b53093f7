"""Parts of an HTML page: numbers, tables, pictures, and slideshows; see minigan.figures.html_page for the page."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

_MAX_ROUNDING = 0.05  # of a number, beyond which it is printed with a power of ten


def text(words: str) -> str:
    """`words` escaped for HTML."""
    return html.escape(words)


def number(value: float, digits: int = 3) -> str:
    """`value` as an HTML <data> element, rounded as by `printed`; its attribute holds the exact value."""
    return f'<data value="{float(value)!r}">{printed(value, digits)}</data>'


def printed(value: float, digits: int = 3) -> str:
    """`value` with `digits` digits after the point, or with a power of ten where that would round off too much."""
    rounded = round(value, digits)
    if abs(rounded - value) > _MAX_ROUNDING * abs(value):
        mantissa, exponent = f"{value:.1e}".split("e")
        words = f"{mantissa}e{int(exponent)}"
    else:
        words = f"{rounded + 0.0:,.{digits}f}"  # + 0.0: a zero without a sign
    return words.replace("-", "\N{MINUS SIGN}")


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table; cells are HTML, and the first cell of each row is its heading."""
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>" for row in rows
    )
    title = f"<caption>{caption}</caption>" if caption else ""
    return f'<div class="wide"><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def picture(content: bytes | str, alt: str) -> str:
    """A picture from the bytes of a PNG or the text of an SVG; `alt` is its description in plain text."""
    if isinstance(content, bytes):
        data = base64.b64encode(content).decode("ascii")
        return f'<img src="data:image/png;base64,{data}" alt="{text(alt)}">'
    return f'<div class="drawing" role="img" aria-label="{text(alt)}">{content}</div>'


def side_by_side(*pictures: str) -> str:
    """Pictures side by side, or one below the other on a narrow screen."""
    return f'<div class="side-by-side">{"".join(pictures)}</div>'


def figure(content: str, caption: str) -> str:
    """A picture, or several, with a caption in HTML."""
    return f"<figure>{content}<figcaption>{caption}</figcaption></figure>"


def slideshow(
    name: str, frames: Sequence[str], captions: Sequence[str], *, slider: str = "frame", start: int = 0
) -> str:
    """Pictures one at a time, with a slider: `frames` and `captions` are HTML, one caption for each frame.

    name: unique in the page. slider: the label of the slider, such as "training step". start: the frame shown first.
    The slider needs the page's script; without scripts all frames are shown, one below the other. Raises ValueError if
    there is no frame, or not one caption for each.
    """
    if not frames or len(frames) != len(captions):
        raise ValueError(
            f"a slideshow of {len(frames)} frames has {len(captions)} captions; give at least one, one for each"
        )
    shown = "".join(
        f'<div class="frame"{"" if i == start else " hidden"}>{frame}<p class="caption">{caption}</p></div>'
        for i, (frame, caption) in enumerate(zip(frames, captions, strict=True))
    )
    return (
        f'<figure class="slideshow" id="slideshow-{text(name)}">{shown}<div class="controls">'
        f'<button type="button" aria-label="play or pause">▶</button><label>{text(slider)} '
        f'<input type="range" min="0" max="{len(frames) - 1}" step="1" value="{start}"></label></div></figure>'
    )

"""The frame of an HTML page in one file that works offline: its style, its script, and sections with contents."""

from __future__ import annotations

import html
from collections.abc import Sequence

_STYLE = """
:root { color-scheme: light; --ink: #1c252e; --paper: #fdfdfb; --rule: #d5dae0; --accent: #1d5fa8; --shade: #f2f4f5;
  --soft: #3c4854; --edge: #aab3bd; --faint: #e3e7eb; --card: #fff;
  --real: #1d5fa8; --fake: #c2470d; --third: #2c7a4b; --fourth: #7b3fa0; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 47rem; padding: 1.5rem 1rem 5rem; color: var(--ink); background: var(--paper);
  font: 1.0625rem/1.6 Georgia, "DejaVu Serif", serif; overflow-wrap: break-word; }
h1, h2, h3, nav, figcaption, .caption, .controls, table, svg { font-family: system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 3.5rem 0 1rem; padding-top: 1rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
a { color: var(--accent); }
sub, sup { line-height: 0; }
nav { font-size: .95rem; }
code, pre { font: .9em/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { overflow-x: auto; padding: .75rem; background: var(--shade); border-radius: 4px; }
.formula { text-align: center; overflow-x: auto; padding: .3rem 0; }
math { font-size: 1.1em; }
figure { margin: 1.5rem 0; }
.side-by-side { display: flex; flex-wrap: wrap; gap: .75rem; justify-content: center; }
.side-by-side > * { flex: 0 1 340px; min-width: 0; }
svg { display: block; max-width: 100%; height: auto; margin: 0 auto; }
svg svg { display: inline; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption, .caption { font-size: .875rem; line-height: 1.45; color: var(--soft); margin: .6rem 0 0;
  font-variant-numeric: tabular-nums; }
.slideshow { border: 1px solid var(--rule); border-radius: 6px; padding: .75rem; background: var(--card); }
.slideshow .caption { min-height: 2.9em; }
.controls { display: flex; gap: .75rem; align-items: center; padding: .5rem 0; font-size: .9rem;
  position: sticky; bottom: 0; background: var(--card); }
.controls label { display: flex; flex: 1; gap: .75rem; align-items: center; min-width: 0; }
.controls input { flex: 1; min-width: 0; accent-color: var(--accent); }
.controls button { font: inherit; width: 2.4rem; height: 2.2rem; border: 1px solid var(--edge); border-radius: 4px;
  background: var(--shade); cursor: pointer; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.wide { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; color: var(--soft); }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--faint); vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--edge); }
td { white-space: nowrap; }
.long { white-space: normal; overflow-wrap: anywhere; }
.bar { background: var(--accent); height: 3px; }
tbody th { font-weight: 400; min-width: 8.5rem; }
@media (max-width: 30rem) { body { font-size: 1rem; } .controls label { flex-wrap: wrap; } }
"""
_DARK = """
@media (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --ink: #e4e8ec; --paper: #15191d; --rule: #3a424a; --accent: #7db4f0; --shade: #232a31;
    --soft: #b3bcc5; --edge: #5b6670; --faint: #2c343b; --card: #1b2026; --real: #7db4f0; --fake: #f0905c;
    --third: #6cc795; --fourth: #c590e8; }
}
svg { fill: var(--ink); }
"""
_SCRIPT = """
for (const slideshow of document.querySelectorAll('.slideshow')) {
  const frames = slideshow.querySelectorAll('.frame'), slider = slideshow.querySelector('input');
  const button = slideshow.querySelector('button');
  let timer = 0;
  const show = () => frames.forEach((frame, i) => { frame.hidden = i != slider.value; });
  const pause = () => { clearInterval(timer); timer = 0; button.textContent = '▶'; };
  const go = (i) => { slider.value = i; show(); if (i >= slider.max) pause(); };
  const play = () => {
    timer = setInterval(() => go(Number(slider.value) + 1), 400);
    button.textContent = '❚❚';
    go(slider.value == slider.max ? 0 : Number(slider.value) + 1);
  };
  slider.addEventListener('input', () => { pause(); show(); });
  button.addEventListener('click', () => timer ? pause() : play());
  show();
}
"""
_WITHOUT_SCRIPT = "<noscript><style>.frame[hidden] { display: block; } .controls { display: none; }</style></noscript>"


def document(
    title: str,
    heading: str,
    introduction: str,
    sections: Sequence[tuple[str, str, str]],
    footer: str = "",
    *,
    dark: bool = False,
) -> str:
    """The page as HTML.

    title: plain text. sections: (anchor, title in plain text, body in HTML) of each. heading, introduction, footer:
    HTML. dark: whether it is dark where the reader's system is; its drawings then take var(--ink), var(--real) and so
    on as colours.
    """
    contents = "".join(f'<li><a href="#{name}">{html.escape(words)}</a></li>' for name, words, _ in sections)
    bodies = "".join(
        f'<section id="{name}"><h2>{html.escape(words)}</h2>{body}</section>' for name, words, body in sections
    )
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}{_DARK if dark else ''}</style>{_WITHOUT_SCRIPT}</head><body><h1>{heading}</h1>"
        f'{introduction}<nav aria-label="contents"><ol>{contents}</ol></nav><main>{bodies}</main>'
        f"{footer}<script>{_SCRIPT}</script></body></html>\n"
    )

"""The study page: one HTML file that works offline and demonstrates claims about GANs with checked numbers."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path

from minigan.core.files import write_text
from minigan.study import dirac_fields, distances, saturation, step_graph, training_mistakes, two_gaussians
from minigan.study.section import Section

SECTIONS: dict[str, Callable[[], Section]] = {
    "one-step": step_graph.section,
    "two-gaussians": two_gaussians.section,
    "saturation": saturation.section,
    "distances": distances.section,
    "dirac": dirac_fields.section,
    "one-wrong-line": training_mistakes.section,
}

_TITLE = "minigan: what GANs do, with checked numbers"
_PAPERS = (
    "Goodfellow et al., “Generative adversarial nets”, 2014",
    "Arjovsky, Chintala and Bottou, “Wasserstein GAN”, 2017",
    "Arjovsky and Bottou, “Towards principled methods for training generative adversarial networks”, 2017",
    "Gulrajani et al., “Improved training of Wasserstein GANs”, 2017",
    "Mescheder, Geiger and Nowozin, “Which training methods for GANs do actually converge?”, 2018",
)
_WELCOME = """<p>For readers of the papers below: each claim is stated and then demonstrated. minigan computed
everything here when this file was written, from fixed seeds, and minigan&rsquo;s tests compare each number with an
independent computation. Move the sliders with the mouse, or with the arrow keys once they have the focus.</p>"""
_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 47rem; padding: 1.5rem 1rem 5rem; color: #1c252e; background: #fdfdfb;
  font: 1.0625rem/1.6 Georgia, "DejaVu Serif", serif; overflow-wrap: break-word; }
h1, h2, h3, nav, figcaption, .caption, .controls, table, svg { font-family: system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 3.5rem 0 1rem; padding-top: 1rem; border-top: 1px solid #d5dae0; }
h3 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
a { color: #1d5fa8; }
sub, sup { line-height: 0; }
nav { font-size: .95rem; }
code, pre { font: .9em/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { overflow-x: auto; padding: .75rem; background: #f2f4f5; border-radius: 4px; }
.formula { text-align: center; overflow-x: auto; padding: .3rem 0; }
math { font-size: 1.1em; }
figure { margin: 1.5rem 0; }
.side-by-side { display: flex; flex-wrap: wrap; gap: .75rem; justify-content: center; }
.side-by-side > * { flex: 0 1 340px; min-width: 0; }
svg { display: block; max-width: 100%; height: auto; margin: 0 auto; }
svg svg { display: inline; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption, .caption { font-size: .875rem; line-height: 1.45; color: #3c4854; margin: .6rem 0 0;
  font-variant-numeric: tabular-nums; }
.slideshow { border: 1px solid #d5dae0; border-radius: 6px; padding: .75rem; background: #fff; }
.slideshow .caption { min-height: 2.9em; }
.controls { display: flex; gap: .75rem; align-items: center; padding: .5rem 0; font-size: .9rem;
  position: sticky; bottom: 0; background: #fff; }
.controls label { display: flex; flex: 1; gap: .75rem; align-items: center; min-width: 0; }
.controls input { flex: 1; min-width: 0; accent-color: #1d5fa8; }
.controls button { font: inherit; width: 2.4rem; height: 2.2rem; border: 1px solid #aab3bd; border-radius: 4px;
  background: #f2f4f5; cursor: pointer; }
:focus-visible { outline: 2px solid #1d5fa8; outline-offset: 2px; }
.wide { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; color: #3c4854; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e3e7eb; vertical-align: top; }
thead th { color: #3c4854; font-weight: 600; border-bottom: 1px solid #aab3bd; }
td { white-space: nowrap; }
tbody th { font-weight: 400; min-width: 8.5rem; }
@media (max-width: 30rem) { body { font-size: 1rem; } .controls label { flex-wrap: wrap; } }
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


def write(path: Path, progress: Callable[[str], None] = lambda name: None) -> list[Section]:
    """Compute every section, write the page to `path` atomically, and return the sections.

    progress: called with the name of each section before it is computed.
    """
    sections = []
    for name, section in SECTIONS.items():
        progress(name)
        sections.append(section())
    write_text(path, render(sections))
    return sections


def render(sections: Sequence[Section]) -> str:
    """The page as HTML."""
    contents = "".join(f'<li><a href="#{s.name}">{html.escape(s.title)}</a></li>' for s in sections)
    bodies = "".join(f'<section id="{s.name}"><h2>{html.escape(s.title)}</h2>{s.body}</section>' for s in sections)
    papers = "".join(f"<li>{paper}</li>" for paper in _PAPERS)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{_TITLE}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style>{_WITHOUT_SCRIPT}</head><body><h1>What GANs do, with checked numbers</h1>"
        f'{_WELCOME}<nav aria-label="contents"><ol>{contents}</ol></nav><main>{bodies}</main>'
        f"<footer><h2>The papers</h2><ul>{papers}</ul></footer><script>{_SCRIPT}</script></body></html>\n"
    )

"""The study page: one HTML file that works offline and demonstrates claims about GANs with checked numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from minigan.core.files import write_text
from minigan.figures import html_page
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
    papers = "".join(f"<li>{paper}</li>" for paper in _PAPERS)
    return html_page.document(
        _TITLE,
        "What GANs do, with checked numbers",
        _WELCOME,
        [(section.name, section.title, section.body) for section in sections],
        f"<footer><h2>The papers</h2><ul>{papers}</ul></footer>",
    )

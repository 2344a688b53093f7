"""The report of a run as one HTML page that needs nothing else: report.html."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minigan.core.errors import MiniganError, clause
from minigan.core.files import write_text
from minigan.figures import html_page
from minigan.figures.history import History
from minigan.figures.html_parts import side_by_side, table, text
from minigan.report import pictures
from minigan.report.curves import curve_charts
from minigan.report.gradients import gradient_norms, norms_table
from minigan.report.run_facts import RunFacts
from minigan.training.recorded_scores import flat

_WITHOUT_NETWORKS = (
    "<p>Its networks are code of your own, which no command knows, so this part is left out; in Python, "
    "<code>minigan.report.networks_of_own</code> adds it.</p>"
)
Section = tuple[str, str, str]  # anchor, title, HTML


def write_report(facts: RunFacts, out: Path | None = None) -> Path:
    """Write the report of a run, atomically, and return its path. out: None for RUN/report.html."""
    out = out or facts.folder.report
    write_text(out, render(facts))
    return out


def render(facts: RunFacts) -> str:
    """The page as HTML: no network, no other file; light or dark as the reader's system is."""
    title = f"{facts.name}, step {facts.step:,}"
    steps = facts.content.get("steps", facts.step)
    summary = (
        f"<p>A run of <code>{text(facts.name)}</code> in <code>{text(facts.folder.path.name)}</code>, at step "
        f"{facts.step:,} of {steps:,}, as <code>minigan report</code> found it.</p>"
    )
    return html_page.document(title, text(title), summary, list(_sections(facts)), dark=True)


def _sections(facts: RunFacts) -> Iterator[Section]:
    yield "samples", "Samples", _or_else(pictures.timeline(facts.folder), "No pictures of samples were recorded.")
    yield "curves", "Curves", _curves(facts)
    yield "findings", "Findings of the diagnosis", _findings(facts)
    yield "evaluation", "Evaluation", _evaluation(facts)
    yield "interpolations", "Between latent vectors", _interpolations(facts)
    yield "gradients", "Gradients by layer", _gradients(facts)
    yield "settings", "Settings", _settings(facts)
    yield "time", "Time", _time(facts)
    yield "repeat", "To repeat it", _how_to_repeat(facts)


def _or_else(body: str, sentence: str) -> str:
    return body or f"<p>{sentence}</p>"


def _curves(facts: RunFacts) -> str:
    charts = curve_charts(History(facts.rows), facts.loss)
    return side_by_side(*charts) if charts else "<p>There are no two rows of metrics to draw.</p>"


def _findings(facts: RunFacts) -> str:
    found = [(row["step"], sentence) for row in facts.rows for sentence in row.get("diagnosis", [])]
    items = "".join(f"<li>Step {step:,}: {text(str(sentence))}</li>" for step, sentence in found)
    return f"<ul>{items}</ul>" if found else "<p>The diagnosis of the training, every 100 steps, found nothing.</p>"


def _evaluation(facts: RunFacts) -> str:
    shown = pictures.of_evaluation(facts.folder)
    if facts.scores is None:
        run = text(_quoted(facts.folder.path))
        how = f"<p>Not evaluated yet: <code>minigan evaluate {run}</code> measures it; make the report again then.</p>"
        return how + shown
    rows = [(text(name), _wrapping(value)) for name, value in flat(facts.scores) if name != "step"]
    return table(["measure", "value"], rows, f"as of step {facts.scores.get('step', facts.step):,}") + shown


def _interpolations(facts: RunFacts) -> str:
    if facts.networks is None:
        return _WITHOUT_NETWORKS
    try:
        drawn = pictures.paths_between_latents(facts.networks)
    except MiniganError as error:
        return f"<p>Left out: {text(clause(error))}.</p>"
    how = (
        "Each row, or line, goes from one latent vector to the next, on an arc if they are normal. Smooth changes "
        "speak for a generator that has learned more than single examples; jumps speak against it."
    )
    return f"<figure>{drawn}<figcaption>{how}</figcaption></figure>" if drawn else "<p>Such samples are not drawn.</p>"


def _gradients(facts: RunFacts) -> str:
    if facts.networks is None:
        return _WITHOUT_NETWORKS
    try:
        norms = gradient_norms(facts.networks.gan, facts.networks.batch())
    except MiniganError as error:
        return f"<p>Left out: {text(clause(error))}.</p>"
    how = (
        "<p>Of the next training step: the root mean square of the numbers of each weight and of its gradient. A bar "
        "is the logarithm of a gradient, from the player's smallest to its largest.</p>"
    )
    return how + norms_table(norms)


def _settings(facts: RunFacts) -> str:
    content = facts.content
    rows = [
        (name, value) for name, value in content.items() if not isinstance(value, Mapping | list) and value is not None
    ]
    rows += [(f"data: {name}", value) for name, value in dict(content.get("data") or {}).items()]
    if facts.networks is not None:
        networks = {"generator": facts.networks.gan.generator, "discriminator": facts.networks.gan.discriminator}
        counts = {name: sum(p.size for p in network.parameters().values()) for name, network in networks.items()}
        rows += [(f"parameters of the {name}", f"{count:,}") for name, count in counts.items()]
    return _pairs("run", rows) + _pairs("setting", list(dict(content.get("settings") or {}).items()))


def _pairs(title: str, rows: list[tuple[str, Any]]) -> str:
    cells = [(text(name.replace("_", " ") if title == "run" else name), _wrapping(value)) for name, value in rows]
    return table([title, "value"], cells) if rows else ""


def _wrapping(value: Any) -> str:
    return f'<span class="long">{text(str(value))}</span>'


def _time(facts: RunFacts) -> str:
    rows = [("seconds of training, with pictures and checkpoints", _wrapping(_seconds(facts)))]
    for name, value in dict(facts.content.get("computed_on") or {}).items():
        rows.append((text(f"computed on: {name}"), text(str(value))))
    for name, value in dict(facts.content.get("versions") or {}).items():
        rows.append((text(f"version of {name}"), text(str(value))))
    return table(["", ""], rows)


def _seconds(facts: RunFacts) -> str:
    if not facts.seconds:
        return "not recorded"
    last = max(facts.seconds)
    return f"{facts.seconds[last]:,.1f} to step {last:,} ({1e3 * facts.seconds[last] / last:.3g} ms a step)"


def _how_to_repeat(facts: RunFacts) -> str:
    run = _quoted(facts.folder.path)
    if "recipe" not in facts.content:
        return "<p>Run the program that trained it; the settings above are those of its call.</p>"
    own = dict(facts.content.get("recipe_file") or {}).get("path")
    recipe = f" --recipe {shlex.quote(str(own))}" if own else ""
    commands = [
        f"minigan train --config {run}/config.json{recipe}", f"minigan sample {run}{recipe} --n 64 --seed 1",
        f"minigan evaluate {run}{recipe}", f"minigan export {run}{recipe}", f"minigan train --resume {run}{recipe}",
    ]  # fmt: skip
    return f"<pre>{text(chr(10).join(commands))}</pre><p>Equal versions and devices give equal bits.</p>"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))

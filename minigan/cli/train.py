"""Train a GAN by a recipe, or resume a run."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minigan_kernels
from minigan import recipes
from minigan.cli import compile_notice, exit_codes, options
from minigan.core import backend, files, progress
from minigan.core.errors import UsageError, escaped
from minigan.domains import Data, Evaluation
from minigan.nn import Module
from minigan.recipes import Recipe
from minigan.report import networks_of, read_facts, write_report
from minigan.training import (
    Outcome,
    RunConfig,
    RunFolder,
    Trainer,
    changes,
    checkpoint,
    first_free_path,
    initial_weights,
    kept_checkpoints,
    load_config,
    open_run,
    trackers,
)
from minigan.training.base_loop import failure_as_notice
from minigan.training.evaluation import evaluate, evaluation_request, facts_as_json, record
from minigan.training.interrupt import stop_on_signal
from minigan.training.run_data import load_data, reload_data
from minigan.training.trained_run import TrainedRun

_NOT_OPTIONS = ("recipe_file", "init_from", "changes")  # fields of RunConfig that no option of the same name sets
# Fields of RunConfig that do not change what a run computes.
_ALLOWED_ON_RESUME = {"steps", "threads", "data_dir", "download", "strict", "keep_checkpoints", "export_every"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan train`; their default is None, so that a configuration can supply the value."""
    parser.add_argument(
        "recipe", metavar="RECIPE", nargs="?",
        help=f"one of 'minigan recipes', or a Python file of yours that defines one (default: {recipes.DEFAULT})",
    )  # fmt: skip
    options.add_recipe_file_argument(parser)
    parser.add_argument("--steps", type=options.whole_number, help="training steps in all (default: the recipe's)")
    parser.add_argument("--seed", type=options.whole_number, help="seed of every random draw (default: 0)")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/RECIPE, numbered if taken)")
    parser.add_argument(
        "--data-dir",
        help="folder of pictures or IDX files, or .npy or .npz file of pictures (default: the 10,000 embedded digits)",
    )
    parser.add_argument(
        "--strict", action="store_true", default=None, help="stop at a picture that cannot be read, not leave it out"
    )
    parser.add_argument("--download", action="store_true", default=None, help="fetch all of MNIST (11 MB), once")
    options.add_device_arguments(parser)
    parser.add_argument("--dtype", help="type of the numbers: float32 or float64 (default: float32)")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[],
        help="change a setting ('minigan recipes NAME' explains them); with --resume: from here on, if it may change",
    )  # fmt: skip
    parser.add_argument("--config", type=Path, help="repeat the run that a config.json describes")
    parser.add_argument("--resume", metavar="RUN", type=Path, help="go on with a run from its last checkpoint")
    parser.add_argument(
        "--init-from", metavar="RUN", type=Path, help="begin with the weights of another run; the optimisers are new"
    )
    options.add_checkpoint_argument(parser, "with --resume or --init-from: take")
    parser.add_argument("--sample-every", type=options.whole_number, help="steps between pictures (default: 500)")
    parser.add_argument(
        "--checkpoint-every", type=options.whole_number, help="steps between checkpoints (default: 1000)"
    )
    parser.add_argument(
        "--keep-checkpoints",
        type=options.whole_number,
        help="how many of the last checkpoints to keep, besides the one of the best score (default: 2)",
    )
    parser.add_argument(
        "--evaluate-every", metavar="K", type=options.whole_number,
        help="every K steps, and at checkpoints, measure how far 1,000 samples are from the data, and keep the "
        "checkpoint where they are nearest (--checkpoint best)",
    )  # fmt: skip
    parser.add_argument(
        "--export-every", type=options.whole_number,
        help="write the generator's weights (RUN/weights/, for minigan.load) and a picture every so many steps",
    )  # fmt: skip
    parser.add_argument("--log-every", type=options.whole_number, help="steps between metrics (default: 10)")
    parser.add_argument(
        "--track", metavar="SERVICE", action="append", default=[],
        help=f"record the run there, too: {', '.join(trackers.NAMES)}; its package must be installed",
    )  # fmt: skip
    parser.add_argument("--tensorboard", action="store_true", help="the same as --track tensorboard: RUN/tensorboard")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained, and write nothing")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, and print a summary."""
    own_recipe = options.load_recipe_file(_recipe_file(arguments))
    config = _resumed_config(arguments, own_recipe) if arguments.resume else _new_config(arguments, own_recipe)
    folder = RunFolder(arguments.resume or arguments.out or Path("runs") / config.recipe)
    options.choose_device(config.backend, config.kernels, config.threads, arguments.quiet)
    if arguments.dry_run and config.download:
        raise UsageError("--dry-run writes nothing, so it cannot --download; leave one of them out.")
    if arguments.strict:
        recipes.get(config.recipe).domain.check_strict(config.data_dir)
    _require_writable_folder(folder, arguments)
    _callbacks(arguments)  # raises UsageError, before any work, if a package is missing
    loading: dict[str, Any] = {"progress": not arguments.quiet, "notice": options.notice_printer(arguments.quiet)}
    data = reload_data(config, folder, **loading) if arguments.resume else load_data(config, **loading)
    if arguments.dry_run:
        return _describe(_trainer(config, folder, data, arguments), arguments.json)
    trainer = _trainer(config, folder, data, arguments)  # compiles kernels; Ctrl-C ends it at once
    with stop_on_signal() as stop:
        if not arguments.quiet:
            _print_start(trainer)
        compiling = minigan_kernels.compile_seconds()
        trainer, outcome = _train(trainer, lambda: stop.requested, arguments)
        compiling = minigan_kernels.compile_seconds() - compiling
    evaluation = None if outcome.interrupted else _evaluate(trainer, arguments)
    if not outcome.interrupted:
        _report(trainer, arguments)
    _print_summary(outcome, compiling, trainer, evaluation, arguments)
    return exit_codes.INTERRUPTED if outcome.interrupted else exit_codes.SUCCESS


def _evaluate(trainer: Trainer, arguments: argparse.Namespace) -> Evaluation | None:
    """Evaluate the finished run if its kind of data asks for it; a failure causes a notice only."""
    if not trainer.domain.evaluates_at_end:
        return None
    folder = trainer.folder
    run = TrainedRun(trainer.gan, trainer.config, trainer.domain)
    request = evaluation_request(run, folder, lambda: trainer.data, quiet=arguments.quiet)
    with failure_as_notice(folder.scores, f"minigan evaluate {folder.path}", options.notice_printer(arguments.quiet)):
        evaluation = evaluate(trainer.domain, request)
        record(evaluation, trainer.gan.step, folder)
        return evaluation
    return None


def _report(trainer: Trainer, arguments: argparse.Namespace) -> None:
    """Write the report of the finished run; a failure causes a notice only."""
    folder, run = trainer.folder, TrainedRun(trainer.gan, trainer.config, trainer.domain)
    notice = options.notice_printer(arguments.quiet)
    with failure_as_notice(folder.report, f"minigan report {folder.path}", notice):
        write_report(read_facts(folder, networks_of(run, lambda: trainer.data)))


def _require_writable_folder(folder: RunFolder, arguments: argparse.Namespace) -> None:
    """Raise UsageError if the folder of the run cannot be written."""
    if arguments.out:
        folder.require_free()
    else:
        files.require_writable(folder.path if arguments.resume else folder.path.parent)


def _trainer(config: RunConfig, folder: RunFolder, data: Data, arguments: argparse.Namespace) -> Trainer:
    """The trainer of a new or a resumed run; a new run gets its folder here, unless this is a dry run."""
    with options.warnings_as_notices(arguments.quiet):
        if arguments.resume:
            return Trainer.resume(config, data, folder, arguments.checkpoint, _callbacks(arguments))
        if arguments.dry_run:
            return Trainer.prepare(config, data, folder if arguments.out else RunFolder(first_free_path(folder.path)))
        return Trainer.begin(config, data, folder, numbered=not arguments.out, callbacks=_callbacks(arguments))


def _callbacks(arguments: argparse.Namespace) -> list[object]:
    """The trackers that the command line names; raises UsageError if the package of one is missing."""
    names = [*arguments.track, *(["tensorboard"] if arguments.tensorboard else [])]
    return [trackers.by_name(name) for name in dict.fromkeys(names)]


def _recipe_file(arguments: argparse.Namespace) -> str | None:
    """The Python file that defines the recipe, if the command line names one."""
    positional = arguments.recipe if (arguments.recipe or "").endswith(".py") else None
    if arguments.recipe_file and arguments.recipe not in (None, arguments.recipe_file):
        raise UsageError(
            f"both '{arguments.recipe}' and --recipe {arguments.recipe_file} name a recipe; leave one of them out."
        )
    file: str | None = arguments.recipe_file or positional
    return file


def _new_config(arguments: argparse.Namespace, own_recipe: Recipe | None) -> RunConfig:
    if arguments.checkpoint is not None and arguments.init_from is None:
        raise UsageError(
            "--checkpoint says from where to resume a run; name the run, too, with --resume or --init-from."
        )
    base = load_config(arguments.config) if arguments.config else None
    named = own_recipe.name if own_recipe else arguments.recipe
    if base and named not in (None, base.recipe):
        raise UsageError(
            f"{arguments.config} describes a run of '{base.recipe}', not of '{named}'; leave the recipe out."
        )
    recipe = recipes.get(base.recipe if base else named or recipes.DEFAULT)
    if base:
        options.notice_changed_recipe(base, own_recipe, arguments.config, arguments.quiet)
        base = changes.made(changes.undone(base, 0), 0)
    values: dict[str, Any] = dataclasses.asdict(base) if base else {"recipe": recipe.name, "steps": recipe.steps}
    values["recipe_file"] = None  # as it is now
    named_fields = _named_fields(arguments)
    if arguments.init_from is not None:
        named_fields["init_from"] = initial_weights.source(arguments.init_from, arguments.checkpoint)
    named_settings = options.parsed_settings(arguments)
    config = RunConfig(**values | named_fields | {"settings": {**values.get("settings", {}), **named_settings}})
    recipe.require_effect(named_settings, config.settings)
    return config


def _resumed_config(arguments: argparse.Namespace, own_recipe: Recipe | None) -> RunConfig:
    folder = open_run(arguments.resume)
    config = load_config(folder.config)
    named_fields = _named_fields(arguments)
    named_recipe = own_recipe.name if own_recipe else arguments.recipe
    if named_recipe not in (None, config.recipe):
        raise UsageError(f"{folder.path} is a run of '{config.recipe}', not of '{named_recipe}'; leave the recipe out.")
    fixed = sorted(
        name for name in named_fields.keys() - _ALLOWED_ON_RESUME if named_fields[name] != getattr(config, name)
    )
    fixed += [name for name in ("config", "out", "init_from") if getattr(arguments, name) is not None]
    if fixed:
        option = fixed[0].replace("_", "-")
        raise UsageError(
            f"--{option} cannot change in a resumed run; leave it out, or start a new run without --resume."
        )
    options.notice_changed_recipe(config, own_recipe, folder.path, arguments.quiet)
    if named_fields.get("steps", config.steps) != config.steps:
        config = changes.with_fixed_schedule(config)
    named_fields = {name: named_fields[name] for name in named_fields.keys() & _ALLOWED_ON_RESUME}
    config = dataclasses.replace(config, recipe_file=_present_file(config, folder, arguments), **named_fields)
    return _with_changed_settings(config, folder, arguments)


def _present_file(config: RunConfig, folder: RunFolder, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The entry "recipe_file" with the file as it is now, and until which step it was another one."""
    file, recorded = recipes.get(config.recipe).file, config.recipe_file
    if file is None or recorded is None:
        return None
    earlier = recorded.get("earlier", [])
    if recorded["sha256"] != file.sha256:
        earlier = [*earlier, {"sha256": recorded["sha256"], "until_step": _resumed_step(folder, arguments)}]
    return dataclasses.asdict(file) | ({"earlier": earlier} if earlier else {})


def _resumed_step(folder: RunFolder, arguments: argparse.Namespace) -> int:
    return checkpoint.read_metadata(kept_checkpoints.choose(folder, arguments.checkpoint)).step


def _with_changed_settings(config: RunConfig, folder: RunFolder, arguments: argparse.Namespace) -> RunConfig:
    """`config` as it is at the checkpoint that is resumed, with the settings that --set names."""
    named = options.parsed_settings(arguments)
    if not named and not config.changes:
        return config
    step = _resumed_step(folder, arguments)
    config = changes.made(changes.undone(config, step), step)
    if named:
        config = changes.changed(config, step, named)
        recipes.get(config.recipe).require_effect(named, config.settings)
    return config


def _named_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of RunConfig that the command line names."""
    names = {field.name for field in dataclasses.fields(RunConfig)} - {"recipe", "settings", *_NOT_OPTIONS}
    fields = {name: getattr(arguments, name) for name in names if getattr(arguments, name, None) is not None}
    if "data_dir" in fields:
        fields["data_dir"] = str(Path(fields["data_dir"]).absolute())  # the run may be resumed from elsewhere
    # A source of data on the command line replaces the one in a configuration.
    if "data_dir" in fields:
        fields.setdefault("download", False)
    elif "download" in fields:
        fields["data_dir"] = None
    return fields


def _print_start(trainer: Trainer) -> None:
    start = f"from step {trainer.gan.step:,}" if trainer.gan.step else "from scratch"
    line = f"Training {trainer.config.recipe} on {trainer.data}, {start}, into {trainer.folder.path}"
    print(escaped(line), file=sys.stderr)


def _train(trainer: Trainer, should_stop: Callable[[], bool], arguments: argparse.Namespace) -> tuple[Trainer, Outcome]:
    """Train to the end, or until `should_stop()`, and change settings on the way if the configuration says so.

    Where settings change, the run is interrupted and resumed, as it was when they changed first; so it has the same
    bits. Returns the last trainer, too.
    """
    compile_notice.finish()
    outcomes, quiet = [], arguments.quiet
    with progress.bar(quiet, total=trainer.config.steps, initial=trainer.gan.step, unit="step") as bar:
        while True:
            turn = changes.next_step(trainer.config)
            report = _reporter(trainer, bar, quiet)
            notice = options.notice_printer(quiet)
            outcomes.append(trainer.run(report, _until(trainer, turn, should_stop), notice).outcome)
            if turn is None or outcomes[-1].step < turn or not outcomes[-1].interrupted:
                break
            config = changes.made(trainer.config, turn)
            trainer = Trainer.resume(config, trainer.data, trainer.folder, callbacks=_callbacks(arguments))
            notice(f"step {turn:,}: from here on with {_made_at(config, turn)}")
    return trainer, dataclasses.replace(
        outcomes[-1],
        first_step=outcomes[0].first_step,
        seconds=sum(outcome.seconds for outcome in outcomes),
        step_seconds=sum(outcome.step_seconds for outcome in outcomes),
    )


def _until(trainer: Trainer, turn: int | None, should_stop: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: should_stop() or trainer.gan.step == turn


def _made_at(config: RunConfig, step: int) -> str:
    """The settings that change at `step`, such as "rate=0.0001"."""
    made = next(change["settings"] for change in config.changes if change["step"] == step)
    return ", ".join(f"{name}={value}" for name, value in made.items())


def _reporter(trainer: Trainer, bar: Any, quiet: bool) -> Callable[[int, dict[str, float]], None]:
    """A function of a recorded step and its metrics that shows them."""
    first_step = trainer.gan.step

    def report(step: int, metrics: dict[str, float]) -> None:
        compile_notice.finish()
        if bar.n == first_step:
            bar.unpause()  # leave the first steps, which compile the kernels, out of the rate
        bar.set_postfix_str(
            f"loss D {metrics['discriminator_loss']:.3f} G {metrics['generator_loss']:.3f}, "
            f"D(x) {metrics['real_score']:.2f}, D(G(z)) {metrics['fake_score']:.2f}",
            refresh=False,
        )
        bar.update(step - bar.n)
        if not quiet and (scores := trainer.domain.measured_in_words(metrics)):
            progress.write(f"step {step:,}: {scores}")

    return report


def _print_summary(
    outcome: Outcome, compiling: float, trainer: Trainer, evaluation: Evaluation | None, arguments: argparse.Namespace
) -> None:
    folder, steps = trainer.folder, outcome.step - outcome.first_step
    run = shlex.quote(str(folder.path))
    if trainer.config.recipe_file:
        run += f" --recipe {shlex.quote(trainer.config.recipe_file['path'])}"
    if arguments.json:
        options.print_json(
            {
                "run": str(folder.path),
                "recipe": trainer.config.recipe,
                "first_step": outcome.first_step,
                "step": outcome.step,
                "steps": outcome.steps,
                "interrupted": outcome.interrupted,
                "seconds": round(outcome.seconds, 3),
                "step_seconds": round(outcome.step_seconds, 3),
                "compile_seconds": round(compiling, 3),
                **outcome.metrics,
                **({"scores": facts_as_json(evaluation.facts)} if evaluation else {}),
            }
        )
    if arguments.quiet or arguments.json:
        return
    if outcome.interrupted:
        options.print_line(f"Stopped at step {outcome.step:,}. Go on with: minigan train --resume {run}")
        return
    print(f"Done: {steps:,} step{'' if steps == 1 else 's'} in {_duration(outcome, compiling)}.")
    pictures = [folder.path / name for name in trainer.domain.artefacts()] or [folder.sample_path(outcome.step)]
    if evaluation:
        print("\n".join(evaluation.lines))
        pictures += [folder.path / f"{name}.png" for name in evaluation.pictures]
    existing = [str(path) for path in (*pictures, folder.animation, folder.curves, folder.report) if path.is_file()]
    if existing:
        options.print_line(f"Look at {', '.join(existing)}.")
    evaluation_hint = f", minigan evaluate {run}" if trainer.domain.can_evaluate(trainer.data) else ""
    options.print_line(f"Next: minigan sample {run}{evaluation_hint}")


def _duration(outcome: Outcome, compiling: float) -> str:
    """The seconds in all and in the steps alone, and those to compile or load kernels if there are any."""
    steps = outcome.step - outcome.first_step
    parts = [f"{outcome.seconds:.1f} s"]
    if steps:
        each = f"{1e3 * outcome.step_seconds / steps:.3g} ms each"
        parts.append(f"{outcome.step_seconds:.1f} s of them in the steps alone ({each})")
    if compiling:
        parts.append(f"{compiling:.1f} s to compile or load the kernels")
    return ", ".join(parts)


def _describe(trainer: Trainer, as_json: bool) -> int:
    """Print what a dry run would train."""
    config, folder, data, gan = trainer.config, trainer.folder, trainer.data, trainer.gan
    networks = {"generator": _network(gan.generator), "discriminator": _network(gan.discriminator)}
    if as_json:
        options.print_json(
            {"run": str(folder.path), "config": dataclasses.asdict(config), "data": data.describe(), **networks}
        )
        return exit_codes.SUCCESS
    settings = ", ".join(f"{key}={value}" for key, value in config.settings.items())
    rows: list[tuple[str, Any]] = [
        ("recipe", config.recipe),
        ("settings", settings),
        ("steps", f"{config.steps:,}"),
        ("seed", config.seed),
        ("data", f"{data} from {data.source}"),
        ("computes on", f"{backend.current().name}, kernels {backend.current().kernels}, {config.dtype}"),
        ("run folder", folder.path),
    ]
    for name, network in networks.items():
        rows.append((name, f"{' - '.join(network['layers'])} ({network['parameters']:,} parameters)"))
    options.print_table(rows)
    return exit_codes.SUCCESS


def _network(network: Module) -> dict[str, Any]:
    """The layers and the number of parameters, for JSON."""
    return {
        "layers": [repr(layer) for _, layer in network.children()],
        "parameters": sum(parameter.size for parameter in network.parameters().values()),
    }

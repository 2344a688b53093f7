"""Settings that change on the way: a run was resumed with others, such as a lower rate from step 500 on.

config.json lists them as `changes`, in the order of their steps. An entry that has been made is

    {"step": 500, "settings": {"rate": 1e-4}, "before": {"rate": 2e-4}}

and the configuration's settings are those after it. An entry without "before" lies ahead: the run will change its
settings when it gets to that step. So a run with changes can be repeated: `undone` goes back to step 0, and all changes
lie ahead.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from minigan import recipes
from minigan.training.config import RunConfig
from minigan.training.valid_changes import Change, require_changeable


def next_step(config: RunConfig) -> int | None:
    """The step of the first change that lies ahead; None if there is none."""
    return next((change["step"] for change in config.changes if "before" not in change), None)


def undone(config: RunConfig, step: int) -> RunConfig:
    """`config` as it was at `step`: later changes lie ahead again."""
    settings, changes = dict(config.settings), list[Change]()
    for change in reversed(config.changes):
        if "before" in change and change["step"] > step:
            settings |= change["before"]
            change = {key: change[key] for key in ("step", "settings")}
        changes.insert(0, change)
    return dataclasses.replace(config, settings=settings, changes=changes)


def made(config: RunConfig, step: int) -> RunConfig:
    """`config` with the changes that lie ahead made, up to those at `step`."""
    settings, changes = dict(config.settings), list[Change]()
    for change in config.changes:
        if "before" not in change and change["step"] <= step:
            change = {**change, "before": {name: settings[name] for name in change["settings"]}}
            settings |= change["settings"]
        changes.append(change)
    return dataclasses.replace(config, settings=settings, changes=changes)


def with_fixed_schedule(config: RunConfig) -> RunConfig:
    """`config` with the length of its schedules, if it has any, as a setting: the same run, which may now be extended.

    Otherwise a schedule would span the new number of steps, as if the run had had it from its beginning.
    """
    recipe = recipes.get(config.recipe)
    ever = [config.settings, *({**config.settings, **change["settings"]} for change in config.changes)]
    if config.settings["schedule_steps"] or not any(map(recipe.is_scheduled, ever)):
        return config
    return dataclasses.replace(config, settings={**config.settings, "schedule_steps": config.steps})


def changed(config: RunConfig, step: int, settings: Mapping[str, Any]) -> RunConfig:
    """`config` with its settings changed to `settings` at `step`; what lay ahead does not happen any more.

    Raises UsageError for settings that cannot change.
    """
    recipe = recipes.get(config.recipe)
    require_changeable(settings, recipe)
    if "schedule_steps" in settings:
        config = with_fixed_schedule(config)  # so that "before" is right even if the number of steps changes later
    new = recipe.resolve({**config.settings, **settings})
    changes = [change for change in config.changes if "before" in change]
    before = {name: config.settings[name] for name in settings if new[name] != config.settings[name]}
    after = {name: new[name] for name in before}
    if changes and changes[-1]["step"] == step:  # two changes at one step are one
        earlier = changes.pop()
        after, before = earlier["settings"] | after, before | earlier["before"]
    if before:
        changes.append({"step": step, "settings": after, "before": before})
    return dataclasses.replace(config, settings=new, changes=changes)

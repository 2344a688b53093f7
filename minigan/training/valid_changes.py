"""Checks of the changes of settings that a configuration lists (see minigan.training.changes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigan.core.errors import UsageError
from minigan.recipes import Recipe
from minigan.recipes.settings import CHANGEABLE

Change = dict[str, Any]
_LIMIT = 2**63
_NEEDED = {"step", "settings"}
_KEYS = {*_NEEDED, "before"}


def require_valid(changes: Any, settings: Mapping[str, Any], recipe: Recipe) -> None:
    """Raise UsageError unless `changes` is a list as described above, for a run of `recipe` that now has `settings`."""
    if not isinstance(changes, list):
        raise UsageError(f"changes must be a list of changed settings, not {changes!r}.")
    last, ahead = -1, False
    for change in changes:
        parts = [change.get(key, {}) for key in ("settings", "before")] if isinstance(change, dict) else []
        if not parts or not all(isinstance(part, dict) for part in parts) or not _NEEDED <= change.keys() <= _KEYS:
            raise UsageError(f"changes must have entries of step, settings and before, not {change!r}.")
        step, made = change.get("step"), "before" in change
        if type(step) is not int or not last < step < _LIMIT or (ahead and made):
            raise UsageError(f"changes must be in the order of their steps, and step {step!r} is not.")
        if made and parts[0].keys() != parts[1].keys():
            raise UsageError(f"the change at step {step} must have the same settings before and after.")
        require_changeable(parts[0], recipe)
        for part in parts:
            recipe.resolve({**settings, **part})
        last, ahead = step, ahead or not made


def require_changeable(names: Mapping[str, Any], recipe: Recipe) -> None:
    """Raise UsageError, which lists those that can, for a setting that cannot change in the middle of a run."""
    possible = [name for name in CHANGEABLE if name in recipe.settings]
    for name in names:
        if name in recipe.settings and name not in possible:
            raise UsageError(
                f"the setting '{name}' cannot change in a resumed run; these can: {', '.join(possible)}; leave it out, "
                "or start a new run, perhaps with the weights of this one (--init-from)."
            )

"""Does a run that is killed again and again end with the same files, bit for bit, as one that is not?

Each run is trained twice: in one go, and in a process that gets SIGKILL at random moments, every fourth time counted
from its start, else from its first sign of progress, and is resumed until it is done. Then every file of both folders
is compared by its SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

EVERY = ["--sample-every", "50", "--checkpoint-every", "20", "--log-every", "5"]


@dataclass(frozen=True)
class Case:
    """What to train: arguments of `minigan train`."""

    arguments: tuple[str, ...]
    steps: int


def _set(*settings: str) -> tuple[str, ...]:
    return tuple(part for setting in settings for part in ("--set", setting))


CASES = {
    "mnist-mlp": Case(("mnist-mlp",), 400),
    "mnist-dcgan": Case(
        ("mnist-dcgan",
         *_set("batch_size=8", "generator_widths=16,8", "discriminator_widths=8,16",
               "generator_dense=64", "discriminator_dense=32")),
        400,
    ),
    # A critic without a constraint whose scores explode, which the diagnosis reports from the third check on.
    "ring": Case(
        ("ring", *_set("loss=wasserstein", "penalty=none", "rate=0.05", "generator_rate=1e-5")), 600
    ),
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipes", default=",".join(CASES), help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--kills", type=int, default=20, help="of each run (default: 20)")
    parser.add_argument("--steps", type=int, help="of each run (default: some hundreds)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills (default: 0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    found = []
    for name in options.recipes.split(","):
        case = CASES[name]
        found.append(_kill_and_compare(name, case, options.steps or case.steps, options.kills, options.seed))
        print(
            "{recipe}: {kills} kills, {in_training} of them in training; {files} files, "
            "{told} lines of diagnosis; different: {names}".format(
                **found[-1], names=", ".join(found[-1]["different"]) or "none"
            ),
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if any(figures["different"] for figures in found) else 0


def _kill_and_compare(name: str, case: Case, steps: int, kills: int, seed: int) -> dict:
    with tempfile.TemporaryDirectory() as place:
        straight, killed = Path(place) / "straight", Path(place) / "killed"
        arguments = [*case.arguments, *EVERY, "--steps", str(steps)]
        seconds = _train_without_kills(arguments, straight)
        in_training, done = _kill(arguments, killed, kills, seconds / max(kills, 1), random.Random(seed))
        rows = [json.loads(line) for line in (straight / "metrics.jsonl").read_text().splitlines()]
        ours, theirs = _digests(straight), _digests(killed)
    return {
        "recipe": name,
        "steps": steps,
        "kills": done,
        "in_training": in_training,
        "files": len(ours),
        "told": sum(len(row.get("diagnosis", [])) for row in rows),
        "different": sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)),
    }


def _train_without_kills(arguments: list[str], out: Path) -> float:
    """Train without kills; returns the seconds between the first sign of progress and the end."""
    process, began = _start(arguments, out), None
    while process.poll() is None:
        began = began or (time.monotonic() if _progress(out) else None)
        time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"the run that was not killed failed with {process.returncode}")
    return time.monotonic() - (began or time.monotonic())


def _kill(arguments: list[str], out: Path, kills: int, longest: float, rng: random.Random) -> tuple[int, int]:
    """Kill the run `kills` times, or until it is done, then let it end; returns (kills during training, kills)."""
    in_training = done = 0
    for kill in range(kills):
        before, process = _progress(out), _start(arguments, out)
        if kill % 4:
            while process.poll() is None and _progress(out) == before:
                time.sleep(0.002)
        time.sleep(rng.uniform(0, longest))
        if process.poll() is not None:
            break
        in_training += _progress(out) != before
        process.send_signal(signal.SIGKILL)
        process.wait()
        done += 1
    if done == kills:
        process = _start(arguments, out)
    if process.wait():
        raise SystemExit(f"a resumed run failed with {process.returncode}")
    return in_training, done


def _start(arguments: list[str], out: Path) -> subprocess.Popen:
    what = ["--resume", str(out)] if (out / "config.json").exists() else [*arguments, "--out", str(out)]
    return subprocess.Popen([sys.executable, "-m", "minigan", "train", *what, "--quiet"])


def _progress(out: Path) -> int:
    """When the file of metrics was last written, 0 if it never was; rewinding to a checkpoint writes it as well."""
    try:
        return (out / "metrics.jsonl").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _digests(run: Path) -> dict[str, str]:
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    sys.exit(main())

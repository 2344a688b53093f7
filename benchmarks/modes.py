"""Modes of ring and grid by PacGAN's protocol: recipes over seeds, each seed in a process of its own.

    python benchmarks/modes.py --recipes ring,grid --seeds 10 --threads 2 --json modes.json

Every seed from 0 on counts; none is dropped. `--set key=value` changes a setting in all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from typing import Any

import command_line
import machine


def run(options: argparse.Namespace) -> dict[str, Any]:
    threads = machine.limit_cores(options.threads, [])
    rows = []
    for recipe in options.recipes:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            rows.append(in_fresh_process(recipe, seed, options))
            print(line(rows[-1]), file=sys.stderr, flush=True)
    return {"machine": machine.facts(threads), "versions": machine.versions([]), "settings": options.set, "rows": rows}


def in_fresh_process(recipe: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--here", f"{recipe}:{seed}"]
    command += [part for pair in options.set for part in ("--set", pair)]
    command += ["--steps", str(options.steps)] if options.steps else []
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise machine.RequestError(result.stderr.strip())
    return json.loads(result.stdout.splitlines()[-1])


def train_here(options: argparse.Namespace) -> dict[str, Any]:
    """Train one recipe with one seed as `minigan train` does, without its pictures, and score its generator."""
    from minigan import recipes
    from minigan.domains import PointDomain
    from minigan.metrics import modes

    name, _, seed = options.here.partition(":")
    recipe = recipes.get(name)
    assert isinstance(recipe.domain, PointDomain)
    steps = options.steps or recipe.steps
    changes = dict(pair.split("=", 1) for pair in options.set)
    gan, data = recipe.build(seed=int(seed), steps=steps, **changes), recipe.domain.points
    count = recipe.resolve(changes)["batch_size"] * gan.rules.n_critic
    gan.train_step(data.batch(count, int(seed), 0, "float32"))  # loads the kernels
    start, cpu = time.perf_counter(), time.process_time()
    for step in range(1, steps):
        gan.train_step(data.batch(count, int(seed), step, "float32"))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    bad = gan.first_nonfinite_gradient()
    report = modes.evaluate(lambda n: gan.sample(gan.latent(n, f"scored {n}")).numpy() * data.scale, data.target)
    few, many = report.pacgan, report.strict
    low, high = many.sigma_range
    return {
        "recipe": name, "seed": int(seed), "steps": steps, "modes": few.modes, "covered": few.covered,
        "strict": many.strictly_covered, "high_quality": few.high_quality, "reverse_kl": few.reverse_kl,
        "high_quality_25k": many.high_quality, "reverse_kl_25k": many.reverse_kl, "sigma_low": low, "sigma_high": high,
        "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "bad_gradient": bad,
    }  # fmt: skip


def line(row: dict[str, Any]) -> str:
    return (
        f"{row['recipe']:<12} seed {row['seed']}  {row['covered']:2}/{row['modes']} strict {row['strict']:2}  "
        f"HQ {row['high_quality']:7.2%}  KL {row['reverse_kl']:.4f}  "
        f"sigma {row['sigma_low']:.2f}-{row['sigma_high']:.2f}  {row['steps']:,} steps in {row['seconds']:.0f} s"
    )


def report(facts: dict[str, Any]) -> str:
    """The result as a Markdown table: a line for each seed, and one for the mean."""
    lines = [
        *machine.headline(facts["machine"], facts["versions"]),
        "",
        "| recipe | seed | modes | strict | HQ | reverse KL | sigma ratio | steps | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in facts["rows"]:
        lines.append(
            f"| {row['recipe']} | {row['seed']} | {row['covered']}/{row['modes']} | {row['strict']} | "
            f"{row['high_quality']:.2%} | {row['reverse_kl']:.4f} | {row['sigma_low']:.2f}-{row['sigma_high']:.2f} | "
            f"{row['steps']:,} | {row['seconds']:.0f} |"
        )
    for recipe in dict.fromkeys(row["recipe"] for row in facts["rows"]):
        lines.append(mean([row for row in facts["rows"] if row["recipe"] == recipe]))
    return "\n".join(lines)


def mean(rows: list[dict[str, Any]]) -> str:
    def average(key: str) -> float:
        return statistics.fmean(row[key] for row in rows)

    kl = average("reverse_kl")
    return (
        f"| **{rows[0]['recipe']}** | mean | {average('covered'):.1f}/{rows[0]['modes']} | {average('strict'):.1f} | "
        f"{average('high_quality'):.2%} | {'-' if math.isnan(kl) else f'{kl:.4f}'} | "
        f"{min(row['sigma_low'] for row in rows):.2f}-{max(row['sigma_high'] for row in rows):.2f} | "
        f"{rows[0]['steps']:,} | {average('seconds'):.0f} |"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Modes of ring and grid by PacGAN's protocol, over seeds.")
    parser.add_argument("--recipes", type=command_line.words, default=["ring", "grid"], metavar="NAMES")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="how many (10)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="the first of them (0)")
    parser.add_argument("--steps", type=int, metavar="N", help="(those of the recipe)")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="change a setting")
    parser.add_argument("--here", help=argparse.SUPPRESS)  # one seed, in this process
    command_line.add_arguments(parser, (), default=())
    options = parser.parse_args(arguments)
    if options.here:
        return command_line.carry_out(train_here, json.dumps, options)
    return command_line.carry_out(run, report, options)


if __name__ == "__main__":
    sys.exit(main())

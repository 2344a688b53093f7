"""The gradient checker on PyTorch's own derivatives: right ones, and derivatives with a single wrong entry.

    python benchmarks/gradcheck_opinfo.py --json opinfo.json

The operations and their samples are those of PyTorch's own tests (`op_db`, its OpInfo samples), in float64. f is the
sum of an operation's outputs times fixed random numbers; PyTorch computes it and its gradient. Where the gradient is
accepted, one entry that is not zero gets the wrong sign, then is multiplied by 1.001, then is set to zero. With --json
an interrupted run continues where it stopped; delete the file when the checker has changed. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import command_line
import machine
import numpy as np

MISTAKES: dict[str, Callable[[float], float]] = {
    "sign": lambda entry: -entry,
    "factor 1.001": lambda entry: 1.001 * entry,
    "zero": lambda entry: 0.0,
}

# Operations whose derivative in PyTorch is wrong for some of the samples, so that the checker should reject it.
PYTORCH_IS_WRONG = {
    "as_strided_scatter": "the base's derivative is not zero where the other input is written over it",
    "nn.functional.max_unpool1d": "several inputs go to one place, where the last stays; all get its derivative",
    "nn.functional.max_unpool2d": "several inputs go to one place, where the last stays; all get its derivative",
    "nn.functional.max_unpool3d": "several inputs go to one place, where the last stays; all get its derivative",
    "nn.functional.hardsigmoid": "1/6 is rounded to float32",
    "normal": "mean and standard deviation get no derivative",
    "normal number_mean": "the standard deviation gets no derivative",
}


class OutOfTimeError(BaseException):
    """Not an Exception, because to the checker an Exception of f is the boundary of its domain."""


@dataclass(frozen=True)
class Sample:
    """f and its gradient, as functions of arrays, at the point of one OpInfo sample."""

    name: str
    point: tuple[np.ndarray, ...]
    f: Callable[..., float]
    gradient: Callable[..., tuple[np.ndarray, ...]]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Check the derivative of every sample, right and wrong."""
    threads = machine.limit_cores(1, [])
    where = machine.facts(threads)
    machine.import_peers(["torch"], threads)
    settings = {"seed": options.seed, "samples": options.samples, "versions": machine.versions(["torch"])}
    results = _kept(options.json, settings)
    operations = [op for op in differentiable() if not options.only or options.only in name_of(op)]
    if not operations:
        raise machine.RequestError(f"--only {options.only} is in no operation's name; leave it out to see all.")
    for op in operations:
        if name_of(op) not in results:
            results[name_of(op)] = _within(options.seconds, op, options)
            if options.json:
                _keep(options.json, {"machine": where, **settings, "answers": results})
    chosen = [name_of(op) for op in operations]
    counted = totals({name: results[name] for name in chosen})
    return {"machine": where, **settings, "answers": results, "chosen": chosen, "totals": counted}


def _kept(path: Path | None, settings: dict[str, Any]) -> dict[str, Any]:
    """The results of an earlier run with the same settings."""
    if path is None or not path.exists():
        return {}
    before = json.loads(path.read_text())
    return before["answers"] if all(before.get(name) == value for name, value in settings.items()) else {}


def _keep(path: Path, facts: dict[str, Any]) -> None:
    from minigan.core import files

    files.write_text(path, json.dumps(facts))


# PyTorch's operations as functions of arrays.


def differentiable() -> list[Any]:
    """Every operation of PyTorch's tests with a float64 derivative; operations of the same name are variants."""
    import torch

    try:
        from torch.testing._internal.common_methods_invocations import op_db
    except ImportError as error:
        raise machine.RequestError(
            f'PyTorch\'s tests cannot be imported ({error}); install what they need with: pip install -e ".[bench]"'
        ) from error
    return [op for op in op_db if op.supports_autograd and torch.float64 in op.supported_backward_dtypes("cpu")]


def name_of(op: Any) -> str:
    """The name with the variant, such as "linalg.norm" or "linalg.norm subgradients_at_zero"."""
    return f"{op.name} {op.variant_test_name}".rstrip()


def samples(op: Any, options: argparse.Namespace) -> Iterator[Sample]:
    """The first samples that have inputs to differentiate by, and a finite output that depends on them."""
    import torch

    torch.manual_seed(options.seed)
    drawn = (_sample(op, number, one, options.seed) for number, one in enumerate(
        op.sample_inputs("cpu", torch.float64, requires_grad=True)))  # fmt: skip
    yield from itertools.islice((sample for sample in drawn if sample is not None), options.samples)


def _sample(op: Any, number: int, drawn: Any, seed: int) -> Sample | None:
    import torch
    from torch.utils import _pytree

    given, structure = _pytree.tree_flatten((drawn.input, drawn.args, drawn.kwargs))
    places = [i for i, leaf in enumerate(given) if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
    if not places or any(given[i].dtype != torch.float64 or not given[i].numel() for i in places):
        return None
    if any(given[i].layout != torch.strided for i in places):
        return None

    def result(arrays: tuple[np.ndarray, ...]) -> tuple[list[Any], Any]:
        leaves = [torch.from_numpy(np.array(x)).requires_grad_() for x in arrays]
        call = [leaf.detach().clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in given]
        for place, leaf in zip(places, leaves, strict=True):
            call[place] = leaf.clone()  # operations that work in place reject leaves
        first, args, kwargs = _pytree.tree_unflatten(call, structure)
        torch.manual_seed(seed)
        y = op.gradcheck_wrapper(op.get_op(), first, *args, **kwargs)  # may make a matrix symmetric
        y = drawn.output_process_fn_grad(y) if drawn.output_process_fn_grad else y
        return leaves, _weighted(_pytree.tree_leaves(y), seed)

    def f(*arrays: np.ndarray) -> float:
        with torch.enable_grad():
            return float(result(arrays)[1])

    def gradient(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        leaves, y = result(arrays)
        slopes = torch.autograd.grad(y, leaves, allow_unused=True)
        return tuple(
            np.zeros(x.shape) if g is None else g.numpy(force=True) for x, g in zip(arrays, slopes, strict=True)
        )

    point = tuple(given[i].detach().numpy().copy() for i in places)
    try:
        y = result(point)[1]
    except RuntimeError:  # the sample has another memory layout than its copy
        return None
    if not y.requires_grad or not torch.isfinite(y):
        return None
    return Sample(f"{name_of(op)} #{number}", point, f, gradient)


def _weighted(outputs: list[Any], seed: int) -> Any:
    """The sum of all differentiable outputs with random weights of both signs.

    Outputs of lower precision are left out, because they are step functions.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    y = torch.zeros((), dtype=torch.float64)
    for part in outputs:
        if isinstance(part, torch.Tensor) and part.requires_grad and part.dtype in (torch.float64, torch.complex128):
            numbers = torch.view_as_real(part.resolve_conj()) if part.is_complex() else part
            u = 0.5 + torch.rand(numbers.shape, generator=generator, dtype=torch.float64)
            signs = torch.randint(0, 2, numbers.shape, generator=generator) * 2 - 1
            y = y + (numbers * u * signs).sum()
    return y


# Checking.


def _within(seconds: float, op: Any, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The checker's results for an operation's samples; those that are not finished in time are left out."""

    def stop(*_: Any) -> None:
        raise OutOfTimeError

    results: list[dict[str, Any]] = []
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        for sample in samples(op, options):
            results.append(check_sample(sample, options.seed))
    except OutOfTimeError:
        results.append({"name": name_of(op), "out_of_time": True})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return results


def check_sample(sample: Sample, seed: int) -> dict[str, Any]:
    """The checker's results for the right gradient, and for each mistake if the right one is accepted."""
    right = checked(sample, sample.gradient, seed)
    results = {"name": sample.name, "right": right, "wrong": {}, "entry": ""}
    slopes = np.concatenate([g.reshape(-1) for g in sample.gradient(*(x.copy() for x in sample.point))])
    places = np.flatnonzero(np.isfinite(slopes) & (slopes != 0))
    if right["ok"] and places.size:
        place = int(np.random.default_rng([seed, *sample.name.encode()]).choice(places))
        results["entry"] = f"number {place} of {slopes.size}, {slopes[place]:.3g} where the largest is "
        results["entry"] += f"{np.abs(slopes[places]).max():.3g}"
        for name, change in MISTAKES.items():
            results["wrong"][name] = checked(sample, _changed(sample.gradient, place, change), seed)
    return results


def _changed(gradient: Callable[..., tuple[np.ndarray, ...]], place: int, change: Callable[[float], float]) -> Any:
    def changed(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        slopes = [np.array(g) for g in gradient(*arrays)]
        flat = np.concatenate([g.reshape(-1) for g in slopes])
        flat[place] = change(flat[place])
        parts = np.split(flat, np.cumsum([g.size for g in slopes])[:-1])
        return tuple(part.reshape(g.shape) for part, g in zip(parts, slopes, strict=True))

    return changed


def checked(sample: Sample, gradient: Callable[..., Any], seed: int) -> dict[str, Any]:
    """The checker's result as a dictionary; "judged" says whether it was conclusive."""
    import minigan as mg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            report = mg.check_pair(sample.f, gradient, sample.point, seed=seed)
        except Exception as error:
            return {"ok": False, "judged": False, "said": f"{type(error).__name__}: {error}", "evaluations": 0}
    said = "" if report.ok else str(report)
    return {"ok": report.ok, "judged": report.verdict != "NOISY", "said": said, "evaluations": report.evaluations}


# Counting.


def totals(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The numbers of samples and mistakes, and how many had the expected result."""
    cases = [case for some in results.values() for case in some if "right" in case]
    late = [case["name"] for some in results.values() for case in some if "right" not in case]
    counts = {"operations": len(results), "right": len(cases), "accepted": sum(c["right"]["ok"] for c in cases)}
    for name in MISTAKES:
        made = [case["wrong"][name] for case in cases if name in case["wrong"]]
        counts[name] = [sum(_is_caught(one) for one in made), len(made)]
    return {**counts, "evaluations": sum(c["right"]["evaluations"] for c in cases), "out_of_time": late}


def _is_caught(one: dict[str, Any]) -> bool:
    return not one["ok"] and one["judged"]


def report(facts: dict[str, Any]) -> str:
    """The totals, and every case whose result is not the expected one."""
    counted = facts["totals"]
    lines = [
        *machine.headline(facts["machine"], facts["versions"]), "",
        "| derivatives | tried | correct result |", "| --- | --- | --- |",
        f"| right: accepted | {counted['right']:,} | {counted['accepted']:,} |",
        *(f"| one entry, {name}: caught | {counted[name][1]:,} | {counted[name][0]:,} |" for name in MISTAKES), "",
        f"{counted['operations']} operations; {counted['evaluations']:,} calls of f for the right derivatives.",
    ]  # fmt: skip
    if counted["out_of_time"]:
        lines.append(f"Not finished within the time for one operation: {', '.join(counted['out_of_time'])}.")
    for name in facts["chosen"]:
        for case in (case for case in facts["answers"][name] if "right" in case):
            lines += _shown(case)
    return "\n".join(lines)


def _shown(case: dict[str, Any]) -> list[str]:
    if not case["right"]["ok"]:
        operation = case["name"].rpartition(" #")[0]
        whose = f" (PyTorch's mistake: {PYTORCH_IS_WRONG[operation]})" if operation in PYTORCH_IS_WRONG else ""
        return ["", f"{case['name']}: rejected{whose}", "  " + case["right"]["said"].replace("\n", "\n  ")]
    lines = []
    for name, one in case["wrong"].items():
        if not _is_caught(one):
            what = "accepted" if one["ok"] else "inconclusive"
            lines += ["", f"{case['name']}: {name} {what}, {case['entry']}", *one["said"].splitlines()]
    return lines


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAME", help="operations whose name contains this")
    parser.add_argument("--samples", type=int, default=2, metavar="N", help="of each operation, at most (2)")
    parser.add_argument("--seconds", type=float, default=60, help="for one operation, at most (60)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too, and go on from them")
    options = parser.parse_args(arguments)
    if options.samples < 1 or not options.seconds > 0:
        parser.error("--samples must be at least 1, and --seconds above 0")
    return command_line.carry_out(run, report, options)


if __name__ == "__main__":
    sys.exit(main())

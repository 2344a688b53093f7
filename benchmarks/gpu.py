"""Measures minigan's CUDA kernels and training steps on a GPU against cuBLAS, PyTorch and JAX.

    python benchmarks/gpu.py agreement kernels products steps --json gpu.json
    python benchmarks/gpu.py kernels --only "conv2d.* 64x64"
    python benchmarks/gpu.py --dry-run                    # minigan's part, tiny, on the stand-in for CuPy: no GPU

agreement: losses and gradients of the four networks against float64 on the CPU. kernels: every shape of a training
step. products: square matrix products. steps: whole training steps, by the graph launch, without it, and in PyTorch
(eager, compiled, as a CUDA graph) and JAX (compiled). Calls take turns; times are medians between CUDA events, after
the second-level cache has been overwritten; PyTorch's convolutions are channels_last. What is missing on the machine is
left out and said. The JSON file is written after every result. See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("agreement", "kernels", "products", "steps")
FLOPS, TF32_FLOPS, BYTES = 67e12, 494e12, 4.8e12  # of an H200 on paper, a second; TF32 without sparsity
SQUARES = (512, 1024, 2048, 4096)
STEPS_AT_A_TIME = 20
Facts = dict[str, Any]


class Record:
    """The results so far, written to a file after every one; an error in one part does not end the others."""

    def __init__(self, path: Path | None, facts: Facts) -> None:
        self.path, self.facts = path, facts

    def keep(self, part: str, name: str, value: Any) -> None:
        """Add a result and write the file."""
        self.facts.setdefault(part, {})[name] = value
        if self.path:
            temporary = self.path.with_suffix(".part")
            temporary.write_text(json.dumps(self.facts, indent=2) + "\n")
            os.replace(temporary, self.path)

    @contextmanager
    def guarded(self, part: str, name: str) -> Iterator[None]:
        """A context whose exceptions become the result."""
        try:
            yield
        except Exception as error:  # whatever a library raises
            self.keep(part, name, {"error": f"{type(error).__name__}: {error}"[:2000]})
            print(f"{part} {name}: {type(error).__name__}: {error}", file=sys.stderr)


class Settings:
    """What the parts share: seconds for each call, the peers, whether it is a dry run, and when to stop."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.dry_run: bool = options.dry_run
        self.seconds: float = 0.0 if self.dry_run else options.seconds
        self.flush_bytes = 4096 if self.dry_run else 256 * 2**20
        self.only: re.Pattern[str] = options.only
        self.networks: list[str] = options.networks
        self.peers = [] if self.dry_run else [peer for peer in ("torch", "jax") if importlib.util.find_spec(peer)]
        self._end = time.monotonic() + options.budget

    @property
    def is_over(self) -> bool:
        """Whether the time for all parts is used up."""
        return time.monotonic() > self._end

    def measure(self, calls: dict[str, Any], repeat: int = 1) -> dict[str, dict[str, float]]:
        """See `gpu_clock.measure`."""
        from gpu_clock import measure

        return measure(calls, seconds=self.seconds, repeat=repeat, flush_bytes=self.flush_bytes)


def machine_facts() -> Facts:
    """The GPU and the versions."""
    import numpy as np

    from minigan import __version__
    from minigan_kernels.cuda import driver

    cupy = driver.cupy_module()
    facts = {"minigan": __version__, "python": sys.version.split()[0], "numpy": np.__version__, **driver.describe()}
    facts["cupy"] = getattr(cupy, "__version__", "")
    for name in ("torch", "jax"):
        if importlib.util.find_spec(name):
            from importlib.metadata import version

            facts[name] = version(name)
    return facts


# Agreement


def agreement(record: Record, settings: Settings) -> None:
    """The largest differences of losses and gradients from float64 on the CPU, relative to the largest number."""
    exact: Facts = {}  # by network
    for kernels, dtype in (
        ("cuda", "float32"),
        ("cuda-tf32", "float32"),
        ("cuda", "float64"),
        ("reference", "float32"),
    ):
        for network in settings.networks:
            if settings.is_over:
                return
            with record.guarded("agreement", f"{network} {kernels} {dtype}"):
                if network not in exact:
                    exact[network] = _losses_and_gradients("numpy", "reference", network, "float64", settings)
                difference = _difference(exact[network], network, kernels, dtype, settings)
                record.keep("agreement", f"{network} {kernels} {dtype}", difference)


def _difference(exact: Any, network: str, kernels: str, dtype: str, settings: Settings) -> dict[str, float]:
    import numpy as np

    import minigan as mg

    found = _losses_and_gradients("cupy", kernels, network, dtype, settings)
    mg.use("numpy", "auto")
    return {
        what: max(float(np.abs(np.asarray(a, float) - b).max()) for a, b in zip(found[what], arrays, strict=True))
        / max(float(np.abs(b).max()) for b in arrays)
        for what, arrays in exact.items()
    }


def _losses_and_gradients(backend: str, kernels: str, network: str, dtype: str, settings: Settings) -> Any:
    """Those of the first step; the noise is drawn in float64 for every dtype."""
    import numpy as np
    from twins.make import make_twin

    import minigan as mg

    mg.use(backend, kernels, replay=False)
    twin = make_twin("minigan", network, dtype, 4 if settings.dry_run else 16)
    twin.gan.latent_from = lambda rng, count, draw: mg.Tensor(
        rng.standard_normal((count, twin.gan.latent_size)).astype(np.dtype(dtype))
    )
    return twin.losses_and_gradients()


# Kernels


def kernels(record: Record, settings: Settings) -> None:
    """Every kernel at the shapes of the training steps."""
    from kernel_cases import cases

    chosen = _tiny_cases() if settings.dry_run else [case for case in cases() if settings.only.search(case.name)]
    for case in chosen:
        if settings.is_over:
            record.keep("kernels", "stopped", "the time was used up")
            return
        with record.guarded("kernels", case.name):
            record.keep("kernels", case.name, _kernel(case, record, settings))


def _kernel(case: Any, record: Record, settings: Settings) -> Facts:
    from gpu_clock import Timed
    from twins import cupy_calls

    calls = {"cuda": Timed("cupy", cupy_calls.call(case))}
    results = {"cuda": cupy_calls.on_host(calls["cuda"].call())}
    if case.operation in ("matmul", "dense", "conv2d", "conv2d_input_grad", "conv2d_weight_grad"):
        calls["cuda-tf32"] = Timed("cupy", cupy_calls.call(case, "cuda-tf32"))
        results["cuda-tf32"] = cupy_calls.on_host(calls["cuda-tf32"].call())
    with record.guarded("kernels left out", f"{case.name} cuBLAS"):
        if (product := cupy_calls.cublas_call(case)) is not None:
            product()
            calls["cuBLAS"] = Timed("cupy", product)
    if "torch" in settings.peers:
        with record.guarded("kernels left out", f"{case.name} torch"):
            from twins import torch_calls

            torch_calls.device = "cuda"
            call = torch_calls.call(case)
            results["torch"] = torch_calls.on_host(_with_tf32(call, False)())
            calls["torch"] = Timed("torch", _with_tf32(call, False))
            if "cuda-tf32" in calls:
                calls["torch tf32"] = Timed("torch", _with_tf32(call, True))
    rows: Facts = settings.measure(calls)
    for name, row in rows.items():
        row |= _rates(case.flops, case.traffic, row["median_ms"], TF32_FLOPS if "tf32" in name else FLOPS)
    facts: Facts = {"flops": case.flops, "bytes": case.traffic, "implementations": rows}
    facts["differences"] = {n: _distance(results["cuda"], r) for n, r in results.items() if n != "cuda"}
    facts |= _shares(rows)
    return facts


def _rates(flops: float, traffic: float, milliseconds: float, peak: float) -> dict[str, float]:
    """Billions a second, and the share of what an H200 has on paper, of operations `peak`, whatever the GPU is."""
    seconds = milliseconds / 1e3
    if flops:
        return {"gflops": flops / seconds / 1e9, "share_of_h200": flops / seconds / peak}
    return {"gbytes": traffic / seconds / 1e9, "share_of_h200": traffic / seconds / BYTES}


def _shares(rows: Facts) -> dict[str, float]:
    """Our speed as a share of each peer's at equal precision: 1 means as fast, 2 twice as fast."""
    pairs = {"cuBLAS": "cuda", "torch": "cuda", "torch tf32": "cuda-tf32"}
    shares = {
        f"{ours} of {peer}": rows[peer]["median_ms"] / rows[ours]["median_ms"]
        for peer, ours in pairs.items()
        if peer in rows and ours in rows
    }
    return {"shares": shares} if shares else {}


def _distance(mine: list[Any], theirs: list[Any]) -> float:
    """The largest difference, relative to the largest number of each array; a peer may return fewer arrays."""
    import numpy as np

    return max(
        float(np.abs(a.reshape(b.shape) - b).max() / max(np.abs(b).max(), 1e-30))
        for a, b in zip(mine, theirs, strict=False)
    )


def _with_tf32(call: Callable[[], Any], allowed: bool) -> Callable[[], Any]:
    import torch

    torch.backends.cudnn.benchmark = True

    def run() -> Any:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
        return call()

    return run


def _tiny_cases() -> list[Any]:
    from kernel_cases import adam_case_of, batch_norm_cases, convolution_cases, dense_cases, slope_gate_case

    from minigan_kernels.geometry import of_convolution

    return [
        *dense_cases(5, 33, 7),
        *convolution_cases(2, of_convolution((6, 6), (4, 4), 2, 1), 3, 5),
        *batch_norm_cases(9, 5, 1e-5, 0.2),
        slope_gate_case(100, 0.2),
        adam_case_of(((3, 4), (4,))),
    ]


def products(record: Record, settings: Settings) -> None:
    """Square products: our kernel and PyTorch, with and without TF32, and cuBLAS."""
    from kernel_cases import Case

    for n in (24,) if settings.dry_run else SQUARES:
        if settings.is_over:
            return
        with record.guarded("products", str(n)):
            case = Case("matmul", f"{n}x{n} {n}x{n}", ((n, n), (n, n)), (False, False), 2 * n**3)
            record.keep("products", str(n), _kernel(case, record, settings))


# Training steps


QUICK_PEERS = ("torch eager", "torch graph")
COMPILED_PEERS = ("torch compile", "jax")  # compile for up to a minute before their first step


def steps(record: Record, settings: Settings) -> None:
    """The four training steps; each implementation runs them one after another without waiting in between.

    Choosing other kernels makes minigan record its steps anew. So the peers take turns with one choice at a time; those
    that compile come last, when the time may be over, and have turns with minigan of their own.
    """
    choices = {"float32": ("cuda", True), "tf32": ("cuda-tf32", True), "no graph": ("cuda", False)}
    for name in choices:
        for network in settings.networks:
            _take_turns(network, name, *choices[name], QUICK_PEERS, f"{network} {name}", record, settings)
    if settings.peers:
        for name in ("float32", "tf32"):
            for peer in COMPILED_PEERS:
                for network in settings.networks:
                    _take_turns(
                        network, name, *choices[name], (peer,), f"{network} {name} beside {peer}", record, settings
                    )


def _take_turns(
    network: str,
    precision: str,
    kernels: str,
    graph: bool,
    peers: tuple[str, ...],
    title: str,
    record: Record,
    settings: Settings,
) -> None:
    """Measure minigan's step, by turns with those of `peers` that are there, unless the time is over."""
    if settings.is_over:
        return
    with record.guarded("steps", title):
        calls = _peers_steps(network, precision, peers, record, settings)  # first: they start from NumPy's arrays
        if peers != QUICK_PEERS and not calls:
            return
        calls = {"minigan": _minigan_step(network, kernels, graph, settings)} | calls
        rows: Facts = settings.measure(calls, repeat=2 if settings.dry_run else STEPS_AT_A_TIME)
        ratios = {peer: row["median_ms"] / rows["minigan"]["median_ms"] for peer, row in rows.items()}
        record.keep("steps", title, {"implementations": rows, "time_over_minigan": ratios})


def _peers_steps(
    network: str, precision: str, peers: tuple[str, ...], record: Record, settings: Settings
) -> dict[str, Any]:
    """Steps of those of `peers` that are there, by name; none beside minigan's step without a graph."""
    from gpu_clock import Timed

    tf32 = precision == "tf32"
    calls: dict[str, Any] = {}
    for name in () if precision == "no graph" else peers:
        library, _, kind = name.partition(" ")
        if library not in settings.peers:
            continue
        with record.guarded("steps left out", f"{network} {precision} {name}"):
            if library == "jax":
                calls[name] = Timed(library, _jax_step(network, "tensorfloat32" if tf32 else "highest"))
            else:
                calls[name] = Timed(library, _torch_step(network, kind, tf32))
    return calls


def _minigan_step(network: str, kernels: str, graph: bool, settings: Settings) -> Any:
    from gpu_clock import Timed

    import minigan as mg
    from minigan.training import benchmark

    mg.use("cupy", kernels, replay=graph)
    gan, real = benchmark.build(network)
    real = real[:8] if settings.dry_run else real
    for _ in range(4):  # the graph is captured
        gan.train_step(real)
    if graph and gan.replay.fallback_reason:
        raise RuntimeError(f"no graph: {gan.replay.fallback_reason}")
    return Timed("cupy", lambda: gan.train_step(real))


def _torch_step(network: str, kind: str, tf32: bool) -> Callable[[], Any]:
    import torch
    from twins.torch_twin import GraphTwin, TorchTwin

    import minigan as mg
    from minigan.training import benchmark

    mg.use("numpy", "reference")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32  # also while a graph is captured
    torch.backends.cudnn.benchmark = True
    gan, real = benchmark.build(network)
    twin = GraphTwin(gan, real) if kind == "graph" else TorchTwin(gan, real, compiled=kind == "compile", device="cuda")
    step = _with_tf32(twin.step, tf32)
    for _ in range(4):
        step()
    return step


def _jax_step(network: str, precision: str) -> Callable[[], Any]:
    import jax
    from twins.jax_twin import JaxTwin

    import minigan as mg
    from minigan.training import benchmark

    if jax.default_backend() != "gpu":
        raise RuntimeError(f"JAX computes on {jax.default_backend()} here")
    mg.use("numpy", "reference")
    twin = JaxTwin(*benchmark.build(network))

    def step() -> Any:
        with jax.default_matmul_precision(precision):  # outside, JAX would compile again in its own precision
            return twin.step_without_waiting()

    jax.block_until_ready(step())
    return step


# Report


def report(facts: Facts) -> str:
    """What was measured, for people."""
    lines = [", ".join(f"{key} {value}" for key, value in facts["machine"].items())]
    for name, row in facts.get("agreement", {}).items():
        lines.append(f"{name}: " + _errors_or(row, lambda r: ", ".join(f"{k} {v:.1e}" for k, v in r.items())))
    for part in ("kernels", "products"):
        for name, row in facts.get(part, {}).items():
            lines.append(f"{part} {name}: " + _errors_or(row, _kernel_line))
    for name, row in facts.get("steps", {}).items():
        lines.append(f"step {name}: " + _errors_or(row, _step_line))
    return "\n".join(lines)


def _errors_or(row: Any, text: Callable[[Any], str]) -> str:
    if isinstance(row, str):
        return row
    return str(row["error"]) if "error" in row else text(row)


def _kernel_line(row: Facts) -> str:
    times = ", ".join(
        f"{name} {r['median_ms'] * 1e3:.1f} us ({r['share_of_h200']:.0%} of an H200's peak)"
        for name, r in row["implementations"].items()
    )
    shares = ", ".join(f"{name} {share:.0%}" for name, share in row.get("shares", {}).items())
    differences = ", ".join(f"{name} {d:.0e}" for name, d in row["differences"].items())
    return "; ".join(filter(None, [times, shares, f"differences: {differences}" if differences else ""]))


def _step_line(row: Facts) -> str:
    return ", ".join(
        f"{name} {r['median_ms']:.3f} ms ({row['time_over_minigan'][name]:.2f})"
        for name, r in row["implementations"].items()
    )


def use_standin() -> None:
    """Let `import cupy` find the stand-in of the tests."""
    sys.path[:0] = [str(ROOT / "tests" / "standin"), str(ROOT / "tests")]


def parsed_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (all)")
    parser.add_argument(
        "--networks",
        type=lambda text: text.split(","),
        default=None,
        metavar="NAMES",
        help="of toy,mlp,dcgan28,dcgan64 (all)",
    )
    parser.add_argument("--only", type=re.compile, default=re.compile(""), metavar="REGEX", help="kernels by name")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each call (0.3)")
    parser.add_argument("--budget", type=float, default=3600, help="seconds after which nothing new begins (3600)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, as they come")
    parser.add_argument("--dry-run", action="store_true", help="minigan's part, tiny, on the stand-in for CuPy")
    options = parser.parse_args(arguments)
    options.parts = options.parts or list(PARTS)
    options.networks = options.networks or (["toy"] if options.dry_run else ["toy", "mlp", "dcgan28", "dcgan64"])
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    options = parsed_arguments(arguments)
    if options.dry_run:
        use_standin()
    from minigan_kernels.cuda import driver

    if reason := driver.find_cupy()[1]:
        print(f"There is no GPU to measure: {reason}.", file=sys.stderr)
        return 2
    settings = Settings(options)
    record = Record(options.json, {"machine": machine_facts(), "dry_run": options.dry_run})
    parts = {"agreement": agreement, "kernels": kernels, "products": products, "steps": steps}
    for part in options.parts:
        with record.guarded(part, "error"):
            parts[part](record, settings)
    print(report(record.facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The benchmark's networks are as documented, and its results have the documented form. No wall-clock assertions."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import mmap
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minigan_kernels
from minigan.core.errors import UsageError
from minigan.nn import BatchNorm, Conv2d, ConvTranspose2d, Dense, Flatten, LeakyReLU, ReLU, Reshape, Tanh
from minigan.optim import Adam
from minigan.training import benchmark

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def widths(network):
    dense = [layer for layer in network if isinstance(layer, Dense)]
    return [dense[0].inputs, *(layer.outputs for layer in dense)]


def count(network):
    return sum(p.size for p in network.parameters().values())


@pytest.mark.parametrize(
    ("name", "batch", "generator", "discriminator", "counts"),
    [
        ("toy", 256, [2, 128, 128, 2], [2, 128, 128, 1], (17154, 17025)),
        ("mlp", 64, [100, 256, 512, 1024, 784], [784, 512, 256, 1], (1489424, 533505)),
    ],
)
def test_network_is_as_documented(name, batch, generator, discriminator, counts):
    gan, real = benchmark.NETWORKS[name]()
    assert widths(gan.generator) == generator
    assert widths(gan.discriminator) == discriminator
    assert (count(gan.generator), count(gan.discriminator)) == counts
    assert real.shape == (batch, generator[-1])
    assert real.dtype == gan.generator.parameters()["0.weight"].dtype == np.float32
    assert gan.latent_size == generator[0]
    assert gan.loss.name == "non-saturating"
    for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
        assert isinstance(optimizer, Adam)
        assert (optimizer.learning_rate, optimizer.beta1, optimizer.beta2) == (2e-4, 0.5, 0.999)


def test_mlp_layers_are_in_order():
    gan, _ = benchmark.build("mlp")
    block = [Dense, BatchNorm, LeakyReLU]
    assert kinds(gan.generator) == [Dense, LeakyReLU, *block, *block, Dense, Tanh]
    assert {layer.eps for layer in gan.generator if isinstance(layer, BatchNorm)} == {0.8}
    slopes = {
        layer.slope for net in (gan.generator, gan.discriminator) for layer in net if isinstance(layer, LeakyReLU)
    }
    assert slopes == {0.2}


@pytest.mark.parametrize(
    ("name", "size", "counts"),
    [  # counted by PyTorch
        ("dcgan28", (28, 28, 1), (778305, 138817)),
        pytest.param("dcgan64", (64, 64, 3), (3576704, 2765568), marks=pytest.mark.slow),
    ],
)
def test_convolutional_network_is_as_documented(name, size, counts):
    gan, real = benchmark.build(name)
    assert (count(gan.generator), count(gan.discriminator)) == counts
    assert real.shape == (64, *size) and real.dtype == np.float32
    assert gan.latent_size == 100
    fake = gan.generator(gan.latent(2, "train"))
    assert fake.shape == (2, *size)
    assert gan.discriminator(fake).shape == (2, 1)
    norms = [layer for net in (gan.generator, gan.discriminator) for layer in net if isinstance(layer, BatchNorm)]
    assert {(layer.eps, layer.momentum) for layer in norms} == {(1e-5, 0.9)}


def test_convolutional_layers_are_in_order():
    block, back = [ConvTranspose2d, BatchNorm, LeakyReLU], [Conv2d, BatchNorm, LeakyReLU]
    gan, _ = benchmark.build("dcgan28")
    assert kinds(gan.generator) == [Dense, BatchNorm, LeakyReLU, Reshape, *block, ConvTranspose2d, Tanh]
    assert kinds(gan.discriminator) == [Conv2d, LeakyReLU, *back, Flatten, Dense]
    assert "0.bias" in gan.discriminator.parameters()
    gan, _ = benchmark.build("dcgan64")
    block[2] = ReLU
    assert kinds(gan.generator) == [Reshape, *block * 4, ConvTranspose2d, Tanh]
    assert kinds(gan.discriminator) == [Conv2d, LeakyReLU, *back * 3, Conv2d, Flatten]
    assert not any(name.endswith("bias") for name in gan.discriminator.parameters() | gan.generator.parameters())


def kinds(network):
    return [type(layer) for layer in network]


def test_network_is_the_same_at_every_call_and_has_the_dtype():
    (one, real_one), (two, real_two) = benchmark.build("toy", "float64"), benchmark.build("toy", "float64")
    np.testing.assert_array_equal(real_one, real_two)
    for name, p in one.generator.parameters().items():
        assert p.dtype == np.float64
        np.testing.assert_array_equal(p.data, two.generator.parameters()[name].data)


def test_measure_gives_median_quartiles_and_steps_and_prints_nothing(capsys):
    result = benchmark.measure(["toy"], seconds=0.02)
    assert list(result) == ["toy"]
    assert set(result["toy"]) == {"median_ms", "q1_ms", "q3_ms", "steps"}
    assert 0 < result["toy"]["q1_ms"] <= result["toy"]["median_ms"] <= result["toy"]["q3_ms"]
    assert capsys.readouterr().out == ""


def test_steps_take_turns():
    calls = []
    rounds = benchmark.timed_rounds({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, seconds=0.001)
    assert len(rounds["a"]) == len(rounds["b"]) > 1
    assert all(durations for name in rounds for durations in rounds[name])
    changes = sum(before != after for before, after in itertools.pairwise(calls))
    assert changes >= len(rounds["a"])


@pytest.mark.slow
def test_slow_steps_get_fewer_rounds_and_calls(monkeypatch):
    monkeypatch.setattr(benchmark, "_UNTIMED_SECONDS", 0.03)
    calls = []
    slow = lambda: (calls.append("slow"), time.sleep(0.02))  # noqa: E731
    rounds = benchmark.timed_rounds({"slow": slow, "fast": lambda: calls.append("fast")}, seconds=0.01)
    assert len(rounds["slow"]) == len(rounds["fast"]) == 5
    assert all(len(durations) == 1 for durations in rounds["slow"])
    assert calls.count("slow") <= benchmark._FIRST_STEPS + 1 + 5 * (1 + 1)


def test_summary_counts_every_round_in_milliseconds():
    assert benchmark.summary([[0.001, 0.002], [0.003, 0.004, 0.005]]) == pytest.approx(
        {"median_ms": 3.0, "q1_ms": 2.0, "q3_ms": 4.0, "steps": 5}
    )


def test_unknown_network_names_the_nearest():
    with pytest.raises(UsageError, match=r"no benchmark network 'toi'; did you mean 'toy'\?"):
        benchmark.measure(["mlp", "toi"], seconds=0.01)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_seconds_must_be_above_zero(seconds):
    with pytest.raises(UsageError, match="above 0"):
        benchmark.measure(["toy"], seconds=seconds)


@pytest.fixture
def load(monkeypatch):
    """A function that imports a module of benchmarks/ by its name, as the scripts do; it is unloaded afterwards."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name == "twins" or str(getattr(sys.modules[name], "__file__", None)).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def test_comparison_does_not_time_networks_that_differ(load):
    agreement, error = load("agreement"), load("command_line").DisagreementError
    mine = {"losses": [np.array(0.7)], "gradients": [np.array([1.0, 1e-12])]}
    agreement.require_same("toy", "torch", mine, {"losses": [np.array(0.7)], "gradients": [np.array([1.0, 0.0])]})
    with pytest.raises(error, match="gradients of toy"):
        agreement.require_same("toy", "torch", mine, {"losses": [np.array(0.7)], "gradients": [np.array([1.0, 1e-6])]})
    with pytest.raises(error, match="losses of toy"):
        agreement.require_same("toy", "torch", mine, {"losses": [np.array(np.nan)], "gradients": mine["gradients"]})


@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_peer_computes_the_same_convolutional_step(peer):
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f'{peer} is not installed; pip install -e ".[bench]"')
    program = f"import agreement; agreement.check('dcgan28', '{peer}')"
    run = subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr


def test_ratio_is_computed_for_each_round(load):
    theirs, mine = [[2.0, 2.0, 9.0], [6.0], [8.0]], [[1.0], [2.0], [2.0]]
    assert load("train_step").ratio(theirs, mine) == {"ratio": 3.0, "ratio_lowest": 2.0, "ratio_highest": 4.0}


def test_comparison_continues_without_torch_compile_if_that_fails(load, monkeypatch, capsys):
    script, peers = load("train_step"), ["torch", "torch.compile", "jax"]
    twin = type(sys)("twins.torch_twin")
    monkeypatch.setitem(sys.modules, "twins.torch_twin", twin)
    twin.why_not_compiled = lambda: None
    assert script.working(peers) == peers
    twin.why_not_compiled = lambda: "no C++ compiler"
    assert script.working(peers) == ["torch", "jax"]
    assert capsys.readouterr().err == "Without torch.compile, which does not work here (no C++ compiler).\n"
    with pytest.raises(load("machine").RequestError, match="no other peer"):
        script.working(["torch.compile"])


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train_step", "kernels", "memory"])
def test_script_says_how_to_install_a_missing_peer(script, tmp_path):
    if script == "kernels" and minigan_kernels.unavailable("numba"):
        pytest.skip("it times Numba's kernels")
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    run = run_script(script, "--peers", "torch", PYTHONPATH=str(tmp_path))
    assert run.returncode == 2
    assert 'pip install -e ".[bench]"' in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "sentence"),
    [
        ("train_step", ["--peers", "numpy"], "torch, torch.compile, jax"),
        ("train_step", ["--isa", "sse"], "'avx2', 'avx512', 'native'"),
        ("step_budget", ["--networks", "toi"], "did you mean 'toy'?"),
        ("train_step", ["--networks", ""], "one or more names"),
        ("kernels", ["--seconds", "0"], "above 0"),
        ("kernels", ["--only", "("], "no regular expression"),
        ("memory", ["--networks", "toi"], "did you mean 'toy'?"),
        ("memory", ["--threads", "0"], "at least 1"),
    ],
)
def test_wrong_use_gives_a_one_line_message(script, arguments, sentence):
    run = run_script(script, *arguments)
    assert run.returncode == 2
    assert sentence in run.stderr
    assert "Traceback" not in run.stderr


def run_script(name, *arguments, **environment):
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("script", ["train_step", "kernels", "memory", "step_budget"])
def test_script_chooses_the_cores_before_it_imports_libraries(script):
    program = f"import json, sys, {script}; print(json.dumps(list(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    assert not set(json.loads(run.stdout)) & {"numpy", "numba", "minigan", "torch", "jax"}


AVX2_CPU, AVX512_CPU = ["sse2", "avx2", "fma"], ["sse2", "avx2", "fma", "avx512f"]


@pytest.fixture
def isa(load, monkeypatch):
    """The module isa with an environment of its own; `isa.cpu_flags` is to be set."""
    module = load("isa")
    monkeypatch.setattr(module, "os", SimpleNamespace(environ={"XLA_FLAGS": "--xla_dump_to=here"}))
    return module


def test_every_library_is_limited_to_avx2_where_the_cpu_has_more(isa, monkeypatch):
    monkeypatch.setattr(isa, "cpu_flags", lambda: AVX512_CPU)
    isa.choose("avx2")
    assert isa.os.environ == {
        "NUMBA_CPU_NAME": "haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "OPENBLAS_CORETYPE": "Haswell",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "XLA_FLAGS": "--xla_dump_to=here --xla_cpu_max_isa=AVX2",
    }


@pytest.mark.parametrize(("name", "flags"), [("avx2", AVX2_CPU), ("native", AVX512_CPU), ("native", [])])
def test_nothing_is_limited_where_the_cpu_has_no_more(isa, monkeypatch, name, flags):
    monkeypatch.setattr(isa, "cpu_flags", lambda: flags)
    isa.choose(name)
    assert isa.os.environ == {"XLA_FLAGS": "--xla_dump_to=here"}


@pytest.mark.parametrize(("name", "flags"), [("avx512", AVX2_CPU), ("avx2", ["sse2"]), ("avx2", [])])
def test_instructions_that_the_cpu_lacks_are_refused(isa, load, monkeypatch, name, flags):
    monkeypatch.setattr(isa, "cpu_flags", lambda: flags)
    with pytest.raises(load("machine").RequestError, match=f"--isa {name}: this CPU does not have"):
        isa.choose(name)


def test_avx2_is_honoured_by_numba_and_numpy():
    if not Path("/proc/cpuinfo").exists() or " avx2 " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU has no AVX2, or the system does not say")
    program = "import isa, json; isa.choose('avx2'); print(json.dumps(isa.honoured([])))"
    run = subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    said = json.loads(run.stdout)
    assert "512" not in said["NumPy"] and "V4" not in said["NumPy"]
    assert said["minigan"] == "256-bit vectors" or minigan_kernels.unavailable("numba")


def test_answers_of_mkl_and_onednn_are_understood(isa):
    said = "MKL_VERBOSE oneMKL 2024.0 Update 2 Product build 20240605 for Intel(R) 64 architecture Intel(R) Advanced "
    said += "Vector Extensions 2 (Intel(R) AVX2) enabled processors, Lnx 2.60GHz lp64 gnu_thread\n"
    said += "onednn_verbose,v1,info,cpu,runtime:OpenMP,nthr:2\nonednn_verbose,v1,info,cpu,isa:Intel AVX2\n"
    answers = {name: isa._first(pattern, said) for name, pattern in isa._ANSWERS.items()}
    assert answers["oneDNN (PyTorch)"] == "Intel AVX2"
    assert answers["MKL (PyTorch)"].endswith("(Intel(R) AVX2) enabled processors")
    assert answers["PyTorch"] == "does not say"


def test_the_budget_counts_all_arithmetic_of_a_step_and_all_its_calls(load):
    if reason := minigan_kernels.unavailable("numba"):
        pytest.skip(reason)
    load("machine")
    calls = load("step_calls")
    gan, real = benchmark.build("toy")
    operations = calls.recorded(gan, real)
    assert {operation.kind for operation in operations} == {"products", "optimiser", "elementwise"}
    generator, discriminator = [2 * 128, 128 * 128, 128 * 2], [2 * 128, 128 * 128, 128 * 1]
    # D's step: G forward; D forward and its weights' gradients on real and fake, without the gradient of its input.
    multiply_adds = 256 * sum(generator) + 512 * (2 * sum(discriminator) + sum(discriminator[1:]))
    # G's step: D forward and the gradient of its input; G's weights' gradients, without that of the latent vectors.
    multiply_adds += 256 * (2 * sum(discriminator) + sum(generator) + sum(generator[1:]))
    assert sum(operation.flops for operation in operations) == 2 * multiply_adds
    updates = [operation for operation in operations if operation.name == "adam"]
    parameters = sum(
        parameter.size for player in (gan.generator, gan.discriminator) for parameter in player.parameters().values()
    )
    assert 7 * 4 * parameters <= sum(operation.traffic for operation in updates) < 7.2 * 4 * parameters
    before = {name: p.numpy() for name, p in gan.generator.parameters().items()}
    for operation in operations:
        for function, arguments in operation.calls:
            function(*arguments)
    after = {name: p.numpy() for name, p in gan.generator.parameters().items()}
    assert all(
        (after[name] != values).mean() > 0.9 and np.isfinite(after[name]).all() for name, values in before.items()
    )


def test_the_budget_adds_up(load, capsys):
    if reason := minigan_kernels.unavailable("numba"):
        pytest.skip(reason)
    script = load("step_budget")
    peak = {"gflops": 100.0, "copies": {1 << 12: 200.0, 1 << 28: 20.0}}
    assert script.floor(10**9, 0, peak) == pytest.approx(10)
    assert script.floor(10**6, 10**6, peak) == pytest.approx(0.05)  # 1 MB is in no cache of these
    result = script.budget("toy", 0.1, peak)
    parts = {kind: ms for kind, ms, _, _ in script.sums(result)}
    of_calls = sum(ms for row in result["operations"] for _, ms in row["calls"])
    assert sum(ms for kind, ms in parts.items() if kind not in (script.DRAWS, script.REST)) == pytest.approx(of_calls)
    shown = "\n".join([*script.table_of_kinds("toy", result), *script.table_of_operations(result)])
    assert "dense 512x128 128x128 128" in shown and "whole step" in shown


def test_products_of_numpy_equal_the_reference(load):
    cases, calls = load("kernel_cases"), load("twins.numpy_calls")
    for case in cases.dense_cases(8, 12, 16):
        (result,) = calls.on_host(calls.call(case)())
        defined = minigan_kernels.table("reference", np)[case.operation](*case.arrays(), *case.settings)
        np.testing.assert_allclose(result, defined, rtol=0, atol=1e-5 * np.abs(defined).max(), err_msg=case.name)


def test_tables_have_columns_for_each_isa_and_medians_of_the_runs(load):
    tables = load("tables")
    runs = [
        step_run("avx2", 2.0, 3.0),
        step_run("avx2", 1.0, 4.0),
        step_run("avx2", 9.0, 9.0),
        step_run("native", 1.0, 1.5),
    ]
    made = tables.tables(runs)
    assert set(made) == {"machines", "steps 2"}
    columns = "minigan | PyTorch | fastest peer / minigan |"
    assert made["steps 2"].splitlines() == [
        f"| ms | AVX2: {columns} native: {columns}",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| `toy` | 2 | 4 | PyTorch, **1.50** (0.50 - 4.50) | 1 | 1.5 | PyTorch, **1.50** (1.00 - 2.00) |",
    ]
    slow = step_run("avx2", 5.0, 9.0)
    slow["networks"] = {"dcgan64": {"implementations": {"minigan": {"median_ms": 5.0}}}}  # by minigan alone
    assert tables.tables([slow, *runs])["steps 2"].splitlines()[2:] == [
        "| `dcgan64` | 5 | - | - | - | - | - |",
        made["steps 2"].splitlines()[2],
    ]
    page = "Before.\n<!-- machines -->\nold\n<!-- end -->\n<!-- steps 2 -->\n<!-- end -->\nAfter.\n"
    filled = tables.insert(page, made)
    assert "old" not in filled and made["steps 2"] in filled and filled.endswith("<!-- end -->\nAfter.\n")
    assert tables.insert(filled, made) == filled
    with pytest.raises(load("machine").RequestError, match="no line '<!-- machines -->'"):
        tables.insert("", made)


def step_run(isa: str, mine: float, theirs: float) -> dict:
    """What train_step.py writes of one network, in short."""
    ratio = theirs / mine
    rounds = {"ratio": ratio, "ratio_lowest": ratio - 0.5, "ratio_highest": ratio + 0.5}
    rows = {"minigan": {"median_ms": mine}, "torch": {"median_ms": theirs} | rounds}
    return {
        "benchmark": "train_step",
        "machine": {"cpu": "A CPU", "cores": 2, "threads": 2},
        "versions": {"numpy": "2.4.6"},
        "isa": {"asked": isa, "said": {"NumPy": "X86_V3"}},
        "networks": {"toy": {"implementations": rows}},
    }


@pytest.mark.parametrize("name", ["dcgan28", pytest.param("dcgan64", marks=pytest.mark.slow)])
def test_kernel_cases_know_the_input_shape_of_every_layer(load, name):
    cases = load("kernel_cases")
    gan, _ = benchmark.build(name)
    x = gan.latent(2, "train")
    for network in (gan.generator, gan.discriminator):
        for layer, shape in cases.inputs(network, x.shape[1:]):
            assert x.shape[1:] == shape
            x = layer(x)


def test_kernel_cases_have_every_shape_once(load):
    cases = load("kernel_cases").cases()
    names = [case.name for case in cases]
    assert len(set(names)) == len(names)
    convolutions = [case for case in cases if case.operation.startswith("conv2d")]
    # G's layers are D's in reverse, but for the first of dcgan64's G and the last of its D: 2 and 6 shapes, 3 kernels.
    assert len(convolutions) == 3 * (2 + 6)
    flops = {case.flops for case in convolutions if case.label == "32x32x64 <> 16x16x128"}
    assert flops == {2 * 64 * 16 * 16 * 4 * 4 * 64 * 128}
    assert {case.flops for case in cases if case.label == "128x784 784x512"} == {2 * 128 * 784 * 512}
    assert {case.traffic for case in cases if case.name == "batch_norm 4096x256"} == {2 * 4 * 4096 * 256}
    assert all((case.flops == 0) != (case.traffic == 0) for case in cases)


def test_timed_kernels_equal_the_reference(load):
    if reason := minigan_kernels.unavailable("numba"):
        pytest.skip(reason)
    cases, calls = load("kernel_cases"), load("twins.numba_calls")
    geometry = cases.of_convolution((6, 6), (4, 4), 2, 1)
    small = [*cases.dense_cases(8, 12, 16), *cases.convolution_cases(2, geometry, 3, 5)]
    small += [*cases.batch_norm_cases(6, 4, 1e-5, 0.2), cases.Case("slope_gate", "", ((9,), (9,)), (0.2,))]
    for case in small:
        result, arguments = calls.on_host(calls.call(case)()), case.arrays()
        if case.operation.startswith("batch_norm"):
            arguments.append(np.zeros(4, np.float32))
        if case.operation == "batch_norm_grad":
            arguments += [arguments[1].mean(axis=0), arguments[1].var(axis=0)]
        if case.operation in ("conv2d", "conv2d_input_grad"):
            arguments += [None, 1.0]
        definition = minigan_kernels.table("reference", np)[case.operation]
        for ours, defined in zip(result, calls.on_host(definition(*arguments, *case.settings)), strict=True):
            np.testing.assert_allclose(ours, defined, rtol=0, atol=1e-5 * np.abs(defined).max(), err_msg=case.name)


def test_timed_adam_updates_every_parameter(load):
    if reason := minigan_kernels.unavailable("numba"):
        pytest.skip(reason)
    cases, calls = load("kernel_cases"), load("twins.numba_calls")
    gan, _ = benchmark.build("toy")
    case = cases.adam_case(gan.discriminator)
    for p, g in zip(calls.call(case)(), case.arrays(), strict=True):  # from zero, the first step is rate * sign(g)
        np.testing.assert_allclose(p, -2e-4 * np.sign(g.reshape(-1)), rtol=1e-3)


def test_comparison_does_not_time_kernels_that_differ(load):
    kernels, error = load("kernels"), load("command_line").DisagreementError
    kernels.require_close("dense", "torch", [np.array([1.0, 2.0])], [np.array([1.0, 2.00001])])
    with pytest.raises(error, match="dense differs"):
        kernels.require_close("dense", "torch", [np.array([1.0, 2.0])], [np.array([1.0, 2.001])])
    with pytest.raises(error, match="dense differs"):
        kernels.require_close("dense", "torch", [np.array([np.nan])], [np.array([1.0])])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_peak_memory_includes_freed_memory(load):
    memory = load("memory")
    if not memory.reset_peak():
        pytest.skip("this system cannot reset the peak of resident memory")
    before = memory.resident("VmHWM")
    with mmap.mmap(-1, 64 << 20) as pages:  # memory from the system: the C library may keep what NumPy frees
        for _ in range(64):
            pages.write(bytes(1 << 20))
    assert memory.resident("VmHWM") - before > 60 << 20
    assert memory.reset_peak()
    assert memory.resident("VmHWM") - before < 30 << 20


@pytest.mark.slow
def test_memory_of_a_fresh_process_is_reported_in_parts(load):
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    report = load("memory").in_fresh_process("minigan", "toy")
    assert report["total_peak_bytes"] == report["libraries_bytes"] + report["peak_bytes"]
    assert 0 <= report["networks_bytes"] <= report["peak_bytes"] < report["libraries_bytes"] <= report["ever_bytes"]

"""The benchmark's networks are what is said, and its result has the promised form. No wall-clock assertions."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigan import bench
from minigan.errors import UsageError
from minigan.nn import BatchNorm, Dense, LeakyReLU, Tanh
from minigan.optim import Adam

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "train_step.py"


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
def test_network_is_what_is_said(name, batch, generator, discriminator, counts):
    gan, real = bench.NETWORKS[name]()
    assert widths(gan.generator) == generator
    assert widths(gan.discriminator) == discriminator
    assert (count(gan.generator), count(gan.discriminator)) == counts
    assert real.shape == (batch, generator[-1])
    assert real.dtype == gan.generator.parameters()["0.weight"].dtype == np.float32
    assert gan.latent_size == generator[0]
    assert gan.loss.name == "non-saturating"
    for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
        assert isinstance(optimizer, Adam)
        assert (optimizer.rate, optimizer.beta1, optimizer.beta2) == (2e-4, 0.5, 0.999)


def test_mlp_layers_are_in_order():
    gan, _ = bench.build("mlp")
    kinds = [type(layer) for layer in gan.generator]
    block = [Dense, BatchNorm, LeakyReLU]
    assert kinds == [Dense, LeakyReLU, *block, *block, Dense, Tanh]
    assert {layer.eps for layer in gan.generator if isinstance(layer, BatchNorm)} == {0.8}
    slopes = {
        layer.slope for net in (gan.generator, gan.discriminator) for layer in net if isinstance(layer, LeakyReLU)
    }
    assert slopes == {0.2}


def test_network_is_the_same_at_every_call_and_has_the_type_asked_for():
    (one, real_one), (two, real_two) = bench.build("toy", "float64"), bench.build("toy", "float64")
    np.testing.assert_array_equal(real_one, real_two)
    for name, p in one.generator.parameters().items():
        assert p.dtype == np.float64
        np.testing.assert_array_equal(p.data, two.generator.parameters()[name].data)


def test_measure_gives_median_quartiles_and_steps_and_prints_nothing(capsys):
    result = bench.measure(["toy"], seconds=0.02)
    assert list(result) == ["toy"]
    assert set(result["toy"]) == {"median_ms", "q1_ms", "q3_ms", "steps"}
    assert 0 < result["toy"]["q1_ms"] <= result["toy"]["median_ms"] <= result["toy"]["q3_ms"]
    assert capsys.readouterr().out == ""


def test_steps_take_turns():
    calls = []
    rounds = bench.timed_rounds({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, seconds=0.001)
    assert len(rounds["a"]) == len(rounds["b"]) > 1
    assert all(durations for name in rounds for durations in rounds[name])
    changes = sum(before != after for before, after in itertools.pairwise(calls))
    assert changes >= len(rounds["a"])


def test_summary_counts_every_round_in_milliseconds():
    assert bench.summary([[0.001, 0.002], [0.003, 0.004, 0.005]]) == pytest.approx(
        {"median_ms": 3.0, "q1_ms": 2.0, "q3_ms": 4.0, "steps": 5}
    )


def test_unknown_network_names_the_nearest():
    with pytest.raises(UsageError, match=r"no benchmark network 'toi'; did you mean 'toy'\?"):
        bench.measure(["mlp", "toi"], seconds=0.01)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_seconds_must_be_above_zero(seconds):
    with pytest.raises(UsageError, match="above 0"):
        bench.measure(["toy"], seconds=seconds)


def load_script():
    spec = importlib.util.spec_from_file_location("train_step", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_comparison_refuses_to_time_what_differs():
    script = load_script()
    mine = {"losses": [np.array(0.7)], "gradients": [np.array([1.0, 1e-12])]}
    script.require_same("toy", "torch", mine, {"losses": [np.array(0.7)], "gradients": [np.array([1.0, 0.0])]})
    with pytest.raises(script.DisagreementError, match="gradients of toy"):
        script.require_same("toy", "torch", mine, {"losses": [np.array(0.7)], "gradients": [np.array([1.0, 1e-6])]})
    with pytest.raises(script.DisagreementError, match="losses of toy"):
        script.require_same("toy", "torch", mine, {"losses": [np.array(np.nan)], "gradients": mine["gradients"]})


def test_comparison_says_how_to_get_a_missing_peer(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    program = (
        f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[1:] = ['--peers', 'torch'];"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert 'pip install -e ".[bench]"' in run.stderr
    assert "Traceback" not in run.stderr


def test_comparison_chooses_the_cores_before_any_library_counts_them():
    imported = {
        alias.name.split(".")[0]
        for node in ast.parse(SCRIPT.read_text()).body
        for alias in (node.names if isinstance(node, ast.Import) else ())
    }
    assert not imported & {"numpy", "numba", "minigan", "torch", "jax"}

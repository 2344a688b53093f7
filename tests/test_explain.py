"""The walk from a loss to the weights: every formula evaluated, every step that of the engine, every norm its own."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from support import naive

import minigan as mg
from minigan import Tensor, autodiff, cli, explain, grad, ops, recipes, vjp
from minigan.core.errors import UsageError
from minigan.explain import FORMULAS, PLAYERS
from minigan.ops import pool
from minigan.optim.schedules import value_at
from minigan.selftest import primitives
from minigan.selftest.recipes import enlarge, narrowed
from minigan.selftest.sampler import Sampler

CASES = {f"{name}-{i}": case for name, rows in primitives.primitives().items() for i, case in enumerate(rows)}
RULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "penalty": {"penalty": "wgan-gp"},
    "relative": {"loss": "relativistic-pairing"},
    "unrolled": {"unroll_steps": 2},
    "simultaneous": {"simultaneous": 1},
    "two updates": {"n_critic": 2},
    "packed, noisy": {"packing": 2, "instance_noise": 0.1},
    "smoothed": {"label_smoothing": 0.1},
}
BATCH = 4  # of two, batch norm makes 1 and -1 whatever they are, and passes hardly any gradient


def taken_apart(
    recipe_name: str = "mnist-mlp-sigmoid", check: bool = False, seed: int = 0, enlarged: bool = False, **changes: Any
) -> Any:
    """(walks, GAN before the step, real examples) of a narrow network."""
    recipe = recipes.get(recipe_name)
    changes = {**narrowed(recipe), "batch_size": BATCH, **changes}

    def build() -> Any:
        return recipe.build(seed=seed, dtype="float64", **changes)

    gan = build()
    if enlarged:
        enlarge(gan, Sampler(seed, recipe_name, "float64"))
    real = recipe.domain.example_batch(BATCH * gan.rules.n_critic, recipe.resolve(changes), seed=seed, dtype="float64")
    return explain.walk_step(gan, real, check=check), build(), real


# The formulas.


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _back_to(shape: tuple[int, ...], g: np.ndarray) -> np.ndarray:
    """g summed over the copies that broadcasting made."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, extent in enumerate(shape) if extent == 1 != g.shape[i]), keepdims=True)


def _words(y: Any, g: np.ndarray, arguments: list[str], place: int) -> dict[str, Any]:
    """What the words in a formula mean, in NumPy."""
    inputs = [x.numpy() if isinstance(x, Tensor) else x for x in y.parents]
    static, x = y.static, inputs[0]
    geometry = static.get("geometry")

    def over_rows(reduced: Any) -> Any:
        return lambda v, axis=None: (
            reduced(v, axis=tuple(range(v.ndim - 1))) if axis is None else reduced(v, axis=axis, keepdims=True)
        )

    def repeat(g: np.ndarray, x: np.ndarray) -> np.ndarray:
        if g.ndim != x.ndim and g.ndim:
            g = np.expand_dims(g, tuple(axis % x.ndim for axis in np.atleast_1d(static["axis"])))
        return np.broadcast_to(g, x.shape)

    def own_part(g: np.ndarray) -> np.ndarray:
        ends = np.cumsum([part.shape[static["axis"]] for part in inputs])
        return np.split(g, ends[:-1], axis=static["axis"])[place]

    def zeros_but(g: np.ndarray, key: Any) -> np.ndarray:
        zeros = np.zeros_like(x)
        np.add.at(zeros, key, g)
        return zeros

    def windows(operation: Any) -> Any:
        return lambda g: operation(Tensor(g), *map(Tensor, inputs[1:]), geometry=geometry).numpy()

    def before_the_bend() -> np.ndarray:  # whose sign y has, but in a batch norm with a negative slope
        if y.rule.name != "batch_norm":
            return y.numpy()
        axes = tuple(range(x.ndim - 1))
        return (x - x.mean(axes)) / np.sqrt(x.var(axes) + static["eps"]) * inputs[1] + inputs[2]

    def without_border(g: np.ndarray) -> np.ndarray:
        return g[tuple(slice(a, a + n) for (a, _), n in zip(static["widths"], x.shape, strict=True))]

    return {
        **static, **dict(zip(arguments, inputs, strict=False)),
        "g": g, "y": y.numpy(), "z": before_the_bend(), "n": np.size(x),
        "where": np.where, "sqrt": np.sqrt, "sign": static.get("sign", np.sign),
        "sin": np.sin, "cos": np.cos, "sigmoid": _sigmoid,
        "share_of_maximum": lambda a, b: (1 + np.sign(np.subtract(a, b))) / 2,
        "sum": over_rows(np.sum), "mean": over_rows(np.mean), "repeat": repeat,
        "softmax": lambda x, axis: np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True),
        "reshape": np.reshape, "transpose": np.transpose, "inverse": np.argsort,
        "own_part": own_part, "zeros_but": zeros_but,
        "without_border": without_border,
        "conv2d": lambda x, w: naive.conv2d(x, w, geometry),
        "conv2d_input_grad": lambda g, w: naive.input_grad(g, w, geometry),
        "conv2d_weight_grad": lambda x, g: naive.weight_grad(x, g, geometry),
        "to_windows": windows(pool._to_windows), "from_windows": windows(pool._from_windows),
    }  # fmt: skip


@pytest.mark.parametrize(("function", "inputs"), CASES.values(), ids=CASES)
def test_every_formula_is_the_derivative(function: Any, inputs: tuple[np.ndarray, ...]) -> None:
    y: Any = function(*map(Tensor, inputs))
    if y.static.get("exponent") == 0:
        return  # 0 * x**-1 is no number at x = 0
    _, formula = explain.formula_of(y)
    g = np.random.default_rng(3).standard_normal(y.shape)
    arguments = [*formula.back, *[list(formula.back)[-1]] * len(y.parents)][: len(y.parents)]
    for place, (argument, x) in enumerate(zip(arguments, y.parents, strict=True)):
        if not isinstance(x, Tensor):
            continue
        # Only this input's own derivative: an input may occur twice, or have been computed from another.
        apart = [Tensor(p) if isinstance(p, Tensor) else p for p in y.parents]
        again = Tensor.__new__(Tensor)
        for slot in ("data", "rule", "saved", "static", "inputs_version", "creation_index"):
            setattr(again, slot, getattr(y, slot))
        again.parents = tuple(apart)
        words = _words(y, g, arguments, place)
        for definition in reversed(formula.where.split("; ") if formula.where else []):
            name, _, text = definition.partition(" = ")
            words[name] = eval(text, {"__builtins__": {}}, words)
        claimed = eval(formula.back[argument], {"__builtins__": {}}, words)
        (expected,) = vjp(again, [apart[place]], Tensor(g))
        found = _back_to(x.shape, np.broadcast_to(claimed, np.broadcast_shapes(np.shape(claimed), x.shape)))
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-10, atol=1e-12)


def test_every_formula_is_of_an_operation() -> None:
    made = {explain.formula_of(f(*map(Tensor, inputs)))[0] for f, inputs in CASES.values()}
    assert made == FORMULAS.keys()


# The walk.


def test_it_visits_what_the_backward_pass_visits_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    w, v, x = (Tensor(rng.standard_normal(shape)) for shape in ((3, 4), (4, 1), (5, 3)))
    hidden = ops.leaky_relu(x @ w)
    (slope,) = grad(ops.sum(hidden @ v), [hidden], create_graph=True)
    loss = ops.mean(ops.softplus(hidden @ v)) + ops.mean(slope * slope) + ops.mean(ops.maximum(w, 0.0))
    loss = loss + ops.sum(ops.slope_gate(w * 3.0, w, slope=0.5))  # flat in the product: nothing flows there
    ways: list[Any] = []
    real = autodiff.Rule.pull_back

    def noted(rule: Any, g: Tensor, y: Any, wanted: Any) -> Any:
        ways.append((rule.name, np.linalg.norm(g.numpy())))
        return real(rule, g, y, wanted)

    monkeypatch.setattr(autodiff.Rule, "pull_back", noted)
    grad(loss, [w, v])
    monkeypatch.undo()
    found = explain.walk_back("", loss, {"w": w, "v": v}, {w: "w", v: "v"})  # type: ignore[dict-item]
    assert [visit.operation.partition(" ")[0] for visit in found.visits] == [name for name, _ in ways]
    assert [visit.norm for visit in found.visits] == pytest.approx([norm for _, norm in ways], rel=1e-12)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_no_thread_is_lost(name: str) -> None:
    """From the loss, each result that is sent something is visited later on, or is a weight, which arrives last."""
    walks, gan, _ = taken_apart(name)
    assert [found.player for found in walks] == list(PLAYERS)
    for found in walks:
        waiting = {"loss"}
        for visit in found.visits:
            assert visit.result in waiting
            waiting.remove(visit.result)
            waiting |= {part.source for part in visit.inputs if part.back is not None}
            for arrival in visit.arrivals:
                waiting.remove(arrival.weight)
        assert not waiting
        weights = getattr(gan, found.player).parameters()
        assert sorted(a.weight for a in found.arrivals) == sorted(f"{found.player[0].upper()}.{w}" for w in weights)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_gradients_are_those_that_training_takes(name: str) -> None:
    _assert_as_in_training(*taken_apart(name))


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_gradients_are_those_that_training_takes_under_any_rules(rules: dict[str, Any]) -> None:
    _assert_as_in_training(*taken_apart("mnist-mlp", **rules))


def _assert_as_in_training(walks: Any, gan: Any, real: Tensor) -> None:
    taken: dict[str, list[Tensor]] = {}
    metrics = gan.train_step(real, taken.__setitem__)  # of several updates the last stays
    for found in walks:
        names = [f"{found.player[0].upper()}.{name}" for name in getattr(gan, f"{found.player}_optimizer").names]
        expected = dict(zip(names, (np.linalg.norm(g.numpy()) for g in taken[found.player]), strict=True))
        assert {a.weight: a.norm for a in found.arrivals} == pytest.approx(expected, rel=1e-12, abs=1e-15)
        weight = value_at(gan.penalty_weight, 0) * gan.penalty_every
        penalty = weight * metrics["penalty"].item() if "penalty" in metrics else 0.0
        loss = metrics[f"{found.player}_loss"].item() + (penalty if found.player == "discriminator" else 0.0)
        assert found.loss == pytest.approx(loss, rel=1e-12)


def test_what_was_drawn_has_its_name() -> None:
    changes = {"penalty": "r1", "instance_noise": 0.1}
    sources = {
        part.source for found in taken_apart("mnist-mlp", **changes)[0] for v in found.visits for part in v.inputs
    }
    assert {"penalty_weight", "fake_noise", "latent", "fake", "D(real)", "D(fake)", "penalty"} <= sources


def test_what_flows_to_the_logits_is_the_closed_form() -> None:
    walks, gan, real = taken_apart("mnist-mlp")
    fake = gan.generator(gan.latent(BATCH, "train", 0))
    of_real, of_fake = gan.loss.discriminator_logit_grads(gan.discriminator(real), gan.discriminator(fake))
    norms = {visit.result: visit.norm for visit in walks[0].visits}
    assert norms["D(real)"] == pytest.approx(np.linalg.norm(of_real.numpy()))
    assert norms["D(fake)"] == pytest.approx(np.linalg.norm(of_fake.numpy()))


def test_no_weight_of_the_other_player_is_sent_anything() -> None:
    for found in taken_apart("mnist-mlp", penalty="r1")[0]:
        sent = {part.source for visit in found.visits for part in visit.inputs if part.back is not None}
        assert {name[0] for name in sent if "." in name} == {found.player[0].upper()}


# Finite differences.


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_finite_differences_agree(name: str) -> None:
    _assert_right(taken_apart(name, check=True, enlarged=True)[0])


def test_finite_differences_agree_where_dropout_draws_and_the_critic_is_penalised() -> None:
    _assert_right(taken_apart("mnist-mlp-sigmoid", check=True, penalty="wgan-gp", dropout=0.5)[0])


def _assert_right(walks: Any) -> None:
    """Some gradients are 1e-10 of the loss, whose rounding then shows; narrow layers die, and leave biases at kinks."""
    arrivals = [arrival for found in walks for arrival in found.arrivals]
    assert all(arrival.error < 1e-4 for arrival in arrivals if not arrival.at_kink)
    assert all(arrival.weight.endswith("bias") for arrival in arrivals if arrival.at_kink)
    assert sum(arrival.at_kink for arrival in arrivals) <= 3


def test_a_kink_is_told_from_a_mistake() -> None:
    w = mg.Parameter(np.zeros(3))

    def loss() -> Tensor:
        return ops.sum(ops.leaky_relu(w)) + 1.0

    assert explain.slope_error(lambda: loss().item(), w, grad(loss(), [w])[0].numpy()) is None


def test_finite_differences_see_a_wrong_gradient() -> None:
    _, gan, real = taken_apart("mnist-mlp")
    weight = gan.discriminator.parameters()["0.weight"]

    def loss() -> Tensor:
        return ops.mean(gan.discriminator(real))

    (right,) = (g.numpy() for g in grad(loss(), [weight]))
    for claimed, error in ((right, 0.0), (1.1 * right, 1 - 1 / 1.1), (-right, 2.0)):
        found = explain.slope_error(lambda: loss().item(), weight, claimed)
        assert found == pytest.approx(error, abs=0.02 if error else 1e-8)


def test_a_check_changes_nothing() -> None:
    plain, checked = (taken_apart("mnist-mlp-sigmoid", check=check)[0] for check in (False, True))
    for before, after in zip(plain, checked, strict=True):
        assert [a.norm for a in before.arrivals] == [a.norm for a in after.arrivals]


def test_spectral_norm_cannot_be_checked() -> None:
    with pytest.raises(UsageError, match="spectral norm"):
        taken_apart("mnist-mlp", check=True, spectral_norm=1)


# The command.


def test_the_command_prints_a_line_for_each_operation(capsys: pytest.CaptureFixture[str]) -> None:
    narrow = ["--set", "generator_widths=5", "--set", "discriminator_widths=4", "--set", "latent_size=3"]
    command = ["explain", "mnist-mlp", "--batch", "3", "--seed", "7", "--quiet", *narrow]
    assert cli.main([*command, "--check"]) == 0
    text = capsys.readouterr().out
    assert cli.main([*command, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [found["player"] for found in content["walks"]] == list(PLAYERS)
    for found in content["walks"]:
        for visit in found["visits"]:
            assert f"|g| {visit['norm']:.3g}  {visit['result']} = {visit['operation']}(" in text
            for arrival in visit["arrivals"]:
                assert (
                    f"{arrival['weight']} {tuple(arrival['shape'])}: |gradient| {arrival['norm']:.4g}, finite" in text
                )
    assert text.count("=> ") == 4 + 6


def test_one_player_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "--player", "generator", "--set", "generator_widths=5", "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "THE LOSS OF THE GENERATOR" in text
    assert "THE LOSS OF THE DISCRIMINATOR" not in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--player", "critic"], "there is no player 'critic'"),
        (["--batch", "0"], "--batch must be a whole number from 1 to 1,000"),
        (["--seed", "-1"], "--seed must be a whole number of at least 0"),
        (["--set", "slope"], "--set takes key=value"),
        (["nonsense"], "there is no recipe 'nonsense'"),
        (["--batch", "3", "--set", "packing=2"], "packing"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", *arguments]) == 2
    assert sentence in capsys.readouterr().err

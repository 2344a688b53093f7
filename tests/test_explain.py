"""The walk from a loss to the weights: its order and its norms are those of the backward pass."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from support.environment import EXHAUSTIVE

import minigan as mg
from minigan import Tensor, autodiff, cli, explain, grad, ops, recipes
from minigan.core.errors import UsageError
from minigan.explain import PLAYERS
from minigan.optim.schedules import value_at
from minigan.selftest.recipes import enlarge, narrowed
from minigan.selftest.sampler import Sampler

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
BATCH = 4  # batch norm maps a batch of two to 1 and -1 whatever it is, with hardly any gradient


def explained_step(
    recipe_name: str = "mnist-mlp-sigmoid", check: bool = False, seed: int = 0, enlarged: bool = False, **changes: Any
) -> Any:
    """(walks, the GAN before the step, real examples) for a narrow network."""
    recipe = recipes.get(recipe_name)
    changes = {**narrowed(recipe), "batch_size": BATCH, **changes}

    def build() -> Any:
        return recipe.build(seed=seed, dtype="float64", **changes)

    gan = build()
    if enlarged:
        enlarge(gan, Sampler(seed, recipe_name, "float64"))
    real = recipe.domain.example_batch(BATCH * gan.rules.n_critic, recipe.resolve(changes), seed=seed, dtype="float64")
    return explain.walk_step(gan, real, check=check), build(), real


# The walk.


def test_the_walk_has_the_order_of_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    w, v, x = (Tensor(rng.standard_normal(shape)) for shape in ((3, 4), (4, 1), (5, 3)))
    hidden = ops.leaky_relu(x @ w)
    (slope,) = grad(ops.sum(hidden @ v), [hidden], create_graph=True)
    loss = ops.mean(ops.softplus(hidden @ v)) + ops.mean(slope * slope) + ops.mean(ops.maximum(w, 0.0))
    loss = loss + ops.sum(
        ops.slope_gate(w * 3.0, w, slope=0.5)
    )  # no derivative in the product: no cotangent flows there
    steps: list[Any] = []
    real = autodiff.Rule.pull_back

    def recording_pull_back(rule: Any, g: Tensor, y: Any, needs_grad: Any) -> Any:
        steps.append((rule.name, np.linalg.norm(g.numpy())))
        return real(rule, g, y, needs_grad)

    monkeypatch.setattr(autodiff.Rule, "pull_back", recording_pull_back)
    grad(loss, [w, v])
    monkeypatch.undo()
    found = explain.walk_back("", loss, {"w": w, "v": v}, {w: "w", v: "v"})  # type: ignore[dict-item]
    assert [visit.operation.partition(" ")[0] for visit in found.visits] == [name for name, _ in steps]
    assert [visit.norm for visit in found.visits] == pytest.approx([norm for _, norm in steps], rel=1e-12)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_result_with_a_cotangent_is_visited(name: str) -> None:
    """Each result that gets a cotangent is visited later, or is a weight whose gradient is complete later."""
    walks, gan, _ = explained_step(name)
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
def test_gradients_are_those_of_training(name: str) -> None:
    _assert_as_in_training(*explained_step(name))


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_gradients_are_those_of_training_under_any_rules(rules: dict[str, Any]) -> None:
    _assert_as_in_training(*explained_step("mnist-mlp", **rules))


def _assert_as_in_training(walks: Any, gan: Any, real: Tensor) -> None:
    taken: dict[str, list[Tensor]] = {}
    metrics = gan.train_step(real, taken.__setitem__)  # of several updates in a step, the last one remains
    for found in walks:
        names = [f"{found.player[0].upper()}.{name}" for name in getattr(gan, f"{found.player}_optimizer").names]
        expected = dict(zip(names, (np.linalg.norm(g.numpy()) for g in taken[found.player]), strict=True))
        assert {a.weight: a.norm for a in found.arrivals} == pytest.approx(expected, rel=1e-12, abs=1e-15)
        values = {name: value.item() for name, value in metrics.items()}
        if found.player == "discriminator":
            weight = value_at(gan.penalty_weight, 0) * gan.penalty_every
            objective = values["discriminator_loss"] + weight * values.get("penalty", 0.0)
        else:
            weight = value_at(gan.generator_term_weight, 0)
            loss = value_at(gan.adversarial_weight, 0) * values["generator_loss"]
            objective = loss + weight * values.get("generator_term", 0.0)
        assert found.loss == pytest.approx(objective, rel=1e-12)


def test_drawn_inputs_have_names() -> None:
    changes = {"penalty": "r1", "instance_noise": 0.1}
    sources = {
        part.source for found in explained_step("mnist-mlp", **changes)[0] for v in found.visits for part in v.inputs
    }
    assert {"penalty_weight", "fake_noise", "latent", "fake", "D(real)", "D(fake)", "penalty"} <= sources


def test_the_cotangents_of_the_logits_equal_the_closed_form() -> None:
    walks, gan, real = explained_step("mnist-mlp")
    fake = gan.generator(gan.latent(BATCH, "train", 0))
    of_real, of_fake = gan.loss.discriminator_logit_grads(gan.discriminator(real), gan.discriminator(fake))
    norms = {visit.result: visit.norm for visit in walks[0].visits}
    assert norms["D(real)"] == pytest.approx(np.linalg.norm(of_real.numpy()))
    assert norms["D(fake)"] == pytest.approx(np.linalg.norm(of_fake.numpy()))


def test_no_weight_of_the_other_player_gets_a_cotangent() -> None:
    for found in explained_step("mnist-mlp", penalty="r1")[0]:
        sent = {part.source for visit in found.visits for part in visit.inputs if part.back is not None}
        assert {name[0] for name in sent if "." in name} == {found.player[0].upper()}


# Finite differences.


# Recipes whose networks and objective are those of another one, for other pictures or of other widths.
TWINS = {"colour-mnist", "colour-mnist-dcgan", "faces-inpaint", "faces-sr", "mnist-relu-large", "style-faces"}


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in recipes.RECIPES if n not in TWINS and (n != "dcgan64" or EXHAUSTIVE)])
def test_finite_differences_agree(name: str) -> None:
    _assert_right(explained_step(name, check=True, enlarged=True)[0])


def test_finite_differences_agree_where_dropout_draws_and_the_critic_is_penalised() -> None:
    _assert_right(explained_step("mnist-mlp-sigmoid", check=True, penalty="wgan-gp", dropout=0.5)[0])


def _assert_right(walks: Any) -> None:
    """Some gradients are 1e-10 of the loss, so rounding shows; dead units of narrow layers have biases at kinks."""
    arrivals = [arrival for found in walks for arrival in found.arrivals]
    assert all(arrival.error < 1e-4 for arrival in arrivals if not arrival.at_kink)
    assert all(arrival.weight.endswith("bias") for arrival in arrivals if arrival.at_kink)
    assert sum(arrival.at_kink for arrival in arrivals) <= 3


def test_a_kink_is_distinguished_from_an_error() -> None:
    w = mg.Parameter(np.zeros(3))

    def loss() -> Tensor:
        return ops.sum(ops.leaky_relu(w)) + 1.0

    assert explain.slope_error(lambda: loss().item(), w, grad(loss(), [w])[0].numpy()) is None


def test_finite_differences_find_a_wrong_gradient() -> None:
    _, gan, real = explained_step("mnist-mlp")
    weight = gan.discriminator.parameters()["0.weight"]

    def loss() -> Tensor:
        return ops.mean(gan.discriminator(real))

    (right,) = (g.numpy() for g in grad(loss(), [weight]))
    for claimed, error in ((right, 0.0), (1.1 * right, 1 - 1 / 1.1), (-right, 2.0)):
        found = explain.slope_error(lambda: loss().item(), weight, claimed)
        assert found == pytest.approx(error, abs=0.02 if error else 1e-8)


def test_a_check_changes_nothing() -> None:
    plain, checked = (explained_step("mnist-mlp-sigmoid", check=check)[0] for check in (False, True))
    for before, after in zip(plain, checked, strict=True):
        assert [a.norm for a in before.arrivals] == [a.norm for a in after.arrivals]


def test_spectral_norm_cannot_be_checked() -> None:
    with pytest.raises(UsageError, match="spectral norm"):
        explained_step("mnist-mlp", check=True, spectral_norm=1)


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


@pytest.mark.parametrize("width", [40, 61, 200])
def test_no_line_is_wider_than_asked_and_nothing_is_lost(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "explain",
        "ring",
        "--batch",
        "3",
        "--quiet",
        "--set",
        "generator_widths=5",
        "--set",
        "discriminator_widths=4",
    ]
    assert cli.main(command) == 0
    whole = capsys.readouterr().out
    assert cli.main([*command, "--width", str(width)]) == 0
    broken = capsys.readouterr().out
    assert max(map(len, broken.splitlines())) <= width
    words = "".join(whole.replace(";", "").split())
    assert sorted("".join(broken.replace(";", "").split())) == sorted(words)


def test_a_page_links_every_result_to_the_operation_that_made_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "walk.html"
    command = ["explain", "ring", "--batch", "3", "--quiet", "--set", "generator_widths=5", "--html", str(page)]
    assert cli.main(command) == 0
    assert str(page) in capsys.readouterr().out
    assert cli.main([*command, "--json"]) == 0
    walks = json.loads(capsys.readouterr().out)["walks"]
    text = page.read_text(encoding="utf-8")
    ElementTree.fromstring(_closed(text))
    identifiers, links = re.findall(r'<tr id="([^"]+)"', text), re.findall(r'href="#([^"]+)"', text)
    assert len(identifiers) == len(set(identifiers)) == sum(len(walk["visits"]) for walk in walks)
    assert set(links) <= set(identifiers)
    assert len(links) == sum(
        part["source"] in {visit["result"] for visit in walk["visits"]}
        for walk in walks for visit in walk["visits"] for part in visit["inputs"]
    )  # fmt: skip
    assert text.count("&rArr;") == sum(len(visit["arrivals"]) for walk in walks for visit in walk["visits"])
    assert "http" not in text and "<script" not in text


def _closed(text: str) -> str:
    """The tables of the page as XML, with the end tags that HTML allows to leave out."""
    rows = re.findall(r"<tr.*?</tr>", text)
    cells = [re.sub(r"</?tr[^>]*>", "", row) for row in rows]
    cells = [re.sub(r"(?<!^)<(td|th)", r"</\g<1>><\g<1>", cell) for cell in cells]
    ends = [f"</{re.findall(r'<(td|th)', cell)[-1]}>" for cell in cells]
    table = "".join(f"<tr>{cell}{end}</tr>" for cell, end in zip(cells, ends, strict=True))
    return f"<table>{table.replace('&rarr;', '').replace('&rArr;', '').replace('<br>', ' ')}</table>"


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
        (["--width", "39"], "--width must be a whole number from 40"),
        (["--html", "x.txt"], "ends in .html"),
    ],
)
def test_wrong_arguments_are_reported(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", *arguments]) == 2
    assert sentence in capsys.readouterr().err

"""The self-test has a case for everything with a derivative; the cases pass, and fail for a broken derivative."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.environment import needs_numba

import minigan_kernels
from minigan import nn, ops, recipes, selftest
from minigan.autodiff import Tensor
from minigan.core import backend
from minigan.gan import GAN, Pass, draws, gan, losses, rules
from minigan.gan.inputs import UpdateInputs
from minigan.gan.penalties import PENALTIES
from minigan.gan.rules import Rules
from minigan.nn import BatchNorm, Dropout, Module
from minigan.selftest import check, sizes
from minigan_kernels.geometry import of_convolution

CASES = {case.name: case for case in selftest.all_cases()}
# tests/ops/test_primitives.py checks the cases of primitives and of composed operations.
OTHERS = [case for name, case in CASES.items() if not name.startswith(("primitives/", "operations/", "sizes/"))]


def modules(group: str) -> list[Module]:
    """Every module in the functions of a group of cases."""
    functions = [case.make() for name, case in CASES.items() if name.startswith(f"{group}/")]
    roots = [root for made in functions for root in ([made.f] if isinstance(made.f, Module) else made.modules)]
    return [part for root in roots for part in root.modules()]


# The list of cases.


def test_names_are_unique() -> None:
    assert len(CASES) == len(selftest.all_cases())


def test_every_layer_has_a_case_in_training_and_in_eval_mode() -> None:
    kinds = {value for value in vars(nn).values() if isinstance(value, type) and issubclass(value, Module)}
    found = modules("layers")
    for training in (True, False):
        missing = kinds - {type(part) for part in found if part.training is training}
        assert missing == {Module, nn.RandomLayer}, "only the base classes have none"


def test_every_fusion_of_two_layers_has_a_case() -> None:
    fused = {
        type(layer)
        for part in modules("fused-layers")
        if isinstance(part, nn.Sequential)
        for layer, following in part._passes
        if following is not None
    }
    fusible = {value for value in vars(nn).values() if isinstance(value, type) and hasattr(value, "can_fuse")}
    assert fused == fusible


@pytest.mark.parametrize("name", losses.LOSSES)
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_every_loss_has_a_case(name: str, player: str) -> None:
    assert {f"losses/{name}/{player}", f"losses/{name}/{player}-closed-form"} <= CASES.keys()


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_has_a_case_with_all_its_parameters(name: str) -> None:
    built = recipes.get(name).build()
    for player in ("discriminator", "generator"):
        function = CASES[f"recipes/{name}/{player}"].make()
        assert function.parameters.keys() == getattr(built, player).parameters().keys()


def test_recipes_are_checked_in_training_mode() -> None:
    found = modules("recipes")
    assert all(part.training for part in found)
    assert {Dropout, BatchNorm} <= {type(part) for part in found}


@needs_numba
def test_convolutions_are_large_enough_for_every_fast_kernel() -> None:
    from minigan_kernels.numba import winograd

    served = {}
    for name, (settings, picture, kernel) in sizes._CONVOLUTIONS.items():
        settings = {"stride": 1, "padding": 0, **settings}
        geometry = of_convolution(picture[1:3], kernel[:2], **settings)
        served[name] = winograd.applies(geometry, picture[0], *kernel[2:])
    assert [name for name, by_winograd in served.items() if by_winograd] == [
        "4x4-halving-16-32", "4x4-halving-32-16-odd", "4x4-halving-16-16-fast",
    ]  # fmt: skip


def test_the_numbers_depend_only_on_the_seed() -> None:
    name = "recipes/mnist-dcgan/discriminator"
    first, again, other = (
        next(case for case in selftest.all_cases(seed) if case.name == name).make() for seed in (0, 0, 1)
    )
    for key, parameter in first.parameters.items():
        assert np.array_equal(parameter.numpy(), again.parameters[key].numpy())
        assert not np.array_equal(parameter.numpy(), other.parameters[key].numpy())
    assert np.array_equal(first.inputs[0], again.inputs[0])
    assert not np.array_equal(first.inputs[0], other.inputs[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_numbers_have_the_dtype(dtype: str) -> None:
    for case in selftest.all_cases(dtype=dtype):
        function = case.make()
        assert {str(x.dtype) for x in function.inputs} == {dtype}, case.name
        assert {str(p.dtype) for p in function.parameters.values()} <= {dtype}, case.name


# Right and wrong derivatives.


def _implementations(*kernels: str) -> list[backend.Implementation]:
    return [backend.Implementation(backend.by_array_type[np.ndarray], name, None) for name in kernels]


@pytest.mark.parametrize("case", OTHERS, ids=str)
def test_layers_losses_penalties_and_recipes(case: selftest.Case) -> None:
    """By the fastest kernels; `minigan gradcheck`, which .ci/run calls, checks every implementation."""
    case.check().raise_for_failure()


@needs_numba
@pytest.mark.parametrize("case", [case for name, case in CASES.items() if name.startswith("sizes/")], ids=str)
def test_the_sizes_of_fast_kernels(case: selftest.Case) -> None:
    with check.recording_kernel_names(*_implementations("numba")):
        case.check().raise_for_failure()


BREAKAGES = {
    "tanh": (
        ops.tanh,
        lambda g, y, x: g * y,
        ["primitives/tanh/0", "layers/Tanh/train", "recipes/mnist-mlp/generator"],
    ),
    "softplus": (ops.softplus, lambda g, y, x: g * ops.sigmoid(-x), ["primitives/softplus/0"]),
    "sqrt": (
        ops.sqrt,
        lambda g, y, x: g / y,
        ["primitives/sqrt/0", "penalties/wgan-gp/dense-smooth", "penalties/wgan-gp/conv-leaky"],
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_the_cases_of_a_broken_derivative_fail(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    operation, wrong, failing = BREAKAGES[name]
    monkeypatch.setattr(operation.rule, "vjps", (wrong,))
    for case in failing:
        assert not CASES[case].check().ok, case


def test_the_cases_of_a_broken_fused_derivative_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = CASES["primitives/batch_norm/0"].make().f(*map(Tensor, CASES["primitives/batch_norm/0"].make().inputs)).rule
    right = rule.joint

    def wrong(g, y, x, gamma, beta, **rest):
        dx, dgamma, dbeta = right(g, y, x, gamma, beta, **rest)
        return dx + g * 0.01, dgamma, dbeta  # as if the mean were not subtracted completely

    monkeypatch.setattr(rule, "joint", wrong)
    for name in ("primitives/batch_norm/0", "layers/BatchNorm/train", "fused-layers/BatchNorm+LeakyReLU/train"):
        assert not CASES[name].check().ok
    assert CASES["layers/BatchNorm/eval"].check().ok  # which does not use this derivative


def test_the_case_of_a_wrong_closed_form_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses.NonSaturating, "generator_logit_grads", losses.Minimax.generator_logit_grads)
    report = CASES["losses/non-saturating/generator-closed-form"].check()
    assert not report.ok
    assert CASES["losses/non-saturating/generator"].check().ok


def _change_pass(monkeypatch: pytest.MonkeyPatch, change: Callable[[Pass, UpdateInputs], dict[str, Any]]) -> None:
    """Change fields of the discriminator's pass in every step."""
    right = GAN.discriminator_pass

    def wrong(self: GAN, inputs: UpdateInputs) -> Pass:
        made = right(self, inputs)
        return dataclasses.replace(made, **change(made, inputs))

    monkeypatch.setattr(GAN, "discriminator_pass", wrong)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["recipes/ring/discriminator", "recipes/grid/discriminator"])
def test_a_step_that_subtracts_the_penalty_fails(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def subtracted(made: Pass, inputs: UpdateInputs) -> dict[str, Any]:
        assert made.penalty is not None
        return {"objective": made.loss - made.penalty * inputs.penalty_weight}

    assert CASES[case].check().ok
    _change_pass(monkeypatch, subtracted)
    assert not CASES[case].check().ok


@pytest.mark.parametrize("penalty", [*PENALTIES, "now-and-then"])
def test_a_step_without_the_penalty_fails(penalty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _change_pass(monkeypatch, lambda made, inputs: {"objective": made.loss})
    assert not CASES[f"rules/penalty-{penalty}/discriminator"].check().ok


def _pack_distant_examples(examples: Tensor, count: int) -> Tensor:
    """Packs of an example of the first half of the batch and one of the second half, not of neighbours."""
    return ops.concatenate([examples[: len(examples) // 2], examples[len(examples) // 2 :]], axis=-1)


WRONG_RULES: dict[str, tuple[Any, str, Any, list[str]]] = {
    "the penalty's weight is not multiplied": (
        draws, "update_inputs", lambda gan, real, ahead, right=draws.update_inputs: dataclasses.replace(
            right(gan, real, ahead), penalty_weight=Tensor(np.array(0.5))
        ), ["rules/penalty-now-and-then/discriminator"],
    ),
    "noise is left out": (
        Rules, "discriminator_input",
        lambda self, examples, noise=None, right=Rules.discriminator_input: right(self, examples),
        ["rules/smoothing-and-noise/discriminator", "rules/smoothing-and-noise/generator"],
    ),
    "labels of fakes are smoothed": (
        losses.LabelSmoothing, "discriminator",
        lambda self, real, fake: self.loss.discriminator(real, fake) + ops.mean(fake) * self.smoothing,
        ["rules/smoothing-and-noise/discriminator"],
    ),
    "other examples are packed together": (
        rules, "pack", _pack_distant_examples, ["rules/packing/discriminator", "rules/packing/generator"]
    ),
    "no step is unrolled": (
        gan, "unrolled_logits", lambda critic, loss, real, fake, steps, rate: (critic(real), critic(fake)),
        ["rules/unrolling/generator"],
    ),
    "reals are taken for fakes": (
        GAN, "discriminate", lambda gan, real, fake, right=GAN.discriminate: right(gan, fake, real),
        ["recipes/ring-plain/discriminator", "rules/relative/discriminator"],
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mistake", WRONG_RULES)
def test_a_step_that_breaks_a_rule_fails(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, wrong, failing = WRONG_RULES[mistake]
    monkeypatch.setattr(owner, name, wrong)
    for case in failing:
        assert not CASES[case].check().ok, case


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["recipes/ring-plain/generator", "recipes/mnist-mlp-sigmoid/generator", "rules/unrolling/generator"]
)
def test_a_step_that_detaches_the_fakes_fails(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator's update uses the fakes of the discriminator's pass: its gradient has to flow through them."""
    assert CASES[case].check().ok

    def detached(made: Pass, inputs: UpdateInputs) -> dict[str, Any]:
        real, fake = made.discriminator_inputs
        return {"discriminator_inputs": (real, Tensor(fake.data))}

    _change_pass(monkeypatch, detached)
    assert not CASES[case].check().ok


# Several implementations of the kernels.


def test_a_case_without_fast_kernels_is_checked_on_the_reference_only() -> None:
    available = [i for i in backend.implementations() if i.unavailable is None and i.backend.name == "numpy"]
    checked = check.check(CASES["primitives/exp/0"], available)
    assert [result.implementation.kernels for result in checked.results] == ["reference"]
    assert [*_implementations("reference"), *checked.skipped_kernels] == available


@needs_numba
def test_a_case_with_fast_kernels_is_checked_on_each() -> None:
    checked = check.check(CASES["layers/Dense/train"], _implementations("reference", "numba"))
    assert [result.implementation.kernels for result in checked.results] == ["reference", "numba"]
    assert checked.skipped_kernels == []
    assert all(result.report is not None and not result.failed for result in checked.results)


@needs_numba
def test_a_broken_kernel_fails_on_its_implementation_only(monkeypatch: pytest.MonkeyPatch) -> None:
    table = minigan_kernels.table("numba", np)
    right = table["conv2d_weight_grad"]
    monkeypatch.setitem(table, "conv2d_weight_grad", lambda x, g, geometry: 2 * right(x, g, geometry))
    results = check.check(CASES["layers/Conv2d/train"], _implementations("reference", "numba")).results
    assert [result.failed for result in results] == [False, True]
    assert results[1].report is not None
    assert results[1].report.name == "weight"


@needs_numba
def test_an_unsupported_computation_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*arguments):
        raise NotImplementedError("no convolutions here")

    monkeypatch.setitem(minigan_kernels.table("numba", np), "conv2d", cannot)
    result = check.check(CASES["layers/Conv2d/train"], _implementations("reference", "numba")).results[1]
    assert result.unsupported
    assert not result.failed
    assert "no convolutions here" in result.problem


def test_recording_kernel_names_restores_the_backend(kernels: str) -> None:
    before = backend.current()
    with check.recording_kernel_names(backend.Implementation(before, "reference", None)) as names:
        assert backend.current() is not before
        ops.matmul(Tensor(np.ones((2, 3))), Tensor(np.ones((3, 2))))
    assert names == {"matmul"}
    assert backend.current() is before
    assert before.kernels == kernels

"""CUDA graphs: what is captured and when it is executed, whose memory it uses, and training steps that are replayed."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support.replayed_gans import GANS, bits, dense_network, make_gan, real_batch, train

import minigan as mg
from minigan import GAN, Tensor
from minigan.core import backend
from minigan.gan import ema, penalties
from minigan.nn import Dense, Module, Sequential
from minigan_kernels.cuda import graphs
from minigan_kernels.packed_weights import get_packed


@pytest.fixture
def on_cupy(cupy: ModuleType) -> Iterator[ModuleType]:
    """The module cupy, in use with the CUDA kernels. Afterwards the current stream is the usual one."""
    mg.use("cupy", "cuda")
    yield cupy
    assert cupy.cuda.get_current_stream() == cupy.cuda.Stream.null


# Graphs.


def test_a_capture_executes_nothing_and_each_launch_executes_all(on_cupy: ModuleType) -> None:
    x, y = on_cupy.arange(5.0), on_cupy.zeros(5)

    def work() -> Any:
        doubled = x * 2  # in memory of the graph
        y[...] = doubled + 1
        return doubled

    doubled, graph = graphs.GraphMemory().capture(work)
    assert y.get().tolist() == [0] * 5
    graph.launch()
    assert y.get().tolist() == [1, 3, 5, 7, 9]
    x[...] = 10
    graph.launch()
    assert y.get().tolist() == [21] * 5
    assert doubled.get().tolist() == [20] * 5


def test_memory_that_others_allocate_fill_and_free_changes_no_replay(on_cupy: ModuleType) -> None:
    x, y = on_cupy.arange(1000.0), on_cupy.zeros(1000)

    def work() -> None:
        for _ in range(4):  # each temporary array is freed before the next
            y[...] = (x * 2 + 1) * (x - 3) + y

    _, graph = graphs.GraphMemory().capture(work)
    graph.launch()
    first = y.get()
    for count in (1000, 1000, 37, 5000):
        foreign = [on_cupy.full(count, np.nan) for _ in range(20)]
        del foreign
        gc.collect()
        y[...] = 0
        graph.launch()
        np.testing.assert_array_equal(y.get(), first)


def test_graphs_that_share_memory_can_be_launched_in_any_order(on_cupy: ModuleType) -> None:
    x, memory = on_cupy.arange(100.0), graphs.GraphMemory()
    captured = []
    for factor in (2.0, 3.0, 5.0):
        out = on_cupy.zeros(100)

        def work(factor: float = factor, out: Any = out) -> None:
            out[...] = (x * factor + 1) * factor

        captured.append((factor, out, memory.capture(work)[1]))
    del memory
    gc.collect()
    for factor, out, graph in (*captured, *reversed(captured)):
        x[...] = factor
        graph.launch()
        assert set(out.get().tolist()) == {(factor * factor + 1) * factor}


UNCAPTURABLE: dict[str, Callable[[ModuleType, Any], Any]] = {
    "a number read": lambda xp, x: x.sum().item(),
    "an array read": lambda xp, x: xp.asnumpy(x),
    "a copy to the device": lambda xp, x: xp.asarray(np.ones(3)),
    "cuBLAS": lambda xp, x: x.reshape(2, 2) @ x.reshape(2, 2),
    "waiting": lambda xp, x: xp.cuda.get_current_stream().synchronize(),
}


@pytest.mark.parametrize("what", UNCAPTURABLE)
def test_what_cannot_be_captured_raises_and_leaves_no_capture_behind(what: str, on_cupy: ModuleType) -> None:
    x, memory = on_cupy.arange(4.0), graphs.GraphMemory()
    allocator = on_cupy.cuda.get_allocator()
    with pytest.raises(Exception, match=r"captur|cuBLAS"):
        memory.capture(lambda: UNCAPTURABLE[what](on_cupy, x + 1))
    assert not memory._stream.is_capturing()
    assert on_cupy.cuda.get_allocator() == allocator
    assert (x + 1).get().tolist() == [1, 2, 3, 4]
    y = on_cupy.zeros(4)
    _, graph = memory.capture(lambda: on_cupy.add(x, 1, out=y))  # and the memory can be used again
    graph.launch()
    assert y.get().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_capture_leaves_no_capture_behind(error: type[BaseException], on_cupy: ModuleType) -> None:
    x, memory = on_cupy.arange(4.0), graphs.GraphMemory()

    def work() -> None:
        x[...] = 7
        raise error

    with pytest.raises(error):
        memory.capture(work)
    assert not memory._stream.is_capturing()
    assert x.get().tolist() == [0, 1, 2, 3]


def test_memory_that_runs_out_in_a_capture_takes_none_from_graphs(standin: ModuleType) -> None:
    """CuPy's pool would free what it keeps, which is what the graph has used before, and go on."""
    mg.use("cupy", "cuda")
    x, y, memory = standin.arange(1000.0), standin.zeros(1000), graphs.GraphMemory()
    _, graph = memory.capture(lambda: standin.add(x * 2, 1, out=y))
    total = standin.cuda.runtime.memGetInfo()[1]

    def too_much() -> None:
        for _ in range(2):
            standin.add(x * 2, 1, out=y)
        standin.empty(total, np.uint8)

    with pytest.raises(MemoryError, match="no memory for"):
        memory.capture(too_much)
    assert not memory._stream.is_capturing()
    graph.launch()
    np.testing.assert_array_equal(y.get(), np.arange(1000.0) * 2 + 1)


def test_each_allocation_is_told(on_cupy: ModuleType) -> None:
    x = on_cupy.arange(4.0)
    addresses: list[int] = []
    result, _ = graphs.GraphMemory().capture(lambda: (x + 1, x + 2), addresses.append)
    assert {graphs.address_of_block(array) for array in result} <= set(addresses)
    assert graphs.address_of_block(x) not in addresses
    assert graphs.address_of_block(result[0][2:]) == graphs.address_of_block(result[0])


# Training steps.


@pytest.fixture(autouse=True)
def _frequent_ema_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ema, "_UPDATE_EVERY", 3)


@pytest.mark.parametrize(
    "kind", ["critic", "clipped gradients", "packed and unrolled", "dropout", "average", "conditional"]
)
def test_replayed_steps_give_the_bits_of_plain_ones(kind: str, on_cupy: ModuleType) -> None:
    plain, replayed = GANS[kind]("float32"), GANS[kind]("float32")
    assert train(plain, range(10), replay=False) == train(replayed, range(10), replay=True)
    assert bits(plain) == bits(replayed)
    assert replayed.replay.fallback_reason is None
    assert replayed.replay.steps > 0


def test_changes_between_steps_take_effect(on_cupy: ModuleType) -> None:
    def results(replay: bool) -> list[Any]:
        gan, other = GANS["average"]("float32"), GANS["average"]("float32")
        found: list[Any] = train(gan, range(6), replay)
        saved = gan.state()
        gan.sample(np.zeros((3, 2), np.float32))
        next(iter(gan.discriminator.parameters().values())).assign(saved["discriminator.0.weight"] * 0.5)
        found += train(gan, range(6, 8), replay)
        gan.load_state(saved)
        gan.generator_optimizer.learning_rate = 0.1
        found += train(gan, range(6, 8), replay)
        gan.discriminator[1].slope = 0.7
        other.load_state(gan.state())
        return [*found, *train(gan, range(8, 14), replay), *train(other, range(8, 12), replay), bits(gan), bits(other)]

    assert results(replay=False) == results(replay=True)


def test_a_replayed_step_is_one_upload_one_launch_and_a_few_copies(standin: ModuleType) -> None:
    mg.use("cupy", "cuda")
    gan = GANS["critic"]("float32")
    batches = [Tensor(real_batch(gan, step)) for step in range(8)]
    for real in batches[:5]:
        gan.train_step(real)
    work: list[str] = []
    with standin._standin.observed(work.append), standin._standin.count_synchronisations() as waits:
        gan.train_step(batches[5])
    assert gan.replay.steps == 2
    assert waits.count == 0
    assert waits.uploads == 1  # latent vectors, numbers of the penalty, and scalars of three updates
    assert work.count("graph") == 1
    copies = len(gan.rules.batches(batches[5])) + 1 + 1  # of each real batch, of what was uploaded, of the report
    assert len([name for name in work if name not in ("graph", "upload", "empty")]) == copies


def test_conditions_travel_with_all_else_that_is_drawn(standin: ModuleType) -> None:
    mg.use("cupy", "cuda")
    gan = GANS["conditional"]("float32")
    batches = [real_batch(gan, step) for step in range(8)]
    for real, classes in batches[:5]:
        gan.train_step((Tensor(real), classes))
    real = Tensor(batches[5][0])
    with standin._standin.count_synchronisations() as waits:
        gan.train_step((real, batches[5][1]))
    assert gan.replay.steps == 2
    assert (waits.count, waits.uploads) == (0, 1)


def test_a_plain_step_waits_for_nothing_and_has_one_upload(standin: ModuleType) -> None:
    mg.use("cupy", "cuda", replay=False)
    gan = GANS["critic"]("float32")
    real = Tensor(real_batch(gan, 0))
    with standin._standin.count_synchronisations() as waits:
        gan.train_step(real)
    assert (waits.count, waits.uploads) == (0, 1)


class Reading(Module):
    """A network that reads a number."""

    def forward(self, x: Tensor) -> Tensor:
        return x if mg.ops.mean(x).item() > 0 else x * 2.0


class Uploading(Module):
    """A network that copies a constant to the device at each pass."""

    def forward(self, x: Tensor) -> Tensor:
        return x * Tensor(np.full((), 0.5, x.dtype))


class Foreign(Module):
    """A network with an array that is no attribute, and that no operation has made."""

    def __init__(self) -> None:
        constant = Tensor(np.full((), 0.5, np.float32))
        self.constant = lambda: constant

    def forward(self, x: Tensor) -> Tensor:
        return x * self.constant()


class ForeignInKernel(Module):
    """A network whose kernel reads such an array."""

    def __init__(self) -> None:
        constant = Tensor(np.ones(8, np.float32))
        self.constant, self.average = lambda: constant, mg.Buffer(np.zeros(8, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        update = backend.current().kernel("update_running_statistics")
        update(self.average.data, self.constant().data, 0.9)
        self.average.increment_version()
        return x + self.average.constant_copy()


class OwnNumbers(Module):
    """A network that computes with CuPy itself, in memory that an operation has used before."""

    def forward(self, x: Tensor) -> Tensor:
        doubled = x * 2.0
        del doubled
        return Tensor(x.data * 0.5)


class Counting(Module):
    """A network whose result depends on a Python counter of its calls."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * float(self.calls)


class Permuting(Module):
    """A network that copies indices to the device in each pass."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, [1, 0, *range(2, x.shape[1])]]


class UsingCuBLAS(Module):
    """A network that multiplies matrices by CuPy's own operator."""

    def forward(self, x: Tensor) -> Tensor:
        return x * Tensor((x.data[:1] @ x.data[:1].T)[0, 0] * 0 + 1)


def _gan_with(module: type[Module]) -> GAN:
    rng = np.random.default_rng(0)
    discriminator = Sequential(Dense(2, 8, rng), module(), Dense(8, 1, rng))
    return make_gan(networks=(dense_network(2), discriminator))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Reading, "it reads a number on the host"),
        (Uploading, "it copies an array of shape () from the host"),
        (Permuting, "it copies an array of shape (8,) from the host"),
        (Foreign, "it computes with an array of shape () that no operation has made"),
        (ForeignInKernel, "it computes with an array of shape (8,) that no operation has made"),
        (OwnNumbers, "it computes with an array of shape (24, 8) that no operation has made"),
        (Counting, "change from step to step"),
        (UsingCuBLAS, "a CUDA graph cannot contain it (calling cuBLAS"),
    ],
)
def test_a_step_that_cannot_be_captured_runs_plainly(module: type[Module], reason: str, on_cupy: ModuleType) -> None:
    plain, replayed = _gan_with(module), _gan_with(module)
    assert train(plain, range(9), replay=False) == train(replayed, range(9), replay=True)
    assert bits(plain) == bits(replayed)
    assert replayed.replay.steps == 0
    assert reason in (replayed.replay.fallback_reason or "")


def test_a_capture_that_fails_changes_nothing(on_cupy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither numbers nor counts of updates: the steps go on as without replay, and capture once it works."""
    plain, replayed = GANS["average"]("float32"), GANS["average"]("float32")
    expected = train(plain, range(12), replay=False)
    failures = iter([MemoryError("no memory"), RuntimeError("cudaErrorUnknown")])
    capture = graphs.GraphMemory.capture

    def failing(memory: graphs.GraphMemory, function: Callable, *options: Any) -> Any:
        def then_fail() -> Any:
            result = function()
            if error := next(failures, None):
                raise error
            return result

        return capture(memory, then_fail, *options)

    monkeypatch.setattr(graphs.GraphMemory, "capture", failing)
    assert train(replayed, range(12), replay=True) == expected
    assert bits(plain) == bits(replayed)
    assert next(failures, None) is None
    assert replayed.replay.steps > 0


def test_a_batch_may_come_from_the_host_or_be_on_the_gpu(on_cupy: ModuleType) -> None:
    """From the host it is copied with all other inputs, which a recording for batches on the GPU does not expect."""
    plain, replayed = GANS["plain"]("float32"), GANS["plain"]("float32")

    def batch(step: int) -> Tensor:
        real = real_batch(plain, step)
        with backend.staying_on_host() if step % 3 == 0 else nullcontext():
            return Tensor(real)

    for gan in (plain, replayed):
        mg.use("cupy", "cuda", replay=gan is replayed)
        for step in range(18):
            gan.train_step(batch(step))
    assert bits(plain) == bits(replayed)
    assert replayed.replay.steps == 8 + 2  # of 12 and 6; of each kind the first 4 are run plainly


@pytest.mark.parametrize("share", [0.1, 0.25, 2])
def test_steps_run_plainly_where_memory_for_graphs_is_missing(
    share: float, standin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They need what a failed capture and earlier graphs have taken. share: of a plain step's memory, in addition."""
    mg.use("cupy", "cuda")
    plain, replayed = GANS["lazy penalty"]("float32"), GANS["lazy penalty"]("float32")
    standin.get_default_memory_pool().free_all_blocks()
    free_before, total = standin.cuda.runtime.memGetInfo()
    expected = train(plain, range(20), replay=False)
    free = standin.cuda.runtime.memGetInfo()[0]
    monkeypatch.setenv("CUPY_STANDIN_MEMORY", str(int(total - free + share * (free_before - free))))
    assert train(replayed, range(20), replay=True) == expected
    assert bits(plain) == bits(replayed)
    if share < 1:
        assert replayed.replay.steps == 0
        assert replayed.replay.fallback_reason == "there is not enough memory for it"
    else:
        assert replayed.replay.steps > 0


def test_weights_that_kernels_keep_in_another_form_are_those_of_the_present_parameters(
    on_cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first capture fails after the kernels have asked for the weights, which it has not written."""
    conv2d = backend.current().kernel("conv2d")

    def packing(x: Any, w: Any, b: Any, slope: float, geometry: Any, packed: Any = None, out: Any = None) -> Any:
        def fill(form: Any) -> None:
            form[...] = w

        form = get_packed(packed, "copy", lambda: on_cupy.empty(w.shape, w.dtype), fill)
        return conv2d(x, form, b, slope, geometry, None, out)

    errors, before = iter([RuntimeError("cudaErrorUnknown")]), list[Any]()
    capture = graphs.GraphMemory.capture

    def kept(gan: GAN) -> list[Any]:
        return [p.packed_weights.snapshot() for p in gan.discriminator.parameters().values()]

    def failing_once(memory: graphs.GraphMemory, function: Callable, *options: Any) -> Any:
        before.append(kept(replayed))
        result = capture(memory, function, *options)
        if error := next(errors, None):
            raise error
        return result

    monkeypatch.setattr(graphs.GraphMemory, "capture", failing_once)
    monkeypatch.setattr(ema, "_UPDATE_EVERY", 100)
    plain, replayed = GANS["images"]("float32"), GANS["images"]("float32")
    images = np.random.default_rng(0).standard_normal((4, 16, 16, 2)).astype(np.float32)

    def steps(gan: GAN, replay: bool) -> list[Any]:
        found: list[Any] = []
        for step in range(9):
            mg.use("cupy", "cuda", replay=replay)
            backend.current().kernel("conv2d")  # loads the table, which the next `use` drops
            backend.current()._table["conv2d"] = packing
            found += [gan.train_step(real_batch(gan, step, 4))["generator_loss"].item()]
            if step == 2 and replay:
                assert before == [kept(gan)]
            found += [gan.discriminator(images).numpy().tobytes()]
        return found

    assert steps(plain, replay=False) == steps(replayed, replay=True)
    assert bits(plain) == bits(replayed)
    assert replayed.replay.steps > 0


def test_an_interrupt_during_the_capture_leaves_a_usable_gan(
    on_cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    gan = GANS["plain"]("float32")
    train(gan, range(2), replay=True)
    capture = graphs.GraphMemory.capture

    def interrupted(memory: graphs.GraphMemory, function: Callable, *options: Any) -> Any:
        def work() -> None:
            function()
            raise KeyboardInterrupt

        return capture(memory, work, *options)

    with monkeypatch.context() as patched:
        patched.setattr(graphs.GraphMemory, "capture", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(gan, range(2, 3), replay=True)
    assert backend.recorder is None
    state = gan.state()
    twin = GANS["plain"]("float32")
    twin.load_state(state)
    twin.step = gan.step
    assert train(gan, range(2, 9), replay=True) == train(twin, range(2, 9), replay=False)
    assert gan.replay.steps > 0


def test_replays_survive_what_others_do_with_memory(on_cupy: ModuleType) -> None:
    plain, replayed = GANS["critic"]("float32"), GANS["critic"]("float32")
    expected = train(plain, range(10), replay=False)
    found = []
    for step in range(10):
        found += train(replayed, range(step, step + 1), replay=True)
        rubbish = [on_cupy.full(count, np.nan, np.float32) for count in (1, 24, 300, 17 * 24, 5000) for _ in range(9)]
        del rubbish
        if step % 3 == 0:
            on_cupy.get_default_memory_pool().free_all_blocks()
    assert found == expected
    assert replayed.replay.steps > 0


def test_reports_of_earlier_steps_are_not_overwritten(on_cupy: ModuleType) -> None:
    gan = make_gan(penalty=penalties.r1)
    reports = [gan.train_step(real_batch(gan, step)) for step in range(8)]
    values = [[value.item() for value in report.values()] for report in reports]
    for step in range(8, 12):
        gan.train_step(real_batch(gan, step))
    assert [[value.item() for value in report.values()] for report in reports] == values
    assert list(reports[0]) == list(reports[-1])
    assert len({tuple(row) for row in values}) == 8


def test_a_state_moves_between_backends_and_each_replays_it(on_cupy: ModuleType) -> None:
    gan = GANS["plain"]("float32")
    train(gan, range(6), replay=True)
    mg.use("numpy", "reference")
    host = GANS["plain"]("float32")
    host.load_state(gan.state())
    train(host, range(6, 12), replay=True)
    assert host.replay.steps > 0
    mg.use("cupy", "cuda")
    train(gan, range(6, 12), replay=True)
    for name, value in gan.state().items():
        np.testing.assert_allclose(value, host.state()[name], rtol=1e-3, atol=1e-5)

"""What README and docs show is what happens: code blocks run, outputs are those printed, commands are understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from support import documentation
from support.documentation import PAGES, ROOT
from support.runs import train_small, write_photos

import minigan as mg
import minigan_kernels
from minigan import cli, nn

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

RUN_ELSEWHERE = {
    "minigan evaluate": "it trains a classifier: .ci/run does it",
    "minigan study": "it takes half a minute: test_study.py makes the page",
    "minigan gradcheck": "it takes half a minute: .ci/run does it",
    "minigan bench": "it takes a while: .ci/run does it",
}


def commands(program: str) -> list[str]:
    found = {line for page in PAGES for line in documentation.shell_commands(page) if line.startswith(program + " ")}
    return sorted(found)


@every_page
def test_python_blocks_run_and_print_what_is_shown(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(minigan_kernels, "IMPLEMENTATIONS", dict(minigan_kernels.IMPLEMENTATIONS))  # one page adds some
    _, examples = documentation.run_python(page)
    for example in examples:
        assert documentation.difference(example) is None


@every_page
def test_programs_are_shown_as_they_are(page):
    for block, program in documentation.shown_programs(page):
        assert block.text == program, "run: python tests/support/documentation.py"


@pytest.mark.parametrize("name", ["README.md", "docs/gradcheck.md"])
def test_the_tests_shown_find_the_mistake_shown(name, gradcheck):
    sections, _ = documentation.run_python(ROOT / name)
    (test,) = [names["test_my_gradient"] for names in sections if "test_my_gradient" in names]
    with pytest.raises(AssertionError):
        test(gradcheck)


@pytest.mark.slow
def test_the_museum_page_shows_what_its_programs_print():
    examples = documentation.run_programs(ROOT / "docs" / "bug_museum.md")
    assert len(examples) == 1 + len(list((ROOT / "examples" / "bug_museum").glob("[!_]*.py")))
    for example in examples:
        assert documentation.difference(example) is None


def test_a_difference_is_seen():
    """The comparison itself: other words, another result; but another count of evaluations within a third is none."""

    def compare(shown: str, printed: str) -> str | None:
        return documentation.difference(documentation.Example(documentation.Block("", shown, 0, 0), printed))

    assert (
        compare("FAIL\n  0.12345678 +- 2e-13\n  59 evaluations", "FAIL\n  0.12345679 +- 4e-12\n  67 evaluations")
        is None
    )
    assert compare("FAIL  59", "OK  59")
    assert compare("0.12345678", "0.12345878")
    assert compare("59 evaluations", "99 evaluations")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with all that the commands of the pages name."""
    folder = tmp_path_factory.mktemp("reader")
    train_small(folder / "runs" / "mnist-mlp")
    write_photos(folder / "photos", 64)
    (folder / "mine.py").write_text(
        "import numpy as np\n\n\ndef loss(x):\n    return np.tanh(x).sum()\n\n\n"
        "def grad_loss(x):\n    return 1 - np.tanh(x) ** 2\n"
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("line", commands("minigan"))
def test_commands_work(line, place, monkeypatch, capsys, request):
    arguments = shlex.split(line, comments=True)[1:]
    if "cupy" in arguments:
        request.getfixturevalue("standin")
    for beginning, reason in RUN_ELSEWHERE.items():
        if line.startswith(beginning) and "mine.py" not in line:
            pytest.skip(f"{beginning}: {reason}")
    monkeypatch.chdir(place)
    training = ["--dry-run"] if arguments[0] == "train" else []
    assert cli.main([*arguments, *training]) == 0, capsys.readouterr().err


def test_what_is_run_elsewhere_is_run_there():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for beginning in ("minigan evaluate", "minigan gradcheck", "minigan bench"):
        assert beginning in script


@pytest.mark.parametrize("line", commands("python"))
def test_scripts_exist_and_have_the_options_shown(line):
    _, script, *rest = shlex.split(line, comments=True)
    sources = [ROOT / script] if (ROOT / script).is_file() else sorted((ROOT / script).glob("*.py"))
    assert sources
    text = "".join(path.read_text(encoding="utf-8") for path in [*sources, ROOT / "benchmarks" / "command_line.py"])
    for option in rest:
        if re.match(r"--\w", option):
            assert f'"{option}"' in text, f"{script} does not know {option}"


def snippets_of_the_table() -> list[str]:
    """What the last column of docs/from_other_libraries.md tells readers to write."""
    page = (ROOT / "docs" / "from_other_libraries.md").read_text(encoding="utf-8")
    rows = [row.split(" | ")[-1] for row in re.findall(r"^\| (.+) \|$", page, re.M)]
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row) if re.search(r"[(.]", code)]


def test_what_the_table_says_to_write_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y, v = np.ones((4, 3)), np.arange(4) % 3, np.ones(3)
    loose = mg.Tensor(np.ones(3))
    names = {
        **{"mg": mg, "nn": nn, "np": np, "data": mg.data, "x": x, "y": y, "v": v, "array": v, "inputs": [v]},
        **{"t": mg.Tensor(2.0), "ps": [loose], "loss": mg.ops.sum(loose * loose), "logits": mg.Tensor(x), "labels": y},
        **{"a": nn.Dense(3, 3), "b": nn.Dense(3, 3), "f": lambda t: (t * t).sum(), "g": nn.Dense(3, 3)},
        **{"grad_f": lambda t: 2 * t, "network": nn.mlp([3, 3]), "net": nn.mlp([28, 1]), "module": nn.Dense(3, 3)},
    }
    names["gan"] = mg.GAN(nn.mlp([2, 3]), nn.mlp([3, 1]), latent_size=2)
    names["opt"] = mg.optim.Adam({"w": mg.Parameter(v)}, 0.1)
    codes = snippets_of_the_table()
    assert len(codes) > 40
    special = {
        "mg.grad(loss, module)": "mg.grad((module(x) ** 2).sum(), module)",
        "mg.value_and_grad(f)": "mg.value_and_grad(f)(v)",
        "mg.jacobian(f, x)": "mg.jacobian(f, v)",
        "mg.hvp(f, x, v)": "mg.hvp(f, v, v)",
        "mg.check_pair(f, grad_f, x)": "mg.check_pair(lambda t: (t * t).sum(), grad_f, v)",
        "net.summary((28, 28, 1))": "net.summary((28,))",
        "net.predict(x, batch=500)": "net.predict(np.ones((4, 28)), batch=500)",
        "mg.save(f, net)": "mg.save('net.safetensors', net)",
        "mg.load(f, net)": "mg.load('net.safetensors', net)",
        "nn.Residual(f)": "nn.Residual(a)",
        "nn.Concatenate(f, g)": "nn.Concatenate(a, g)",
        "opt.step(mg.grad(loss, opt.parameters))": "opt.step(mg.grad((opt.parameters[0] ** 2).sum(), opt.parameters))",
        "gan.fit(x, steps=...)": "gan.fit(x, steps=2, batch_size=4, progress=False)",
        "net.frozen()": "nn.Dense(3, 3).frozen()",
        "with mg.no_grad():": "with mg.no_grad(): pass",
        'mg.use(backend="cupy")': "mg.use(backend='numpy')",
    }
    assert special.keys() <= set(codes)
    for code in codes:
        exec(special.get(code, code), names)
    mg.use(replay=True)

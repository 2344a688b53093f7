"""The structure of the code: imports point down, none in a circle; few packages, each within its budget of lines."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "minigan"
BENCHMARKS = ROOT / "benchmarks"

LAYERS = {
    "kernels": 0, "core": 1, "figures": 1, "autodiff": 2, "ops": 3, "nn": 4, "optim": 4, "checking": 4,
    "data": 5, "metrics": 5, "gan": 5,
    "domains": 6, "recipes": 6, "explain": 6, "training": 6, "selftest": 6, "study": 6,
    "export": 6, "report": 6,
    "cli": 7, "__main__": 7,
}  # fmt: skip
MOST_ENTRIES = 22  # at the top of minigan/
# Lines by package, and of the parts that are read in an evening. With some air: a budget that is full pushes code
# into the wrong file. CONTRIBUTING says when to raise one.
BUDGETS = {
    "kernels": 8000, "core": 1400, "figures": 1550, "autodiff": 1020, "ops": 1280, "nn": 2150, "optim": 540,
    "checking": 2800, "data": 2650, "metrics": 2300, "gan": 4300, "domains": 2950, "recipes": 2600, "training": 5200,
    "selftest": 1350, "study": 2350, "cli": 3200, "export": 1050, "report": 700,
}  # fmt: skip
HEART = {
    "engine and parameters": (600, ["autodiff/engine.py", "autodiff/parameter.py", "autodiff/flat.py"]),
    "operations": (1280, ["ops"]),
    "losses and penalties": (550, ["gan/losses.py", "gan/penalties.py"]),
    "the training step": (320, ["gan/gan.py"]),
}
IMPORTS_CUPY = ROOT / "kernels" / "cuda" / "driver.py"


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@functools.cache
def _modules(path: Path) -> tuple[tuple[int, str], ...]:
    """(line, full name) of whatever a file imports, anywhere in it, with `from a import b` as a.b."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(path, node)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parent = path.relative_to(ROOT).parts[: -node.level]
    return ".".join([*parent, *([node.module] if node.module else [])])


def _part(module: str) -> str | None:
    """Which part of the library `module` belongs to; None if it is from elsewhere."""
    names = module.split(".")
    if names[0] == "minigan_kernels":
        return "kernels"
    return names[1] if names[0] == "minigan" and len(names) > 1 else None


def _own_part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


LIBRARY = [path for path in _sources(PACKAGE) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = _own_part(path)
    assert own in LAYERS, f"say on which layer {own} lies"
    for line, module in _modules(path):
        assert module != "minigan", f"{path}:{line} imports the whole library"
        part = _part(module)
        if part is None or part == own or (part == "__version__" and LAYERS[own] > LAYERS["gan"]):
            continue
        assert part in LAYERS, f"{path}:{line} imports {module}, which is no part of the library"
        below_or_beside = LAYERS[part] <= LAYERS[own]
        assert below_or_beside, f"{path}:{line} (layer {LAYERS[own]}) imports {module} (layer {LAYERS[part]})"


def _in_circles(needs: dict[str, set[str]]) -> set[str]:
    """The modules that import each other in a circle, and those that need them."""
    needs = {name: others - {name} for name, others in needs.items()}
    while free := [name for name, others in needs.items() if not others & needs.keys()]:
        for name in free:
            del needs[name]
    return set(needs)


def test_packages_do_not_import_in_a_circle() -> None:
    needs: dict[str, set[str]] = {}
    for path in LIBRARY:
        parts = {_part(module) for _, module in _modules(path)} - {None, "__version__"}
        needs.setdefault(_own_part(path), set()).update(p for p in parts if p)
    assert not _in_circles(needs)


def test_files_do_not_import_in_a_circle() -> None:
    """Not for type checkers either; a package's `__init__` only collects names, and counts as none."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in LIBRARY if path.name != "__init__.py"
    }
    needs: dict[str, set[str]] = {}
    for name, path in files.items():
        imported = {module for _, module in _modules(path)}
        needs[name] = {other for other in files if {other} & {*imported, *(m.rpartition(".")[0] for m in imported)}}
    assert sum(map(len, needs.values())) > 300, "their imports were not understood"
    assert not _in_circles(needs)


def test_benchmarks_do_not_import_in_a_circle() -> None:
    files = {".".join(path.relative_to(BENCHMARKS).with_suffix("").parts): path for path in _sources(BENCHMARKS)}
    needs = {
        name: {other for other in files if any(f"{module}.".startswith(f"{other}.") for _, module in _modules(path))}
        for name, path in files.items()
    }
    assert sum(map(len, needs.values())) > 20, "their imports were not understood"
    assert not _in_circles(needs)


def test_a_circle_is_seen() -> None:
    assert _in_circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"f"}, "f": set()}) == {*"abcd"}


def test_kernels_stand_on_their_own() -> None:
    for path in _sources(ROOT / "kernels"):
        for line, module in _modules(path):
            assert module.split(".")[0] != "minigan", f"{path}:{line} imports {module}"


def test_only_one_module_imports_cupy() -> None:
    for path in [*LIBRARY, *_sources(ROOT / "kernels")]:
        imported = {module.split(".")[0] for _, module in _modules(path)}
        assert path == IMPORTS_CUPY or not imported & {"cupy", "cupyx"}, f"{path} imports cupy"


def test_the_engine_is_from_scratch() -> None:
    foreign = {"torch", "tensorflow", "jax", "keras", "autograd", "flax", "sklearn", "scipy"}
    for path in [*LIBRARY, *_sources(ROOT / "kernels")]:
        assert not {module.split(".")[0] for _, module in _modules(path)} & foreign, f"{path}"


def _lines(paths: Iterable[Path]) -> int:
    files = [file for path in paths for file in (_sources(path) if path.is_dir() else [path])]
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def test_few_entries_at_the_top() -> None:
    entries = [entry.name for entry in PACKAGE.iterdir() if entry.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def test_every_package_has_a_budget() -> None:
    assert BUDGETS.keys() == {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} | {"kernels"}


@pytest.mark.parametrize(("package", "budget"), BUDGETS.items())
def test_a_package_keeps_to_its_budget(package: str, budget: int) -> None:
    assert _lines([(ROOT if package == "kernels" else PACKAGE) / package]) <= budget


@pytest.mark.parametrize("part", HEART)
def test_the_heart_is_read_in_an_evening(part: str) -> None:
    budget, files = HEART[part]
    assert _lines(PACKAGE / name for name in files) <= budget


def test_the_parser_of_imports_sees_what_functions_import(tmp_path: Path) -> None:
    source = tmp_path / "sample.py"
    source.write_text("import a.b\ndef f():\n    from minigan.nn import layers\n    from minigan import gan as g\n")
    assert sorted(m for _, m in _modules(source)) == ["a.b", "minigan.gan", "minigan.nn.layers"]
    assert [_part(m) for m in ("a.b", "minigan.gan", "minigan.nn.layers", "minigan_kernels.cache")] == [
        None, "gan", "nn", "kernels",
    ]  # fmt: skip

"""Imports point down: each part of the library knows only the layers below its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "minigan"

LAYERS = {
    "kernels": 0, "core": 1, "figures": 1, "autodiff": 2, "ops": 3, "nn": 4, "optim": 4, "checking": 4,
    "data": 5, "metrics": 5, "gan": 5,
    "domains": 6, "recipes": 6, "explain": 6, "training": 6, "selftest": 6, "study": 6,
    "cli": 7, "__main__": 7,
}  # fmt: skip
LINES = {"autodiff/engine.py": 330, "gan/gan.py": 280}
TOTAL_LINES = {("ops",): 860, ("gan/losses.py", "gan/penalties.py"): 500}
KNOW_NUMPY_AND_CUPY = {"core/backend.py"}


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _modules(path: Path) -> Iterator[tuple[int, str]]:
    """(line, full name) of whatever a file imports, anywhere in it, with `from a import b` as a.b."""
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


def test_parts_of_one_layer_do_not_import_in_a_circle() -> None:
    needs: dict[str, set[str]] = {}
    for path in LIBRARY:
        parts = {_part(module) for _, module in _modules(path)} - {None, _own_part(path), "__version__"}
        needs.setdefault(_own_part(path), set()).update(p for p in parts if p)
    while free := [name for name, others in needs.items() if not others & needs.keys()]:
        for name in free:
            del needs[name]
    assert not needs


def test_kernels_stand_on_their_own() -> None:
    for path in _sources(ROOT / "kernels"):
        for line, module in _modules(path):
            assert module.split(".")[0] != "minigan", f"{path}:{line} imports {module}"


def test_only_the_backend_imports_cupy() -> None:
    for path in [*LIBRARY, *_sources(ROOT / "kernels")]:
        if str(path.relative_to(ROOT / "minigan" if path.is_relative_to(PACKAGE) else ROOT)) not in KNOW_NUMPY_AND_CUPY:
            imported = {module.split(".")[0] for _, module in _modules(path)}
            assert not imported & {"cupy", "cupyx"}, f"{path} imports cupy"


def test_the_engine_is_from_scratch() -> None:
    foreign = {"torch", "tensorflow", "jax", "keras", "autograd", "flax", "sklearn", "scipy"}
    for path in [*LIBRARY, *_sources(ROOT / "kernels")]:
        if path == PACKAGE / "training/benchmark.py":
            continue  # it compares with them
        assert not {module.split(".")[0] for _, module in _modules(path)} & foreign, f"{path}"


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize(("name", "limit"), LINES.items())
def test_a_file_can_be_read_in_one_sitting(name: str, limit: int) -> None:
    assert _lines(PACKAGE / name) <= limit


@pytest.mark.parametrize(("names", "limit"), TOTAL_LINES.items())
def test_a_part_can_be_read_in_one_sitting(names: tuple[str, ...], limit: int) -> None:
    files = [f for name in names for f in ([PACKAGE / name] if name.endswith(".py") else _sources(PACKAGE / name))]
    assert sum(_lines(path) for path in files if path.exists()) <= limit


def test_the_parser_of_imports_sees_what_functions_import(tmp_path: Path) -> None:
    source = tmp_path / "sample.py"
    source.write_text("import a.b\ndef f():\n    from minigan.nn import layers\n    from minigan import gan as g\n")
    assert sorted(m for _, m in _modules(source)) == ["a.b", "minigan.gan", "minigan.nn.layers"]
    assert [_part(m) for m in ("a.b", "minigan.gan", "minigan.nn.layers", "minigan_kernels.cache")] == [
        None, "gan", "nn", "kernels",
    ]  # fmt: skip

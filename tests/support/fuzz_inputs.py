"""The inputs of the fuzzer: for each kind a function that fills a folder and gives a command line."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from minigan import cli, recipes, selftest
from minigan.cli import parser

TINY = ["--set", "generator_widths=4", "--set", "discriminator_widths=4", "--set", "batch_size=4"]
_RECIPE = """\
import numpy as np
import minigan as mg
from minigan import nn, optim
from minigan.domains import PointDomain

DOMAIN = PointDomain("ring")

def build(dtype, batch_size=4, rate=1e-3, width=3, fancy=False):
    rng = np.random.default_rng(0)
    g = nn.Sequential(nn.Dense(2, width, rng), nn.ReLU(), nn.Dense(width, 2, rng)).astype(dtype)
    d = nn.Sequential(nn.Dense(2, width, rng), nn.LeakyReLU(0.2), nn.Dense(width, 1, rng)).astype(dtype)
    optimizers = optim.Adam(g.parameters(), rate), optim.Adam(d.parameters(), rate)
    return mg.GAN(g, d, mg.losses.get("hinge"), *optimizers, latent_size=2)
"""
_FUNCTIONS = """\
import numpy as np
def square(x):
    return float((x ** 2).sum())
def grad_square(x):
    return 2 * x
def grad_wrong(x):
    return 3 * x
number = 5
"""


def make_originals(folder: Path) -> None:
    """Make the files that inputs are damaged copies of: runs of pictures and points, pictures, IDX files, functions."""
    rng = np.random.default_rng(0)
    (folder / "idx").mkdir()
    pixels = rng.integers(0, 256, (12, 6, 5), dtype=np.uint8).tobytes()
    header = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (12, 6, 5))
    (folder / "idx" / "train-images-idx3-ubyte").write_bytes(header + pixels)
    (folder / "idx" / "train-labels-idx1-ubyte").write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x0c" + bytes(range(12)))
    (folder / "photos" / "more").mkdir(parents=True)
    names = ("0.png", "1.jpg", "more/2.ppm", "3.pgm", "4.bmp", "5.gif", "more/6.tif", "7.webp")
    for i, name in enumerate(names):
        picture = Image.fromarray(rng.integers(0, 256, (9, 7 + i, 3), dtype=np.uint8))
        picture.convert("L" if name.endswith("pgm") else "RGB").save(folder / "photos" / name)
    (folder / "functions.py").write_text(_FUNCTIONS)
    (folder / "mine.py").write_text(_RECIPE)
    with contextlib.chdir(folder):
        few = ["--steps", "1", "--sample-every", "1", "--log-every", "1", "--quiet", *TINY]
        assert cli.main(["train", "--data-dir", "idx", "--out", "pictures", *few]) == 0
        assert cli.main(["train", "ring", "--out", "points", *few]) == 0
        for name in ("pictures", "points"):
            assert cli.main(["train", "--resume", name, "--steps", "2", "--set", "rate=1e-3", "--quiet"]) == 0


class Brake:
    """Makes accepted commands quick: a page without sections, two cases to check, steps timed once, few contours."""

    def __init__(self, contours: bool) -> None:
        self._patches, self._contours = contextlib.ExitStack(), contours

    def __enter__(self) -> None:
        for target, replacement in (
            ("minigan.study.page.SECTIONS", {}),
            ("minigan.cli.gradcheck.all_cases", _few_cases),
            ("minigan.training.benchmark._call_for", lambda step, seconds: [1e-3]),
            ("minigan.training.benchmark.NETWORKS", _TINY_NETWORKS),
        ):
            self._patches.enter_context(mock.patch(target, replacement))
        if not self._contours:
            self._patches.enter_context(mock.patch("minigan.figures.density_map.save_contours"))

    def __exit__(self, *details: object) -> None:
        self._patches.close()


def _few_cases(seed: int, dtype: str) -> list[selftest.Case]:
    return _FEW.setdefault((seed, dtype), list(selftest.all_cases(seed, dtype)[:40:20]))


_FEW: dict[tuple[int, str], list[selftest.Case]] = {}
_TINY_NETWORKS = {"toy": lambda dtype: (recipes.get("ring").build(generator_widths=[2]), np.zeros((4, 2), dtype))}


# Odd values, for command lines and inside of files. No path leads out of the folder: somebody may run this as root.

WORDS = [
    "", " ", "-", "--", "---", "-1", "0", "1", "2", "1e9", "1e-400", "1e400", "nan", "inf", "-inf", "9" * 30,
    "9" * 5000, "100000000", "1000000000000", "\u00b2", "\uff11\uff12", "1_0", "1__0", "1,000", "0x10", "0.5", "a\nb",
    "\x1b[31mred\x1b[0m", "a\r\nb", "\u202egnp", "\x9b31m", "\x00", "a\x00b", "\udcff", "caf\u00e9", "\U0001f600",
    "a" * 10_000, "a b", "%s%n%(prog)s", "{0}{x}",
    "a=b", "=", "a=", "..", ".", "~", "pipe", "loop", "nowhere", "no/such/folder", "pictures", "points", "idx",
    "photos", "functions.py", "functions.py:square", "functions.py:number", "functions.py:", ":square", "x.png",
    "x.npz", "x.html", "pictures/config.json", "pictures/config.json/x", "con", "a" * 300 + ".png", "true", "None",
    "mine.py", "48x64", "lr", "wgan",
    "mnist-mlp", "ring", "swiss-roll", "toy", "float32", "float64", "numpy", "cupy", "auto", "reference", "numba",
]  # fmt: skip
_KEYS = sorted({key for recipe in recipes.RECIPES.values() for key in recipe.settings})
_DEEP, _LONG = "deep nesting", "many digits"
_SCALARS: list[Any] = [
    None, True, False, 0, -1, 1, 3, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.5, -0.5, 1e308, 1e-320, math.nan,
    math.inf, -math.inf, _LONG, _DEEP, [], {}, [[]], [1, "a"], [0], [-1], [2**40], {"a": 1}, [None] * 50, *WORDS,
]  # fmt: skip


def _word(rng: random.Random) -> str:
    return rng.choice(WORDS)


# Bytes.


def damaged(rng: random.Random, content: bytes) -> bytes:
    """`content` with bits flipped, cut, doubled, replaced, or not at all what it was."""
    if not content:
        return rng.randbytes(10)
    at, size = rng.randrange(len(content)), len(content)
    match rng.randrange(9):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        case 2:
            flipped = bytearray(content)
            for _ in range(rng.randrange(1, 20)):
                flipped[min(int(rng.expovariate(8 / size)), size - 1)] = rng.randrange(256)
            return bytes(flipped)
        case 3:
            return content[:at] + rng.randbytes(rng.randrange(1, 50)) + content[at:]
        case 4:
            return content[:at] + content[at + rng.randrange(1, 50) :]
        case 5:
            return content + content[at:]
        case 6:
            word = rng.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xfe"])
            at = rng.choice([at, rng.randrange(min(64, size))])
            return content[:at] + word + content[at + len(word) :]
        case 7:
            return rng.choice([b"", b"\0", b"\xff" * 100, b"\x80\x04\x95.", b"{", b"[" * 100_000, rng.randbytes(200)])
        case _:
            return gzip.compress(content, mtime=0)[: rng.choice([None, -4, 12])]


# JSON.


def _places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path, a tuple of keys and indices, of each value in parsed JSON, after `path`."""
    below = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(place for key, value in below for place in _places(value, (*path, key)))]


def _changed(rng: random.Random, content: Any, path: tuple[Any, ...]) -> Any:
    """`content` with what is at `path` replaced, or removed, or given a neighbour."""
    if not path:
        return rng.choice(_SCALARS)
    copy = dict(content) if isinstance(content, dict) else list(content)
    key = path[0]
    if len(path) > 1:
        copy[key] = _changed(rng, copy[key], path[1:])
    elif rng.random() < 0.15:
        del copy[key]
    elif isinstance(copy, dict) and rng.random() < 0.15:
        copy[rng.choice([_word(rng), *_KEYS])] = rng.choice(_SCALARS)
    elif isinstance(copy[key], (int, float)) and rng.random() < 0.3:
        copy[key] = rng.choice([-copy[key], copy[key] * 10**6, float(copy[key]), str(copy[key]), [copy[key]]])
    else:
        copy[key] = rng.choice(_SCALARS)
    return copy


def _text_of(content: Any) -> str:
    """`content` as JSON; _DEEP and _LONG in it become deep nesting and a number of many digits."""
    text = json.dumps(content)
    return text.replace(json.dumps(_DEEP), "[" * 50_000 + "]" * 50_000).replace(json.dumps(_LONG), "1" * 6000)


def damaged_json(rng: random.Random, text: str) -> bytes:
    """`text` with values of other kinds and sizes, entries twice, nesting without end, or its bytes damaged."""
    if rng.random() < 0.25:
        return damaged(rng, text.encode())
    content = json.loads(text)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        content = _changed(rng, content, rng.choice(_places(content)))
    text = _text_of(content)
    match rng.randrange(10):
        case 0 if text.startswith("{") and isinstance(content, dict) and content:
            key = rng.choice(list(content))
            text = f"{{{json.dumps(key)}: {_text_of(rng.choice(_SCALARS))}, {text[1:]}"
        case 1:
            return b"\xef\xbb\xbf" + text.encode()
        case 2:
            return text.encode(rng.choice(["utf-16", "utf-32"]))
        case 3:
            text += rng.choice(["\n{}", "\0", "x", " " * 10_000])
    return text.encode()


# Files of runs.


def _run(rng: random.Random, here: Path, originals: Path) -> str:
    """Copy one of the original runs into `here`, and return the name of its folder."""
    name = "points" if rng.random() < 0.2 else "pictures"  # runs of points take long to draw
    shutil.copytree(originals / name, here / name)
    if name == "pictures":
        shutil.copytree(originals / "idx", here / "idx")
        config = here / name / "config.json"  # so that the copied data are found
        config.write_text(config.read_text().replace(str(originals), str(here)))
    return name


def _reading(rng: random.Random, name: str) -> list[str]:
    """A command that reads the run `name`."""
    return rng.choice(
        [
            ["sample", name, "--n", "3", "--out", "x.npz"],
            ["sample", name, "--n", "3", "--json"],
            ["evaluate", name, "--n", "30", "--quiet"],
            # --steps keeps runs short, however long the configuration says; runs with schedules refuse the option.
            ["train", "--resume", name, "--quiet", "--steps", "2"],
        ]
    )


def configuration(rng: random.Random, here: Path, originals: Path) -> list[str]:
    name = _run(rng, here, originals)
    path = here / name / "config.json"
    path.write_bytes(damaged_json(rng, path.read_text()))
    if rng.random() < 0.3:
        return ["train", "--config", f"{name}/config.json", "--steps", "2", "--out", "new", "--quiet"]
    return _reading(rng, name)


def checkpoint(rng: random.Random, here: Path, originals: Path) -> list[str]:
    name = _run(rng, here, originals)
    path = here / name / "checkpoint.safetensors"
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header, numbers = whole[8 : 8 + length], whole[8 + length :]
    match rng.randrange(5):
        case 0:
            whole = damaged(rng, whole)
        case 1:  # the header
            header = damaged_json(rng, header.decode())
            whole = len(header).to_bytes(8, "little") + header + numbers
        case 2:  # minigan's metadata
            note = json.loads(header)["__metadata__"]
            key = rng.choice(list(note))
            note[key] = damaged_json(rng, note[key]).decode("utf-8", "replace")
            whole = save_tensors(load_tensors(whole), metadata=note)
        case 3:
            note = json.loads(header)["__metadata__"]
            whole = save_tensors(_other_tensors(rng, load_tensors(whole)), metadata=note)
        case _:
            whole = rng.choice([0, 1, 2**20, 2**63, 2**64 - 1]).to_bytes(8, "little") + header + numbers
    path.write_bytes(whole)
    return _reading(rng, name)


def _other_tensors(rng: random.Random, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    name = rng.choice(list(tensors))
    value = tensors[name]
    match rng.randrange(6):
        case 0:
            tensors[name] = value.astype(rng.choice(["float16", "float64", "int8", "uint64", "bool"]))
        case 1:
            tensors[name] = value.reshape(-1)[: rng.randrange(value.size + 1)]
        case 2:
            tensors[name] = np.full_like(value, rng.choice([0, 1, 100]) if value.dtype.kind != "f" else math.nan)
        case 3:
            del tensors[name]
        case 4:
            tensors[rng.choice([*WORDS[:20], "g"])] = value
        case _:
            tensors[name] = np.asarray(~value if value.dtype.kind in "biu" else -value)
    return tensors


def metrics(rng: random.Random, here: Path, originals: Path) -> list[str]:
    name = _run(rng, here, originals)
    path = here / name / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    at = rng.randrange(len(lines))
    if rng.random() < 0.4:
        path.write_bytes(damaged(rng, path.read_bytes()))
    else:
        lines[at] = damaged_json(rng, lines[at].decode()) + b"\n"
        path.write_bytes(b"".join(lines))
    return ["train", "--resume", name, "--quiet"]


def layout(rng: random.Random, here: Path, originals: Path) -> list[str]:
    """A file of the run is missing, or a folder, a link, a pipe, or empty."""
    name = _run(rng, here, originals)
    path = rng.choice(list((here / name).rglob("*")))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    match rng.randrange(6):
        case 0:
            path.mkdir()
        case 1:
            path.symlink_to(path.name)
        case 2:
            path.symlink_to(here / "nowhere" / "at all")
        case 3:
            os.mkfifo(path)
        case 4:
            path.write_bytes(b"")
    return _reading(rng, name)


# Data.


def pictures(rng: random.Random, here: Path, originals: Path) -> list[str]:
    shutil.copytree(originals / "photos", here / "photos")
    path = rng.choice([p for p in (here / "photos").rglob("*") if p.is_file()])
    content = path.read_bytes()
    if rng.random() < 0.3:  # a header with sizes that do not fit the content
        extents = rng.choice([(1, 1), (10**5, 10**5), (65535, 65535), (2**31 - 1, 2), (0, 5), (3, 10**6), (-4, 4)])
        kind, most = rng.choice(["P5", "P6", "P1", "P7", "Pf"]), rng.choice([255, 65535, 0, 1, -1, 10**9])
        content = f"{kind}\n{extents[0]} {extents[1]}\n{most}\n".encode() + rng.randbytes(100)
        path = path.with_name("new.ppm")
    else:
        content = damaged(rng, content)
        if rng.random() < 0.2:
            path = path.with_name(rng.choice(["\x1b[31m.png", "a\nb.jpg", "\udcff.png", "x.jpeg", "\u202egnp.png"]))
    path.write_bytes(content)
    arguments = ["train", "--data-dir", "photos", "--dry-run", *TINY]
    return arguments + rng.choice([[], ["--quiet"], ["--strict"], ["--json"]])


def idx(rng: random.Random, here: Path, originals: Path) -> list[str]:
    shutil.copytree(originals / "idx", here / "idx")
    path = rng.choice(list((here / "idx").iterdir()))
    content = path.read_bytes()
    if rng.random() < 0.4:
        kind, count = rng.choice([8, 8, 8, 9, 13, 0, 255]), rng.choice([0, 1, 2, 3, 3, 3, 4, 33, 255])
        extents = b"".join(rng.choice([0, 1, 5, 12, 2**16, 2**31, 2**32 - 1]).to_bytes(4, "big") for _ in range(count))
        content = bytes([0, 0, kind, count]) + extents + content[16:]
    else:
        content = damaged(rng, content)
    if rng.random() < 0.2:
        path.unlink()
        names = ["x", "x.gz", "test-images", "latest", "\x1b[31midx", "t10k-labels", "a\nb-idx"]
        path = path.with_name(rng.choice(names))
    path.write_bytes(content)
    return ["train", "--data-dir", "idx", "--dry-run", *TINY, *rng.choice([[], ["--json"]])]


# Command lines.


def command_line(rng: random.Random, here: Path, originals: Path) -> list[str]:
    """A command with real options and odd values, and with options that keep it short."""
    shutil.copytree(originals / "idx", here / "idx")
    for name in ("functions.py", "mine.py"):
        shutil.copy(originals / name, here / name)
    for name in ("pictures", "points"):
        shutil.copytree(originals / name, here / name)
    os.mkfifo(here / "pipe")
    (here / "loop").symlink_to("loop")
    (here / "nowhere").symlink_to("at/all")
    name = rng.choice(list(parser.COMMANDS))
    command: Any = parser.make_parser()._subparsers._group_actions[0].choices[name]
    command.complete()
    words: list[str] = [name] if rng.random() < 0.97 else [_word(rng)]
    words += _USUAL.get(name, [])
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 5])):
        words += _option(rng, rng.choice(command._actions))
    return words


_USUAL = {
    "train": ["--dry-run", *TINY],
    "sample": ["points", "--n", "3"],
    "evaluate": ["points", "--n", "30", "--quiet"],
    "explain": ["ring", *TINY],
    "gradcheck": ["--quiet"],
}


def _option(rng: random.Random, action: argparse.Action) -> list[str]:
    value = rng.choice([_word(rng), f"{rng.choice(_KEYS)}={_word(rng)}"]) if action.dest == "set" else _word(rng)
    if not action.option_strings:
        return [value]
    option = rng.choice(action.option_strings)
    if action.nargs == 0:
        return [option] if rng.random() < 0.8 else [f"{option}={value}"]
    match rng.randrange(10):
        case 0:
            return [option]
        case 1:
            return [option[:-1], value]
        case 2 | 3 | 4:
            return [f"{option}={value}"]
        case _:
            return [option, value]


KINDS: dict[str, Callable[[random.Random, Path, Path], list[str]]] = {
    "command line": command_line,
    "configuration": configuration,
    "pictures": pictures,
    "checkpoint": checkpoint,
    "command line, again": command_line,
    "idx": idx,
    "metrics": metrics,
    "layout": layout,
}

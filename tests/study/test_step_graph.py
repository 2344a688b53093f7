"""Every number on the graph of one training step, against the same GAN written out by hand in NumPy."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from minigan.figures.graph_svg import graph_svg
from minigan.study import step_graph
from minigan.study.step_graph import SLOPE, WEIGHTS

MINUS = "\N{MINUS SIGN}"
SECTION = step_graph.section()
GRAPHS = {graph.title: graph for graph in step_graph.graphs()}
W = {name: np.array(values) for name, values in WEIGHTS.items()}
Z, X = np.array(step_graph.LATENT), np.array(step_graph.REALS)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def leaky_relu(a: np.ndarray) -> np.ndarray:
    return np.where(a > 0, a, SLOPE * a)


def leaky_relu_slope(a: np.ndarray) -> np.ndarray:
    return np.where(a > 0, 1.0, SLOPE)


def by_hand() -> dict[str, dict[str, np.ndarray]]:
    """Forward and backward of both steps; `d NAME` is the derivative of the loss by NAME."""
    d: dict[str, np.ndarray] = dict(W)
    d["z"], d["x"] = Z, X
    d["dense 1"] = Z @ W["G.W1"] + W["G.b1"]
    d["leaky_relu 1"] = leaky_relu(d["dense 1"])
    d["G(z)"] = d["leaky_relu 1"] @ W["G.W2"] + W["G.b2"]
    d["x and G(z)"] = np.vstack([X, d["G(z)"]])
    d["dense 2"] = d["x and G(z)"] @ W["D.W1"] + W["D.b1"]
    d["leaky_relu 2"] = leaky_relu(d["dense 2"])
    d["logits"] = d["leaky_relu 2"] @ W["D.W2"] + W["D.b2"]
    d["logits of x"], d["logits of G(z)"] = d["logits"][:2], d["logits"][2:]
    d[f"mean softplus({MINUS}l) 1"] = -np.log(sigmoid(d["logits of x"])).mean()
    d["mean softplus(l) 1"] = -np.log(1 - sigmoid(d["logits of G(z)"])).mean()
    d["loss"] = d[f"mean softplus({MINUS}l) 1"] + d["mean softplus(l) 1"]
    d["d loss"] = d[f"d mean softplus({MINUS}l) 1"] = d["d mean softplus(l) 1"] = np.array(1.0)
    d["d logits of x"] = -(1 - sigmoid(d["logits of x"])) / 2
    d["d logits of G(z)"] = sigmoid(d["logits of G(z)"]) / 2
    d["d logits"] = np.vstack([d["d logits of x"], d["d logits of G(z)"]])
    d["d D.W2"], d["d D.b2"] = d["leaky_relu 2"].T @ d["d logits"], d["d logits"].sum(0)
    d["d leaky_relu 2"] = d["d logits"] @ W["D.W2"].T
    d["d dense 2"] = d["d leaky_relu 2"] * leaky_relu_slope(d["dense 2"])
    d["d D.W1"], d["d D.b1"] = d["x and G(z)"].T @ d["d dense 2"], d["d dense 2"].sum(0)

    g = {name: w - step_graph.LEARNING_RATE * d[f"d {name}"] if name.startswith("D") else w for name, w in W.items()}
    g["z"] = Z
    for name in ("dense 1", "leaky_relu 1", "G(z)"):
        g[name] = d[name]
    g["dense 2"] = g["G(z)"] @ g["D.W1"] + g["D.b1"]
    g["leaky_relu 2"] = leaky_relu(g["dense 2"])
    g["logits of G(z)"] = g["leaky_relu 2"] @ g["D.W2"] + g["D.b2"]
    g["loss"], g["d loss"] = -np.log(sigmoid(g["logits of G(z)"])).mean(), np.array(1.0)
    g["d logits of G(z)"] = -(1 - sigmoid(g["logits of G(z)"])) / 2
    g["d leaky_relu 2"] = g["d logits of G(z)"] @ g["D.W2"].T
    g["d dense 2"] = g["d leaky_relu 2"] * leaky_relu_slope(g["dense 2"])
    g["d G(z)"] = g["d dense 2"] @ g["D.W1"].T
    g["d G.W2"], g["d G.b2"] = g["leaky_relu 1"].T @ g["d G(z)"], g["d G(z)"].sum(0)
    g["d leaky_relu 1"] = g["d G(z)"] @ g["G.W2"].T
    g["d dense 1"] = g["d leaky_relu 1"] * leaky_relu_slope(g["dense 1"])
    g["d G.W1"], g["d G.b1"] = Z.T @ g["d dense 1"], g["d dense 1"].sum(0)
    return {"D step": d, "G step": g}


EXPECTED = by_hand()


def expected_figures() -> Iterator[tuple[str, float]]:
    for step, arrays in EXPECTED.items():
        for name, values in arrays.items():
            shown = f"d loss / {name}" if name.startswith("d ") and name not in ("dense 1", "dense 2") else name
            for index, value in np.ndenumerate(values):
                place = f"[{', '.join(map(str, index))}]" if index else ""
                yield f"{step}: {shown}{place}", float(value)


def test_every_figure_is_the_number_computed_by_hand() -> None:
    expected = dict(expected_figures())
    assert SECTION.figures.keys() == expected.keys()
    assert SECTION.figures == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize("step", GRAPHS)
def test_every_number_is_printed_in_the_picture(step: str) -> None:
    drawn = re.findall(r'data-value="([^"]+)">([^<]+)<', graph_svg(GRAPHS[step].nodes))
    expected = sorted((value, f"{value:.3g}".replace("-", MINUS)) for name, value in GRAPHS[step].figures())
    assert sorted((float(exact), shown) for exact, shown in drawn) == expected
    assert len(expected) == len([name for name in SECTION.figures if name.startswith(step)])


def test_nothing_flows_into_the_other_player() -> None:
    assert not [name for name in SECTION.figures if name.startswith("D step: d loss / d G")]
    assert not [name for name in SECTION.figures if name.startswith("G step: d loss / d D.")]
    assert {name for name in EXPECTED["G step"] if name.startswith("d G.")} == {f"d {w}" for w in W if w[0] == "G"}


def test_edges_are_coloured_where_a_gradient_comes_back() -> None:
    """One from each weight that learns and each result on the way, but none from the loss."""
    for graph in GRAPHS.values():
        picture = graph_svg(graph.nodes)
        flowing = sum(node.gradient is not None for node in graph.nodes)
        splits = 1 if graph.title == "D step" else 0  # the logits are taken apart in two
        assert len(re.findall(r'stroke="#c2470d" stroke-width="2"', picture)) == flowing - 1 + splits


@pytest.mark.parametrize("step", GRAPHS)
def test_boxes_do_not_overlap_and_arrows_point_down(step: str) -> None:
    picture = graph_svg(GRAPHS[step].nodes)
    found = re.findall(r'translate\(([\d.]+) ([\d.]+)\)"><rect width="([\d.]+)" height="([\d.]+)"', picture)
    boxes = [tuple(map(float, box)) for box in found]
    assert len(boxes) == len(GRAPHS[step].nodes)
    for i, (x, y, wide, high) in enumerate(boxes):
        for u, v, wide_2, high_2 in boxes[:i]:
            assert x + wide <= u or u + wide_2 <= x or y + high <= v or v + high_2 <= y
    for start, end in re.findall(r'd="M\d+ (\d+)V\d+L\d+ (\d+)m', picture):
        assert float(start) < float(end)
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture).groups())  # type: ignore[union-attr]
    assert all(x + wide <= width and y + high <= height for x, y, wide, high in boxes)


def test_the_second_picture_shows_the_discriminator_that_has_learned() -> None:
    for name in ("D.W1[0, 0]", "D.b2[0]"):
        slope = SECTION.figures[f"D step: d loss / d {name}"]
        before, after = (SECTION.figures[f"{step}: {name}"] for step in ("D step", "G step"))
        assert after == pytest.approx(before - step_graph.LEARNING_RATE * slope, abs=1e-15)
    assert SECTION.figures["G step: logits of G(z)[0, 0]"] < SECTION.figures["D step: logits[2, 0]"]  # as the text says

"""The VJPs of an operation as text in NumPy's notation: `minigan explain` shows them, and tests evaluate each one.

In every formula g is the cotangent of the result y, and z is y before a LeakyReLU that the operation includes. `sum`
and `mean` without an axis run over all axes but the last, n is the number of elements of x, and an input that was
broadcast gets the sum over its copies. `.T` transposes a matrix, or each matrix of a batch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Formula:
    """The cotangent of each input, by the input's name; the formula of the last input serves for further inputs, too.

    where: definitions that the formulas share, separated by "; ". operation: the name to show, if it is not that of the
    primitive.
    """

    cotangents: Mapping[str, str]
    where: str = ""
    operation: str = ""


def with_leaky_relu(slope: float, cotangents: Mapping[str, str], where: str = "", operation: str = "") -> Formula:
    """The formula of an operation that ends with LeakyReLU: in `cotangents` h is the cotangent of z."""
    if slope == 1:
        return Formula({name: re.sub(r"\bh\b", "g", text) for name, text in cotangents.items()}, where, operation)
    return Formula(cotangents, f"h = where(z > 0, g, slope * g){'; ' * bool(where)}{where}", operation)


def formula_of(y: Any) -> Formula:
    """The formula of the operation that made y, with the numbers among its static arguments filled in."""
    text = y.rule.formula or {"input": f"vjp_of_{y.rule.name}(g)"}
    formula = text(**y.static) if callable(text) else Formula(text)
    numbers = static_numbers(y)
    cotangents = {name: _fill_in(text, numbers) for name, text in formula.cotangents.items()}
    return Formula(cotangents, formula.where, formula.operation or y.rule.name)


def static_numbers(y: Any) -> dict[str, float]:
    """The static arguments of the operation that made y that are numbers, by name."""
    return {name: value for name, value in y.static.items() if type(value) in (int, float)}


def _fill_in(text: str, numbers: Mapping[str, float]) -> str:
    for name, value in numbers.items():
        text = re.sub(rf"(?<!\.)\b{name}\b", f"{value:g}", text)
    return re.sub(r"(?<![\w.])1 \* ", "", text.replace("-1 * ", "-"))

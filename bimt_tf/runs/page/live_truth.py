"""For the page: what the outputs should be, as expressions of the inputs that a page can compute.

Each is kept only if it gives the targets of the stored examples. An expression is a Python one of numbers, names, pi,
+ - * / **, sin and sqrt; it reaches the page as nested lists, ["+", ["*", "x1", "x4"], 2].
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["DERIVED", "TRUTHS", "Expression", "agree", "expression", "names_in", "value_of"]

Expression = float | str | list[Any]

TRUTHS: Mapping[str, tuple[str, ...]] = {
    "in-context": ("y1 / x1 * x",),
    "in-context-singular": ("y1 / x1 * x",),
    "products": ("x1 * x4 + x2 * x3", "x1 * x4 - x2 * x3"),
    "symbolic-a": ("x2 ** 2 + sin(pi * x4)", "(x1 + x3) ** 3"),
    "symbolic-b": ("x1 ** 2", "x1 ** 2 + x2 ** 2", "x1 ** 2 + x2 ** 2 + x3 ** 2"),
    "symbolic-c": ("sqrt((x1 - x2) ** 2 + (x3 - x4) ** 2)",),
}
"""Task -> an expression for each number that its loss reads."""

DERIVED: Mapping[str, Mapping[str, str]] = {name: {"w": "y1 / x1"} for name in ("in-context", "in-context-singular")}
"""Task -> quantities that follow from the inputs."""

_SIGNS: Mapping[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_OPERATIONS: Mapping[str, Callable[..., Tensor]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": torch.div,
    "**": torch.pow,
    "sin": torch.sin,
    "sqrt": torch.sqrt,
}


def expression(text: str) -> Expression:
    """A Python expression as nested lists: [operation, arguments ...], names and numbers."""
    return _nested(ast.parse(text, mode="eval").body)


def _nested(node: ast.expr) -> Expression:
    if isinstance(node, ast.BinOp):
        return [_SIGNS[type(node.op)], _nested(node.left), _nested(node.right)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return [node.func.id, *map(_nested, node.args)]
    if isinstance(node, ast.Name):
        return math.pi if node.id == "pi" else node.id
    assert isinstance(node, ast.Constant)
    return float(node.value)  # type: ignore[arg-type]


def names_in(one: Expression) -> set[str]:
    """The quantities that an expression reads."""
    if isinstance(one, list):
        return set().union(*map(names_in, one[1:]))
    return {one} if isinstance(one, str) else set()


def value_of(one: Expression, quantities: Mapping[str, Tensor]) -> Tensor:
    """An expression's value for each example."""
    if isinstance(one, list):
        return _OPERATIONS[one[0]](*(value_of(part, quantities) for part in one[1:]))
    return quantities[one] if isinstance(one, str) else torch.tensor(one, dtype=torch.float64)


def agree(found: Sequence[Tensor], wanted: Tensor, dtype: torch.dtype) -> bool:
    """Whether expressions give the wanted numbers [n, expressions], but for the rounding of the examples' ``dtype``."""
    least = 100 * torch.finfo(dtype).eps
    return bool(torch.allclose(torch.stack(list(found), 1), wanted, rtol=least, atol=least))

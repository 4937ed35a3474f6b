"""Arithmetic on named columns, as an analyst writes it in a configuration: `jet_pt/gen_pt`.

An expression is parsed as Python syntax, but only numbers, columns, operators, comparisons and
the functions below are understood: nothing is ever evaluated as Python. Names may contain dots
(`Jet.PT`); others stand in backticks (`` `pt [GeV]` ``). A text that is a column's name is that
column, whatever signs are in it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import ConfigurationError, DataError, nearest

Values = NDArray[Any]

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("exp", "log", "log2", "log10", "log1p", "expm1")},
    **{name: getattr(np, name) for name in ("sqrt", "abs", "sign", "floor", "ceil", "hypot")},
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "arcsin", "arccos", "arctan")},
    **{name: getattr(np, name) for name in ("arctan2", "sinh", "cosh", "tanh", "arcsinh")},
    **{name: getattr(np, name) for name in ("minimum", "maximum", "where", "isfinite")},
}
CONSTANTS: Mapping[str, float] = {"pi": float(np.pi)}
BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.Mod: np.mod,
    ast.BitAnd: np.logical_and,
    ast.BitOr: np.logical_or,
}
UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: np.positive,
    ast.USub: np.negative,
    ast.Not: np.logical_not,
    ast.Invert: np.logical_not,
}
COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
QUOTED = re.compile(r"`([^`]*)`")
STAND_IN = "_quoted_column_"
LONGEST = 2000


@dataclass(frozen=True)
class Expression:
    """A parsed expression: its text, and the columns it needs."""

    text: str
    columns: tuple[str, ...]
    tree: ast.expr | None

    @classmethod
    def parse(cls, text: object, available: Collection[str]) -> Expression:
        """Parse against the columns that exist.

        Raises ConfigurationError for anything but arithmetic, DataError for a column that does
        not exist.
        """
        if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
            raise ConfigurationError(f"a column or an arithmetic expression is needed: {text!r}")
        if text in available:
            return cls(text, (text,), None)
        quoted = QUOTED.findall(text)
        plain = QUOTED.sub(lambda found: f"{STAND_IN}{quoted.index(found[1])}", text)
        try:
            tree = ast.parse(plain.strip(), mode="eval").body
            resolved = _Resolver(text, quoted).visit(tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", None) or error
            raise ConfigurationError(f"'{text}' is no arithmetic expression: {reason}") from error
        names = dict.fromkeys(
            node.id
            for node in ast.walk(resolved)
            if isinstance(node, ast.Name) and node.id not in CONSTANTS
        )
        missing = [name for name in names if name not in available]
        if missing:
            raise DataError(f"no column '{missing[0]}'{_in(text, missing[0])}"
                            f": {nearest(missing[0], available)}")  # fmt: skip
        if not names:
            raise ConfigurationError(f"'{text}' names no column")
        return cls(text, tuple(names), resolved)

    def __call__(self, columns: Mapping[str, Values]) -> Values:
        """The value (n,) of each row. A bare column keeps its type; arithmetic is in float64."""
        if self.tree is None:
            return columns[self.text]
        numbers = {name: _number(columns[name]) for name in self.columns}
        with np.errstate(all="ignore"):
            return np.asarray(_value(self.tree, numbers))


class _Resolver(ast.NodeTransformer):
    """Checks every node, and makes dotted and quoted names plain ones."""

    def __init__(self, text: str, quoted: list[str]) -> None:
        self.text, self.quoted = text, quoted

    def generic_visit(self, node: ast.AST) -> ast.AST:
        allowed = (
            ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.boolop, ast.Load,
            *BINARY, *UNARY, *COMPARISONS,
        )  # fmt: skip
        if not isinstance(node, allowed):
            self._refuse(type(node).__name__.lower())
        return super().generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id.startswith(STAND_IN):
            return ast.Name(self.quoted[int(node.id.removeprefix(STAND_IN))], ast.Load())
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        parts, inner = [node.attr], node.value
        while isinstance(inner, ast.Attribute):
            parts, inner = [inner.attr, *parts], inner.value
        if not isinstance(inner, ast.Name):
            self._refuse("attribute")
        return ast.Name(".".join([inner.id, *parts]), ast.Load())

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            self._refuse(f"{node.value!r}")
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords:
            known = ", ".join(FUNCTIONS)
            raise ConfigurationError(
                f"'{self.text}' calls '{ast.unparse(node.func)}': only {known} are understood; "
                "nothing is evaluated as Python"
            )
        function = FUNCTIONS[node.func.id]
        expected = function.nin if isinstance(function, np.ufunc) else 3
        if len(node.args) != expected:
            self._refuse(f"{node.func.id} with {len(node.args)} arguments (it takes {expected})")
        return _Called(node.func.id, [self.visit(each) for each in node.args])

    def _refuse(self, what: str) -> NoReturn:
        raise ConfigurationError(
            f"'{self.text}' is no arithmetic expression: {what} is not understood"
        )


class _Called(ast.expr):
    """A call of one of the functions; `args` are its arguments."""

    _fields = ("args",)

    def __init__(self, name: str, args: list[Any]) -> None:
        super().__init__()
        self.name, self.args = name, args


def _value(node: ast.expr, columns: Mapping[str, Values]) -> Any:  # noqa: ANN401 - array or number
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        return CONSTANTS[node.id] if node.id not in columns else columns[node.id]
    if isinstance(node, ast.BinOp):
        return BINARY[type(node.op)](_value(node.left, columns), _value(node.right, columns))
    if isinstance(node, ast.UnaryOp):
        return UNARY[type(node.op)](_value(node.operand, columns))
    if isinstance(node, ast.BoolOp):
        combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return combine.reduce(np.broadcast_arrays(*(_value(each, columns) for each in node.values)))
    if isinstance(node, ast.Compare):
        values = [_value(each, columns) for each in (node.left, *node.comparators)]
        pairs = zip(node.ops, values, values[1:], strict=False)
        found = [COMPARISONS[type(op)](low, high) for op, low, high in pairs]
        return np.logical_and.reduce(found)
    if isinstance(node, _Called):
        return FUNCTIONS[node.name](*(_value(each, columns) for each in node.args))
    raise ConfigurationError(f"{type(node).__name__} is not understood in an expression")


def _number(values: Values) -> Values:
    return values if values.dtype == bool else values.astype(np.float64, copy=False)


def _in(text: str, name: str) -> str:
    return "" if text == name else f" (in '{text}')"

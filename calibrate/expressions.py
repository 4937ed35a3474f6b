"""Arithmetic on named columns, as an analyst writes it in a configuration: `jet_pt/gen_pt`.

An expression is parsed as Python syntax, but only numbers, columns, operators, comparisons and
the functions below are understood: nothing is ever evaluated as Python. Names may contain dots
(`Jet.PT`); others stand in backticks (`` `pt [GeV]` ``). A text that is a column's name is that
column, whatever signs are in it. Arithmetic is in float64; integers are compared exactly. `&`,
`|`, `~` (and `and`, `or`, `not`) combine comparisons, which need parentheses beside `&` and `|`:
`pt > 20 & abs(eta) < 2.5` is refused, because it would be `pt > (20 & abs(eta)) < 2.5`.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NoReturn, cast

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
}
UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: np.positive,
    ast.USub: np.negative,
}
COMBINING: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.BitAnd: np.logical_and,
    ast.And: np.logical_and,
    ast.BitOr: np.logical_or,
    ast.Or: np.logical_or,
}
NEGATING = (ast.Not, ast.Invert)
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
LARGEST = 1e300


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
            raise ConfigurationError(
                f"a column or an arithmetic expression is needed, got {str(text)[:60]!r}"
            )
        if text in available:
            return cls(text, (text,), None)
        quoted = QUOTED.findall(text)
        plain = QUOTED.sub(lambda found: f"{STAND_IN}{quoted.index(found[1])}", text)
        resolver = _Resolver(text, quoted, available)
        try:
            resolved = resolver.visit(_syntax_tree(plain.strip()))
        except (SyntaxError, ValueError) as error:
            reason = getattr(error, "msg", None) or error
            raise ConfigurationError(f"'{text}' is no arithmetic expression: {reason}") from error
        except (RecursionError, MemoryError) as error:
            raise ConfigurationError(f"'{text[:60]} …' is nested too deeply") from error
        names = tuple(resolver.columns)
        missing = [name for name in names if name not in available]
        if missing:
            raise DataError(f"no column '{missing[0]}'{_in(text, missing[0])}"
                            f": {nearest(missing[0], available)}")  # fmt: skip
        if not names:
            raise ConfigurationError(f"'{text}' names no column")
        return cls(text, names, resolved)

    def __call__(self, columns: Mapping[str, Values]) -> Values:
        """The value (n,) of each row. A bare column keeps its type; arithmetic is in float64.

        Raises ConfigurationError where numbers stand for true or false.
        """
        if self.tree is None:
            return columns[self.text]
        with np.errstate(all="ignore"):
            return np.asarray(_Evaluator(self.text, columns).visit(self.tree))


class _Resolver(ast.NodeTransformer):
    """Checks every node, makes dotted and quoted names plain ones, and collects the columns."""

    def __init__(self, text: str, quoted: list[str], available: Collection[str]) -> None:
        self.text, self.available = text, available
        self.quoted = {f"{STAND_IN}{i}": name for i, name in enumerate(quoted)}
        self.columns: dict[str, None] = {}

    def generic_visit(self, node: ast.AST) -> ast.AST:
        allowed = (
            ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.Load,
            *BINARY, *UNARY, *COMPARISONS, *COMBINING, *NEGATING,
        )  # fmt: skip
        if not isinstance(node, allowed):
            self._refuse(type(node).__name__.lower())
        return super().generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._column(self.quoted.get(node.id, node.id))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        parts, inner = [node.attr], node.value
        while isinstance(inner, ast.Attribute):
            parts, inner = [inner.attr, *parts], inner.value
        if not isinstance(inner, ast.Name):
            self._refuse("attribute")
        return self._column(".".join([inner.id, *parts]))

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            self._refuse(f"{node.value!r}")
        if abs(node.value) > LARGEST:
            self._refuse(f"a number as large as {str(node.value)[:20]}")
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords:
            known = ", ".join(FUNCTIONS)
            raise ConfigurationError(
                f"'{self.text}' calls '{ast.unparse(node.func)[:60]}': only {known} are "
                "understood; nothing is evaluated as Python"
            )
        function = FUNCTIONS[node.func.id]
        expected = function.nin if isinstance(function, np.ufunc) else 3
        if len(node.args) != expected:
            self._refuse(f"{node.func.id} with {len(node.args)} arguments (it takes {expected})")
        return ast.Call(node.func, [self.visit(each) for each in node.args], [])

    def _column(self, name: str) -> ast.Name:
        if name in self.available or name not in CONSTANTS:
            self.columns[name] = None
        return ast.Name(name, ast.Load())

    def _refuse(self, what: str) -> NoReturn:
        raise ConfigurationError(
            f"'{self.text}' is no arithmetic expression: {what} is not understood"
        )


class _Evaluator(ast.NodeVisitor):
    """The value of each node of a checked tree, for all rows at once."""

    def __init__(self, text: str, columns: Mapping[str, Values]) -> None:
        self.text, self.columns = text, columns

    def visit_Constant(self, node: ast.Constant) -> Any:  # noqa: ANN401 - int or float
        return node.value

    def visit_Name(self, node: ast.Name) -> Any:  # noqa: ANN401 - array or number
        return self.columns[node.id] if node.id in self.columns else CONSTANTS[node.id]

    def visit_BinOp(self, node: ast.BinOp) -> Any:  # noqa: ANN401 - array or number
        if type(node.op) in COMBINING:
            return self._combined(node.op, [node.left, node.right])
        return BINARY[type(node.op)](self._number(node.left), self._number(node.right))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:  # noqa: ANN401 - array or number
        if isinstance(node.op, NEGATING):
            return np.logical_not(self._truth(node.operand))
        return UNARY[type(node.op)](self._number(node.operand))

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:  # noqa: ANN401 - array or number
        return self._combined(node.op, node.values)

    def visit_Compare(self, node: ast.Compare) -> Any:  # noqa: ANN401 - array or number
        values = [_exact(self.visit(each)) for each in (node.left, *node.comparators)]
        pairs = zip(node.ops, values, values[1:], strict=False)
        return reduce(np.logical_and, [COMPARISONS[type(op)](low, up) for op, low, up in pairs])

    def visit_Call(self, node: ast.Call) -> Any:  # noqa: ANN401 - array or number
        name = cast(ast.Name, node.func).id
        first, *others = node.args
        value = self._truth(first) if name == "where" else self._number(first)
        return FUNCTIONS[name](value, *(self._number(each) for each in others))

    def _combined(self, op: ast.AST, nodes: Sequence[ast.expr]) -> Any:  # noqa: ANN401 - as above
        return reduce(COMBINING[type(op)], [self._truth(each) for each in nodes])

    def _number(self, node: ast.expr) -> Any:  # noqa: ANN401 - array or number
        return np.asarray(self.visit(node), dtype=np.float64)

    def _truth(self, node: ast.expr) -> Any:  # noqa: ANN401 - array or number
        value = np.asarray(self.visit(node))
        if value.dtype != bool:
            raise ConfigurationError(
                f"'{self.text}' takes the number '{ast.unparse(node)}' for true or false: compare "
                "it, with parentheses around each comparison: (pt > 20) & (abs(eta) < 2.5)"
            )
        return value


def _syntax_tree(text: str) -> ast.expr:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's about odd spellings, such as `1if x else 2`
        return ast.parse(text, mode="eval").body


def _exact(value: Any) -> Any:  # noqa: ANN401 - array or number
    """Integers as they are, everything else in float64: float32 is not compared in float32."""
    integer = isinstance(value, int) or getattr(value, "dtype", np.dtype(float)).kind in "iub"
    return value if integer else np.asarray(value, dtype=np.float64)


def _in(text: str, name: str) -> str:
    return "" if text == name else f" (in '{text}')"


def columns_of(expressions: Iterable[Expression]) -> list[str]:
    """The columns that several expressions need, each once."""
    return list(dict.fromkeys(name for each in expressions for name in each.columns))

"""Derived features as data: a plain function is traced once, at declaration, into a small expression tree.

The tree is stored with the model and is what runs, in training and at serving alike, so a release never runs newer code
than it was judged with. What cannot be traced (a branch on a value, a loop over one, a call of foreign code) is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

BINARY = (
    "add",
    "sub",
    "mul",
    "div",
    "floordiv",
    "mod",
    "pow",
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
    "minimum",
    "maximum",
    "and",
    "or",
)
UNARY = ("neg", "abs", "log1p", "exp", "sqrt", "not", "is_null")
TERNARY = ("where",)
ARITY = dict.fromkeys(BINARY, 2) | dict.fromkeys(UNARY, 1) | dict.fromkeys(TERNARY, 3)
Scalar = int | float | str | bool


@dataclass(frozen=True, eq=False)
class Expression:
    """A node: `op` over `args`. The leaves are `column` (its name) and `value` (a number, text or truth value).

    What null means is the same in every engine: any operation on null is null, but for `is_null` and `coalesce`; a division
    or remainder by zero, the root of a negative and the logarithm of less than -1 are null.
    """

    op: str
    args: tuple[Expression | Scalar, ...]

    def __add__(self, other: Any) -> Expression:
        return _node("add", self, other)

    def __radd__(self, other: Any) -> Expression:
        return _node("add", other, self)

    def __sub__(self, other: Any) -> Expression:
        return _node("sub", self, other)

    def __rsub__(self, other: Any) -> Expression:
        return _node("sub", other, self)

    def __mul__(self, other: Any) -> Expression:
        return _node("mul", self, other)

    def __rmul__(self, other: Any) -> Expression:
        return _node("mul", other, self)

    def __truediv__(self, other: Any) -> Expression:
        return _node("div", self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return _node("div", other, self)

    def __floordiv__(self, other: Any) -> Expression:
        return _node("floordiv", self, other)

    def __mod__(self, other: Any) -> Expression:
        return _node("mod", self, other)

    def __pow__(self, other: Any) -> Expression:
        return _node("pow", self, other)

    def __neg__(self) -> Expression:
        return _node("neg", self)

    def __abs__(self) -> Expression:
        return _node("abs", self)

    def __lt__(self, other: Any) -> Expression:
        return _node("lt", self, other)

    def __le__(self, other: Any) -> Expression:
        return _node("le", self, other)

    def __gt__(self, other: Any) -> Expression:
        return _node("gt", self, other)

    def __ge__(self, other: Any) -> Expression:
        return _node("ge", self, other)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return _node("eq", self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return _node("ne", self, other)

    def __and__(self, other: Any) -> Expression:
        return _node("and", self, other)

    def __or__(self, other: Any) -> Expression:
        return _node("or", self, other)

    def __invert__(self) -> Expression:
        return _node("not", self)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError("a derived feature cannot branch on a value while it is traced; write where(condition, a, b)")

    def __iter__(self) -> Any:
        raise TypeError("a derived feature cannot loop over a value")

    def __float__(self) -> float:
        raise TypeError("a derived feature cannot hand a value to foreign code; use the functions of core.expression")

    @property
    def columns(self) -> frozenset[str]:
        """The names of the features that the expression reads."""
        if self.op == "column":
            return frozenset({str(self.args[0])})
        return frozenset().union(*(arg.columns for arg in self.args if isinstance(arg, Expression)))

    def to_list(self) -> list[Any]:
        """The tree as nested JSON lists, operator first."""
        return [self.op, *(arg.to_list() if isinstance(arg, Expression) else arg for arg in self.args)]

    @staticmethod
    def from_list(data: list[Any]) -> Expression:
        """The tree that `to_list` wrote. Raises ValueError for an operator or arity that is not in the language."""
        op, *args = data
        if op in ("column", "value"):
            if len(args) != 1 or isinstance(args[0], list | dict) or (op == "column" and not isinstance(args[0], str)):
                raise ValueError(f"wanted one plain value in {data!r}")
            return Expression(op, tuple(args))
        if ARITY.get(op) != len(args):
            raise ValueError(
                f"wanted an operator of the language with its {ARITY.get(op, 'known number of')} arguments, got {op!r}"
            )
        return Expression(op, tuple(Expression.from_list(arg) for arg in args))

    def __str__(self) -> str:
        signs = dict(zip(BINARY[:13], "+ - * / // % ** < <= > >= == !=".split(), strict=True)) | {"and": "and", "or": "or"}
        if self.op in ("column", "value"):
            return str(self.args[0])
        if self.op in signs:
            return f"({self.args[0]} {signs[self.op]} {self.args[1]})"
        return f"{self.op}({', '.join(map(str, self.args))})"


def _node(op: str, *args: Any) -> Expression:
    return Expression(op, tuple(arg if isinstance(arg, Expression) else _value(arg) for arg in args))


def _value(constant: Any) -> Expression:
    if not isinstance(constant, Scalar):
        raise TypeError(f"a derived feature is made of features, numbers and texts; got {type(constant).__name__}")
    return Expression("value", (constant,))


def column(name: str) -> Expression:
    """The feature of that name."""
    return Expression("column", (name,))


def where(condition: Any, then: Any, otherwise: Any) -> Expression:
    """`then` where the condition holds, `otherwise` where it does not; null where the condition is null."""
    return _node("where", condition, then, otherwise)


def log1p(x: Any) -> Expression:
    return _node("log1p", x)


def exp(x: Any) -> Expression:
    return _node("exp", x)


def sqrt(x: Any) -> Expression:
    return _node("sqrt", x)


def minimum(a: Any, b: Any) -> Expression:
    return _node("minimum", a, b)


def maximum(a: Any, b: Any) -> Expression:
    return _node("maximum", a, b)


def is_null(x: Any) -> Expression:
    return _node("is_null", x)


def coalesce(x: Any, otherwise: Any) -> Expression:
    """`x`, or `otherwise` where x is null."""
    return _node("where", is_null(x), otherwise, x)


def trace(function: Callable[..., Any]) -> Expression:
    """The function's expression tree: called once, with a column for each argument name.

    Raises TypeError when the function branches, loops, or calls code outside the language on a feature.
    """
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is not p.POSITIONAL_OR_KEYWORD or p.default is not p.empty for p in parameters):
        raise TypeError(f"{function.__name__}: a derived feature's arguments are plain feature names, without defaults")
    try:
        result = function(**{p.name: column(p.name) for p in parameters})
    except TypeError as error:
        raise TypeError(f"{function.__name__} cannot be traced: {error}") from None
    return result if isinstance(result, Expression) else _value(result)


def evaluate(tree: Expression, columns: Mapping[str, Any], operators: Mapping[str, Callable[..., Any]]) -> Any:
    """The tree's value, by an engine's own `operators` (one callable an operator) over its own columns."""
    if tree.op == "column":
        return columns[str(tree.args[0])]
    if tree.op == "value":
        return tree.args[0]
    return operators[tree.op](*(evaluate(arg, columns, operators) for arg in tree.args if isinstance(arg, Expression)))

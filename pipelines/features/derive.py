"""Derived features at work: one evaluator over arrays, for the rows that train and for the asks that are served."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from pipelines.core import expression
from pipelines.core.feature import Derived

Columns = Mapping[str, np.ndarray]


def evaluate(derived: Iterable[Derived], columns: Columns) -> dict[str, np.ndarray]:
    """The derived columns, float64 with NaN as null; `columns` holds what they read, `ts` among it, all of one length.

    A truth value is 1 or 0. What null means stands in core.expression: null in, null out, and no infinities.
    """
    known = dict(columns)
    rows = len(next(iter(known.values()))) if known else 0
    made = {}
    with np.errstate(all="ignore"):
        for feature in derived:
            value = expression.evaluate(feature.expression, known, OPERATORS)
            known[feature.name] = made[feature.name] = np.broadcast_to(_number(value), (rows,)).copy()
    return made


def _number(value: Any) -> np.ndarray:
    """The operand as float64: truth values 1 and 0, null NaN."""
    array = np.asarray(value)
    if array.dtype.kind == "O":
        return np.array([np.nan if v is None else float(v) for v in array.ravel()]).reshape(array.shape)
    return array.astype(np.float64)


def _finite(result: Any) -> np.ndarray:
    """What has no finite value (a division by zero, a root of a negative) is null."""
    return np.where(np.isfinite(result), result, np.nan)


def _numeric(operation: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """The operation on numbers; null where an operand is null (numpy alone would say that NaN ** 0 is 1)."""

    def compute(*operands: Any) -> np.ndarray:
        numbers = [_number(operand) for operand in operands]
        null = sum(np.isnan(number) for number in numbers) > 0
        return np.where(null, np.nan, _finite(operation(*numbers)))

    return compute


def _is_null(x: Any) -> np.ndarray:
    array = np.asarray(x)
    if array.dtype.kind == "O":
        return np.array([v is None or v != v for v in array.ravel()], dtype=np.float64).reshape(array.shape)  # noqa: PLR0124  NaN
    return np.isnan(array).astype(np.float64) if array.dtype.kind == "f" else np.zeros(array.shape)


def _is_text(x: Any) -> bool:
    array = np.asarray(x)
    return array.dtype.kind in "US" or (array.dtype.kind == "O" and any(isinstance(v, str) for v in array.ravel()))


def _comparison(operation: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """1 or 0, null where either side is null; texts compare with texts."""

    def compare(a: Any, b: Any) -> np.ndarray:
        null = (_is_null(a) + _is_null(b)) > 0
        if _is_text(a) or _is_text(b):
            return np.where(null, np.nan, _compare_texts(operation, a, b))
        return np.where(null, np.nan, operation(_number(a), _number(b)))

    return compare


def _compare_texts(operation: Callable[..., Any], a: Any, b: Any) -> np.ndarray:
    left, right = np.broadcast_arrays(np.asarray(a, dtype=object), np.asarray(b, dtype=object))
    pairs = zip(left.ravel(), right.ravel(), strict=True)
    same_kind = [x is not None and y is not None and bool(operation(x, y)) for x, y in pairs]
    return np.array(same_kind, dtype=np.float64).reshape(left.shape)


def _where(condition: Any, then: Any, otherwise: Any) -> np.ndarray:
    """Texts stay texts, so that a category can be chosen and compared; everything else is a number."""
    test = _number(condition)
    if _is_text(then) or _is_text(otherwise):
        chosen = np.where(test != 0, np.asarray(then, object), np.asarray(otherwise, object))
        return np.where(np.isnan(test), np.full(chosen.shape, None, dtype=object), chosen)
    return np.where(np.isnan(test), np.nan, np.where(test != 0, _number(then), _number(otherwise)))


OPERATORS: dict[str, Callable[..., Any]] = {
    "add": _numeric(np.add), "sub": _numeric(np.subtract), "mul": _numeric(np.multiply), "div": _numeric(np.true_divide),
    "floordiv": _numeric(np.floor_divide), "mod": _numeric(np.mod), "pow": _numeric(np.power),
    "lt": _comparison(operator.lt), "le": _comparison(operator.le), "gt": _comparison(operator.gt),
    "ge": _comparison(operator.ge), "eq": _comparison(operator.eq), "ne": _comparison(operator.ne),
    "minimum": _numeric(np.minimum), "maximum": _numeric(np.maximum),
    "and": _numeric(lambda a, b: (a != 0) & (b != 0)), "or": _numeric(lambda a, b: (a != 0) | (b != 0)),
    "neg": _numeric(np.negative), "abs": _numeric(np.abs), "log1p": _numeric(np.log1p), "exp": _numeric(np.exp),
    "sqrt": _numeric(np.sqrt), "not": _numeric(lambda x: x == 0), "is_null": _is_null, "where": _where,
}  # fmt: skip

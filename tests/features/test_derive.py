"""Derived features: the one evaluator, and what null means."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core import expression as x
from pipelines.core.expression import BINARY, TERNARY, UNARY
from pipelines.core.feature import Derived
from pipelines.features.derive import OPERATORS, evaluate

NAN = math.nan


def one(function, **columns):
    arrays = {
        name: np.array(values, dtype=object if any(isinstance(v, str) or v is None for v in values) else np.float64)
        for name, values in columns.items()
    }
    return evaluate([Derived("made", x.trace(function))], arrays)["made"].tolist()


def test_every_operator_of_the_language_is_there():
    assert set(OPERATORS) == {*BINARY, *UNARY, *TERNARY}


@pytest.mark.parametrize("op", [*BINARY, *UNARY, "where"])
def test_null_in_is_null_out_but_for_is_null(op):
    arity = 3 if op == "where" else 2 if op in BINARY else 1
    result = OPERATORS[op](np.array([NAN, 1.0]), *[np.array([0.0, 1.0])] * (arity - 1))
    assert (result[0] == 1) if op == "is_null" else math.isnan(result[0])


def test_what_has_no_finite_value_is_null():
    assert all(map(math.isnan, one(lambda a, b: a / b, a=[1, 0, -1], b=[0, 0, 0])))
    assert all(map(math.isnan, one(x.sqrt, x=[-1])))
    assert all(map(math.isnan, one(x.log1p, x=[-1, -2])))
    assert all(map(math.isnan, one(x.exp, x=[1e6])))
    assert all(map(math.isnan, one(lambda a, b: a % b, a=[3], b=[0])))


def test_texts_compare_and_choose():
    assert one(lambda c: c == "DE", c=["DE", "中国", None])[:2] == [1, 0]
    assert math.isnan(one(lambda c: c == "DE", c=["DE", "中国", None])[2])
    assert one(lambda c: x.where(x.coalesce(c, "?") == "?", 7, 8), c=["DE", None]) == [8, 7]


def test_a_later_feature_reads_an_earlier_one_and_ts():
    first = Derived("double", x.trace(lambda a: a * 2))
    then = Derived("late", x.trace(lambda double, ts: double + ts))
    made = evaluate([first, then], {"a": np.array([1.0, NAN]), "ts": np.array([10.0, 10.0])})
    assert made["late"][0] == 12
    assert math.isnan(made["late"][1])


def test_a_constant_is_as_long_as_the_columns():
    assert one(lambda a: x.where(True, 3, 4), a=[1, 2, 3]) == [3, 3, 3]


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_arithmetic_is_pythons_own_wherever_that_is_finite(a, b):
    for op, python in (("add", a + b), ("sub", a - b), ("mul", a * b)):
        with np.errstate(all="ignore"):
            result = float(OPERATORS[op](np.array([a]), np.array([b]))[0])
        assert result == python if math.isfinite(python) else math.isnan(result)

import operator

import pytest

from pipelines.core.expression import Expression, coalesce, column, evaluate, is_null, log1p, trace, where


def test_a_plain_function_becomes_a_tree_of_its_arguments():
    def share(amount, spend):
        return amount / (spend + amount)

    tree = trace(share)
    assert str(tree) == "(amount / (spend + amount))"
    assert tree.columns == {"amount", "spend"}
    assert Expression.from_list(tree.to_list()).to_list() == tree.to_list()


def test_the_tree_is_evaluated_by_the_engines_own_operators():
    tree = trace(lambda a, b: where(a > b, a - b, -b))
    operators = {"gt": operator.gt, "sub": operator.sub, "neg": operator.neg, "where": lambda c, x, y: x if c else y}
    assert evaluate(tree, {"a": 5, "b": 3}, operators) == 2
    assert evaluate(tree, {"a": 1, "b": 3}, operators) == -3


def test_coalesce_is_where_is_null():
    assert coalesce(column("a"), 0).to_list() == ["where", ["is_null", ["column", "a"]], ["value", 0], ["column", "a"]]
    assert is_null(column("a")).op == "is_null"


@pytest.mark.parametrize(
    "function",
    [
        lambda a: 1 if a > 0 else 2,
        lambda a: float(a) + 1,
        lambda a: [x + 1 for x in a],
        lambda a: a * [1],
        lambda a=1: a,
        lambda *a: 1,
    ],
)
def test_what_cannot_be_traced_is_refused_at_declaration(function):
    with pytest.raises(TypeError):
        trace(function)


@pytest.mark.parametrize(
    "data", [["import", "os"], ["add", ["column", "a"]], ["column", ["a"]], ["column", 5], ["value", {"a": 1}]]
)
def test_a_stored_tree_outside_the_language_is_refused(data):
    with pytest.raises(ValueError):
        Expression.from_list(data)


def test_functions_of_the_language_build_nodes():
    assert log1p(column("a") * 2).to_list() == ["log1p", ["mul", ["column", "a"], ["value", 2]]]
    assert (3 - column("a") // 2 % 5).op == "sub"

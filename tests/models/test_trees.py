import lightgbm
import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.errors import ShelflifeError
from pipelines.models.graph import Graph
from pipelines.models.trees import Table, add_trees, round_down

OPTIONS = {"objective": "regression", "num_leaves": 31, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1, "seed": 3}


def served(boosters, X):
    graph = Graph()
    data = graph.finish(add_trees(graph, "x", boosters), X.shape[1], len(boosters))
    return onnxruntime.InferenceSession(data).run(None, {"x": X})[0]


def boost(X, y, rounds=30, **options):
    return lightgbm.train(
        OPTIONS | options,
        lightgbm.Dataset(X, y, **({"categorical_feature": options.pop("codes")} if "codes" in options else {})),
        rounds,
    )


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_threshold_rounded_down_sends_every_float32_the_same_way(threshold, x):
    assert (x <= threshold) == (np.float32(x) <= np.float32(round_down(threshold)))


@given(st.floats(width=32, allow_nan=False, min_value=-(2.0**99), max_value=2.0**99))
def test_a_threshold_between_neighbours_keeps_them_apart(x):
    above = float(np.nextafter(np.float32(x), np.float32(np.inf)))
    middle = (x + above) / 2
    assert np.float32(round_down(middle)) >= np.float32(x)
    assert np.float32(round_down(middle)) < np.float32(above)


def test_values_that_only_float32_tells_apart_go_to_the_same_leaves():
    start = np.float32(16_777_217 / 1000)
    steps = (np.arange(400, dtype=np.int32) + start.view(np.int32)).view(np.float32)
    X = np.repeat(steps, 5)[:, None]
    y = np.random.default_rng(0).normal(size=len(X))
    booster = boost(X, y, min_data_in_leaf=5)
    np.testing.assert_allclose(served([booster], X)[:, 0], booster.predict(X), atol=1e-5)


@pytest.mark.parametrize("seen", [True, False], ids=["nulls in training", "no nulls in training"])
def test_nulls_go_where_lightgbm_sends_them(seen):
    random = np.random.default_rng(1)
    X = random.normal(size=(2000, 3)).astype(np.float32)
    if seen:
        X[random.random(X.shape) < 0.3] = np.nan
    y = np.where(np.isnan(X[:, 0]), 2.0, X[:, 0]) + random.normal(size=2000) * 0.1
    booster = boost(X, y)
    asked = np.where(random.random(X.shape) < 0.5, np.nan, X).astype(np.float32)
    np.testing.assert_allclose(served([booster], asked)[:, 0], booster.predict(asked), atol=1e-5)


@pytest.mark.parametrize("codes", [4, 40, 300])
def test_codes_split_as_sets_and_the_unknown_goes_right(codes):
    random = np.random.default_rng(2)
    X = np.column_stack([random.integers(-1, codes, 4000), random.normal(size=4000)]).astype(np.float32)
    y = random.normal(size=codes + 1)[X[:, 0].astype(int)] + X[:, 1]
    data = lightgbm.Dataset(X, y, categorical_feature=[0])
    booster = lightgbm.train(OPTIONS | {"min_data_per_group": 5, "cat_smooth": 1, "max_cat_to_onehot": 2}, data, 30)
    assert any("||" in str(tree) for tree in booster.dump_model()["tree_info"])
    asked = np.vstack([X, [[codes + 5, 0.1], [np.nan, 0.1], [-1, 0.1]]]).astype(np.float32)
    np.testing.assert_allclose(served([booster], asked)[:, 0], booster.predict(asked), atol=1e-4)


def test_trees_without_a_split_answer_their_only_leaf():
    X = np.zeros((50, 1), np.float32)
    booster = boost(X, np.full(50, 3.0), rounds=3)
    np.testing.assert_allclose(served([booster], X)[:, 0], booster.predict(X), atol=1e-6)


def test_several_boosters_answer_side_by_side():
    random = np.random.default_rng(4)
    X = random.normal(size=(500, 2)).astype(np.float32)
    boosters = [boost(X, X[:, i]) for i in range(2)]
    np.testing.assert_allclose(served(boosters, X), np.column_stack([b.predict(X) for b in boosters]), atol=1e-5)


def test_a_split_of_another_kind_is_refused():
    leaf = {"leaf_value": 0.0}
    split = {"decision_type": "<=", "missing_type": "Zero", "threshold": 0.0, "default_left": True, "split_feature": 0}
    with pytest.raises(ShelflifeError, match="missing Zero"):
        Table().add_tree(0, 0, split | {"left_child": leaf, "right_child": leaf})

import numpy as np
import onnxruntime
import pytest
from scipy.sparse import csr_matrix

from pipelines.models.graph import Graph
from pipelines.models.prepare import LIMIT, Prepare


def served(prepare, X):
    graph = Graph()
    data = graph.finish(prepare.graph(graph, "x"), X.shape[1], len(prepare.sources_))
    return onnxruntime.InferenceSession(data).run(None, {"x": X})[0]


@pytest.fixture
def fitted(problem_of):
    problem = problem_of("probability")
    return Prepare(problem.spec.kinds).fit(problem.X), problem.X


def test_numbers_are_centred_scaled_and_cut(fitted):
    prepare, X = fitted
    made = prepare.transform(X)
    assert abs(made[:, 0].mean()) < 1e-5
    assert abs(made[:, 0].std() - 1) < 1e-5
    wrong_unit = X[:5] * np.array([1e9, 1, 1, 1, 1, 1], np.float32)
    assert (prepare.transform(wrong_unit)[:, 0] == LIMIT).all()


def test_a_null_becomes_the_mean_with_a_flag_of_its_own(fitted):
    prepare, X = fitted
    null = np.isnan(X[:, 1])
    made = prepare.transform(X)
    assert (made[null, 1] == 0).all()
    assert (made[:, 3] == null).all()
    assert prepare.sources_[3] == 1


def test_an_unknown_category_is_none_of_those_seen(fitted):
    prepare, X = fitted
    codes = prepare.transform(X)[:, 4:10]
    assert (codes.sum(axis=1) == (X[:, 2] >= 0)).all()
    assert prepare.transform(np.full((1, 6), 99, np.float32))[0, 4:10].sum() == 0


def test_the_graph_prepares_as_the_transform_does(fitted):
    prepare, X = fitted
    strange = np.vstack([X, X * 1e6, -X, np.full((1, 6), np.nan, np.float32)]).astype(np.float32)
    strange[-1, 4:] = 0
    np.testing.assert_allclose(served(prepare, strange), prepare.transform(strange), atol=1e-5)


def test_a_sparse_matrix_is_prepared_alike_and_stays_sparse(fitted):
    prepare, X = fitted
    made = prepare.transform(csr_matrix(X))
    assert made.format == "csr"
    np.testing.assert_allclose(made.toarray(), prepare.transform(X), atol=1e-6)


@pytest.mark.parametrize(
    "kinds", [("number",) * 2, ("category",) * 2, ("text",) * 2, ("number", "category"), ("text", "number")]
)
def test_any_mix_of_kinds_can_be_prepared_and_served(kinds):
    X = np.array([[0, 1], [2, 0], [1, 1]], np.float32)
    prepare = Prepare(kinds).fit(X)
    np.testing.assert_allclose(served(prepare, X), prepare.transform(X), atol=1e-6)


def test_a_column_that_is_constant_or_always_null_moves_nothing():
    X = np.array([[5, np.nan], [5, np.nan]], np.float32)
    made = Prepare(("number", "number")).fit(X).transform(X)
    np.testing.assert_array_equal(made, [[0, 0, 1], [0, 0, 1]])

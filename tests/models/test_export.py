import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.core.errors import ShelflifeError
from pipelines.models import makers
from pipelines.models.ensembles import VoteProbability
from pipelines.models.export import to_onnx
from pipelines.models.parity import check


def filled(problem):
    return np.nan_to_num(problem.X)


def test_every_answer_has_parity_and_takes_any_number_of_rows(problem, fit):
    for make in (makers.dummy, makers.linear, makers.lightgbm):
        estimator = fit(make, problem)
        finding = check(estimator, to_onnx(estimator, 6), problem.X)
        assert finding.status == "pass", finding.sentence()


def test_parity_says_when_there_were_fewer_than_a_thousand_rows(problem_of, fit):
    problem = problem_of("probability")
    estimator = fit(makers.dummy, problem)
    onnx = to_onnx(estimator, 6)
    assert "600 rows (all there are, fewer than 1000)" in check(estimator, onnx, problem.X).wanted
    assert check(estimator, onnx, np.vstack([problem.X, problem.X])).wanted == "at most 0.0001 on 1200 rows"


def test_another_models_graph_fails(problem_of, fit):
    problem = problem_of("probability")
    finding = check(fit(makers.linear, problem), to_onnx(fit(makers.lightgbm, problem, trees=5), 6), problem.X)
    assert finding.status == "fail"
    assert finding.observed > 0.01


def test_bytes_that_are_no_graph_fail_and_say_so(problem_of, fit):
    problem = problem_of("probability")
    finding = check(fit(makers.dummy, problem), b"no graph", problem.X)
    assert (finding.status, finding.observed) == ("fail", None)
    assert "does not run" in finding.advice


def test_no_rows_never_pass(problem_of, fit):
    problem = problem_of("probability")
    estimator = fit(makers.dummy, problem)
    assert check(estimator, to_onnx(estimator, 6), problem.X[:0]).status == "fail"


def test_an_answer_that_is_no_number_fails(problem_of, fit):
    problem = problem_of("probability")
    estimator = fit(makers.linear, problem)
    estimator.intercept_ = np.array([np.nan], np.float32)
    assert check(estimator, to_onnx(estimator, 6), problem.X).status == "fail"


def test_an_estimator_of_other_columns_is_not_exported(problem, fit):
    with pytest.raises(ShelflifeError, match="wanted an estimator fitted on 5 columns, got 6"):
        to_onnx(fit(makers.dummy, problem), 5)


def test_an_unfitted_estimator_is_not_exported(problem):
    with pytest.raises(ShelflifeError, match="got none"):
        to_onnx(makers.dummy(problem.spec), 6)


@pytest.mark.parametrize(
    "foreign",
    [RandomForestClassifier(10, random_state=0), make_pipeline(StandardScaler(), LogisticRegression())],
    ids=["forest", "pipeline"],
)
def test_a_foreign_scikit_learn_estimator_is_exported_too_alone_and_in_an_ensemble(problem_of, fit, foreign):
    problem = problem_of("probability")
    X = filled(problem)
    foreign.fit(X, problem.y)
    assert check(foreign, to_onnx(foreign, 6), X).status == "pass"
    both = VoteProbability((foreign, fit(makers.linear, problem)), problem.spec.answers).fit(X, problem.y)
    assert check(both, to_onnx(both, 6), X).status == "pass"


def test_a_foreign_regressor_is_exported_too(problem_of):
    problem = problem_of("ranking")
    X = filled(problem)
    ridge = Ridge().fit(X, problem.y)
    assert check(ridge, to_onnx(ridge, 6), X).status == "pass"


def test_what_nobody_can_convert_is_refused_with_what_to_do(problem_of):
    class Odd:
        n_features_in_ = 6

        def predict(self, X):
            return X[:, 0]

    with pytest.raises(ShelflifeError, match="give it a graph"):
        to_onnx(Odd(), 6)

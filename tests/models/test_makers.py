from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone

from pipelines.core.errors import NotDecidable, ShelflifeError
from pipelines.core.usecase import Model
from pipelines.models import makers, training
from pipelines.models.estimator import answer, sizes
from pipelines.models.export import to_onnx

SMALL = {"trees": 5}


def test_an_unknown_setting_is_refused_and_those_there_are_named(problem):
    with pytest.raises(ShelflifeError, match=r"lightgbm has no setting tree; there are: trees, leaves"):
        makers.lightgbm(replace(problem.spec, settings={"tree": 5}))


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (makers.lightgbm, {"trees": "many"}),
        (makers.lightgbm, {"rate": 0}),
        (makers.keras, {"units": [0]}),
        (makers.keras, {"units": 8}),
        (makers.lightgbm, {"trees": True}),
    ],
)
def test_a_setting_of_another_type_is_refused(problem, make, settings):
    with pytest.raises(ShelflifeError, match="above zero, got"):
        make(replace(problem.spec, settings=settings))


def test_a_rule_over_a_column_that_is_not_there_is_refused(problem):
    with pytest.raises(ShelflifeError, match="no column colour"):
        makers.first_by("colour")(problem.spec)


def test_stack_and_seasonal_naive_refuse_what_they_cannot_answer(problem_of):
    with pytest.raises(ShelflifeError, match="use blend"):
        makers.stack(problem_of("ranking").spec, ())
    with pytest.raises(ShelflifeError, match="quantiles"):
        makers.seasonal_naive("units")(problem_of("probability").spec)


@pytest.mark.parametrize("make", [makers.dummy, makers.linear, makers.lightgbm, makers.keras])
def test_scikit_learn_can_clone_what_a_maker_makes(problem, make):
    estimator = make(problem.spec)
    assert clone(estimator).get_params() == estimator.get_params()


@pytest.mark.parametrize("make", [makers.linear, makers.lightgbm])
def test_a_sparse_matrix_gives_the_same_answers_as_a_dense_one(problem, fit, make):
    dense = fit(make, problem)
    sparse_problem = type(problem)(**{**vars(problem), "X": csr_matrix(problem.X)})
    sparse = fit(make, sparse_problem)
    np.testing.assert_allclose(answer(dense, problem.X), answer(sparse, sparse_problem.X), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("make", [makers.linear, makers.lightgbm])
def test_the_same_seed_gives_the_same_bytes(problem, fit, make):
    once, again = (to_onnx(fit(make, problem), problem.X.shape[1]) for _ in range(2))
    assert once == again


def test_another_seed_gives_other_trees(problem):
    models = [
        makers.lightgbm(replace(problem.spec, seed=seed, settings=SMALL)).fit(problem.X, problem.y, problem.groups)
        for seed in (1, 2)
    ]
    assert not np.array_equal(*(answer(model, problem.X) for model in models))


@pytest.mark.parametrize("make", [makers.dummy, makers.linear, makers.lightgbm])
def test_quantiles_rise_and_are_never_below_zero(problem_of, fit, make):
    problem = problem_of("quantiles")
    strange = np.vstack([problem.X, problem.X * 1000, -problem.X])
    told = answer(fit(make, problem), strange)
    assert told.shape == (len(strange), 5)
    assert np.isfinite(told).all()
    assert (told >= 0).all()
    assert (np.diff(told, axis=1) >= 0).all()


@pytest.mark.parametrize("make", [makers.linear, makers.lightgbm])
def test_a_model_tells_more_than_the_dummy(problem, problem_of, fit, make):
    later = problem_of(problem.kind, seed=5)  # the same law, other rows
    assert loss(problem, answer(fit(make, problem), later.X), later) < loss(
        problem, answer(fit(makers.dummy, problem), later.X), later
    )


def loss(problem, told, later):
    """Log loss, pinball loss, or one minus the share of asks whose best candidate is right."""
    if problem.kind == "probability":
        return -np.mean(np.log(np.where(later.y[:, None] > 0, told, 1 - told)))
    if problem.kind == "quantiles":
        levels, error = np.array(problem.spec.answers.levels), later.y[:, None] - told
        return np.mean(np.maximum(levels * error, (levels - 1) * error))
    return 1 - np.mean(later.y[np.arange(0, len(later.y), 20) + told.reshape(-1, 20).argmax(axis=1)])


def test_one_kind_of_label_alone_teaches_nothing(problem_of):
    problem = problem_of("probability")
    with pytest.raises(NotDecidable, match="both 0 and 1"):
        makers.linear(problem.spec).fit(problem.X, np.zeros(len(problem.X)))


def test_unknown_labels_are_refused(problem_of):
    problem = problem_of("quantiles")
    with pytest.raises(NotDecidable, match="known label"):
        makers.linear(problem.spec).fit(problem.X, np.where(problem.y > 2, np.nan, problem.y))


def test_a_matrix_with_other_columns_is_refused(problem, fit):
    with pytest.raises(ShelflifeError, match="wanted 6 columns"):
        fit(makers.dummy, problem).predict(problem.X[:, :5])


def test_an_ask_whose_candidates_lie_apart_is_refused():
    with pytest.raises(ShelflifeError, match="one run of rows"):
        sizes(["a", "a", "b", "a"])
    assert sizes(["a", "a", "b"]).tolist() == [2, 1]


def models():
    return (
        Model("vote", makers.vote, of=("linear", "lightgbm")),
        Model("linear", makers.linear),
        Model("lightgbm", makers.lightgbm),
    )


def fit_all(problem, use=("vote", "linear", "lightgbm"), settings=None, **more):
    train = training.Part(problem.X[:400], problem.y[:400], None if problem.groups is None else problem.groups[:400])
    later = training.Part(problem.X[400:], problem.y[400:], None if problem.groups is None else problem.groups[400:])
    return dict(training.fit(models(), use, settings or {}, problem.spec, train, later, **more))


def test_training_fits_members_first_and_gives_them_to_the_ensembles(problem):
    fitted = fit_all(problem, settings={"lightgbm": SMALL})
    assert list(fitted) == ["linear", "lightgbm", "vote"]
    assert fitted["vote"].members == (fitted["linear"], fitted["lightgbm"])


def test_training_tells_how_far_it_is(problem):
    told = []
    fit_all(problem, settings={"lightgbm": SMALL}, progress=lambda name, done, total: told.append((name, done, total)))
    assert ("lightgbm", 0, 1) in told
    assert [step for step in told if step[0] == "lightgbm"][-1] == ("lightgbm", 1, 1)
    assert any(total > 1 for _, _, total in told)


def test_training_refuses_a_candidate_or_a_member_that_is_not_there(problem):
    with pytest.raises(ShelflifeError, match="no candidate forest"):
        fit_all(problem, use=("forest",))
    with pytest.raises(ShelflifeError, match="no candidate forest"):
        fit_all(problem, settings={"forest": {}})
    with pytest.raises(ShelflifeError, match="needs lightgbm"):
        fit_all(problem, use=("vote", "linear"))


def test_importances_name_the_columns_that_matter(problem_of, fit):
    problem = problem_of("probability")
    for make in (makers.linear, makers.lightgbm):
        importances = fit(make, problem).feature_importances_
        assert importances.shape == (6,)
        assert importances[3] < importances[0]


def test_ensembles_are_weighed_on_the_later_rows(problem_of):
    problem = problem_of("probability")
    models = (
        Model("linear", makers.linear),
        Model("dummy", makers.dummy),
        Model("blend", makers.blend, of=("linear", "dummy")),
    )
    train, later = training.Part(problem.X[:400], problem.y[:400]), training.Part(problem.X[400:], problem.y[400:])
    fitted = dict(training.fit(models, ("linear", "dummy", "blend"), {}, problem.spec, train, later))
    by_hand = makers.blend(problem.spec, (fitted["linear"], fitted["dummy"])).fit(later.matrix, later.labels)
    np.testing.assert_array_equal(fitted["blend"].weights_, by_hand.weights_)


def test_the_learning_curve_of_trees_falls(problem, fit):
    history = fit(makers.lightgbm, problem, trees=20).history_
    assert history[-1] < history[0]
    assert len(history) % 20 == 0

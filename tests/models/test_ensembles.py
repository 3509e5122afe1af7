import numpy as np
import pytest
from scipy.optimize import check_grad

from pipelines.models import makers
from pipelines.models.ensembles import _loss
from pipelines.models.estimator import answer
from pipelines.models.export import to_onnx
from pipelines.models.parity import check


@pytest.fixture
def trio(problem, fit):
    """Fitted members: one that knows nothing, one linear, one of trees."""
    return tuple(fit(make, problem) for make in (makers.dummy, makers.linear, makers.lightgbm))


@pytest.fixture
def later(problem, problem_of):
    return problem_of(problem.kind, seed=3)


def test_vote_is_the_members_mean(problem, trio, later, fit):
    told = answer(fit(makers.vote, later, trio), later.X)
    members = np.stack([answer(member, later.X) for member in trio])
    if problem.kind == "ranking":
        spread = members.std(axis=(1, 2), keepdims=True)
        members = (members - members.mean(axis=(1, 2), keepdims=True)) / np.where(spread > 0, spread, 1)
    np.testing.assert_allclose(told, members.mean(axis=0), atol=1e-6)


def test_blend_gives_the_ignorant_member_little_and_nobody_less_than_nothing(problem, trio, later, fit):
    weights = fit(makers.blend, later, trio).weights_
    assert (weights >= 0).all()
    if problem.kind != "ranking":
        assert weights.sum() == pytest.approx(1)
        assert weights[0] < 0.3


def test_blend_is_no_worse_than_any_member_on_the_rows_it_learnt_from(problem, trio, later, fit):
    blend = fit(makers.blend, later, trio)
    told = np.stack([answer(member, later.X) for member in trio], axis=1)
    told = (told - blend.centre_[:, None]) / blend.scale_[:, None]
    loss = _loss(problem.spec.answers, told, later.y, later.groups)
    assert all(loss(blend.weights_)[0] <= loss(alone)[0] + 1e-4 for alone in np.eye(3))


def test_the_losses_have_the_slopes_they_say(problem, trio, later):
    told = np.stack([answer(member, later.X) for member in trio], axis=1)
    loss = _loss(problem.spec.answers, told, later.y, later.groups)
    start = np.array([0.21, 0.33, 0.47])
    assert check_grad(lambda w: loss(w)[0], lambda w: loss(w)[1], start) < 1e-3


@pytest.mark.parametrize("make", [makers.vote, makers.blend])
def test_an_ensemble_is_one_graph(problem, trio, later, fit, make):
    ensemble = fit(make, later, trio)
    finding = check(ensemble, to_onnx(ensemble, 6), later.X)
    assert finding.status == "pass", finding.sentence()


def test_stack_learns_which_member_to_trust_and_is_one_graph(problem_of, fit):
    problem, later = problem_of("probability"), problem_of("probability", seed=3)
    members = tuple(fit(make, problem) for make in (makers.dummy, makers.linear))
    stack = fit(makers.stack, later, members)
    assert stack.weights_[1] > 0.5
    assert check(stack, to_onnx(stack, 6), later.X).status == "pass"


def test_stack_has_parity_where_members_are_all_but_certain_of_opposites(problem_of, fit):
    problem = problem_of("probability")
    yes, no = fit(makers.linear, problem), fit(makers.linear, problem)
    yes.coef_, yes.intercept_ = yes.coef_ * 6, yes.intercept_ * 6
    no.coef_, no.intercept_ = -yes.coef_, -yes.intercept_
    stack = fit(makers.stack, problem, (yes, no))
    stack.weights_ = np.array([1.0, 1.0])
    assert check(stack, to_onnx(stack, 6), problem.X).status == "pass"


def test_an_ensemble_leaves_its_members_as_they_are(problem, trio, later, fit):
    before = [to_onnx(member, 6) for member in trio]
    fit(makers.blend, later, trio)
    assert [to_onnx(member, 6) for member in trio] == before

"""A small problem per kind of answer, with numbers (some null), a category (some unknown) and sparse text columns."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.core.decision import CostMatrix, Newsvendor, Probability, Quantiles, Ranking
from pipelines.core.usecase import Spec

ANSWERS = {
    "probability": Probability(CostMatrix("amount_cents", 100)),
    "quantiles": Quantiles((0.1, 0.25, 0.5, 0.8, 0.9), Newsvendor("price_cents", 0.4, 0.1)),
    "ranking": Ranking(),
}
COLUMNS = ("amount", "change", "shelf", "units", "good", "bad")
KINDS = ("number", "number", "category", "number", "text", "text")
ASK = 20


def matrix(rows, seed=0):
    random = np.random.default_rng(seed)
    text = np.where(random.random((rows, 2)) < 0.8, 0, random.random((rows, 2)))
    columns = [random.lognormal(3, 1, rows), random.normal(size=rows), random.integers(-1, 6, rows), random.poisson(3, rows)]
    X = np.column_stack([*columns, text]).astype(np.float32)
    X[random.random(rows) < 0.1, 1] = np.nan
    return X


def labels(kind, X, seed=0):
    random = np.random.default_rng(seed + 1)
    signal = np.nan_to_num(X[:, 1]) + 2 * (X[:, 2] == 3) + np.log(X[:, 0]) - 4 + X[:, 4]
    if kind == "probability":
        return (random.random(len(X)) < 1 / (1 + np.exp(-signal))).astype(float)
    if kind == "quantiles":
        return random.poisson(np.exp(signal / 2 + 1)).astype(float)
    wish = (signal + random.gumbel(size=len(X))).reshape(-1, ASK)
    return (wish == wish.max(axis=1, keepdims=True)).astype(float).ravel()


def make_problem(kind, rows=600, seed=0):
    X = matrix(rows, seed)
    groups = np.repeat(np.arange(rows // ASK), ASK) if kind == "ranking" else None
    spec = Spec(COLUMNS, KINDS, ANSWERS[kind], {}, seed=7, threads=1)
    return SimpleNamespace(kind=kind, X=X, y=labels(kind, X, seed), groups=groups, spec=spec)


@pytest.fixture(params=list(ANSWERS))
def problem(request):
    return make_problem(request.param)


@pytest.fixture
def problem_of():
    return make_problem


@pytest.fixture
def fit():
    """Fit a maker's estimator on a problem, with settings."""

    def run(make, problem, members=None, **settings):
        from dataclasses import replace

        spec = replace(problem.spec, settings=settings)
        estimator = make(spec) if members is None else make(spec, members)
        return estimator.fit(problem.X, problem.y, problem.groups)

    return run

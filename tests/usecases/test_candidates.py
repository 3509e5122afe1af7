"""One conformance suite for the candidates of every use case, on made-up rows of its own columns."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from pipelines import usecases
from pipelines.core.decision import Probability, Quantiles, Ranking
from pipelines.core.usecase import Spec
from pipelines.features import candidates
from pipelines.models import training
from pipelines.models.estimator import answer
from pipelines.models.export import to_onnx
from pipelines.models.parity import check

ROWS, ASK = 1200, 24
QUICK = {
    "lightgbm": {"trees": 8, "leaves": 7, "min_leaf": 10},
    "keras": {"units": [8], "epochs": 2, "batch": 256},
    "linear": {"steps": 40},
}


def columns(case):
    """The encoded matrix' columns and kinds: the features, retrieval's for a ranking, and a few terms of each text."""
    named = [(name, case.features.kind(name)) for name in case.features.names]
    if isinstance(case.answers, Ranking):
        named += [(name, "number") for name in candidates.FEATURES]
    plain = [pair for pair in named if pair[1] != "text"]
    return plain + [(f"{name}:{term}", "text") for name, kind in named if kind == "text" for term in range(40)]


def matrix(kinds, random):
    X = np.empty((ROWS, len(kinds)), np.float32)
    for place, kind in enumerate(kinds):
        if kind == "category":
            X[:, place] = random.integers(-1, 4, ROWS)
        elif kind == "text":
            X[:, place] = random.random(ROWS) * (random.random(ROWS) < 0.1)
        else:
            X[:, place] = np.where(random.random(ROWS) < 0.05, np.nan, random.gamma(1, 20, ROWS).round(place % 3))
    return X


def labels(answers, X, random):
    signal = np.nan_to_num(X[:, 0]) / 20 + np.nan_to_num(X[:, -1]) + random.normal(size=ROWS) / 2
    if isinstance(answers, Probability):
        return (signal > np.quantile(signal, 0.8)).astype(float)
    if isinstance(answers, Quantiles):
        return random.poisson(np.exp(np.clip(signal, -2, 3))).astype(float)
    best = signal.reshape(-1, ASK) == signal.reshape(-1, ASK).max(axis=1, keepdims=True)
    return best.astype(float).ravel()


def fit(case):
    random = np.random.default_rng(5)
    names, kinds = zip(*columns(case), strict=True)
    X = matrix(kinds, random)
    y = labels(case.answers, X, random)
    groups = np.repeat([f"e{n:04}" for n in range(ROWS // ASK)], ASK) if isinstance(case.answers, Ranking) else None
    X = csr_matrix(X) if "text" in kinds else X
    cut = ROWS * 3 // 4 // ASK * ASK
    parts = [
        training.Part(X[rows], y[rows], None if groups is None else groups[rows]) for rows in (slice(cut), slice(cut, None))
    ]
    spec = Spec(names, kinds, case.answers, {}, seed=3, threads=1)
    settings = {name: block for name, block in QUICK.items() if name in {m.name for m in case.models}}
    return X, dict(training.fit(case.models, [m.name for m in case.models], settings, spec, *parts))


@pytest.fixture(scope="module", params=usecases.names())
def trained(request):
    case = usecases.get(request.param)
    X, fitted = fit(case)
    onnx = {name: to_onnx(estimator, X.shape[1]) for name, estimator in fitted.items()}
    return SimpleNamespace(case=case, X=X, fitted=fitted, onnx=onnx)


def test_every_candidate_is_served_as_it_was_trained(trained):
    for name, estimator in trained.fitted.items():
        finding = check(estimator, trained.onnx[name], trained.X)
        assert finding.status == "pass", f"{name}: {finding.sentence()}"
        assert finding.wanted.endswith("1200 rows")


def test_every_candidate_answers_in_the_shape_of_its_kind(trained):
    outputs = len(trained.case.answers.levels) if isinstance(trained.case.answers, Quantiles) else 1
    for name, estimator in trained.fitted.items():
        told = answer(estimator, trained.X)
        assert told.shape == (ROWS, outputs), name
        assert np.isfinite(told).all(), name


def test_probabilities_lie_within_0_and_1_and_quantiles_rise_from_0(trained):
    for name, estimator in trained.fitted.items():
        told = answer(estimator, trained.X)
        if isinstance(trained.case.answers, Probability):
            assert told.min() >= 0, name
            assert told.max() <= 1, name
        if isinstance(trained.case.answers, Quantiles):
            assert told.min() >= 0, name
            assert np.diff(told, axis=1).min() >= 0, name


def test_the_dummy_says_the_same_to_every_ask_and_nobody_else_does(trained):
    silent = [name for name, estimator in trained.fitted.items() if np.ptp(answer(estimator, trained.X), axis=0).max() == 0]
    assert silent == ["dummy"]


def test_the_same_seed_gives_the_same_bytes(trained):
    _, again = fit(trained.case)
    assert {name: to_onnx(estimator, trained.X.shape[1]) for name, estimator in again.items()} == trained.onnx


def test_params_yaml_uses_candidates_and_settings_that_there_are(trained):
    from dataclasses import replace
    from pathlib import Path

    import yaml

    from pipelines.core.params import parse

    block = parse(yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())).block(trained.case.name)
    models = {model.name: model for model in trained.case.models}
    assert set(block.train.use) <= set(models)
    names, kinds = zip(*columns(trained.case), strict=True)
    spec = Spec(names, kinds, trained.case.answers, {}, seed=3, threads=1)
    for name in block.train.use:
        own = replace(spec, settings=block.train.settings.get(name, {}))
        assert models[name].make(own, ()) if models[name].of else models[name].make(own)

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from pipelines.core.errors import ShelflifeError
from pipelines.models import makers
from pipelines.models.estimator import answer
from pipelines.models.export import to_onnx
from pipelines.models.neural import backend
from pipelines.models.parity import check

QUICK = {"units": [8, 4], "epochs": 4, "batch": 128, "rate": 0.02}


@pytest.fixture
def network(problem, fit):
    return fit(makers.keras, problem, **QUICK)


def test_a_network_learns_and_is_served_exactly(problem, network):
    finding = check(network, to_onnx(network, 6), problem.X)
    assert finding.status == "pass", finding.sentence()
    assert len(network.history_) == 4
    assert network.history_[-1] < network.history_[0]
    assert isinstance(network.history_[0], float)


def test_quantiles_of_a_network_never_cross(problem_of, fit):
    problem = problem_of("quantiles")
    told = answer(fit(makers.keras, problem, **QUICK), np.vstack([problem.X, problem.X * 1e6, -problem.X]))
    assert np.isfinite(told).all()
    assert (told >= 0).all()
    assert (np.diff(told, axis=1) >= 0).all()


def test_a_network_takes_sparse_rows_and_tells_its_progress(problem_of):
    problem = problem_of("probability")
    told = []
    network = makers.keras(replace(problem.spec, settings=QUICK))
    network.progress = lambda done, total: told.append((done, total))
    sparse = network.fit(csr_matrix(problem.X), problem.y)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    np.testing.assert_allclose(answer(sparse, csr_matrix(problem.X)), answer(sparse, problem.X), atol=1e-6)


def test_a_process_whose_tensorflow_runs_with_other_threads_is_refused():
    import tensorflow as tf

    backend(1)
    tf.constant(1.0)
    with pytest.raises(ShelflifeError, match="start a new process"):
        backend(2)


def test_asks_show_what_came_next_and_at_most_so_many_others(problem_of):
    from pipelines.models.neural import NetworkRanking

    y, counts = np.array([0, 0, 1, 0, 1, 0], float), np.array([4, 2])
    places = NetworkRanking((), others=2, seed=1)._places(y, counts, np.arange(6))
    assert places.shape == (2, 3)
    assert places[0, 0] == 2
    assert places[1].tolist() == [4, 5, -1]


def test_what_fills_up_takes_no_part_in_the_loss_of_a_choice():
    from pipelines.models.neural import _choice_loss

    loss = _choice_loss(backend(1))
    truth, scores = np.array([[[1.0], [0.0]]], np.float32), np.array([[[0.3], [0.9]]], np.float32)
    filled = np.concatenate([truth, [[[-1.0]]]], axis=1).astype(np.float32), np.concatenate([scores, [[[5.0]]]], axis=1)
    assert float(loss(truth, scores)) == pytest.approx(np.log(1 + np.exp(0.6)))
    assert float(loss(*map(np.float32, filled))) == pytest.approx(float(loss(truth, scores)))

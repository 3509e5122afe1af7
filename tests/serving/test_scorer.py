import numpy as np
import pytest
from little_shop import Same, Stack, linear, model

from pipelines.core.errors import ShelflifeError
from pipelines.serving import golden
from pipelines.serving.scorer import CHUNK, OnnxScorer


class Halve:
    def apply(self, scores):
        return scores / 2


def scorer(onnx_bytes, names, calibration=Same):
    return OnnxScorer({"model.onnx": onnx_bytes}, encoder=Stack(names), calibration=calibration())


def test_a_score_is_the_calibrated_answer_of_the_model():
    got = scorer(linear([1.0, -2.0]), ("a", "b"), Halve).score({"a": np.array([0.0, 2.0]), "b": np.array([0.0, 1.0])})
    assert got.tolist() == [0.25, 0.25]
    assert got.dtype == np.float64


def test_scores_in_chunks_are_the_scores_of_each_row():
    x = np.random.default_rng(0).normal(size=3 * CHUNK + 7)
    found = scorer(linear([1.5]), ("a",))
    assert found.score({"a": x}).tolist() == [found.score({"a": x[i : i + 1]})[0] for i in range(len(x))]


def test_no_rows_have_no_scores():
    assert scorer(linear([1.0]), ("a",)).score({"a": np.array([])}).shape == (0,)


def test_quantiles_rise_and_are_not_below_zero():
    got = scorer(model([3.0, -1.0, 2.0], 1), ("a",)).score({"a": np.zeros(2)})
    assert got.tolist() == [[0.0, 2.0, 3.0]] * 2


def files(columns, scores, kinds=None):
    return {"golden.json": golden.write(columns, scores), "features.json": b'{"kinds": %s}' % (kinds or b"{}")}


def test_golden_requests_survive_a_turn_through_json():
    columns = {"a": np.array([1.5, np.nan]), "b": np.array([None, "x"], dtype=object), "c": np.array([["p"], []], dtype=object)}
    got, scores = golden.read(files(columns, np.array([0.25, 0.75]), b'{"b": "category", "c": "category"}'))
    assert got["a"].dtype == np.float64
    assert np.isnan(got["a"][1])
    assert got["b"].tolist() == [None, "x"]
    assert got["c"].tolist() == [["p"], []]
    assert scores.tolist() == [0.25, 0.75]


def test_a_category_that_is_nowhere_known_stays_a_category():
    got, _ = golden.read(files({"b": np.array([None, None], dtype=object)}, np.zeros(2), b'{"b": "category"}'))
    assert got["b"].dtype == object


@pytest.mark.parametrize("wrong", [np.array([0.5, 0.6]), np.array([0.5]), np.array([[0.5], [0.5]])])
def test_golden_scores_that_are_not_the_judged_ones_are_refused(wrong):
    columns = {"a": np.zeros(2)}
    golden.check(scorer(linear([1.0]), ("a",)), files(columns, np.array([0.5, 0.5])))
    with pytest.raises(ShelflifeError, match="golden scores"):
        golden.check(scorer(linear([1.0]), ("a",)), files(columns, wrong))


def test_a_bundle_without_golden_requests_is_refused():
    with pytest.raises(ShelflifeError, match="got none"):
        golden.read({"golden.json": b'{"asks": [], "scores": []}', "features.json": b'{"kinds": {}}'})


class Lost:
    def apply(self, scores):
        return scores * np.nan


def test_a_golden_score_that_is_no_number_is_refused():
    with pytest.raises(ShelflifeError, match="golden scores"):
        golden.check(scorer(linear([1.0]), ("a",), Lost), files({"a": np.zeros(1)}, np.array([0.5])))

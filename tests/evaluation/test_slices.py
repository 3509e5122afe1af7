import numpy as np
from scipy.stats import false_discovery_control

from pipelines.evaluation.paired import Draws
from pipelines.evaluation.slices import benjamini_hochberg, judge_slices, parts


def gain(value, spread=0.01, seed=0):
    return Draws(value, np.random.default_rng(seed).normal(value, spread, 1000), np.full(100, value), units=100)


def only(finding_list):
    (finding,) = finding_list
    return finding


def test_discoveries_are_those_of_scipy():
    for seed in range(20):
        p = np.random.default_rng(seed).random(30) ** 3
        assert (benjamini_hochberg(p, 0.1) == (false_discovery_control(p) <= 0.1)).all()
    assert not benjamini_hochberg([], 0.1).size


def test_a_column_is_cut_by_value_and_a_number_of_many_values_by_quarters():
    assert [part.value for part in parts("c", np.array(["b", "a", "b", None], object))] == ["b", "a", "missing"]
    assert len(parts("n", np.arange(1000.0))) == 4
    assert {part.value for part in parts("flag", np.array([0.0, 1.0, np.nan]))} == {"0", "1", "missing"}
    assert sum(part.mask.sum() for part in parts("n", np.r_[np.arange(1000.0), np.nan])) == 1001


def test_all_parts_surely_unharmed_pass():
    assert only(judge_slices(["c"], {"c": {"a": gain(0.01), "b": gain(-0.01)}}, harm=0.1, alpha=0.05)).status == "pass"


def test_a_provable_and_large_harm_fails_and_is_named():
    finding = only(judge_slices(["c"], {"c": {"a": gain(0.1), "b": gain(-0.2)}}, harm=0.1, alpha=0.05))
    assert finding.status == "fail"
    assert "provably harmed: b" in finding.advice


def test_a_harm_that_cannot_be_ruled_out_is_unsure():
    assert only(judge_slices(["c"], {"c": {"a": gain(0.0, spread=0.2)}}, harm=0.1, alpha=0.05)).status == "unsure"


def test_an_absent_column_fails_and_one_without_enough_rows_is_unsure():
    assert only(judge_slices(["c"], {}, harm=0.1, alpha=0.05)).status == "fail"
    assert only(judge_slices(["c"], {"c": {}}, harm=0.1, alpha=0.05)).status == "unsure"


def test_a_part_whose_metric_is_undefined_is_unsure():
    nothing = Draws(np.nan, np.full(1000, np.nan), np.full(100, np.nan), units=100)
    assert only(judge_slices(["c"], {"c": {"a": gain(0.1), "b": nothing}}, harm=0.1, alpha=0.05)).status == "unsure"


def test_equal_models_rarely_harm_any_of_twenty_parts():
    bad = 0
    for trial in range(60):
        gains = {str(i): gain(np.random.default_rng([trial, i]).normal(0, 0.05), 0.05, seed=i) for i in range(20)}
        bad += only(judge_slices(["c"], {"c": gains}, harm=0.0, alpha=0.05)).status == "fail"
    assert bad <= 60 * 0.15

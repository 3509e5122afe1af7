"""The ledger's comparison: what is a mismatch, what is missing, what is extra, and what is the same."""

import math

from pipelines.features.skew import compare, worst


def test_each_way_to_differ_is_counted_by_itself():
    served = {"n": [1.0, 2.0, None, 4.0, None], "land": ["DE", "FR", None, "IT", None]}
    again = {"n": [1.0, 3.0, 3.0, math.nan, math.nan], "land": ["DE", "FR", "FR", None, None]}
    n, land = sorted(compare(served, again), key=lambda skew: skew.feature, reverse=True)
    assert (n.rows, n.mismatch, n.missing, n.extra, n.share) == (5, 1, 1, 1, 0.6)
    assert (land.rows, land.mismatch, land.missing, land.extra) == (5, 0, 1, 1)


def test_fractions_may_differ_in_their_last_bits_and_integers_and_texts_not_at_all():
    assert compare({"x": [0.1 + 0.2]}, {"x": [0.3]})[0].share == 0
    assert compare({"x": [1e6 + 0.01]}, {"x": [1e6]})[0].mismatch == 1
    assert compare({"x": ["a"]}, {"x": ["A"]})[0].mismatch == 1
    assert compare({"x": ["1"]}, {"x": [1.0]})[0].mismatch == 1


def test_a_feature_that_was_not_served_is_missing_and_the_worst_comes_first():
    found = compare({"a": [1.0, 1.0]}, {"a": [1.0, 1.0], "b": [2.0, math.nan]})
    assert [skew.feature for skew in found] == ["b", "a"]
    assert (found[0].missing, worst(found), worst([])) == (1, 0.5, 0.0)
    assert "1 missing" in found[0].sentence()

"""The watch's error rates, reduced: quiet mornings stay quiet, changes are found, and what was measured is not measured again."""

import json

import pytest

from benchmarks.decisions import kept
from benchmarks.watch import evidently, rates, section


def test_quiet_mornings_stay_quiet():
    found = rates.quiet(4, seed=5)
    assert (found.mornings, found.alarms, found.retrainings) == (4, 0, 0)


@pytest.mark.parametrize("change", ["one sigma in one feature", "ten points more nulls", "a change of concept"])
def test_a_change_is_found_within_three_windows(change):
    assert rates.found_within(change, 7) is not None


def test_the_peers_rule_is_asked_about_the_same_mornings():
    assert 0 <= evidently.alarms(2, seed=5) <= 2


def test_what_was_measured_by_the_same_code_is_not_measured_again(tmp_path):
    jobs, told = {"two": (max, (1, 2)), "four": (max, (3, 4))}, []
    code = ("benchmarks/watch/rates.py",)
    assert kept.measured(jobs, told.append, code, processes=1, folder=tmp_path) == {"two": 2, "four": 4}
    (tmp_path / kept.digest(code) / "two.json").write_text(json.dumps(9))
    assert kept.measured(jobs, told.append, code, processes=1, folder=tmp_path) == {"two": 9, "four": 4}
    assert kept.measured(jobs, told.append, ("benchmarks/watch/*.py",), processes=1, folder=tmp_path)["two"] == 2
    assert told == ["two", "four", "two", "four"]


def test_the_section_says_what_was_found_and_what_was_not():
    quiet = {"mornings": 50, "alarms": 1, "retrainings": 0, "theirs": 40, "said": {"quiet": 49, "harmless shift": 1}}
    told = section.text({"quiet": quiet, "power": {"a sigma": [2, 3, None, 2]}})
    assert "| the watch | 1 | 0 |" in told
    assert "| a sigma | 4 | 75.0%" in told
    assert "0, 2, 1 |" in told

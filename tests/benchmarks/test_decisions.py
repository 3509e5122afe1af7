"""The page of error rates says what was measured, and what was measured keeps what was promised."""

import json

import pytest

from benchmarks.decisions import page, promotions

FIGURES = json.loads(page.FIGURES.read_text("utf-8"))


def test_the_page_is_what_the_figures_say():
    assert page.PAGE.read_text("utf-8") == page.rendered(FIGURES), "run make bench-decisions, or page.write()"


def test_the_gate_is_wrong_no_more_often_than_promised():
    found = FIGURES["sections"]["promotions"]
    shares = {(row["gain"], row["rows"]): row["ours"] / row["runs"] for row in found["rates"]}
    assert found["rates"][0]["runs"] == 1000
    assert shares[0.0, 2000] <= 0.067
    assert shares[-0.01, 2000] <= 0.005


def test_thirty_equal_challengers_gain_nothing_and_a_judgement_is_fast():
    found = FIGURES["sections"]["sequence"]
    assert found["runs"] >= 50
    assert found["ours"]["gain"] <= 0.002
    assert found["ours"]["promotions"] <= 0.3
    assert found["seconds"] < 5


def test_the_watch_is_wrong_no_more_often_than_promised_and_finds_what_changed():
    quiet, power = FIGURES["sections"]["watch"]["quiet"], FIGURES["sections"]["watch"]["power"]
    assert quiet["alarms"] <= 18 * quiet["mornings"] / 1000
    assert quiet["retrainings"] <= 4 * quiet["mornings"] / 1000
    assert quiet["theirs"] > quiet["alarms"]
    for change, windows in power.items():
        assert sum(window is not None for window in windows) >= 0.95 * len(windows), change


@pytest.mark.parametrize("row", promotions.section(FIGURES["sections"]["promotions"]).splitlines())
def test_no_row_of_the_page_is_empty(row):
    assert "nan" not in row


def test_nothing_was_trained_on_a_day_that_broke_and_sound_shops_are_not_called_broken():
    for name, row in FIGURES["sections"]["corruption"]["rows"].items():
        assert row["trained"] == 0, name
    assert FIGURES["sections"]["corruption"]["rows"]["nothing"]["said"] == {
        "nothing": FIGURES["sections"]["corruption"]["shops"]
    }

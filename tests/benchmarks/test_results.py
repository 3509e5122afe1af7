"""The page of figures: it says what was measured, nothing else, and what was measured can be measured again."""

import json
import os

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.results import data, demand, fraud, page, peers, recommend, sentiment
from pipelines.core.clock import DAY

FIGURES = json.loads(page.FIGURES.read_text("utf-8"))
LESS = {"wape", "mase", "pinball"}


def silent(_):
    pass


def measured(section):
    if section not in FIGURES["sections"] or FIGURES["sections"][section]["absent"]:
        pytest.skip(f"the committed figures have no {section}")
    return FIGURES["sections"][section]


def test_the_page_is_what_the_figures_say():
    assert page.PAGE.read_text("utf-8") == page.rendered(FIGURES), "run python -m benchmarks.results, or page.write()"


@pytest.mark.parametrize("section", ["fraud", "demand", "recommend", "sentiment"])
def test_ours_is_better_than_every_row_beside_it(section):
    for table in measured(section)["tables"]:
        ours = [row for row in table["rows"] if row["from"] == "ours"]
        others = [row for row in table["rows"] if row["from"] in {"Handbook", "paper", "published", "computed"}]
        if len(ours) != 1:
            continue
        for other in others:
            for name in set(other) & set(table["columns"]):
                sign = -1 if name in LESS else 1
                assert sign * ours[0][name] > sign * other[name], (table["caption"], other["name"], name)


@pytest.mark.parametrize("section", ["fraud", "demand", "recommend", "sentiment"])
def test_the_chosen_row_is_the_one_that_is_measured(section):
    chosen = {
        row["name"].split(": ")[-1] for table in measured(section)["tables"] for row in table["rows"] if row["from"] == "chosen"
    }
    ours = {row["name"] for table in measured(section)["tables"][:1] for row in table["rows"] if row["from"] == "ours"}
    assert ours <= chosen


def test_a_dataset_that_is_not_there_is_said_and_has_no_rows(monkeypatch, tmp_path):
    monkeypatch.setenv("SHELFLIFE_DATASETS", str(tmp_path))
    word = data.missing("online_retail")
    assert "online_retail is not there" in word
    one = {"title": "Demand", "sources": [data.source("online_retail")], "absent": [word]}
    said = page.rendered({"machine": "a machine", "sections": {"demand": one}})
    assert word in said
    assert "**" not in said


def test_the_handbooks_rule_takes_cards_out_day_by_day():
    day = 20_000
    cards = ["trained", "later", "lastday", "clean"]
    train = fraud.Week(np.zeros((1, 1)), np.zeros(1), np.array(["x"]), np.array([day * DAY]))
    ts = np.repeat([(day + 14) * DAY, (day + 20) * DAY + 5], 4)
    test = fraud.Week(np.zeros((8, 1)), np.zeros(8), np.array(cards * 2), ts)
    happened = np.array([day + 3, day + 9, day + 13]) * DAY + 7
    chargebacks = pa.table({"card": cards[:3], "ts": happened})
    left = fraud.unknown(train, test, chargebacks)
    first, last = left.ts < (day + 15) * DAY, left.ts >= (day + 20) * DAY
    assert left.card[first].tolist() == ["later", "lastday", "clean"]
    assert left.card[last].tolist() == ["lastday", "clean"]


def test_s_pop_ranks_the_sessions_own_items_alone():
    names = ("seen_count", "seen_recency")
    rows = np.zeros((4, len(recommend.FEATURES)), np.float32)
    places = [recommend.FEATURES.index(name) for name in names]
    rows[:, places] = [[2, 3], [1, 0], [0, np.nan], [1, 1]]
    asks = recommend.Asks(rows, np.array([0.0, 0, 0, 1]), np.zeros(4, int), np.zeros(4, int))
    assert recommend.most_seen(asks)["mrr_at_20"] == pytest.approx(100 / 3)
    stranger = recommend.Asks(rows, np.array([0.0, 0, 1, 0]), np.zeros(4, int), np.zeros(4, int))
    assert recommend.most_seen(stranger)["hit_at_20"] == 0


def test_mase_is_the_error_over_the_change_before_the_origin(monkeypatch):
    monkeypatch.setattr(demand, "ITEMS", 1)
    units = np.array([[0.0], [2.0], [4.0], [10.0]])
    shop = demand.Shop(units, {}, np.ones((4, 1)))
    told = {(3, 1): np.full((1, 5), 6.0)}
    found = demand.judged(shop, told)
    assert found["mase"] == pytest.approx(4 / 2)
    assert found["wape"] == pytest.approx(4 / 10)


def test_a_forecast_learns_from_no_week_that_ends_after_its_origin(monkeypatch):
    units = np.random.default_rng(5).poisson(20, (12, 3)).astype(float)
    features = {"last": np.vstack([np.zeros((1, 3)), units[:-1]])}
    changed = units.copy()
    changed[8:] *= 100
    before, after = (demand.forecasts(demand.Shop(each, features, np.full((12, 3), 20.0)), 8, 2) for each in (units, changed))
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_forecast_that_reaches_back_a_few_weeks_learns_from_these_alone():
    units = np.random.default_rng(5).poisson(20, (16, 3)).astype(float)
    features = {"last": np.vstack([np.zeros((1, 3)), units[:-1]])}
    changed = units.copy()
    changed[:8] *= 100
    shops = [demand.Shop(each, features, np.full((16, 3), 20.0)) for each in (units, changed)]
    few, many = ([demand.forecasts(shop, 14, 2, reach)["linear"] for shop in shops] for reach in (4, 16))
    assert np.array_equal(*few)
    assert not np.array_equal(*many)


def test_a_new_items_series_is_long_enough_for_the_peers():
    units = np.zeros((30, 2))
    units[3:, 0], units[24:, 1] = 5, 7
    table = peers.series(units, 26)
    assert table.groupby("unique_id").size().to_dict() == {0: 23, 1: peers.SHORTEST}


def test_moving_the_cut_to_one_half_keeps_the_order():
    p = np.array([0.1, 0.69, 0.71, 0.9])
    moved = sentiment.moved(p, 0.7)
    assert (np.argsort(moved) == np.argsort(p)).all()
    assert (moved >= 0.5).tolist() == [False, False, True, True]


@pytest.mark.slow
def test_the_sentiment_figures_can_be_measured_again():
    if any(map(data.missing, sentiment.DATASETS)):
        pytest.skip(f"wanted the review sets in {os.fspath(data.folder())}")
    again, kept = sentiment.run(silent), measured("sentiment")
    for new, old in zip(again["tables"], kept["tables"], strict=True):
        for row, before in zip(new["rows"], old["rows"], strict=True):
            figures = {name: value for name, value in before.items() if not isinstance(value, str)}
            assert {name: row[name] for name in figures} == pytest.approx(figures, abs=2e-3), before["name"]

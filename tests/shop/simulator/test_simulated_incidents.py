"""What each incident does to the events, and that it does nothing else."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.core.clock import DAY, instant
from pipelines.core.params import Simulate
from pipelines.shop import incidents as happen
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.rows import split
from pipelines.shop.simulator import simulate, truth

SIZE = Simulate("2025-01-06", 21, 600, 40, 60)
START = instant("2025-01-06")
LAST = 18


def tables(*what, size=SIZE):
    parts = defaultdict(list)
    for kind, table in simulate(size, 3, first_day=0, last_day=LAST, incidents=what):
        parts[kind].append(table)
    return {kind: pa.concat_tables(found) for kind, found in parts.items()}


@pytest.fixture(scope="module")
def ordinary():
    return tables()


def on_days(table, first, last, column="ts"):
    day = (table[column].to_numpy() - START) // DAY
    return table.filter(pa.array((day >= first) & (day < last)))


def test_before_an_incident_nothing_differs(ordinary):
    for what in (
        happen.concept_change(10),
        happen.promotion_week(10),
        happen.bot_attack(10),
        happen.new_category(10),
        happen.unit_bug(10),
    ):
        changed = tables(what)
        for kind, table in ordinary.items():
            assert on_days(table, 0, 10, "arrived").equals(on_days(changed[kind], 0, 10, "arrived")), (what.name, kind)


def test_a_unit_bug_multiplies_one_field_of_one_feed_and_breaks_the_contract(ordinary):
    changed = tables(happen.unit_bug(10))
    right, wrong = (on_days(t["payment"], 10, 11) for t in (ordinary, changed))
    assert wrong["amount_cents"].to_pylist() == [100 * cents for cents in right["amount_cents"].to_pylist()]
    assert wrong.drop_columns("amount_cents").equals(right.drop_columns("amount_cents"))
    good, broken = split(CONTRACTS["payment"], wrong)
    assert len(broken) > 0.1 * wrong.num_rows
    assert good.num_rows
    assert all(ordinary[kind].equals(changed[kind]) for kind in ordinary if kind != "payment")


def test_a_null_column_is_null_on_its_days_only(ordinary):
    changed = tables(happen.null_column(10, 2))["payment"]
    assert on_days(changed, 10, 12)["country"].null_count == on_days(changed, 10, 12).num_rows
    assert changed["country"].null_count == on_days(changed, 10, 12).num_rows
    assert len(split(CONTRACTS["payment"], changed)[1]) == changed["country"].null_count


def test_a_late_partition_arrives_later_and_whole(ordinary):
    changed = tables(happen.late_partition(10, delay=3))["purchase"]
    assert on_days(changed, 10, 11, "arrived").num_rows < 0.05 * on_days(ordinary["purchase"], 10, 11, "arrived").num_rows
    assert sorted(changed["id"].to_pylist()) == sorted(ordinary["purchase"]["id"].to_pylist())
    assert set(on_days(changed, 10, 11)["id"].to_pylist()) == set(on_days(ordinary["purchase"], 10, 11)["id"].to_pylist())


def test_a_label_outage_holds_labels_back_and_loses_none(ordinary):
    changed = tables(happen.label_outage(8, 4))["chargeback"]
    assert on_days(changed, 8, 12, "arrived").num_rows == 0
    assert sorted(changed["id"].to_pylist()) == sorted(ordinary["chargeback"]["id"].to_pylist())
    assert on_days(changed, 12, 13, "arrived").num_rows > 3 * on_days(ordinary["chargeback"], 12, 13, "arrived").num_rows


def test_a_promotion_week_is_announced_cheaper_and_sells_more(ordinary):
    changed = tables(happen.promotion_week(10, 7, category="toys"))
    campaign = changed["campaign"].to_pylist()
    assert [(c["category"], c["discount"], c["lasts_days"]) for c in campaign] == [("toys", 0.3, 7)]
    listing = on_days(changed["listing"], 10, 17)
    toys = listing.filter(pc.equal(listing["category"], "toys"))
    assert set(toys["promoted"].to_pylist()) == {1}
    assert set(listing["promoted"].to_pylist()) == {0, 1}
    names = toys["item"].unique()
    sold = [
        pc.sum(
            on_days(t["purchase"], 10, 17).filter(pc.is_in(on_days(t["purchase"], 10, 17)["item"], names))["quantity"]
        ).as_py()
        for t in (ordinary, changed)
    ]
    assert sold[1] > 1.3 * sold[0]


def test_a_new_category_is_listed_viewed_and_sold_from_its_first_day():
    changed = tables(happen.new_category(10))
    listing = changed["listing"]
    pets = listing.filter(pc.equal(listing["category"], "pets"))
    assert pc.min(pets["ts"]).as_py() == START + 10 * DAY
    for kind in ("view_item", "purchase"):
        assert pc.any(pc.is_in(changed[kind]["item"], pets["item"].unique())).as_py(), kind


def test_robots_view_along_the_catalogue_and_buy_nothing(ordinary):
    changed = tables(happen.bot_attack(10, 1, factor=3))
    before, during = (on_days(t["view_item"], 10, 11).num_rows for t in (ordinary, changed))
    assert 3.5 < during / before < 4.5
    assert ordinary["purchase"].equals(changed["purchase"])
    assert ordinary["add_to_cart"].equals(changed["add_to_cart"])
    visits = truth(SIZE, 3, first_day=10, last_day=11, incidents=[happen.bot_attack(10, 1)])["view"]
    assert 0 < pc.sum(visits["robot"]).as_py() < visits.num_rows


def test_a_concept_change_moves_the_fraud_and_leaves_honest_payments_alone():
    size = Simulate("2025-01-06", 21, 3000, 40, 10)
    known = truth(size, 3, first_day=8, last_day=14, incidents=[happen.concept_change(10)])["payment"]
    usual = truth(size, 3, first_day=8, last_day=14)["payment"]
    share = {}
    for name, table in (("changed", on_days(known, 10, 14)), ("usual", on_days(usual, 10, 14))):
        frauds = table.filter(pc.equal(table["fraud"], 1))
        share[name] = np.mean([s in ("lunch", "drip") for s in frauds["scenario"].to_pylist()])
        assert 0.005 < frauds.num_rows / table.num_rows < 0.02
    assert share["usual"] == 0
    assert 0.3 < share["changed"] < 0.7
    honest = [set(t.filter(pc.equal(t["fraud"], 0))["ts"].to_pylist()) for t in (known, usual)]
    assert len(honest[0] ^ honest[1]) < 0.01 * len(honest[1])


def test_a_level_shift_moves_the_demand_of_one_shelf_at_the_same_prices():
    known, usual = (
        truth(SIZE, 3, first_day=10, last_day=14, incidents=what)["demand"]
        for what in ([happen.level_shift(10, factor=0.5)], [])
    )
    ratio = known["expected"].to_numpy() / usual["expected"].to_numpy()
    assert set(ratio.round(9)) == {0.5, 1.0}
    assert set(ratio[on_shelf(usual, "toys")].round(9)) == {0.5}


def test_a_price_response_makes_every_answer_to_a_price_so_many_times_as_strong():
    known, usual, flat = (
        truth(SIZE, 3, first_day=10, last_day=14, incidents=[happen.price_response(10, factor=factor)])["demand"][
            "expected"
        ].to_numpy()
        for factor in (2.0, 1.0, 1e-12)
    )
    assert np.allclose(known / flat, (usual / flat) ** 2)
    assert not np.allclose(known, usual)


def on_shelf(demand, category):
    listing = tables()["listing"]
    shelf = dict(zip(listing["item"].to_pylist(), listing["category"].to_pylist(), strict=True))
    return np.array([shelf[item] == category for item in demand["item"].to_pylist()])


def test_the_truth_is_apart_and_covers_what_was_sent(ordinary):
    known = truth(SIZE, 3, first_day=0, last_day=LAST, incidents=[happen.unit_bug(4)])
    sent = on_days(ordinary["payment"], 0, LAST)["payment_id"].to_pylist()
    assert {i for i in sent if i >= "p20250106"} <= set(known["payment"]["payment_id"].to_pylist())
    assert not {"fraud", "scenario", "expected", "robot"} & {name for table in ordinary.values() for name in table.column_names}
    assert known["incident"]["sentence"].to_pylist() == [str(happen.unit_bug(4))]
    frauds = set(known["payment"].filter(pc.equal(known["payment"]["fraud"], 1))["payment_id"].to_pylist())
    told = [p for p in ordinary["chargeback"]["payment_id"].to_pylist() if p >= "p20250106"]
    assert np.mean([p in frauds for p in told]) > 0.9


def test_expected_demand_is_what_is_wanted_on_average():
    known = truth(SIZE, 3, first_day=0, last_day=LAST)["demand"]
    assert abs(pc.sum(known["wanted"]).as_py() / pc.sum(known["expected"]).as_py() - 1) < 0.05
    assert np.corrcoef(known["expected"].to_numpy(), known["wanted"].to_numpy())[0, 1] > 0.8


def test_most_stars_follow_what_was_meant_and_both_languages_are_written(ordinary):
    known = truth(SIZE, 3, first_day=0, last_day=LAST)["review"]
    assert 0.9 < np.mean(known["meant"].to_numpy() == known["stars"].to_numpy()) < 1
    assert set(ordinary["review"]["language"].to_pylist()) == {"en", "zh"}

"""LifecycleBench: its truth is the simulator's, its policies differ in what they say they differ in, and its page says what was measured."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest

from benchmarks.lifecycle import __main__ as bench
from benchmarks.lifecycle import figures, page, peers, phases, picture, season
from benchmarks.lifecycle.learning import NOTHING, Desk
from benchmarks.lifecycle.ours import Feeds
from benchmarks.lifecycle.policies import POLICIES
from benchmarks.lifecycle.shop import Setting, schedule, simulated
from pipelines.core.clock import DAY, days, instant
from pipelines.core.params import Simulate
from pipelines.features import batch
from pipelines.shop.simulator import simulate, truth
from pipelines.steps.workspace import Workspace

WORKSPACE = Workspace(page.ROOT)
TINY = Setting(customers=500, items=24, sessions=20, history=84, weeks=9)
SPLITS = {
    "fraud": {"train": days(35), "valid": days(14), "holdout": days(14)},
    "demand": {"train": days(28), "valid": days(7), "holdout": days(7)},
}


@pytest.fixture(scope="module")
def measured():
    if not page.FIGURES.exists():
        pytest.skip("LifecycleBench was not measured here yet: make bench-lifecycle")
    return json.loads(page.FIGURES.read_text("utf-8"))


@pytest.fixture(scope="module")
def shop():
    return simulated(TINY, 3)


def block_of(case):
    block = season.block_of(WORKSPACE, case, TINY)
    return replace(block, split=replace(block.split, **SPLITS[case]))


@pytest.fixture(scope="module")
def seasons(shop):
    """Each use case with its desk and feeds, and every policy after nine weeks with what answered in each."""
    found = {}
    for case in ("fraud", "demand"):
        desk = Desk(shop, WORKSPACE.case(case), block_of(case))
        found[case] = (desk, *season.through(desk))
    return found


def policy(seasons, case, name):
    return next(p for p in seasons[case][2] if p.name == name)


def test_the_truth_is_the_simulators(shop):
    size = Simulate("2025-01-06", TINY.last, TINY.customers, TINY.items, TINY.sessions)
    known = truth(size, 3, first_day=90, last_day=93, incidents=shop.incidents)["payment"]
    ids = np.array(known["payment_id"].to_pylist())
    fraud, _ = shop.truth.of_payments(ids)
    assert fraud.tolist() == known["fraud"].to_pylist()
    right = [i for i in shop.incidents if i.name != "unit_bug"]
    for kind, table in simulate(size, 3, first_day=90, last_day=92, incidents=right):
        if kind == "payment":
            _, cents = shop.truth.of_payments(np.array(table["id"].to_pylist()))
            assert cents.tolist() == table["amount_cents"].to_pylist()


def test_what_came_in_is_what_the_simulator_sends(shop):
    size = Simulate("2025-01-06", TINY.last, TINY.customers, TINY.items, TINY.sessions)
    for kind, table in simulate(size, 3, first_day=100, last_day=102, incidents=shop.incidents):
        if kind in shop.tables and kind != "payment":
            ours = shop.tables[kind]
            arrived = ours["arrived"].to_numpy()
            ours = ours.filter(
                pc.and_(
                    pc.greater_equal(ours["arrived"], table["arrived"][0]), pc.less_equal(ours["arrived"], table["arrived"][-1])
                )
            )
            assert set(table["id"].to_pylist()) <= set(ours["id"].to_pylist())
            assert (np.diff(arrived) >= 0).all()


@pytest.mark.parametrize("case", ["fraud", "demand"])
def test_labels_are_those_that_were_known_then(seasons, case):
    desk = seasons[case][0]
    as_of = desk.mondays[5]
    span = desk.parts(as_of).holdout
    rows = desk.known(span, as_of, NOTHING, NOTHING)
    engine = batch.rows(desk.case, desk.tables(NOTHING), span, as_of=as_of)
    assert rows["ask"].tolist() == engine["ask"].to_pylist()
    assert np.array_equal(rows["label"], engine["label"].to_numpy(), equal_nan=True)


@pytest.mark.parametrize("case", ["fraud", "demand"])
def test_never_never_trains_and_weekly_promotes_every_monday(seasons, case):
    never, weekly = policy(seasons, case, "never retrain"), policy(seasons, case, "every week")
    assert not never.trained
    assert not never.promoted
    assert never.cpu == 0
    assert len(weekly.trained) == len(weekly.promoted) == TINY.weeks - 1


@pytest.mark.parametrize("case", ["fraud", "demand"])
def test_ours_never_trains_on_a_held_partition(seasons, case):
    desk, feeds, *_ = seasons[case]
    kind = desk.case.asks.kind
    for model in policy(seasons, case, "shelflife").trained:
        held = {day for name, day in feeds.at(model.as_of).held if name == kind}
        assert not {instant(day) // DAY for day in held} & {desk.shop.start // DAY + day for day in model.asks}


def test_something_was_held_and_others_train_on_it(seasons):
    desk, feeds, *_ = seasons["fraud"]
    held = {(instant(day) - desk.shop.start) // DAY for kind, day in feeds.finally_held if kind == "payment"}
    assert held
    assert held & set().union(*(model.asks for model in policy(seasons, "fraud", "every week").trained))


@pytest.mark.parametrize("case", ["fraud", "demand"])
def test_nobody_learns_from_what_was_not_mature(seasons, case):
    desk, _, policies, _ = seasons[case]
    delay = desk.case.label.matures
    for found in policies:
        for model in found.trained:
            assert model.newest < desk.parts(model.as_of).valid[1] <= model.as_of - 2 * delay / days(1) * DAY


@pytest.mark.parametrize("case", ["fraud", "demand"])
def test_no_policy_is_cheaper_than_the_oracle(seasons, case):
    desk, feeds, policies, answering = seasons[case]
    found = season.figures_of(desk, feeds, policies, answering)
    for row in found["policies"].values():
        assert (np.array(row["cents"]) >= np.array(found["oracle"]) - 1).all()


def test_equal_seeds_give_equal_bytes():
    small = replace(TINY, customers=300, items=16, weeks=4)

    def once():
        found = season.season(simulated(small, 5), WORKSPACE.case("demand"), block_of("demand"))
        for row in found["policies"].values():
            del row["cpu"]
        return json.dumps(found)

    assert once() == once()


def test_every_schedule_has_changes_and_faults_within_its_weeks():
    for seed in range(1, 40):
        happened = schedule(seed, Setting())
        assert all(Setting().history <= i.first_day < Setting().history + 7 * Setting().weeks for i in happened)
        assert {"concept_change", "price_response", "unit_bug", "label_outage", "promotion_week"} <= {i.name for i in happened}


def evidently_drifted(reference, current, kinds):
    """What Evidently itself says of each column."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [name for name, kind in kinds.items() if kind == "number"]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=[name for name in kinds if name not in numbers])
    sides = [
        Dataset.from_pandas(pd.DataFrame({n: pd.Series(side[n]) for n in kinds}), data_definition=definition)
        for side in (current, reference)
    ]
    said = json.loads(Report([DataDriftPreset()]).run(*sides).json())
    return next(m["value"]["share"] for m in said["metrics"] if m["metric_name"].startswith("DriftedColumnsCount"))


def compared(seasons, case, monday):
    desk = seasons[case][0]
    rows = desk.served
    current = rows.take((rows["ts"] >= monday - 7 * DAY) & (rows["ts"] < monday))
    first, last = desk.parts(desk.first).train
    reference = rows.take((rows["ts"] >= first) & (rows["ts"] < last))
    return peers.drifted_share(reference, current, desk.kinds), evidently_drifted(reference, current, desk.kinds)


@pytest.mark.parametrize("case", ["fraud", "demand"])
def test_the_fast_rule_says_what_evidently_says(seasons, case):
    ours, theirs = compared(seasons, case, seasons[case][0].mondays[4])
    assert ours == pytest.approx(theirs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_the_fast_rule_says_what_evidently_says_on_forty_windows(seed):
    """Ten weeks of each use case in each of two shops, each six days after the one before."""
    found = simulated(TINY, seed)
    for case in ("fraud", "demand"):
        desks = {case: (Desk(found, WORKSPACE.case(case), block_of(case)),)}
        for step in range(10):
            end = desks[case][0].mondays[1] + 6 * step * DAY
            ours, theirs = compared(desks, case, end)
            assert ours == pytest.approx(theirs), (seed, case, step)


def test_the_rule_with_a_small_reference_is_a_test():
    random = np.random.default_rng(1)
    before, now = random.normal(0, 1, 300), random.normal(0.5, 1, 300)
    assert peers.drifted(before, now, "number")
    assert not peers.drifted(before, before, "number")
    assert peers.drifted(["a"] * 50 + ["b"] * 50, ["a"] * 90 + ["b"] * 10, "category")
    with pytest.raises(ValueError, match="empty column"):
        peers.drifted([np.nan], now, "number")


def test_the_interval_holds_the_mean_and_shrinks():
    sample = np.random.default_rng(2).normal(5, 1, 400)
    mean, low, high = figures.interval(sample)
    assert low < mean < high
    assert high - low < 0.3
    assert figures.interval([7.0, 7.0]) == (7.0, 7.0, 7.0)


def test_the_page_is_what_the_figures_say(measured):
    assert page.PAGE.read_text("utf-8") == page.rendered(measured), "run python -m benchmarks.lifecycle --page"
    assert page.PICTURE.read_text("utf-8") == picture.draw(measured["cases"])


def test_the_measured_page_has_every_policy_and_half_a_year(measured):
    for found in measured["cases"].values():
        assert set(found["rows"]) == {policy.name for policy in POLICIES}
        assert found["days"] >= 180


def test_the_page_says_how_many_shops_and_where_ours_is_not_provably_better():
    """On made-up seasons of six shops, in which ours loses less than all others but one, and as much as another."""
    seasons = [made_up(seed) for seed in range(1, 7)]
    text = page.rendered({"setting": vars(Setting()), "machine": "a machine", "cases": {"fraud": figures.summary(seasons)}})
    assert "6 shops (seeds 1 to 6), 14 days each" in text
    assert "fewer than 20" in text
    assert "loses **less than** *every week*" in text
    assert "loses **more than** *point compare*" in text
    assert "trained 18 challengers: 6 passed, 6 were rejected, 6 could not be decided" in text
    assert "one finding alone stood in the way of 6: slice: country (6)" in text
    assert "brought back 6 times, where it would have answered the newest matured asks better" in text
    assert "| every week | " in text.split("while it lasts, and after")[1]
    assert "loses **to the cent as much as** *never retrain*" in text
    assert "no challenger ever passed" not in text
    assert picture.draw({"fraud": figures.summary(seasons)}).count("<polyline") == len(POLICIES)


@pytest.mark.parametrize(("case", "second"), [("fraud", "during"), ("demand", "after")])
def test_every_week_lies_before_during_or_after_the_change_and_the_parts_add_up(case, second):
    found = made_up(1, case)
    masks = phases.weeks(found)
    assert (sum(mask.astype(int) for mask in masks.values()) == 1).all()
    assert masks[second][1]
    whole = sum(np.subtract(found["policies"]["every week"]["cents"], found["oracle"])) / 14
    assert sum(phases.lost(found, "every week").values()) == pytest.approx(whole)


def test_of_few_shops_nothing_is_said_to_be_proven():
    text = page.rendered(
        {"setting": vars(Setting()), "machine": "a machine", "cases": {"fraud": figures.summary([made_up(1)])}}
    )
    assert text.count("nobody can say whether less than") == len(POLICIES) - 1


def test_a_shop_in_which_nothing_ever_passed_is_said_to_be_one():
    found = [made_up(1, "demand"), made_up(2, "demand")]
    found[0]["policies"]["shelflife"]["promotions"] = 0
    text = page.rendered({"setting": vars(Setting()), "machine": "a machine", "cases": {"demand": figures.summary(found)}})
    assert "In 1 of 2 shops no challenger ever passed" in text


def test_what_was_measured_is_not_measured_again_and_shops_for_looking_are_not_reported(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(bench, "one", lambda case, seed, folder: (asked.append((case, seed)), 0.0)[1])
    first = bench.FIRST
    for case in bench.CASES:
        for seed in (2, first[case]):
            (tmp_path / f"{case}-{seed:03d}.json").write_text(json.dumps({"seed": seed}))
    (tmp_path / f"demand-{first['demand'] + 2:03d}.json").write_text(json.dumps({"seed": first["demand"] + 2}))
    bench._measure(3, ["demand"], tmp_path, 0)
    assert asked == [("demand", first["demand"] + 1)]
    asked.clear()
    bench._measure(3, bench.CASES, tmp_path, 0)
    assert asked == [("fraud", first["fraud"] + 1), ("fraud", first["fraud"] + 2), ("demand", first["demand"] + 1)]
    assert [season["seed"] for season in bench.read(tmp_path, "fraud")] == [first["fraud"]]


def test_a_use_case_that_is_not_measured_again_keeps_its_figures(tmp_path, monkeypatch):
    kept = {"fraud": figures.summary([made_up(1)]), "demand": figures.summary([made_up(1, "demand")])}
    for name in ("FIGURES", "PAGE", "PICTURE"):
        monkeypatch.setattr(page, name, tmp_path / name)
    page.FIGURES.write_text(json.dumps({"setting": vars(Setting()), "machine": "a machine", "cases": kept}))
    (tmp_path / "demand-501.json").write_text(json.dumps(made_up(bench.FIRST["demand"], "demand")))
    monkeypatch.setattr("sys.argv", ["lifecycle", "--page", "--folder", str(tmp_path)])
    assert bench.main() == 0
    found = json.loads(page.FIGURES.read_text())["cases"]
    assert found["fraud"] == json.loads(json.dumps(kept["fraud"]))
    assert found["demand"]["shops"] == [bench.FIRST["demand"]]


def test_a_model_of_demand_is_split_as_it_is_shipped_and_one_of_fraud_as_the_page_says():
    assert season.block_of(WORKSPACE, "demand", Setting()).split == WORKSPACE.params.block("demand").split
    fraud = season.block_of(WORKSPACE, "fraud", Setting()).split
    assert (fraud.train, fraud.holdout) == (days(Setting().train), days(Setting().holdout))


def test_a_model_of_demand_learns_from_all_of_a_year_that_there_is(shop):
    """From the shop's first day on, though a year back there was no shop; and a later one from more."""
    desk = Desk(shop, WORKSPACE.case("demand"), season.block_of(WORKSPACE, "demand", TINY))
    first, later = (desk.model(desk.mondays[week]) for week in (0, 8))
    assert min(first.asks) == min(later.asks) == 0
    assert max(later.asks) - max(first.asks) == 8 * 7


def made_up(seed, case="fraud"):
    def row(cents):
        return {
            "cents": cents, "retrainings": 1, "promotions": 1, "false_alarms": 0, "dearer": 1, "cpu": 1.0,
            "notes": [[7, "quiet"], [7, "brought back: 2 before"], [7, "unsure: slice: country unsure"], [14, "pass: "], [21, "fail: floor fail, cost fail"]],
            "seen": {"a change on day 3": 7, "a fault on day 4": None}, "recovered": {"a change on day 3": 14},
        }  # fmt: skip

    costs = {policy.name: [900 + seed, 900] for policy in POLICIES} | {
        "shelflife": [500 + seed, 500],
        "never retrain": [500 + seed, 500],
        "point compare": [400, 400],
    }
    happened = {"fraud": "concept_change, days 105 to 140: x", "demand": "price_response, day 99: x"}[case]
    return {
        "seed": seed,
        "case": case,
        "incidents": [happened],
        "oracle": [100, 100],
        "asks": 10,
        "quiet": 5,
        "policies": {name: row(cents) for name, cents in costs.items()},
    }


def test_feeds_are_watched_by_the_platforms_own_code(seasons):
    _, feeds, *_ = seasons["fraud"]
    assert isinstance(feeds, Feeds)
    named = {day for look in feeds.looks.values() for day in look.broken}
    assert named

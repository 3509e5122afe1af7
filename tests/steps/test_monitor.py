"""The watch over a released use case: quiet weeks stay quiet, a broken feed is held and never trained on."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_shop

from pipelines.core.clock import DAY, days, iso
from pipelines.shop.incidents import Incident
from pipelines.steps import alarms, bundle, looking, monitor, simulate
from pipelines.steps.workspace import Workspace

CASE = "fraud"
SHOP = {"days": 70, "customers": 1500, "items": 60, "sessions_per_day": 40}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A small shop whose fraud model answers."""
    workspace, home = small_shop.checkout(tmp_path_factory.mktemp("watched"), small_shop.params(SHOP, {CASE: small_shop.FRAUD}))
    simulate.live(workspace, home, 63)
    small_shop.released(workspace, home, CASE)
    return workspace, home


def test_a_quiet_week_then_a_broken_feed(watched):
    workspace, home = watched
    simulate.live(workspace, home, 7)
    waiting = len(home.outbox.waiting())
    found = monitor.monitor(workspace, home, [CASE])
    assert found["proposals"] == []
    assert found["looks"][0]["kind"] in ("quiet", "harmless shift", "cannot decide")
    assert len(home.outbox.waiting()) == waiting
    day = simulate.day_now(workspace, home) + 4
    simulate.live(workspace, home, 7, [Incident.from_dict({"name": "unit_bug", "first_day": day, "days": 1})])
    champion = home.releases.champion(CASE)
    found = monitor.monitor(workspace, home, [CASE])
    look = found["looks"][0]
    assert look["kind"] == "broken data", look
    assert found["proposals"] == []
    assert home.releases.champion(CASE) == champion
    held = {kind for kind, _ in home.quarantine.held()}
    assert held == {"payment"}
    subjects = [letter.subject for letter in home.outbox.waiting()]
    assert sum("fraud: data broken" in subject for subject in subjects) == 1
    monitor.monitor(workspace, home, [CASE])
    assert sum("data broken" in letter.subject for letter in home.outbox.waiting()) == 1, "one cause is one alarm"


def test_a_use_case_that_nothing_answers_yet_cannot_be_decided_and_does_not_stop_the_others(watched):
    workspace, home = watched
    found = monitor.monitor(workspace, home, ["demand"])
    assert found["looks"][0]["kind"] == "cannot decide"
    assert found["proposals"] == []


def test_a_look_that_breaks_is_never_drift(watched, monkeypatch):
    workspace, home = watched
    from pipelines.core.errors import NotDecidable

    def crash(*_):
        raise NotDecidable("the scorer is away")

    monkeypatch.setattr(monitor.looking, "see", crash)
    found = monitor.monitor(workspace, home, [CASE])
    assert found["looks"][0]["kind"] == "cannot decide"
    assert found["looks"][0]["retrain"] is False


def test_a_former_release_is_scored_on_the_rows_of_the_look(watched, monkeypatch):
    workspace, home = watched
    usecase, block, at = workspace.case(CASE), workspace.params.block(CASE), home.landing.closed_until()
    _, _, released = home.releases.answering(CASE)
    tables = {kind: home.landing.table(kind, at) for kind in usecase.kinds}
    holdout = looking.holdout_of(block, released.manifest)
    rows = looking.watched_rows(usecase, block, tables, at, released.files, holdout)
    scores = bundle.open_scorer(released.files).score({name: rows[name] for name in bundle.model_columns(usecase)})
    assert looking._formers(home, usecase, rows) == {}, "nothing answered before the first release"
    monkeypatch.setattr(type(home.releases), "formers", lambda self, case: [self.champion(case).bundle])
    found = looking._formers(home, usecase, rows)
    assert list(found) == ["1 release back"]
    assert np.array_equal(found["1 release back"], scores)


def test_the_champions_holdout_is_the_one_of_its_own_day_whatever_is_split_today(watched):
    workspace, home = watched
    block, (_, _, released) = workspace.params.block(CASE), home.releases.answering(CASE)
    tree = Workspace(home.path / "worktrees" / f"{CASE}-one")
    judged = pq.read_table(tree.rows(CASE) / "holdout.parquet", columns=["ts"])["ts"].to_numpy()
    learnt = [pq.read_table(tree.rows(CASE) / f"{part}.parquet")["ts"].to_numpy() for part in ("train", "between", "valid")]
    today = replace(block, split=replace(block.split, holdout=days(60), valid=days(1), train=days(1)))
    first, last = looking.holdout_of(today, released.manifest)
    assert (first, last) == looking.holdout_of(block, released.manifest)
    assert first <= judged.min() < judged.max() < last
    assert max(part.max() for part in learnt) < first
    unsaid = {name: value for name, value in released.manifest.made_from.items() if name != "holdout"}
    first, last = looking.holdout_of(today, replace(released.manifest, made_from=unsaid))
    assert (first, last - first) == (unsaid["as_of"], 60 * DAY), "of what came after it was made it can have learnt nothing"


def test_every_alarm_names_what_to_do():
    assert set(alarms.CALLS) <= set(alarms.SUBJECTS)
    assert iso(0) == "1970-01-01T00:00:00Z"

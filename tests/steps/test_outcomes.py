"""What the labels say of the answers: a change is found however late one looks, and a quiet shop stays quiet."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.clock import DAY, days
from pipelines.core.verdict import Finding
from pipelines.evaluation.recall import best
from pipelines.evaluation.triage import triage
from pipelines.steps.outcomes import Outcomes
from pipelines.steps.rows import Rows
from pipelines.steps.workspace import Workspace

WORKSPACE = Workspace(Path(__file__).resolve().parents[2])
CHANGE = 24 * DAY
HOLDOUT = (14 * DAY, 21 * DAY)
LEVEL = [Finding(f"{name}: x", "pass", 0.0, "less") for name in ("quality", "features", "predictions")]


def outcomes(seed, looked, changes, *, daily=250, labels=2):
    """Payments whose labels are known after a day; from CHANGE on half of the fraud looks like anything else, if it changes."""
    random = np.random.default_rng(seed)
    rows = int(looked // DAY) * daily
    ts = np.sort(random.integers(0, looked, rows))
    label = (random.random(rows) < 0.08) * 1.0
    seen = label * ~((ts >= CHANGE) & changes & (random.random(rows) < 0.5))
    score = 1 / (1 + np.exp(3 - 4 * seen - random.normal(size=rows)))
    label[ts >= looked - DAY] = np.nan
    customer = random.integers(0, rows // 4, rows).astype(str).astype(object)
    columns = {
        "ts": ts,
        "label": label,
        "customer": customer,
        "card": customer,
        "amount_cents": random.integers(500, 9000, rows) * 1.0,
    }
    block = WORKSPACE.params.block("fraud")
    watch = replace(block.monitor, labels=days(labels), min_rows=100)
    return Outcomes(WORKSPACE.case("fraud"), replace(block, monitor=watch), Rows(columns), score, looked - DAY, HOLDOUT)


def diagnosis(seen):
    return triage([*seen.lasting(), [*LEVEL, seen.performance()]], seen.block.monitor).kind


@pytest.mark.parametrize("after", [7, 14, 21, 35])
def test_a_change_is_found_whether_the_first_look_comes_soon_or_late(after):
    assert [diagnosis(outcomes(seed, CHANGE + after * DAY, changes=True)) for seed in (1, 2)] == ["concept change"] * 2


@pytest.mark.parametrize("after", [7, 14, 21, 35])
def test_a_quiet_shop_stays_quiet(after):
    found = [diagnosis(outcomes(seed, CHANGE + after * DAY, changes=False)) for seed in (1, 2)]
    assert not {"concept change", "harmful shift"} & set(found)


def test_a_former_release_that_knows_the_new_ways_would_answer_better_and_one_that_does_not_would_not():
    seen = outcomes(1, CHANGE + 35 * DAY, changes=True)
    knows = np.where(np.nan_to_num(seen.rows["label"]) > 0, 0.9, 0.02) + np.random.default_rng(1).random(len(seen.scores)) / 100
    found = seen.recall({"1 release back": seen.scores, "2 releases back": knows})
    assert best(found) == "2 releases back"
    assert found["1 release back"].status != "pass"
    newest = seen.labels.rows.labels[seen.asked(seen.known - 7 * DAY, seen.known)]
    few = replace(seen, block=replace(seen.block, gate=replace(seen.block.gate, min_rows=len(newest) + 1)))
    assert best(few.recall({"1 release back": knows})) is None
    one_block = replace(seen, block=replace(seen.block, gate=replace(seen.block.gate, together=days(60))))
    assert best(one_block.recall({"1 release back": knows})) == "1 release back", "nobody waits for a second block to go back"


def test_each_reference_has_the_windows_own_weekdays():
    seen = outcomes(1, 60 * DAY, changes=False)
    mine = set(seen.ts[seen.asked(*seen.window())] // DAY % 7)
    for mask in seen.references().values():
        assert set(seen.ts[mask] // DAY % 7) == mine
    assert (seen.ts[seen.references()["its own holdout"]] < HOLDOUT[1]).all()


def test_what_it_costs_is_held_against_the_holdout_too():
    late = outcomes(1, CHANGE + 35 * DAY, changes=True).money()
    assert late.low > 0
    assert outcomes(1, CHANGE + 35 * DAY, changes=False).money().low < 0

"""A ranking's champion of another week is judged on the candidates of its own index, for the very asks of the new holdout."""

from dataclasses import replace

import numpy as np
import pytest
from small_shop import checkout, learnt, params

from pipelines.evaluation.controller import Entry
from pipelines.evaluation.metrics import measure
from pipelines.evaluation.statistic import labelled
from pipelines.features.candidates import Index
from pipelines.steps import evaluate, simulate
from pipelines.steps.bundle import model_columns, open_scorer
from pipelines.steps.journal import note
from pipelines.steps.released import released

pytestmark = pytest.mark.slow
CASE = "recommend"
SMALL = {
    CASE: {
        "split": {"train": "8d", "valid": "3d", "holdout": "3d"},
        "train": {"seed": 1, "use": ["dummy", "baseline", "neighbours", "linear"]},
        "gate": {"min_rows": 50, "latency_ms": 10_000, "slice_rows": 20},
    }
}


@pytest.fixture(scope="module")
def weeks(tmp_path_factory):
    """A run of the second week whose bundle is kept, and one of the fourth that is judged against it."""
    known = params({"start": "2025-01-06", "days": 16, "customers": 400, "items": 120, "sessions_per_day": 40}, SMALL)
    workspace, home = checkout(tmp_path_factory.mktemp("shop"), known)
    simulate.live(workspace, home, 16)
    old, _ = learnt(workspace, home, CASE, "old")
    name = home.releases.add(old.models(CASE) / "bundle")
    simulate.live(workspace, home, 8)
    home.runs.free(CASE, "old")
    note(workspace, home, CASE, Entry("crashed", home.clock()(), "old"))
    tree, _ = learnt(workspace, home, CASE, "new")
    tree.write_moment(replace(tree.moment(CASE), champion=name))
    evaluate.evaluate(tree, home, CASE)
    data = (tree.reports(CASE) / "verdict" / "evidence.parquet").read_bytes()
    return home, tree, name, evaluate.evidence_from(data)


def test_champion_and_challenger_each_leave_out_what_the_others_index_alone_knows(weeks):
    *_, evidence = weeks
    ours, theirs = np.isneginf(evidence.challenger), np.isneginf(evidence.champion)
    assert ours.any()
    assert theirs.any()
    assert not (ours & theirs).any()


def test_the_champion_gets_the_metric_of_its_own_lists(weeks):
    home, tree, name, evidence = weeks
    usecase, moment = tree.case(CASE), tree.moment(CASE)
    files = released(home, name)[1]
    rows = evaluate._rows_of(tree, usecase, moment, evaluate.judged_rows(tree, moment), files)
    assert Index.from_npz(files["index.npz"]).until < moment.as_of
    scores = open_scorer(files).score({column: rows[column] for column in model_columns(usecase)})
    alone = measure(usecase.metrics, labelled(rows["label"], rows["session"], ask=rows["ask"]), scores)
    together = measure(usecase.metrics, labelled(evidence.labels, evidence.unit, ask=evidence.ask), evidence.champion)
    assert dict(together) == pytest.approx(dict(alone))
    assert set(evidence.ask) == set(rows["ask"])

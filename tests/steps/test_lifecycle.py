"""One turn of the lifecycle on a small simulated shop: events, rows, models, a verdict, a release, an answer to why, a replay."""

import json
import shutil
from dataclasses import replace

import pytest
import small_shop

from pipelines.core.clock import days, micros
from pipelines.core.errors import ShelflifeError
from pipelines.core.verdict import Verdict
from pipelines.steps import evaluate, featurize, ingest, learn, promote, replay, simulate, train, validate, why
from pipelines.steps.runs import Runs
from pipelines.steps.workspace import Workspace

CASE = "fraud"
SHOP = {"days": 56, "customers": 2000, "items": 60, "sessions_per_day": 60}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A small shop's history."""
    workspace, home = small_shop.checkout(tmp_path_factory.mktemp("shop"), small_shop.params(SHOP, {CASE: small_shop.FRAUD}))
    simulate.live(workspace, home, 56)
    return workspace, home


@pytest.fixture(scope="module")
def judged(shop):
    """One learn run of fraud, judged on its opened holdout."""
    workspace, home = shop
    return workspace, home, Runs(workspace.root, home.path), *small_shop.learnt(workspace, home, CASE)


def test_the_verdict_passes_and_is_read_off_the_report(judged):
    *_, tree, verdict = judged
    assert verdict.status == "pass", verdict.why()
    kept = Verdict.from_dict(
        {k: v for k, v in json.loads((tree.reports(CASE) / "verdict.json").read_text()).items() if k != "figures"}
    )
    assert kept.why() == verdict.why()
    assert (tree.reports(CASE) / "verdict" / "report.html").stat().st_size > 1000


def test_the_stages_write_what_data_scientists_plot(judged):
    *_, tree, _ = judged
    training = json.loads((tree.reports(CASE) / "training.json").read_text())
    assert training["chosen"] in ("linear", "lightgbm")
    assert set(training["validation"]) == set(small_shop.FRAUD["train"]["use"])
    for name in ("learning", "importance", "precision_recall", "calibration"):
        assert len((tree.reports(CASE) / "plots" / f"{name}.csv").read_text().splitlines()) > 1


def test_the_same_moment_gives_the_same_bytes(judged, tmp_path):
    _, home, _, tree, _ = judged
    again = Workspace(tmp_path / "again")
    for name in ("pipelines", "great_expectations", "moments"):
        shutil.copytree(tree.root / name, again.root / name)
    shutil.copy(tree.root / "params.yaml", again.root)
    ingest.snapshot(again, home, CASE)
    validate.look(again, CASE)
    featurize.featurize(again, CASE)
    train.train(again, CASE)
    evaluate.evaluate(again, home, CASE)
    files = ("data/fraud/rows/train.parquet", "models/fraud/bundle/manifest.json", "reports/fraud/verdict/report.json")
    for made in (*files, "reports/fraud/validation.json"):
        assert (again.root / made).read_bytes() == (tree.root / made).read_bytes(), made


def test_the_gate_refuses_the_dummy(judged):
    _, home, _, tree, _ = judged
    usecase, moment = tree.case(CASE), tree.moment(CASE)
    rows = evaluate.judged_rows(tree, moment)
    from pipelines.evaluation import gate
    from pipelines.steps import released

    dummy, baseline = (
        evaluate.Judged.of(released.read(tree.models(CASE) / name), rows, usecase, home) for name in ("dummy", "baseline")
    )
    evidence = evaluate.gather(usecase, rows, dummy, baseline, None, moment)
    judgement = gate.judge(usecase, tree.params.block(CASE).gate, evidence, seed=1)
    assert judgement.verdict("dummy").status == "fail"


def test_a_preview_on_validation_data_never_promotes(judged):
    *_, tree, _ = judged
    moment = replace(tree.moment(CASE), opens_holdout=False)
    with pytest.raises(ShelflifeError, match="never promotes"):
        promote.judged(tree, moment)


def test_high_risk_waits_for_a_person_and_a_promotion_can_be_told_and_replayed(judged, monkeypatch):
    workspace, home, runs, _, verdict = judged
    learn.record(workspace, home, runs, CASE, "one")
    with pytest.raises(ShelflifeError, match="approval"):
        promote.promote(workspace, home, CASE, "one", "")
    assert home.releases.champion(CASE) is None
    pushed = []
    monkeypatch.setattr(
        Runs, "push", lambda self, run: pushed.append(run.run)
    )  # dvc did not run here, so it has nothing to push
    epoch = home.releases.epoch
    outdated = iter([epoch() + 1])
    monkeypatch.setattr(home.releases, "epoch", lambda: next(outdated, None) or epoch())  # another use case changes meanwhile
    done = promote.promote(workspace, home, CASE, "one", "ada", "better\nwhere it \x1b[31mmatters")
    assert pushed == ["one"]
    assert home.releases.champion(CASE).bundle == done["bundle"] == verdict.facts["bundle"]
    assert promote.promote(workspace, home, CASE, "one", "ada")["exit"] == promote.SKIPPED, "promoting twice is promoting once"
    told = why.why(home, CASE)["text"]
    assert 'ada "better where it [31mmatters"' in told
    assert "promote by ada" in told
    assert replay.replay(workspace, home, done["decision"][:12])["same"] is True
    with pytest.raises(ShelflifeError, match="no champion before this one"):
        home.releases.rollback(CASE, at=home.clock()(), actor="ada", reason="")


def test_ingest_refuses_a_moment_whose_log_is_another(shop):
    workspace, home = shop
    learn.moment_here(workspace, home, CASE, None)
    moment = workspace.moment(CASE)
    workspace.write_moment(replace(moment, log="0" * 64))
    with pytest.raises(ShelflifeError, match="the moment names the log"):
        ingest.snapshot(workspace, home, CASE)
    workspace.write_moment(replace(moment, as_of=moment.as_of + micros(days(30))))
    with pytest.raises(ShelflifeError, match="closed up to"):
        ingest.snapshot(workspace, home, CASE)


def test_a_missing_snapshot_says_what_to_run(tmp_path):
    with pytest.raises(ShelflifeError, match="run"):
        featurize.read_events(tmp_path / "payment.parquet", tmp_path)

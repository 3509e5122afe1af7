"""Through Evidently itself, which takes seconds to import: once in this process."""

import base64
import hashlib
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.core.decision import CostMatrix, Newsvendor, Probability, Quantiles, Ranking
from pipelines.core.verdict import Finding, Verdict, judged
from pipelines.reports import verdict as report

pytest.importorskip("evidently")


def evidence(kind, rows=400, champion=True, seed=0):
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < 0.3).astype(float)
    scores = [np.clip(labels * 0.3 + random.random(rows) * spread, 0, 1) for spread in (0.5, 0.7, 0.9)]
    ask = None
    if kind == "quantiles":
        labels = random.poisson(5, rows).astype(float)
        scores = [np.column_stack([s * 3, s * 5 + 2, s * 9 + 4]) for s in scores]
    if kind == "ranking":
        ask = np.repeat(np.arange(rows // 10), 10).astype(str)
        labels = (np.arange(rows) % 10 == 3) * 1.0
    answers = {
        "probability": Probability(CostMatrix("amount", 1)), "quantiles": Quantiles((0.1, 0.5, 0.75), Newsvendor("price", 3.0, 1.0)), "ranking": Ranking(),
    }  # fmt: skip
    shown = SimpleNamespace(
        labels=labels, challenger=scores[0], champion=scores[1] if champion else None, baseline=scores[2], ask=ask
    )
    return SimpleNamespace(answers=answers[kind]), shown


FIGURES = {"average_precision": {"challenger": 0.8, "champion": 0.7, "baseline": 0.3, "gain": 0.1, "low": 0.05, "high": 0.15}}


@pytest.fixture
def build(good):
    def make(kind="probability", found=None, subject="fraud as of 2025-05-26", facts=None, **more):
        usecase, shown = evidence(kind, **more)
        found = good if found is None else found
        judgement = SimpleNamespace(findings=found, required=[f.name for f in found], figures=FIGURES)
        return report.build(usecase, shown, judgement, subject=subject, facts=facts or {"rows": 400})

    return make


@pytest.mark.parametrize("kind", ["probability", "quantiles", "ranking"])
@pytest.mark.parametrize("champion", [True, False])
def test_what_was_found_is_what_is_read_off_the_report(build, good, kind, champion):
    made = build(kind, champion=champion)
    verdict = report.read(json.loads(made.json()), [f.name for f in good])
    assert list(verdict.findings) == good
    assert verdict.status == "pass"
    assert "not drawn" not in verdict.facts
    assert verdict.facts["compared with"] == ("champion" if champion else "baseline")


def test_evidently_itself_compares_the_findings_numbers_with_their_limits(build):
    worse = judged("better", -0.2, "above 0", passes_if="low > 0.0", fails_unless="high >= 0.0", low=-0.3, high=-0.1)
    made = build(found=[worse])
    ours = {
        row["id"]: (row["status"], row["test_config"]["threshold"], row["metric_config"]["params"]["value"])
        for row in made.data["evidently"]["tests"]
    }
    assert ours == {"gt": ("FAIL", 0.0, -0.3), "ge": ("FAIL", 0.0, -0.1)}
    assert made.verdict().status == "fail"


def test_a_number_that_is_missing_is_unsure_and_does_not_break_the_report(build):
    found = [
        judged("better", None, "above 0", passes_if="low > 0.0", fails_unless="high >= 0.0"),
        judged("floor", float("nan"), "x", passes_if="observed >= 0.0", fails_unless="observed >= 0.0"),
        judged("top", float("inf"), "x", passes_if="observed >= 0.0", fails_unless="observed >= 0.0"),
    ]
    assert [f.status for f in build(found=found).verdict().findings] == ["unsure"] * 3


def test_rows_that_evidently_cannot_draw_do_not_stop_the_verdict_and_are_mentioned(build, good):
    usecase, shown = evidence("probability")
    shown.labels[:] = np.nan
    judgement = SimpleNamespace(findings=good, required=[f.name for f in good], figures={})
    made = report.build(usecase, shown, judgement, subject="s", facts={})
    assert list(made.verdict().findings) == good
    assert made.data["facts"]["not drawn"]


def test_the_champion_is_the_reference_and_the_challenger_is_current(build):
    metrics = build().data["evidently"]["metrics"]
    figure = next(row for row in metrics if row["config"]["type"] == "shelflife:figure")
    assert (figure["config"]["value"], figure["config"]["other"]) == (0.8, 0.7)
    text = json.dumps(build().data["evidently"]["dashboard"])
    assert "average_precision (current)" in text.lower() or "average_precision" in text


def test_the_place_of_what_came_next_is_counted_from_one_with_ties_in_the_rows_order():
    groups, labels = np.array([0, 0, 0, 1, 1]), np.array([0.0, 1, 0, 1, 0])
    assert report._ranks(groups, labels, np.array([0.9, 0.5, 0.7, 0.2, 0.2])).tolist() == [3.0, 1.0]


def test_the_same_inputs_give_the_same_bytes_here_and_in_another_process(build, tmp_path):
    first, second = build(), build()
    assert first.json() == second.json()
    assert first.html() == second.html()
    code = (
        "import sys; from pathlib import Path; from pipelines.reports import verdict\n"
        "data = Path(sys.argv[1]).read_bytes(); made = verdict.load(data); assert made.json() == data\n"
        "assert 'evidently' not in sys.modules and 'pandas' not in sys.modules\n"
        "print(verdict.read(made.data, made.data['required']).status); Path(sys.argv[2]).write_text(made.html())"
    )
    (tmp_path / "report.json").write_bytes(first.json())
    command = [sys.executable, "-c", code, tmp_path / "report.json", tmp_path / "page.html"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "pass\n"
    assert (tmp_path / "page.html").read_text() == first.html()


def test_the_page_answers_first_draws_second_and_keeps_the_rest_for_later(build):
    html = build().html()
    order = [
        html.index(text)
        for text in ("Yes: the new model may answer.", "<svg", "What was looked at", "All that was measured", "root_report")
    ]
    assert order == sorted(order)


def test_only_the_scripts_whose_hash_the_policy_names_can_run(build, nodes):
    found = nodes(build().html())
    runs = [text for attrs, text in found.scripts if attrs.get("type") != "application/json"]
    assert len(runs) == 3
    for text in runs:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in found.policy
    assert found.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in found.policy.split("style-src")[0]
    assert "connect-src" not in found.policy


def test_words_from_outside_are_data_in_the_report(build, payloads, nodes):
    clean = nodes(build().html())
    found = [Finding(f"slice: {p}", "fail", p, p, advice=p) for p in payloads]
    made = build(found=found, subject="".join(payloads), facts={p: [p] for p in payloads})
    spoilt = nodes(made.html())
    assert len(spoilt.scripts) == len(clean.scripts)
    assert spoilt.handlers == clean.handlers
    assert spoilt.tags == clean.tags
    assert "<" not in next(text for attrs, text in spoilt.scripts if attrs.get("type") == "application/json")
    data = json.loads(next(text for attrs, text in spoilt.scripts if attrs.get("type") == "application/json"))
    assert "<script" not in json.dumps(data).lower()
    assert "<img" not in json.dumps(data).lower()
    assert isinstance(made.verdict(), Verdict)


def test_a_browser_draws_the_report_and_runs_nothing_from_outside(build, payloads, page, tmp_path):
    found = [Finding(f"slice: {p}", "fail", p, p, advice=p) for p in payloads]
    build(found=found, subject="".join(payloads), facts={p: [p] for p in payloads}).save(tmp_path / "verdict")
    opened, asked = [], []
    page.on("dialog", lambda dialog: (opened.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    address = (tmp_path / "verdict" / "report.html").as_uri()
    page.goto(address)
    page.locator("#root_report svg.main-svg").first.wait_for()
    assert page.url == address
    assert opened == []
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} == {address}


def test_save_writes_the_report_and_its_page(build, tmp_path):
    made = build()
    made.save(tmp_path / "verdict")
    assert report.load((tmp_path / "verdict" / "report.json").read_bytes()).json() == made.json()
    assert (tmp_path / "verdict" / "report.html").read_text(encoding="utf-8") == made.html()


@pytest.mark.parametrize("kind", ["probability", "quantiles", "ranking"])
@pytest.mark.parametrize("rows", [0, 10])
def test_hardly_any_rows_are_reported_all_the_same(build, good, kind, rows):
    made = build(kind, rows=rows)
    assert list(made.verdict().findings) == good
    assert "<h1>" in made.html()


def test_an_item_that_a_list_lacks_has_no_place_in_it():
    groups, labels = np.array([0, 0, 1, 1]), np.array([0.0, 1.0, 1.0, 0.0])
    assert report._ranks(groups, labels, np.array([0.9, 0.1, 0.7, 0.2])).tolist() == [2.0, 1.0]
    assert report._ranks(groups, labels, np.array([0.9, -np.inf, 0.7, 0.2])).tolist() == [1.0]


def test_a_manager_reads_three_numbers_before_anything_else(build, good):
    cost = judged("cost", 12.0, "not dearer", passes_if="high >= 0", fails_unless="high >= 0", low=-3.0, high=20.0)
    churn = judged("churn", 0.124, "few", passes_if="observed <= 0.2")
    page = build(found=[*good, cost, churn]).html()
    for words in (
        "gain in average precision",
        "+0.1",
        "money saved per 1,000 answers",
        "+12",
        "between -3 and +20",
        "answers that change",
        "12.4%",
    ):
        assert words in page
    assert (
        page.index("Yes: the new model may answer")
        < page.index("12.4%")
        < page.index("What was looked at")
        < page.index("root_report")
    )

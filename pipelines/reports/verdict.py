"""The report that decides: challenger and champion on the same rows, every finding a test, the verdict read off the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.decision import Probability, Quantiles
from pipelines.core.digest import canonical
from pipelines.core.verdict import Finding, Verdict
from pipelines.reports import comparisons, document, page, picture
from pipelines.reports.plain import plain, plain_data

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pipelines.core.usecase import UseCase

ROWS = 20_000
"""So many rows are drawn, evenly spread; the findings rest on all of them."""

read = comparisons.read


@dataclass(frozen=True)
class Made:
    """A report: `data` is report.json, which decides and is hashed; the page is drawn from it alone."""

    data: Mapping[str, Any]

    def __post_init__(self) -> None:
        # As it will be read back, so that the page does not depend on whether it was.
        object.__setattr__(self, "data", json.loads(canonical(self.data)))

    def verdict(self) -> Verdict:
        return read(self.data, self.data["required"])

    def json(self) -> bytes:
        return canonical(self.data) + b"\n"

    def html(self) -> str:
        return render(self.data)

    def save(self, folder: Path) -> None:
        """Write report.json and report.html into the folder, which is made where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_bytes(self.json())
        (folder / "report.html").write_text(self.html(), encoding="utf-8")


def build(usecase: UseCase, evidence: Any, judgement: Any, *, subject: str, facts: Mapping[str, Any]) -> Made:
    """The report of what the gate found. `evidence` holds labels and everybody's scores of the same rows, `judgement` the
    findings, the names of those that must be there, and the metrics' figures."""
    current, reference, definition, drawn = _frames(usecase, evidence)
    figures = judgement.figures
    facts = {**facts, "compared with": "champion" if evidence.champion is not None else "baseline", "drawn rows": len(current)}
    return verdict_report(
        subject, judgement.findings, judgement.required, facts,
        current=current, reference=reference, drawn=[*_figures(figures), *drawn], definition=definition, figures=figures,
    )  # fmt: skip


def verdict_report(
    subject: str, findings: Sequence[Finding], required: Sequence[str], facts: Mapping[str, Any], *,
    current: pd.DataFrame, reference: pd.DataFrame | None, drawn: Sequence[Any] = (), definition: Any = None,
    figures: Mapping[str, Mapping[str, float | None]] | None = None,
) -> Made:  # fmt: skip
    """The same from its parts: frames of the same rows with the challenger's (current) and the champion's scores (reference)."""
    from evidently import DataDefinition

    from pipelines.reports import run

    data = run.report(
        subject, findings, required, facts,
        current=current, reference=reference, drawn=drawn, definition=definition or DataDefinition(),
    )  # fmt: skip
    return Made({**data, "kind": "verdict", "figures": plain_data(dict(figures or {}))})


def render(data: Mapping[str, Any]) -> str:
    """The page of a verdict's report, from its JSON alone."""
    verdict = read(data, data["required"])
    words = page.answer(
        verdict,
        passed="Yes: the new model may answer.",
        failed="No: the new model may not answer. What answers today stays.",
        unsure="Not now: the evidence does not suffice. What answers today stays.",
    )
    rival = data["facts"].get("compared with", "champion")
    drawing = picture.draw(picture.gains(data["figures"]) or picture.lines(verdict.findings), "What the new model gains")
    caption = (
        f"What the new model gains over the {rival}, metric by metric, with its bounds. Right of the dashed line is better."
    )
    return document.render(data, page.first_page(verdict, words, drawing, caption, _tiles(data["figures"], verdict, rival)))


def _tiles(figures: Mapping[str, Mapping[str, float | None]], verdict: Verdict, rival: str) -> list[page.Tile]:
    """What a manager looks for: how much better, what it saves, how much changes for the people who get the answers."""
    found = {finding.name: finding for finding in verdict.findings}
    name, row = next(iter(figures.items()), ("", {}))
    tiles = [_gain(name.replace("_", " "), row, rival)] if row.get("gain") is not None else []
    for key, what, sign in (("cost", "money saved per 1,000 answers", "+,.0f"), ("churn", "answers that change", ".1%")):
        seen = found.get(key)
        if seen is not None and isinstance(seen.observed, float | int):
            bounds = "" if seen.low is None or seen.high is None else f"between {seen.low:{sign}} and {seen.high:{sign}}, "
            tiles.append(page.Tile(what, f"{seen.observed:{sign}}", f"{bounds}against the {rival}"))
    return tiles


def _gain(name: str, row: Mapping[str, float | None], rival: str) -> page.Tile:
    low, high = row.get("low"), row.get("high")
    bounds = "no bounds can be given" if low is None or high is None else f"between {low:+.3g} and {high:+.3g}"
    return page.Tile(f"gain in {name}", f"{row['gain']:+.3g}", f"{bounds}, against the {rival}")


def _figures(figures: Mapping[str, Mapping[str, float | None]]) -> list[Any]:
    """Each metric of the challenger beside the same of whom it is compared with."""
    from pipelines.reports.metrics import FigureMetric

    known = {name: row for name, row in figures.items() if row.get("challenger") is not None}
    rivals = {name: row.get("champion", row.get("baseline")) for name, row in known.items()}
    return [FigureMetric(name=plain(name), value=row["challenger"], other=rivals[name]) for name, row in known.items()]


def _frames(usecase: UseCase, evidence: Any) -> tuple[pd.DataFrame, pd.DataFrame, Any, list[Any]]:
    """Current and reference frames of the same labelled rows, what their columns are, and what Evidently draws of them."""
    rival = evidence.champion if evidence.champion is not None else evidence.baseline
    if isinstance(usecase.answers, Probability):
        return _probability(evidence, rival)
    if isinstance(usecase.answers, Quantiles):
        return _median(usecase.answers, evidence, rival)
    return _ranking(evidence, rival)


def _probability(evidence: Any, rival: Any) -> tuple[pd.DataFrame, pd.DataFrame, Any, list[Any]]:
    from evidently import BinaryClassification, DataDefinition
    from evidently.presets import ClassificationQuality

    kept = _kept(evidence.labels, evidence.challenger, rival)
    labels = np.asarray(evidence.labels, float)[kept].astype(int)
    frames = [_frame(label=labels, score=np.asarray(scores, float)[kept]) for scores in (evidence.challenger, rival)]
    task = BinaryClassification(target="label", prediction_probas="score", pos_label=1)
    definition = DataDefinition(classification=[task], numerical_columns=["score"])
    return *frames, definition, [ClassificationQuality(pr_curve=True)]


def _median(answers: Quantiles, evidence: Any, rival: Any) -> tuple[pd.DataFrame, pd.DataFrame, Any, list[Any]]:
    from evidently import DataDefinition, Regression
    from evidently.presets import RegressionQuality

    level = int(np.argmin(np.abs(np.array(answers.levels) - 0.5)))
    scores = [np.asarray(s, float)[:, level] for s in (evidence.challenger, rival)]
    kept = _kept(evidence.labels, *scores)
    labels = np.asarray(evidence.labels, float)[kept]
    frames = [_frame(label=labels, prediction=score[kept]) for score in scores]
    definition = DataDefinition(
        regression=[Regression(target="label", prediction="prediction")], numerical_columns=["label", "prediction"]
    )
    return *frames, definition, [RegressionQuality(pred_actual_plot=True, error_distr=True)]


def _ranking(evidence: Any, rival: Any) -> tuple[pd.DataFrame, pd.DataFrame, Any, list[Any]]:
    from evidently import DataDefinition
    from evidently.presets import ValueStats

    groups = np.unique(np.asarray(evidence.ask).astype(str), return_inverse=True)[1]
    ranks = [
        _ranks(groups, np.asarray(evidence.labels, float), np.asarray(scores, float)) for scores in (evidence.challenger, rival)
    ]
    frames = [_frame(rank=rank[_spread(len(rank))]) for rank in ranks]
    return *frames, DataDefinition(numerical_columns=["rank"]), [ValueStats(column="rank")]


def _ranks(groups: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The place (from 1) at which each ask's list has what came next; asks whose list lacks it are left out."""
    order = np.lexsort((-scores, groups))  # minus infinity, not on the list, comes last
    first = np.flatnonzero(np.diff(groups[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(first, np.diff([*first, len(order)])) + 1
    return place[(labels[order] > 0) & np.isfinite(scores[order])].astype(float)


def _kept(*columns: Any) -> np.ndarray:
    """Row numbers where everything is known, at most ROWS of them, evenly spread."""
    values = [np.asarray(column, float) for column in columns]
    known = np.all([np.isfinite(value).all(axis=tuple(range(1, value.ndim))) for value in values], axis=0)
    rows = np.flatnonzero(known)
    return rows[_spread(len(rows))]


def _spread(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, ROWS)).astype(int)) if count else np.zeros(0, int)


def _frame(**columns: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns)


def load(data: bytes) -> Made:
    """The report in the bytes of report.json."""
    return Made(json.loads(data))

"""evaluate: challenger, champion and baseline scored now, on the same asks, by the code that serves; an Evidently report; the verdict read off it."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.clock import iso
from pipelines.core.decision import Probability
from pipelines.core.feature import FeatureSet
from pipelines.core.release import Bundle, Moment
from pipelines.core.verdict import Finding, Verdict
from pipelines.steps import bundle, released
from pipelines.steps.featurize import read_events
from pipelines.steps.rows import Rows, amounts, from_arrow, groups, labelled, read
from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace, write_csv, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.core.usecase import UseCase
    from pipelines.evaluation.evidence import Evidence
    from pipelines.store.home import Home

REPEATS = 200
"""How often one row is scored to see how long an answer takes."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", help="the use case whose bundle is judged")


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    verdict = evaluate(workspace, open_home(workspace), args.case)
    return {"text": verdict.why(), "verdict": verdict.to_dict()}


@dataclass(frozen=True)
class Judged:
    """A bundle on rows of the judged asks: its scores, its size, how long one answer takes and how much memory it needs."""

    digest: str
    rows: Rows
    scores: np.ndarray
    size_mb: float
    latency_ms: float
    parity: Finding
    memory_mb: float | None = None

    @staticmethod
    def of(found: tuple[Bundle, Mapping[str, bytes]], rows: Rows, usecase: UseCase, home: Home) -> Judged:
        manifest, files = found
        scorer = bundle.open_scorer(files)
        columns = {name: rows[name] for name in bundle.model_columns(usecase)}
        size = sum(map(len, files.values())) / 1e6
        parity = Finding("parity", advice="", **manifest.made_from["parity"])
        latency = _measured(f"latency {manifest.digest}", home, lambda: _latency(scorer, columns, usecase))
        return Judged(manifest.digest, rows, scorer.score(columns), size, latency or 0.0, parity)

    def weighed(self, files: Mapping[str, bytes], home: Home) -> Judged:
        """The same with the most memory that a process of its own held while it answered; None where it did not answer."""
        from pipelines.serving.probe import probe

        return replace(self, memory_mb=_measured(f"memory {self.digest}", home, lambda: probe(files)["rss_mb"]))


def _measured(name: str, home: Home, measure: Callable[[], float | None]) -> float | None:
    """Measured once a bundle and kept: a verdict must not change with the weather. What could not be measured is not kept."""
    kept = home.state.get(name)
    if kept is None and (found := measure()) is not None:
        home.state.put(name, kept := f"{found:.3f}")
    return None if kept is None else float(kept)


def _latency(scorer: Any, columns: Mapping[str, np.ndarray], usecase: UseCase) -> float:
    """Milliseconds that 99 of 100 answers stay under."""
    ask = columns if len(next(iter(columns.values()))) == 0 else _one_ask(columns, usecase)
    for _ in range(10):
        scorer.score(ask)
    times = []
    for _ in range(REPEATS):
        start = perf_counter_ns()
        scorer.score(ask)
        times.append(perf_counter_ns() - start)
    return float(np.quantile(times, 0.99) / 1e6)


def _one_ask(columns: Mapping[str, np.ndarray], usecase: UseCase) -> dict[str, np.ndarray]:
    """One row, or for a ranking as many as an ask has candidates."""
    rows = getattr(usecase.answers, "neighbours", 1) + getattr(usecase.answers, "popular", 0)
    return {name: values[:rows] for name, values in columns.items()}


def evaluate(workspace: Workspace, home: Home, case: str) -> Verdict:
    """Judge the bundle on the holdout where the moment opens it, else the trial on later validation data.

    Writes reports/<case>/verdict/ (report.json, report.html, evidence.parquet), verdict.json and the plots; returns the verdict
    that was read off the report.
    """
    from pipelines.evaluation import gate
    from pipelines.reports import verdict as report

    usecase, moment, block = workspace.case(case), workspace.moment(case), workspace.params.block(case)
    rows = judged_rows(workspace, moment)
    found = released.read(workspace.models(case) / ("bundle" if moment.opens_holdout else "trial"))
    challenger = Judged.of(found, rows, usecase, home).weighed(found[1], home)
    baseline = Judged.of(released.read(workspace.models(case) / "baseline"), rows, usecase, home)
    champion = _champion(workspace, usecase, moment, rows, home) if moment.champion else None
    rows, (challenger, baseline, *others) = together(rows, [j for j in (challenger, baseline, champion) if j])
    champion = others[0] if others else None
    evidence = gather(usecase, rows, challenger, baseline, champion, moment)
    judgement = gate.judge(usecase, block.gate, evidence, seed=block.train.seed)
    facts = _facts(moment, challenger, champion, len(rows))
    subject = f"{case} as of {iso(moment.as_of)}" + ("" if moment.opens_holdout else " (preview on validation data)")
    made = report.build(usecase, evidence, judgement, subject=subject, facts=facts)
    folder = workspace.reports(case) / "verdict"
    made.save(folder)
    verdict = report.read(json.loads((folder / "report.json").read_text()), judgement.required)
    (folder / "evidence.parquet").write_bytes(evidence_bytes(evidence))
    write_json(workspace.reports(case) / "verdict.json", {**verdict.to_dict(), "figures": judgement.figures})
    _plots(workspace, usecase, rows, {"challenger": challenger, "champion": champion, "baseline": baseline})
    return verdict


def judged_rows(workspace: Workspace, moment: Moment) -> Rows:
    """The frozen holdout, or the later half of the validation part."""
    if moment.opens_holdout:
        return read(workspace.rows(moment.usecase), "holdout", workspace.root)
    return read(workspace.rows(moment.usecase), "valid", workspace.root).halves()[1]


def _champion(workspace: Workspace, usecase: UseCase, moment: Moment, rows: Rows, home: Home) -> Judged:
    """The champion on rows of its own making: the same asks, its own features, and for a ranking its own index' candidates."""
    found = released.released(home, str(moment.champion))
    files = found[1]
    features = FeatureSet.from_json(files["features.json"])
    index = workspace.rows(usecase.name) / "index.npz"
    same_index = "index.npz" not in files or files["index.npz"] == index.read_bytes()
    if features.digest == usecase.features.digest and same_index:
        return Judged.of(found, rows, usecase, home)
    own = replace(usecase, features=features, slices=())
    return Judged.of(found, _rows_of(workspace, own, moment, rows, files), own, home)


def _rows_of(workspace: Workspace, own: UseCase, moment: Moment, rows: Rows, files: Mapping[str, bytes]) -> Rows:
    """The rows that a bundle's own features and index make of the asks."""
    from pipelines.features import batch
    from pipelines.features.candidates import Index

    index = Index.from_npz(files["index.npz"]) if "index.npz" in files else None
    if index is not None and not moment.opens_holdout:
        index = replace(index, until=0)  # a preview may look at asks that the champion's index has seen: it promotes nobody
    events = workspace.events(own.name)
    tables = {kind: read_events(events / f"{kind}.parquet", workspace.root) for kind in own.kinds}
    return Rows(from_arrow(batch.rows(own, tables, set(rows["ask"].tolist()), as_of=moment.as_of, index=index)))


def together(rows: Rows, judged: Sequence[Judged]) -> tuple[Rows, list[Judged]]:
    """Everybody's scores on the same rows. A ranking's rows are the candidates of all: what is not on a model's own list gets
    minus infinity from it, which ranks below all that is; of any other ask that a model has no row for, nothing is known.
    """
    if all(one.rows is rows for one in judged):
        return rows, list(judged)
    place = {key: at for at, key in enumerate(_keys(rows))}
    asks = {ask: at for at, ask in enumerate(rows["ask"].tolist())}
    more = {
        key: label for one in judged for key, label in zip(_keys(one.rows), one.rows["label"], strict=True) if key not in place
    }
    more = {key: label for key, label in more.items() if key[0] in asks}
    if more:
        added = rows.take(np.array([asks[ask] for ask, _ in more]))
        candidates = np.array([candidate for _, candidate in more], object)
        rows = rows + Rows({**added.columns, "candidate": candidates, "label": np.array(list(more.values()))})
        place |= {key: len(place) + at for at, key in enumerate(more)}
    return rows, [replace(one, rows=rows, scores=_spread_over(place, one)) for one in judged]


def _keys(rows: Rows) -> list[tuple[Any, Any]]:
    candidates = rows["candidate"].tolist() if "candidate" in rows.columns else [None] * len(rows)
    return list(zip(rows["ask"].tolist(), candidates, strict=True))


def _spread_over(place: Mapping[Any, int], one: Judged) -> np.ndarray:
    """The scores at the places of their rows. What the model itself said is never taken for "not listed"."""
    said = np.where(np.isneginf(one.scores), np.nan, one.scores)
    scores = np.full((len(place), *said.shape[1:]), -np.inf if "candidate" in one.rows.columns else np.nan)
    at = np.array([place.get(key, -1) for key in _keys(one.rows)], int)
    scores[at[at >= 0]] = said[at >= 0]
    return scores


def gather(
    usecase: UseCase, rows: Rows, challenger: Judged, baseline: Judged, champion: Judged | None, moment: Moment
) -> Evidence:
    """Everything the gate looks at."""
    from pipelines.evaluation.evidence import Evidence

    return Evidence(
        labels=rows["label"], unit=rows[usecase.unit], challenger=challenger.scores, baseline=baseline.scores,
        champion=champion.scores if champion else None, slices={name: rows[name] for name in usecase.slices},
        amounts=amounts(usecase, rows), ask=groups(usecase, rows), card=rows.columns.get("card"), ts=rows["ts"],
        latency_ms=challenger.latency_ms, size_mb=challenger.size_mb, memory_mb=challenger.memory_mb, parity=challenger.parity,
        champion_latency_ms=champion.latency_ms if champion else None, champion_size_mb=champion.size_mb if champion else None,
        weight=rows.columns.get("weight"), looks=moment.looks, reasons=moment.reasons,
    )  # fmt: skip


def _facts(moment: Moment, challenger: Judged, champion: Judged | None, rows: int) -> dict[str, Any]:
    return {
        "as_of": iso(moment.as_of), "bundle": challenger.digest, "replaces": champion.digest if champion else None,
        "holdout": moment.holdout if moment.opens_holdout else "validation", "rows": rows,
    }  # fmt: skip


def evidence_bytes(evidence: Evidence) -> bytes:
    """The arrays of the evidence as Parquet, its plain values as metadata: what replay decides from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data: dict[str, Any] = {}
    for name in ("labels", "unit", "challenger", "baseline", "champion", "amounts", "ask", "card", "ts", "weight"):
        value = getattr(evidence, name)
        if value is not None and np.ndim(value) == 2:
            data |= {f"{name}.{i}": pa.array(value[:, i]) for i in range(value.shape[1])}
        elif value is not None:
            data[name] = pa.array(value.tolist())
    data |= {f"slice.{name}": pa.array(values.tolist()) for name, values in evidence.slices.items()}
    plain = {
        name: getattr(evidence, name)
        for name in ("latency_ms", "size_mb", "memory_mb", "champion_latency_ms", "champion_size_mb", "reasons", "looks")
    } | {"parity": evidence.parity.__dict__ if evidence.parity else None}
    table = pa.table(data).replace_schema_metadata({"evidence": json.dumps(plain)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def evidence_from(data: bytes) -> Evidence:
    """The evidence that `evidence_bytes` wrote."""
    import pyarrow.parquet as pq

    from pipelines.evaluation.evidence import Evidence
    from pipelines.steps.rows import from_arrow

    table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
    plain = json.loads(table.schema.metadata[b"evidence"])
    columns = from_arrow(table)
    names = {name.split(".")[0] for name in columns} - {"slice"}
    arrays = {name: columns[name] if name in columns else _stacked(columns, name) for name in names}
    slices = {name.removeprefix("slice."): values for name, values in columns.items() if name.startswith("slice.")}
    parity = Finding(**plain.pop("parity")) if plain["parity"] else plain.pop("parity")
    return Evidence(**arrays, slices=slices, **{**plain, "reasons": tuple(plain["reasons"])}, parity=parity)


def _stacked(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return np.column_stack([values for key, values in columns.items() if key.startswith(f"{name}.")])


def _plots(workspace: Workspace, usecase: UseCase, rows: Rows, judged: Mapping[str, Judged | None]) -> None:
    """The precision-recall and calibration curves of a probability, for `dvc plots`."""
    folder: Path = workspace.reports(usecase.name) / "plots"
    pr, calibration = [], []
    for who, found in judged.items():
        if found is not None and isinstance(usecase.answers, Probability):
            pr += [(who, *point) for point in precision_recall(rows["label"], found.scores)]
            calibration += [(who, *point) for point in _calibration(usecase, rows, found.scores)]
    write_csv(folder / "precision_recall.csv", ("who", "recall", "precision"), pr)
    write_csv(folder / "calibration.csv", ("who", "predicted", "observed", "rows"), calibration)


def precision_recall(labels: np.ndarray, scores: np.ndarray, points: int = 101) -> list[tuple[float, float]]:
    """Recall and precision at so many depths of the ranking."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    depths = np.unique(np.linspace(1, len(labels), points).astype(int)) if len(labels) and hits[-1] else np.zeros(0, int)
    return [(round(float(hits[n - 1] / hits[-1]), 6), round(float(hits[n - 1] / n), 6)) for n in depths]


def _calibration(usecase: UseCase, rows: Rows, scores: np.ndarray) -> list[tuple[float, float, int]]:
    from pipelines.evaluation.calibration import curve

    known = labelled(usecase, rows).labels
    return [(round(p, 6), round(o, 6), n) for p, o, n in curve(known, scores)]

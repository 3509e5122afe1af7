"""The skew ledger at work: a sample of the answers that a release gave, beside batch; above half a percent somebody is called."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import micros
from pipelines.core.feature import FeatureSet
from pipelines.core.verdict import Finding

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.core.usecase import UseCase
    from pipelines.features.skew import Skew
    from pipelines.steps.workspace import Workspace
    from pipelines.store.home import Home

MOST = 0.005
"""The share of a feature's rows that may differ from batch before it is an alarm; where all is well, none do."""
ANSWERS = 5_000
"""Answers of a look that are compared at most: those of a sample of the units, by hash, the same units every time."""
TOLD = 10
"""So many features are named at most."""

Row = Mapping[str, Any]


def check(workspace: Workspace, home: Home, case: str, as_of: int) -> list[Finding]:
    """The look's finding: the worst feature of the window's answers. It names the worst features.

    Without an answer that can be compared there is none, and where the comparison cannot be made it is unsure: never a pass.
    """
    champion = home.releases.answering(case)
    if champion is None:
        return []
    wanted = f"at most {MOST:.1%} of a feature's rows differ from batch at the same offset"
    try:
        found, unknown = ledger(workspace.case(case), home, champion[2].files, as_of, _since(workspace, case, as_of))
    except Exception as error:  # a look does not fall over its ledger: it says that it does not know
        return [Finding("skew: served features", "unsure", None, wanted, advice=f"it could not be compared: {error}")]
    if not found:
        return []
    unfound = f"; {unknown:,} answers to asks whose own event is not in the log" if unknown else ""
    worst = found[0]
    finding = Finding(
        "skew: served features",
        "fail" if worst.share > MOST else "pass",
        worst.share,
        wanted,
        advice="; ".join(skew.sentence() for skew in [worst, *(s for s in found[1:TOLD] if s.share > MOST)]) + unfound,
    )
    return [finding]


def ledger(usecase: UseCase, home: Home, files: Mapping[str, bytes], as_of: int, since: int) -> tuple[list[Skew], int]:
    """Per feature how far what was served since then differs from batch, the worst first; and how many answers could not be
    compared, because the asking event is not in the log (its keys are not known)."""
    from pipelines.features import skew

    features = FeatureSet.from_json(files["features.json"])
    answers = _answers(home, usecase, features, as_of, since)
    if not answers:
        return [], 0
    tables = {kind: home.landing.table(kind, as_of) for kind in usecase.kinds}
    asked, chosen, unknown = _asked(usecase, tables[usecase.asks.kind], answers)
    if not chosen:
        return [], unknown
    rows = [(n, row) for n, answer in enumerate(chosen) for row in answer["rows"]]
    items = ([n for n, _ in rows], [row["candidate"] for _, row in rows]) if "candidate" in rows[0][1] else None
    again = skew.recompute(features, tables, usecase.asks.kind, asked, as_of=as_of, candidates=items)
    served = {name: [row[name] for _, row in rows] for name in features.names if name in rows[0][1]}
    return skew.compare(served, again), unknown


def _answers(home: Home, usecase: UseCase, features: FeatureSet, as_of: int, since: int) -> list[Row]:
    """The answers made of these definitions with features at hand: ask, offset seen, moment and rows. One an ask: the last."""
    table = home.landing.table("prediction", as_of)
    found = {}
    for said in table.select(["ts", "usecase", "ask", "seen_offset", "inputs"]).to_pylist():
        if said["usecase"] == usecase.name and said["seen_offset"] is not None and since <= said["ts"] < as_of:
            known = json.loads(said["inputs"])
            if known["rows"] and set(features.names) <= known["rows"][0].keys():
                found[said["ask"]] = {"ask": said["ask"], "sees": said["seen_offset"], "ts": known["ts"], "rows": known["rows"]}
    return list(found.values())


def _asked(usecase: UseCase, table: pa.Table, answers: Sequence[Row]) -> tuple[pa.Table, list[Row], int]:
    """The asks of a sample of the answers as batch wants them, the answers in their order, and how many asks are not in the log."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from pipelines.features.split import sampled

    wanted = {answer["ask"]: answer for answer in answers}
    mine = table.filter(pc.is_in(table["id"], pa.array(list(wanted), pa.string())))
    first = {name: n for n, name in reversed(list(enumerate(mine["id"].to_pylist())))}  # the log's order: the first version
    asked = mine.take(pa.array(sorted(first.values()), pa.int64()))
    unknown = len(wanted) - len(asked)
    if len(asked) > ANSWERS:
        asked = asked.filter(pa.array(sampled(asked[usecase.unit].to_pylist(), ANSWERS / len(asked))))
    chosen = [wanted[name] for name in asked["id"].to_pylist()]
    asked = asked.set_column(asked.column_names.index("ts"), "ts", pa.array([a["ts"] for a in chosen], pa.int64()))
    return asked.append_column("sees", pa.array([a["sees"] for a in chosen], pa.int64())), chosen, unknown


def _since(workspace: Workspace, case: str, as_of: int) -> int:
    return as_of - micros(workspace.params.block(case).monitor.window)

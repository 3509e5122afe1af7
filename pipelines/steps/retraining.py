"""The retraining controller at work: what happened to a use case's runs, as the journal that the pure decision is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.core.params import Retrain
    from pipelines.evaluation.controller import Decision, Entry
    from pipelines.store.home import Home

ENDS = {"promoted": "promoted", "crashed": "crashed", "rejected": "rejected", "declined": "rejected", "refused": "rejected"}


def entries(journal: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """The journal of store.runs in the controller's words. Runs are opened, judged and closed by `learn`; triggers are ours."""
    return [entry for row in journal if (entry := _entry(row)) is not None]


def _entry(row: Mapping[str, Any]) -> Entry | None:
    from pipelines.evaluation.controller import Entry

    name, at, run = row["event"], row["at"], row.get("run", "")
    if name == "triggered":
        return Entry("triggered", at, run, cause=row["cause"], labels=row["labels"], positives=row["positives"])
    if name == "opened":
        return Entry("started", at, run)
    if name == "judged":
        return Entry("finished", at, run, verdict=row["verdict"])
    if name == "closed" and row["status"] in ENDS:
        return Entry(ENDS[row["status"]], at, run)
    return None


def trigger(home: Home, case: str, key: str, cause: str, labels: int, positives: int, params: Retrain, now: int) -> Decision:
    """Ask for a retraining; what was decided, and written down. The run itself starts, and takes its lease, in `learn`."""
    from pipelines.evaluation import controller

    event = controller.Entry("triggered", now, key, cause=cause, labels=labels, positives=positives)
    decision = controller.decide(entries(home.runs.journal(case)), event, params, now)
    if decision.append:
        row = {
            "event": "triggered",
            "run": key,
            "cause": cause,
            "labels": labels,
            "positives": positives,
            "why": decision.reason,
        }
        home.runs.append(case, row, now, key=f"triggered {key}")
    return decision

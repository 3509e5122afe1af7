"""A proposal to learn anew: heard by the retraining controller, written down, and emitted only if nothing stands against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.evaluation.controller import Decision, Entry, decide

if TYPE_CHECKING:
    from pipelines.core.params import Retrain
    from pipelines.store.home import Home


def entries(home: Home, case: str) -> list[Entry]:
    """The use case's journal."""
    return [Entry.from_dict(row) for row in home.runs.journal(case)]


def propose(home: Home, case: str, event: Entry, params: Retrain) -> Decision:
    """What the controller says to a trigger. Its `started` is left to the run that learn opens, which may never come."""
    decision = decide(entries(home, case), event, params, event.at)
    for found in decision.append:
        if found.name == "triggered":
            home.runs.append(case, found.to_dict(), found.at, key=f"{found.name}:{found.run}")
    return decision

"""Is anybody watching: whether the monitor has looked lately, asked by those that live on when everything else is dead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.core.clock import iso, micros
from pipelines.core.cron import longest_pause
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.store.home import Home

MISSED = 2
"""Looks that may fail to come before the watch is called stale."""


def pulse(workspace: Workspace, home: Home, now: int) -> dict[str, Any]:
    """Whether the watch is `fresh`, `stale` (it has not looked for two intervals of its schedule) or has `never` looked, in words."""
    looked = home.state.get("monitored")
    if looked is None:
        return {"watch": "never", "text": "the monitor has never looked; say shelflife monitor"}
    due = int(looked) + MISSED * micros(longest_pause(workspace.params.shop.watch.cron))
    state = "stale" if now > due else "fresh"
    words = (
        "the watch is stale: is Airflow's scheduler up? say shelflife monitor to look now; last" if state == "stale" else "last"
    )
    return {
        "watch": state,
        "looked": iso(int(looked)),
        "due": iso(due),
        "text": f"{words} look at {iso(int(looked))}, due by {iso(due)}",
    }

"""The journal of a use case: what the retraining controller hears and says, and the mails that follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.core.clock import days, micros
from pipelines.evaluation.controller import Decision, Entry, closed_door, decide, fold

if TYPE_CHECKING:
    from pipelines.steps.workspace import Workspace
    from pipelines.store.home import Home

LEASE = days(2)
"""How long a run may hold its use case: longer than a person may take to approve. A closed run frees it at once."""


def note(workspace: Workspace, home: Home, case: str, entry: Entry) -> Decision:
    """Let the retraining controller hear of an event, write down what it says, and call a person where it asks for one."""
    params, taken = workspace.params.block(case).retrain, []

    def follow(journal: list[dict[str, Any]]) -> list[dict[str, Any]]:
        taken.append(decide([Entry.from_dict(body) for body in journal], entry, params, entry.at))
        return [found.to_dict() for found in taken[-1].append]

    home.runs.extend(case, follow)
    decision = taken[-1]
    if decision.ask_person:
        subject = f"[shelflife] {case}: a person must decide whether it goes on learning"
        post(workspace, home, f"breaker:{case}:{entry.run}", subject, f"{case}: {decision.reason}.\n")
    return decision


def note_lost(workspace: Workspace, home: Home, case: str, now: int) -> None:
    """A run that the journal believes under way, though nobody has held the use case for as long as a lease lasts, has crashed."""
    state = fold(entries(home, case))
    if state.busy and not home.runs.holder(case, now) and now - (state.started or 0) > micros(LEASE):
        note(workspace, home, case, Entry("crashed", now, state.busy, note="nothing was heard of it"))


def obstacle(workspace: Workspace, home: Home, case: str, name: str, now: int, cause: str = "manual") -> str:
    """Why the use case may not learn now, or nothing; then the journal says that this run has begun.

    A run comes from the calendar (`cause` is then schedule), from a proposal that the controller has agreed to, or from a person:
    none need wait for a cooldown, but all must respect a hold and a run under way, and the calendar the budget and the breaker. A
    run that was heard of before, and did not begin or broke down, may.
    """
    note_lost(workspace, home, case, now)
    if hold := home.releases.held(case):
        return f"{case} is held by {hold.actor} ({hold.reason}); clear it with shelflife rollback {case} --unhold"
    state = fold(entries(home, case))
    if state.busy == name:
        return ""
    if name not in state.seen:
        decision = note(workspace, home, case, Entry("triggered", now, name, cause=cause))
        return "" if decision.start else decision.reason
    if closed := closed_door(state, workspace.params.block(case).retrain, now):
        return closed
    home.runs.append(case, Entry("started", now, name, cause=cause).to_dict(), now)
    return ""


def post(workspace: Workspace, home: Home, key: str, subject: str, text: str) -> dict[str, Any]:
    now = home.clock()()
    home.outbox.post(key=key, subject=subject, text=text, at=now)
    delivery = home.outbox.deliver(workspace.params.shop.mail, now)
    return {"text": f"sent {delivery.sent}, waiting {delivery.waiting}", "sent": delivery.sent, "waiting": delivery.waiting}


def entries(home: Home, case: str) -> list[Entry]:
    """Everything that happened to the use case's runs, oldest first."""
    return [Entry.from_dict(body) for body in home.runs.journal(case)]


def waiting_key(case: str, run: str) -> str:
    """Where it is kept why a run's release, which has passed, must wait before it may answer."""
    return f"waiting:{case}:{run}"

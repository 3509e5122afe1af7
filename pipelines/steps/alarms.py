"""One mail per cause: what moved, by how much, what was done, what you can do. Repeated looks at one cause are one alarm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.core.clock import iso

if TYPE_CHECKING:
    from pipelines.evaluation.triage import Diagnosis
    from pipelines.steps.looking import Seen
    from pipelines.store.home import Home

SUBJECTS = {
    "broken data": "data broken",
    "concept change": "model drifting",
    "harmful shift": "model drifting",
    "harmless shift": "the world moved, no harm seen",
    "cannot decide": "cannot decide",
}
ADVICE = {
    "broken data": "Mend the feed. shelflife quarantine list shows the refused rows and why; replay takes them again "
    "(--scale amount_cents=0.01 mends a unit), free lets the day train again.",
    "concept change": "Follow the run in Airflow; a release of high risk waits for your approval. To keep things as they are: shelflife rollback {case} --hold",
    "harmless shift": "Nothing needs doing. The matured labels show no harm.",
    "cannot decide": "Look at what is missing; no decision is taken on missing evidence.",
}
CALLS = frozenset({"broken data", "concept change", "harmful shift"})
"""What a person is written to about; the rest is in the console and in shelflife why."""


def raise_alarm(home: Home, case: str, diagnosis: Diagnosis, seen: Seen, done: Sequence[str], now: int) -> None:
    """Put the mail into the outbox, once per cause: the same diagnosis in the look before is the same alarm."""
    if diagnosis.kind not in CALLS:
        return
    key = f"alarm:{case}:{diagnosis.kind}:{_since(home, case, diagnosis, seen.as_of)}"
    with home.state.begin() as connection:
        home.outbox.queue(
            connection,
            key=key,
            subject=f"[shelflife] {case}: {SUBJECTS[diagnosis.kind]}",
            text=text(case, diagnosis, seen, done),
            at=now,
        )


def text(case: str, diagnosis: Diagnosis, seen: Seen, done: Sequence[str]) -> str:
    """The mail's text."""
    advice = ADVICE["concept change" if diagnosis.retrain else diagnosis.kind].format(case=case)
    lines = [
        f"{case}: {diagnosis.kind}, seen as of {iso(seen.as_of)}.", "",
        "What moved:", *(f"- {sentence}" for sentence in diagnosis.evidence[:10]), "",
        "What was done:", *(f"- {sentence}" for sentence in done), "",
        "What you can do:", f"- {advice}", f"- shelflife why {case}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _since(home: Home, case: str, diagnosis: Diagnosis, as_of: int) -> str:
    """When this cause was first seen without a pause: repeated looks belong to one alarm."""
    since = as_of
    for decision in reversed([d for d in home.decisions.list(case, "look") if d.at < as_of]):
        if decision.body["diagnosis"]["kind"] != diagnosis.kind:
            break
        since = decision.at
    return iso(since)

"""What the mail about a promotion, a rollback or a hold says."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.store.reigns import Change

_DONE = {
    "promote": "promoted",
    "rollback": "rolled back to",
    "fallback": "held, and fell back to",
    "hold": "held",
    "unhold": "no longer held",
}


@dataclass(frozen=True)
class Mailing:
    """What a mail about a change says besides its subject, which is fixed; `html` is already escaped."""

    text: str
    html: str | None = None


def subject(change: Change) -> str:
    """The fixed subject, filled with plain identifiers."""
    return f"[shelflife] {change.case}: {_DONE[change.action]}" + (f" {change.bundle[:12]}" if change.bundle else "")


def sentences(change: Change) -> str:
    """The text of a mail that nobody has written another text for."""
    parts = [f"{change.case}: {_DONE[change.action]} {change.bundle or ''}".strip() + "."]
    parts.append(f"By {change.actor}, epoch {change.epoch}." + (f" Reason: {change.reason}" if change.reason else ""))
    if change.action == "fallback":
        parts.append(f"Nothing is promoted until somebody says: shelflife rollback {change.case} --unhold")
    if change.previous:
        parts.append(f"Before it: {change.previous}; shelflife rollback {change.case} brings that one back.")
    parts.append(f"Why: shelflife why {change.case}")
    return "\n".join(parts)

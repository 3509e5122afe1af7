"""What happened, before anybody acts: broken data, a harmless or harmful shift, a change of concept, quiet, or not decidable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.core.params import Monitor
from pipelines.core.verdict import Finding
from pipelines.evaluation.performance import persistent

Kind = Literal["broken data", "concept change", "harmful shift", "harmless shift", "cannot decide", "quiet"]
CHANNELS = ("quality", "features", "predictions", "estimated", "performance")
OPTIONAL = ("features", "estimated")
"""Channels that may be silent: a use case may read prose alone, and an estimate may not be worth using."""


@dataclass(frozen=True)
class Diagnosis:
    """What happened and the sentences that say why."""

    kind: Kind
    evidence: tuple[str, ...]

    @property
    def retrain(self) -> bool:
        """Whether learning anew is proposed: only harm that is not broken data is a reason."""
        return self.kind in ("harmful shift", "concept change")

    @property
    def quarantine(self) -> bool:
        """Whether the window's data must be kept from training."""
        return self.kind == "broken data"

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "evidence": list(self.evidence), "retrain": self.retrain, "quarantine": self.quarantine}


def triage(looks: Sequence[Sequence[Finding]], monitor: Monitor) -> Diagnosis:
    """The diagnosis from the last looks, oldest first; each look is the findings of all channels, and no two share a row.

    Broken data counts at once: nothing else is believed on top of it. A shift has lasted by itself (its finding is of the last
    `monitor.of` windows); fallen quality counts when it has in `monitor.persist` of the last `monitor.of` looks, the newest among
    them. While the labels are out, an estimate that has tracked them may say that a shift harms; alone it says nothing, for it
    cannot see a change of concept. What is missing is "cannot decide", never quiet.
    """
    newest = looks[-1] if looks else ()
    channel = {name: [f for f in newest if f.name.startswith(f"{name}: ")] for name in CHANNELS}
    failing = {name: [f for f in found if f.status == "fail"] for name, found in channel.items()}
    if failing["quality"]:
        return Diagnosis("broken data", _sentences(failing["quality"]))
    fallen = [f for f in persistent(looks, monitor) if f in channel["performance"]]
    moved = failing["features"] + failing["predictions"]
    if fallen:
        return Diagnosis("harmful shift" if moved else "concept change", _sentences(fallen + moved))
    if moved and failing["estimated"]:
        return Diagnosis("harmful shift", _sentences(failing["estimated"] + moved))
    if unknown := _unknown(channel, moved):
        return Diagnosis("cannot decide", unknown + _sentences(moved))
    if moved:
        return Diagnosis("harmless shift", (*_sentences(moved), "The matured labels show no harm."))
    waiting = failing["performance"] + failing["estimated"]
    return Diagnosis("quiet", tuple(f"seen, not yet lasting: {s}" for s in _sentences(waiting)))


def _unknown(channel: dict[str, list[Finding]], moved: list[Finding]) -> tuple[str, ...]:
    """What keeps the question open: a channel that is not there, or a finding that could not be made.

    A feature without values decides nothing by itself where others speak, and a use case may read prose alone, whose drift
    shows in the predictions; labels, volume and nulls must be known.
    """
    missing = tuple(f"Nothing is known about {name}." for name, found in channel.items() if not found and name not in OPTIONAL)
    needed = [*channel["quality"], *channel["performance"]]
    for name in ("features", "predictions"):
        if channel[name] and all(f.status == "unsure" for f in channel[name]) and not moved:
            needed += channel[name]
    return missing + _sentences([f for f in needed if f.status == "unsure"])


def _sentences(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(finding.sentence() for finding in findings)

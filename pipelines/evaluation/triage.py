"""What happened, before anybody acts: broken data, a harmless or harmful shift, a change of concept, quiet, or not decidable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.core.params import Monitor
from pipelines.core.verdict import Finding
from pipelines.evaluation.drift import persistent

Kind = Literal["broken data", "concept change", "harmful shift", "harmless shift", "cannot decide", "quiet"]
CHANNELS = ("quality", "features", "predictions", "performance")


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
    """The diagnosis from the last looks, oldest first; each look is the findings of all four channels.

    Broken data counts at once: nothing else is believed on top of it. Shift and falling quality count when they persist
    (`monitor.persist` of the last `monitor.of` looks, the newest among them). What is missing is "cannot decide", never quiet.
    """
    newest = looks[-1] if looks else ()
    channel = {name: [f for f in newest if f.name.startswith(f"{name}: ")] for name in CHANNELS}
    if broken := [f for f in channel["quality"] if f.status == "fail"]:
        return Diagnosis("broken data", _sentences(broken))
    lasting = persistent(looks, monitor)
    fallen = [f for f in lasting if f in channel["performance"]]
    moved = [f for f in lasting if f in channel["features"] or f in channel["predictions"]]
    if fallen:
        return Diagnosis("harmful shift" if moved else "concept change", _sentences(fallen + moved))
    if unknown := _unknown(channel, moved):
        return Diagnosis("cannot decide", unknown + _sentences(moved))
    if moved:
        return Diagnosis("harmless shift", (*_sentences(moved), "The matured labels show no harm."))
    waiting = [f for f in newest if f.status == "fail"]
    return Diagnosis("quiet", tuple(f"seen, not yet lasting: {s}" for s in _sentences(waiting)))


def _unknown(channel: dict[str, list[Finding]], moved: list[Finding]) -> tuple[str, ...]:
    """What keeps the question open: a channel that is not there, or a finding that could not be made.

    A feature without values decides nothing by itself where others speak, and a use case may read prose alone, whose drift
    shows in the predictions; labels, volume and nulls must be known.
    """
    missing = tuple(f"Nothing is known about {name}." for name, found in channel.items() if not found and name != "features")
    needed = [*channel["quality"], *channel["performance"]]
    for name in ("features", "predictions"):
        if channel[name] and all(f.status == "unsure" for f in channel[name]) and not moved:
            needed += channel[name]
    return missing + _sentences([f for f in needed if f.status == "unsure"])


def _sentences(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(finding.sentence() for finding in findings)

"""Findings and what they add up to: passes, fails, or is inconclusive. Silence, crashes and missing numbers never pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["pass", "fail", "unsure"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was observed, what was wanted, and how sure we are.

    `observed` is None when it could not be computed, which is never a pass. `low` and `high` bound the observation
    (`sure` is their level, say 0.95). `advice` says what would settle it or what to do.
    """

    name: str
    status: Status
    observed: float | str | None
    wanted: str
    low: float | None = None
    high: float | None = None
    sure: float | None = None
    advice: str = ""

    def __post_init__(self) -> None:
        missing = self.observed is None or (isinstance(self.observed, float) and math.isnan(self.observed))
        if missing and self.status == "pass":
            raise ValueError(f"{self.name}: nothing was observed, so it cannot pass")

    def sentence(self) -> str:
        mark = {"pass": "ok", "fail": "FAILED", "unsure": "unsure"}[self.status]
        seen = f"{self.observed:.4g}" if isinstance(self.observed, float) else str(self.observed)
        if self.low is not None and self.high is not None:
            seen += f" ({self.low:.4g} to {self.high:.4g})"
        return f"{mark}: {self.name}: {seen}; wanted {self.wanted}" + (f". {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Verdict:
    """Findings about a subject. `required` names the findings that must be there, no more and no fewer.

    `facts` carries what explains the verdict without deciding it (digests, counts, moments).
    """

    subject: str
    findings: tuple[Finding, ...]
    required: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        """fail if any finding fails; pass if every required finding is there, none is extra, and all pass; else unsure."""
        names = [finding.name for finding in self.findings]
        statuses = {finding.status for finding in self.findings}
        if "fail" in statuses:
            return "fail"
        complete = bool(names) and sorted(names) == sorted(self.required)
        return "pass" if complete and statuses == {"pass"} else "unsure"

    def why(self) -> str:
        """The verdict in words: the answer first, then what did not pass, then the rest. The text of the mail."""
        word = {"pass": "passes", "fail": "fails", "unsure": "is inconclusive"}[self.status]
        missing = sorted(set(self.required) - {f.name for f in self.findings})
        extra = sorted({f.name for f in self.findings} - set(self.required))
        order = {"fail": 0, "unsure": 1, "pass": 2}
        lines = [f"{self.subject} {word}."]
        lines += [f"- missing: {name}" for name in missing] + [f"- not asked for: {name}" for name in extra]
        lines += [f"- {f.sentence()}" for f in sorted(self.findings, key=lambda f: order[f.status])]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain JSON data, its status spelled out; NaN and infinities are written as null."""
        rows = [{k: _finite(v) for k, v in asdict(f).items()} for f in self.findings]
        return {
            "subject": self.subject, "status": self.status, "required": list(self.required),
            "findings": rows, "facts": dict(self.facts),
        }  # fmt: skip

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Verdict:
        """The verdict that `to_dict` wrote; its status is derived anew. Raises ValueError if the spelled-out one differs."""
        verdict = Verdict(
            data["subject"], tuple(Finding(**row) for row in data["findings"]), tuple(data["required"]), dict(data["facts"])
        )
        if verdict.status != data["status"]:
            raise ValueError(f"the verdict on {verdict.subject} says {data['status']}, its findings say {verdict.status}")
        return verdict


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

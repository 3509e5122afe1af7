"""Findings and what they add up to: passes, fails, or is inconclusive. Silence, crashes and missing numbers never pass."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["pass", "fail", "unsure"]
COMPARISONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}


@dataclass(frozen=True)
class Rule:
    """A comparison of one of a finding's numbers with a limit, written `low > 0.01`."""

    number: Literal["observed", "low", "high"]
    sign: str
    limit: float

    @staticmethod
    def parse(text: str) -> Rule:
        """The rule in the text. Raises ValueError for anything but observed, low or high, a comparison, and a finite number."""
        match = re.fullmatch(r"(observed|low|high) (>=|>|<=|<) (\S+)", text)
        if not match or not math.isfinite(float(match[3])):
            raise ValueError(f"wanted a rule such as 'low > 0.01', got {text!r}")
        return Rule(match[1], match[2], float(match[3]))  # type: ignore[arg-type]

    def holds(self, value: Any) -> bool | None:
        """Whether the number meets the rule; None where there is no finite number."""
        if not isinstance(value, float | int) or not math.isfinite(value):
            return None
        return bool(COMPARISONS[self.sign](value, self.limit))


def ruled(numbers: Mapping[str, Any], passes_if: str, fails_unless: str | None = None) -> Status:
    """The status that the rules give to a finding's numbers: observed, low and high."""
    shown, possible = (_holds(numbers, text) for text in (passes_if, fails_unless or passes_if))
    if fails_unless and possible is False:
        return "fail"
    return "pass" if shown and possible else "unsure"


def _holds(numbers: Mapping[str, Any], text: str) -> bool | None:
    rule = Rule.parse(text)
    return rule.holds(numbers.get(rule.number))


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was observed, what was wanted, and how sure we are.

    `observed` is None when it could not be computed, which is never a pass. `low` and `high` bound the observation
    (`sure` is their level, say 0.95). `advice` says what would settle it or what to do.

    `passes_if` and `fails_unless` say what decides, as rules on the finding's own numbers (`low > 0.01`; see Rule): where the
    second is broken the finding fails; where both hold it passes; else, or where a number is missing, it is unsure. The report
    writes each rule as a test that compares the numbers anew. The status must be the one that the rules give (`judged` derives
    it). A finding without rules rests on its status alone.
    """

    name: str
    status: Status
    observed: float | str | None
    wanted: str
    low: float | None = None
    high: float | None = None
    sure: float | None = None
    advice: str = ""
    passes_if: str | None = None
    fails_unless: str | None = None

    def __post_init__(self) -> None:
        if self.fails_unless and not self.passes_if:
            raise ValueError(f"{self.name}: wanted a rule to pass by beside the rule to fail by")
        if self.passes_if and self.status != (status := ruled(vars(self), self.passes_if, self.fails_unless)):
            raise ValueError(f"{self.name}: its status is {self.status}, its rules say {status}")
        missing = self.observed is None or (isinstance(self.observed, float) and math.isnan(self.observed))
        if missing and self.status == "pass":
            raise ValueError(f"{self.name}: nothing was observed, so it cannot pass")

    def sentence(self) -> str:
        mark = {"pass": "ok", "fail": "FAILED", "unsure": "unsure"}[self.status]
        seen = f"{self.observed:.4g}" if isinstance(self.observed, float) else str(self.observed)
        if self.low is not None and self.high is not None:
            seen += f" ({self.low:.4g} to {self.high:.4g})"
        return f"{mark}: {self.name}: {seen}; wanted {self.wanted}" + (f". {self.advice}" if self.advice else "")


def judged(
    name: str, observed: float | None, wanted: str, *, passes_if: str, fails_unless: str | None = None, **rest: Any
) -> Finding:
    """The finding with the status that its rules give; `rest` is Finding's low, high, sure and advice."""
    status = ruled({"observed": observed, **rest}, passes_if, fails_unless)
    return Finding(name, status, observed, wanted, passes_if=passes_if, fails_unless=fails_unless, **rest)


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

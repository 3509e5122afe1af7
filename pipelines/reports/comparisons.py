"""A finding as tests of a report, and back: the verdict is read off the tests alone, and one that is missing, extra or in error never passes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.core.digest import canonical
from pipelines.core.errors import ShelflifeError
from pipelines.core.verdict import COMPARISONS, Finding, Rule, Status, Verdict, ruled
from pipelines.reports.plain import plain, plain_data

FORMAT = 1
METRIC = "shelflife:finding"
PASSES, FAILS = "passes if", "fails unless"
CODED = {"pass": (1.0, 1.0), "fail": (0.0, 0.0), "unsure": (0.0, 1.0)}
"""A status as an interval, for a finding without numbers to compare: it passes if the lower end is 1, fails unless the upper is."""

IDS = {">=": "ge", ">": "gt", "<=": "le", "<": "lt"}
"""Evidently's names of the comparisons."""


@dataclass(frozen=True)
class Comparison:
    """One comparison in the report. `role` says whether it lets its finding pass or fail; `finding` is the finding as JSON, all
    but its status."""

    role: str
    finding: str
    value: float
    sign: str
    limit: float

    @property
    def name(self) -> str:
        return json.loads(self.finding)["name"]

    def said(self) -> str:
        """What is compared, for a person."""
        data = json.loads(self.finding)
        text = {PASSES: data["passes_if"], FAILS: data["fails_unless"]}[self.role] if _numeric(data) else f"{data['wanted']}"
        return plain(f"{data['name']} ({self.role} {text})")


def comparisons(finding: Finding) -> list[Comparison]:
    """The comparisons that stand for the finding: its own numbers under its rules, or its status as an interval."""
    data = _plain(finding)
    text = canonical(data).decode()
    if not _numeric(data):
        low, high = CODED[finding.status]
        return [Comparison(PASSES, text, low, ">=", 1.0), Comparison(FAILS, text, high, ">=", 1.0)]
    return [Comparison(role, text, float(data[rule.number]), rule.sign, rule.limit) for role, rule in _rules(data)]


def _plain(finding: Finding) -> dict[str, Any]:
    """The finding without its status, numpy's numbers as Python's, its words made plain but for the rules, which cannot say more."""
    row = {key: value.item() if hasattr(value, "item") else value for key, value in asdict(finding).items() if key != "status"}
    return plain_data(row) | {key: row[key] for key in ("passes_if", "fails_unless")}


def _rules(data: Mapping[str, Any]) -> list[tuple[str, Rule]]:
    written = ((PASSES, data["passes_if"]), (FAILS, data["fails_unless"]))
    return [(role, Rule.parse(text)) for role, text in written if text]


def _numeric(data: Mapping[str, Any]) -> bool:
    """Whether there are rules, and a number for each."""
    rules = _rules(data)
    return bool(rules) and all(rule.holds(data[rule.number]) is not None for _, rule in rules)


def read(report: Mapping[str, Any], required: Sequence[str]) -> Verdict:
    """The verdict, off the tests of the report (report.json, parsed) alone. Raises ShelflifeError where it is no such report.

    Every comparison is done again on the report's own numbers: where the answers differ, the finding is unsure.
    """
    try:
        if report["format"] != FORMAT:
            raise ShelflifeError(f"wanted a report of format {FORMAT}, got {ascii(report['format'])[:40]}; run evaluate again")
        values = {row["id"]: row.get("value") for row in report["evidently"]["metrics"]}
        found = [_outcome(test, values) for test in report["evidently"]["tests"]]
        findings = [_finding(name, [row for row in found if row[0] == name]) for name in dict.fromkeys(row[0] for row in found)]
        return Verdict(report["subject"], tuple(findings), tuple(required), dict(report["facts"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ShelflifeError(
            f"this is no report that a verdict can be read off ({type(error).__name__}: {error}); run evaluate again"
        ) from None


Outcome = tuple[str, str, str, bool | None]
"""Name of the finding, role, the finding as JSON, and whether the comparison holds (None: error, or nobody knows)."""


def _outcome(row: Mapping[str, Any], values: Mapping[str, Any]) -> Outcome:
    """One test of the report, done again."""
    params = row["metric_config"]["params"]
    if params.get("type") != METRIC:
        return (f"a test of another hand: {plain(row.get('name'), 80)}", "", "", None)
    test = Comparison(*(params[name] for name in ("role", "finding", "value", "sign", "limit")))
    says = {"SUCCESS": True, "FAIL": False}.get(str(row["status"]))
    compared = bool(COMPARISONS[test.sign](test.value, test.limit))
    honest = test in _expected(test.finding) and row["id"] == IDS[test.sign] and row["test_config"]["threshold"] == test.limit
    agreed = honest and values.get(row["metric_config"]["metric_id"]) == test.value and says == compared
    return (test.name, test.role, test.finding, says if agreed else None)


def _expected(text: str) -> list[Comparison]:
    """The tests that this finding may have, whatever its status was."""
    data = json.loads(text)
    return [row for status in _statuses(data) for row in comparisons(Finding(**{**data, "status": status}))]


def _statuses(data: Mapping[str, Any]) -> list[Status]:
    """What its status may have been: the one that its rules give, or, without rules, any; without an observation no pass."""
    if data["passes_if"]:
        return [ruled(data, data["passes_if"], data["fails_unless"])]
    return ["pass", "fail", "unsure"] if data["observed"] is not None else ["fail", "unsure"]


def _finding(name: str, rows: Sequence[Outcome]) -> Finding:
    """The finding that its tests add up to; unsure unless exactly the tests that it must have are there and agree."""
    texts = {text for _, _, text, _ in rows}
    if len(texts) != 1 or "" in texts:
        return Finding(
            name, "unsure", None, "one set of tests of ours", advice="the report's tests are not those of one finding"
        )
    data = json.loads(texts.pop())
    outcomes = {role: holds for _, role, _, holds in rows}
    wanted = {test.role for test in _expected(json.dumps(data))}
    if len(rows) != len(wanted) or set(outcomes) != wanted or None in outcomes.values():
        return _broken(data)
    status = _status(outcomes)
    return Finding(**{**data, "status": status})


def _status(outcomes: Mapping[str, bool | None]) -> Status:
    if outcomes.get(FAILS) is False:
        return "fail"
    return "pass" if all(outcomes.values()) else "unsure"


def _broken(data: Mapping[str, Any]) -> Finding:
    advice = "a test of it is missing, is there twice, went wrong, or contradicts its own numbers; run evaluate again"
    return Finding(**{**data, "status": "unsure", "advice": advice, "passes_if": None, "fails_unless": None})

"""Our findings and figures as Evidently metrics: a finding's comparison carries an Evidently test, a figure none."""

# Evidently calls these methods with everything it knows; ours need little of it.
# ruff: noqa: ARG002
from __future__ import annotations

from typing import Any, ClassVar, Optional

from evidently.core.metric_types import SingleValue, SingleValueCalculation, SingleValueMetric
from evidently.tests import gt, gte, lt, lte

from pipelines.core.verdict import Finding
from pipelines.reports.comparisons import METRIC, Comparison, comparisons

SIGNS = {">=": gte, ">": gt, "<=": lte, "<": lt}


class FindingMetric(SingleValueMetric):
    """One comparison of a finding."""

    class Config:
        type_alias: ClassVar = METRIC

    role: str
    finding: str
    value: float
    sign: str
    limit: float

    def _default_tests(self, context: Any) -> list[Any]:
        return []

    def _default_tests_with_reference(self, context: Any) -> list[Any]:
        return []


class FindingCalculation(SingleValueCalculation[FindingMetric]):
    def calculate(self, context: Any, current_data: Any, reference_data: Any) -> tuple[SingleValue, None]:
        return self.result(self.metric.value), None

    def display_name(self) -> str:
        return Comparison(self.metric.role, self.metric.finding, self.metric.value, self.metric.sign, self.metric.limit).said()


class FigureMetric(SingleValueMetric):
    """One number beside the same number of whom it is compared with; it explains and decides nothing."""

    class Config:
        type_alias: ClassVar = "shelflife:figure"

    name: str
    value: float
    other: Optional[float] = None  # noqa: UP045  # Evidently's models read annotations at run time

    def _default_tests(self, context: Any) -> list[Any]:
        return []

    def _default_tests_with_reference(self, context: Any) -> list[Any]:
        return []


class FigureCalculation(SingleValueCalculation[FigureMetric]):
    def calculate(self, context: Any, current_data: Any, reference_data: Any) -> tuple[SingleValue, SingleValue | None]:
        other = self.metric.other
        return self.result(self.metric.value), None if other is None else self.result(other)

    def display_name(self) -> str:
        return self.metric.name


def of_finding(finding: Finding) -> list[FindingMetric]:
    """The finding's comparisons, each with its test."""
    return [
        FindingMetric(role=t.role, finding=t.finding, value=t.value, sign=t.sign, limit=t.limit, tests=[SIGNS[t.sign](t.limit)])
        for t in comparisons(finding)
    ]

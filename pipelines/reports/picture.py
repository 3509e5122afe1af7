"""One picture for all reports: how far each number lies from its limit, with its bounds, as SVG that needs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from pipelines.core.verdict import Finding, Rule
from pipelines.reports.plain import plain

WIDTH, LABEL, ROW, EDGE = 720, 250, 34, 60
COLOURS = {"pass": "#2da44e", "fail": "#cf222e", "unsure": "#bf8700"}


@dataclass(frozen=True)
class Line:
    """One row of the picture: a number with its bounds, and the limit that it is held against."""

    label: str
    value: float
    limit: float
    low: float | None = None
    high: float | None = None
    status: str = "pass"


def lines(findings: Sequence[Finding]) -> list[Line]:
    """A row for each finding with a number and a rule, what did not pass first."""
    order = {"fail": 0, "unsure": 1, "pass": 2}
    ruled = [f for f in findings if f.passes_if and isinstance(f.observed, float | int)]
    rows = [Line(f.name, f.observed, Rule.parse(f.passes_if).limit, f.low, f.high, f.status) for f in ruled]  # type: ignore[arg-type]
    return sorted(rows, key=lambda row: order[row.status])


def gains(figures: Mapping[str, Mapping[str, float | None]]) -> list[Line]:
    """A row for each metric: what the challenger gains, with its bounds, against nothing gained."""
    rows = [(name, row.get("gain"), row.get("low"), row.get("high")) for name, row in figures.items()]
    return [Line(name, gain, 0.0, low, high, _sign(low, high)) for name, gain, low, high in rows if gain is not None]


def _sign(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "unsure"
    return "pass" if low > 0 else "fail" if high < 0 else "unsure"


def draw(rows: Sequence[Line], title: str) -> str:
    """The rows under each other, each on its own scale, the limit of all on one upright line; nothing where there are none."""
    if not rows:
        return ""
    height = ROW * len(rows) + 20
    middle = LABEL + (WIDTH - LABEL - EDGE) / 2
    limit = f'<line x1="{middle:.0f}" y1="4" x2="{middle:.0f}" y2="{height - 14}" stroke="#57606a" stroke-dasharray="4 3"/>'
    body = "".join(_row(row, 18 + ROW * number, middle) for number, row in enumerate(rows))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'font-family="system-ui,sans-serif" font-size="13"><title>{_safe(title)}</title>{limit}{body}</svg>'
    )


def _row(row: Line, y: int, middle: float) -> str:
    """Label, whisker, point and number; the row's scale puts its farthest end near the edge."""
    ends = [row.low if row.low is not None else row.value, row.value, row.high if row.high is not None else row.value]
    farthest = max(abs(end - row.limit) for end in ends) or 1.0
    half = (WIDTH - EDGE - LABEL) / 2 - 10
    low, value, high = (middle + half * (end - row.limit) / farthest for end in ends)
    colour = COLOURS[row.status]
    return (
        f'<text x="{LABEL - 12}" y="{y + 4}" text-anchor="end">{_safe(row.label)}</text>'
        f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
        f'<circle cx="{value:.1f}" cy="{y}" r="5" fill="{colour}"/>'
        f'<text x="{WIDTH - 4}" y="{y + 4}" text-anchor="end">{row.value:.3g}</text>'
    )


def _safe(text: Any) -> str:
    return escape(plain(text, 40))

"""The page's picture as SVG: what each policy has lost against the oracle, week by week, the mean over all shops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, GAP = 860, 330, 74, 44, 40
PANEL = (WIDTH - 2 * LEFT - GAP) // 2
DOWN = HEIGHT - TOP - 74
COLOURS = {
    "never retrain": "#8c959f", "every week": "#bf8700", "Evidently's rule": "#8250df", "point compare": "#cf222e", "shelflife": "#2da44e",
}  # fmt: skip


def draw(cases: Mapping[str, Any]) -> str:
    """One panel a use case, a line a policy, each panel on its own scale."""
    panels = "".join(
        _panel(name, found, LEFT + place * (PANEL + LEFT))
        for place, (name, found) in enumerate(sorted(cases.items(), reverse=True))
    )
    legend = "".join(_key(name, LEFT + 160 * place) for place, name in enumerate(COLOURS))
    title = "Money lost against the oracle, cumulated by week, mean over the shops"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'font-family="system-ui,sans-serif" font-size="12"><title>{escape(title)}</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>{panels}{legend}</svg>\n'
    )


def _panel(case: str, found: Mapping[str, Any], left: int) -> str:
    lines = found["lost_by_week"]
    top = max(max(line) for line in lines.values()) or 1.0
    weeks = len(next(iter(lines.values())))
    marks = "".join(_mark(part * top, TOP + DOWN * (1 - part), left) for part in (0, 0.5, 1))
    drawn = "".join(_line(name, [0, *line], left, top) for name, line in lines.items())
    return (
        f'<text x="{left}" y="{TOP - 20}" font-size="14" font-weight="600">{escape(case)}: EUR lost</text>{marks}{drawn}'
        f'<text x="{left}" y="{TOP + DOWN + 18}" fill="#57606a">week 0</text>'
        f'<text x="{left + PANEL}" y="{TOP + DOWN + 18}" fill="#57606a" text-anchor="end">{weeks}</text>'
    )


def _mark(value: float, y: float, left: int) -> str:
    return (
        f'<line x1="{left}" y1="{y:.1f}" x2="{left + PANEL}" y2="{y:.1f}" stroke="#d0d7de"/>'
        f'<text x="{left - 6}" y="{y + 4:.1f}" fill="#57606a" text-anchor="end">{value:,.0f}</text>'
    )


def _line(name: str, line: Sequence[float], left: int, top: float) -> str:
    points = " ".join(
        f"{left + PANEL * i / (len(line) - 1):.1f},{TOP + DOWN * (1 - value / top):.1f}" for i, value in enumerate(line)
    )
    width = 3 if name == "shelflife" else 1.8
    return f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="{width}"/>'


def _key(name: str, x: int) -> str:
    y = HEIGHT - 18
    return (
        f'<line x1="{x}" y1="{y - 4}" x2="{x + 22}" y2="{y - 4}" stroke="{COLOURS[name]}" stroke-width="3"/>'
        f'<text x="{x + 28}" y="{y}">{escape(name)}</text>'
    )

"""Bars as SVG text: no library, no font of its own, the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDE, LABEL, ROW = 860, 250, 22
OURS, THEIRS, INK = "#0b7a75", "#c3c9cf", "#333333"


def drawn(groups: Sequence[tuple[str, Sequence[tuple[str, float, bool]]]]) -> str:
    """Per group a caption and its bars, each as long as its value is of the group's largest."""
    lines, y = [], 10
    for caption, bars in groups:
        y += 24
        lines.append(_text(10, y, caption, weight="bold"))
        longest = max(value for _, value, _ in bars)
        for name, value, ours in bars:
            y += ROW
            length = max(value / longest * (WIDE - LABEL - 110), 1)
            lines.append(_text(LABEL - 8, y, name, anchor="end", weight="bold" if ours else "normal"))
            lines.append(f'<rect x="{LABEL}" y="{y - 13}" width="{length:.1f}" height="16" fill="{OURS if ours else THEIRS}"/>')
            lines.append(_text(LABEL + length + 6, y, f"{value:,.0f}"))
    height = y + 16
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDE}" height="{height}" viewBox="0 0 {WIDE} {height}" font-family="sans-serif" font-size="13">'
    return "\n".join([head, f'<rect width="{WIDE}" height="{height}" fill="#ffffff"/>', *lines, "</svg>"]) + "\n"


def _text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" fill="{INK}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'

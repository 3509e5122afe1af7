"""How often the watch cries wolf, and how soon it finds what did change; measured by benchmarks.watch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.watch import section as measured

TITLE = "The watch"


def run(tell: Callable[[str], None], share: float = 1.0) -> dict[str, Any]:
    """All figures of the section; `share` of the full number of mornings and runs, for a quick look."""
    return measured.figures(max(1, int(1000 * share)), max(1, int(200 * share)), tell)


def section(found: Mapping[str, Any]) -> str:
    """The section as Markdown."""
    return measured.text(found)

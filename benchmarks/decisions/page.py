"""docs/decisions.md out of figures.json: what is on the page is what was measured, and nothing else."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIGURES = Path(__file__).with_name("figures.json")
PAGE = ROOT / "docs" / "decisions.md"
SECTIONS = ("promotions", "sequence", "watch", "corruption")
"""Modules beside this one, each with TITLE, `run(tell, share)` that measures and `section(figures)` that tells."""

INTRODUCTION = """# How often the decisions are wrong

`make bench-decisions` computes this page (the figures are in `benchmarks/decisions/figures.json`). Every world below is made, so
that the right decision is known; the code that decides is the code that runs. Reduced versions are part of the tests."""


def rendered(figures: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    parts = [INTRODUCTION]
    for name in SECTIONS:
        if name in figures["sections"]:
            module = importlib.import_module(f"benchmarks.decisions.{name}")
            parts.append(f"## {module.TITLE}\n\n{module.section(figures['sections'][name]).strip()}")
    return "\n\n".join([*parts, f"Measured on {figures['machine']}."]) + "\n"


def write() -> None:
    PAGE.write_text(rendered(json.loads(FIGURES.read_text("utf-8"))), "utf-8")

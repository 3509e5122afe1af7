"""docs/benchmarks.md and its picture out of figures.json: what is on the page is what was measured, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.features import picture
from benchmarks.features.contest import ROOT
from benchmarks.features.sections import SECTIONS, Finding

FIGURES = Path(__file__).with_name("figures.json")
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "images" / "benchmarks.svg"
INTRODUCTION = """# The features room beside its peers

`make bench-features` measures this page and writes it (the figures are in `benchmarks/features/figures.json`). Everybody runs in a
fresh process, one after the other, in each round; ratios are taken within a round. Shown are the medians of the rounds, of memory
the largest. Peers are locked in environments of their own (`benchmarks/features/peers/`). Results are compared before anything
is timed and again after; a difference ends the command. Seconds do not count imports; memory is what was resident at most,
imports included; CPU is that of all threads and children. Other machines have other seconds, and
work beside it makes a machine slower for everybody: read the ratios.

![How the features room compares](images/benchmarks.svg)"""


def write() -> None:
    figures = json.loads(FIGURES.read_text("utf-8"))
    PAGE.write_text(rendered(figures), "utf-8")
    PICTURE.write_text(drawn(figures), "utf-8")


def rendered(figures: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    parts = [(SECTIONS[name], part) for name, part in figures["parts"].items()]
    reached = _reached([finding for section, part in parts for finding in section.findings(part)])
    return "\n\n".join([INTRODUCTION, reached, *(section.text(part) for section, part in parts)]) + "\n"


def drawn(figures: Mapping[str, Any]) -> str:
    """The picture as SVG."""
    return picture.drawn([group for name, part in figures["parts"].items() for group in SECTIONS[name].bars(part)])


def _reached(findings: Sequence[Finding]) -> str:
    rows = [f"| {what} | {wanted} | {got} | {'yes' if there else '**no**'} |" for what, wanted, got, there in findings]
    return "\n".join(["| | wanted | measured | reached |", "| --- | ---: | ---: | --- |", *rows])

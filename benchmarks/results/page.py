"""docs/results.md out of figures.json: what is on the page is what was measured, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.results.data import ROOT

FIGURES = Path(__file__).with_name("figures.json")
PAGE = ROOT / "docs" / "results.md"
HEADINGS = {
    "roc_auc": "AUC ROC", "average_precision": "average precision", "card_precision_at_100": "card precision@100",
    "hit_at_20": "P@20", "mrr_at_20": "MRR@20", "wape": "WAPE", "mase": "MASE", "pinball": "pinball loss",
    "macro_f1": "macro-F1", "accuracy": "accuracy", "f1": "F1 of the good", "majority": "larger class", "reviews": "reviews",
}  # fmt: skip
INTRODUCTION = """# Figures on public data

`make results` computes this page (the figures are in `benchmarks/results/figures.json`). Where a figure was published, it stands
beside ours under the same protocol; no choice was made on a test set. The data are read by our readers, which check their
SHA-256, from the folder that `SHELFLIFE_DATASETS` names; no row of them is redistributed here."""


def rendered(figures: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    parts = [INTRODUCTION, *(_section(one) for one in figures["sections"].values()), _cost(figures)]
    return "\n\n".join(parts) + "\n"


def write() -> None:
    PAGE.write_text(rendered(json.loads(FIGURES.read_text("utf-8"))), "utf-8")


def _section(one: Mapping[str, Any]) -> str:
    sources = [f"- Data: [{s['name']}]({s['address']}), licence: {s['licence']}." for s in one["sources"]]
    notes = [f"- {note}" for note in (*one.get("notes", ()), *one.get("absent", ()))]
    tables = [f"{table['caption']}\n\n{_table(table)}" for table in one.get("tables", ())]
    return "\n\n".join([f"## {one['title']}", *tables, "\n".join([*sources, *notes])])


def _table(table: Mapping[str, Any]) -> str:
    names = table["columns"]
    head = ["", "from", *(HEADINGS[name] for name in names)]
    rows = [[row["name"], row["from"], *(_figure(row.get(name), table["digits"]) for name in names)] for row in table["rows"]]
    rows = [
        [f"**{cell}**" if cell else "" for cell in row] if row[1] == "ours" and _among_others(table) else row for row in rows
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---", "---", *["---:"] * len(names)], *rows))


def _among_others(table: Mapping[str, Any]) -> bool:
    return any(row["from"] != "ours" for row in table["rows"])


def _figure(value: float | None, digits: int) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def _cost(figures: Mapping[str, Any]) -> str:
    rows = [
        f"| {one['title']} | {one['seed']} | {one['seconds']:.0f} | {one['peak_mb']:,.0f} |"
        for one in figures["sections"].values() if "seconds" in one
    ]  # fmt: skip
    told = f"On {figures['machine']}. Each section is a process of its own, with one or two threads."
    return "\n".join(
        ["## What it took", "", told, "", "| | seed | seconds | peak memory, MB |", "| --- | ---: | ---: | ---: |", *rows]
    )

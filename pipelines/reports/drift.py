"""The drift report: a window beside its season-matched reference, our calibrated findings as its tests, the verdict read off them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.verdict import Finding
from pipelines.reports import comparisons, document, page, picture
from pipelines.reports.plain import plain
from pipelines.reports.verdict import Made

if TYPE_CHECKING:
    import pandas as pd

ROWS = 5_000
"""So many rows of each side are drawn, evenly spread; the findings rest on all of them."""

read = comparisons.read


class Drift(Made):
    """A drift report; its page speaks of what moved."""

    def html(self) -> str:
        return render(self.data)


def drift_report(
    subject: str, findings: Sequence[Finding], required: Sequence[str], facts: Mapping[str, Any], *,
    current: Mapping[str, Any], reference: Mapping[str, Any],
) -> Drift:  # fmt: skip
    """The report of a look. `current` and `reference` are columns (numbers as floats, categories as objects with None), drawn
    beside each other; whether they drifted is our findings' to say, which know the season and the past windows."""
    from evidently import DataDefinition
    from evidently.presets import ValueStats

    from pipelines.reports import run

    names = [
        name
        for name in current
        if name in reference and not _lists(current[name]) and len(current[name]) and len(reference[name])
    ]
    sides = [_frame({name: side[name] for name in names}) for side in (current, reference)]
    kinds = {plain(name): _number(current[name]) for name in names}
    definition = DataDefinition(
        numerical_columns=[name for name, number in kinds.items() if number],
        categorical_columns=[name for name, number in kinds.items() if not number],
    )
    drawn = [ValueStats(column=name) for name in kinds if all(side[name].notna().any() for side in sides)]
    facts = {**facts, "drawn rows": [len(side) for side in sides]}
    data = run.report(
        subject, findings, required, facts, current=sides[0], reference=sides[1], drawn=drawn, definition=definition
    )
    return Drift({**data, "kind": "drift"})


def render(data: Mapping[str, Any]) -> str:
    """The page of a drift report, from its JSON alone."""
    verdict = read(data, data["required"])
    words = page.answer(
        verdict,
        passed="Nothing moved that matters.",
        failed="Something moved that matters: see below what, by how much, and what to do.",
        unsure="It cannot be decided: evidence is missing. Nothing is retrained on that ground.",
    )
    drawing = picture.draw(picture.lines(verdict.findings)[:12], "What moved")
    caption = "How far each number lies from its limit (the dashed line), each on its own scale."
    return document.render(data, page.first_page(verdict, words, drawing, caption))


def _frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    chosen = {name: _chosen(np.asarray(values)) for name, values in columns.items()}
    return pd.DataFrame({plain(name): _values(values) for name, values in chosen.items()})


def _chosen(values: np.ndarray) -> np.ndarray:
    return values[np.unique(np.linspace(0, len(values) - 1, min(len(values), ROWS)).astype(int))]


def _values(values: np.ndarray) -> Any:
    """Numbers as they are, infinities as missing; categories as plain words."""
    if values.dtype.kind in "fiub":
        numbers = values.astype(float)
        return np.where(np.isfinite(numbers), numbers, np.nan)
    return [None if value is None else plain(value, 60) for value in values.tolist()]


def _number(values: Any) -> bool:
    return np.asarray(values).dtype.kind in "fiub"


def _lists(values: Any) -> bool:
    return any(isinstance(value, list | np.ndarray) for value in values[:100])

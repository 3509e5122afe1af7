"""Is anybody harmed: the parts of the holdout that no release may make worse, with the false-discovery rate under control."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.core.decision import Probability
from pipelines.core.params import Gate
from pipelines.core.usecase import UseCase
from pipelines.core.verdict import Finding, Status
from pipelines.evaluation.paired import Draws
from pipelines.evaluation.statistic import Array, Labelled, nulls

MOST = 20
"""At most so many values of a column are looked at, the largest first."""


MIN_UNITS = 10
"""A part is looked at when so many independent units have each label: a resample of fewer often has none at all."""
REST = "those together that are too few to be sure of alone"
"""Longer than any value's name, so that no value can pass for it."""


@dataclass(frozen=True)
class Part:
    """One value of a slicing column and the rows that have it; `sure` when they are enough to be sure that it is not harmed."""

    column: str
    value: str
    mask: Array
    sure: bool = True

    @property
    def name(self) -> str:
        return f"slice {self.column}={self.value}"


def parts(column: str, values: Any) -> list[Part]:
    """The parts of a column, largest first: its values, or quarters where a number takes more than 20 values. Nulls are one part."""
    names = _names(np.asarray(values))
    distinct, counts = np.unique(names, return_counts=True)
    largest = distinct[np.argsort(-counts, kind="stable")][:MOST]
    return [Part(column, str(value), names == value) for value in largest]


def _names(values: Array) -> Array:
    """Each row's value as short quoted-safe text; `missing` for nulls."""
    null = nulls(values)
    if values.dtype.kind in "fiu" and len(np.unique(values[~null])) > MOST:
        edges = np.quantile(values[~null], [0.25, 0.5, 0.75])
        named = np.array([f"below {edges[0]:.4g}", f"to {edges[1]:.4g}", f"to {edges[2]:.4g}", f"above {edges[2]:.4g}"])
        result = named[np.searchsorted(edges, np.where(null, 0, values), side="right")]
    elif values.dtype.kind in "fiu":
        result = np.array([f"{value:g}" for value in values])
    else:
        distinct, inverse = np.unique(values.astype(str), return_inverse=True)
        result = np.array([_short(value) for value in distinct.tolist()] or [""])[inverse]
    return np.where(null, "missing", result)


def _short(value: Any) -> str:
    """The value in plain ASCII, cut: what came from outside is never echoed whole."""
    return ascii(str(value))[1:-1][:40]


def judged_parts(case: UseCase, gate: Gate, rows: Labelled, columns: Mapping[str, Any]) -> list[Part]:
    """The parts of all columns that are large enough to be looked at. Of those that are too few to be sure of, harm must only not
    be proven; together they are one more part: nobody is left out for being few, and nothing waits for few to become many."""
    found: list[Part] = []
    for column, values in columns.items():
        seen = [part for part in parts(column, values) if _large(case, gate, rows.part(part.mask), MIN_UNITS)]
        sure = [part for part in seen if _large(case, gate, rows.part(part.mask), max(MIN_UNITS, gate.min_positives))]
        few = np.logical_and.reduce([~part.mask for part in sure] or [np.ones(len(values), bool)])
        found += [replace(part, sure=any(part is one for one in sure)) for part in seen]
        found += [Part(column, REST, few)] if _large(case, gate, rows.part(few), MIN_UNITS) else []
    return found


def _large(case: UseCase, gate: Gate, rows: Labelled, units: int) -> bool:
    """Enough asks and, for a probability, so many units with each of both labels."""
    if not isinstance(case.answers, Probability):
        return rows.asks >= gate.slice_rows
    with_each = [len(np.unique(rows.unit[mask])) for mask in (rows.labels > 0, rows.labels <= 0)]
    return len(rows.labels) >= gate.slice_rows and min(with_each) >= units


def benjamini_hochberg(chances: Sequence[float], rate: float) -> Array:
    """Which p-values are discoveries when at most `rate` of the discoveries may be false (Benjamini, Hochberg 1995)."""
    p = np.asarray(chances, float)
    order = np.argsort(p)
    passing = np.flatnonzero(p[order] <= rate * np.arange(1, len(p) + 1) / max(len(p), 1))
    found = np.zeros(len(p), bool)
    found[order[: passing[-1] + 1 if len(passing) else 0]] = True
    return found


def judge_slices(
    columns: Sequence[str],
    gains: Mapping[str, Mapping[str, Draws]],
    *,
    harm: float,
    alpha: float,
    few: Collection[tuple[str, str]] = (),
) -> list[Finding]:
    """A finding a column: `gains` holds, for each column that is there, the paired gain of each part large enough to judge.

    Fails where a part is provably worse (false discoveries at most `alpha` over all parts) by more than `harm`, or where the
    column is absent; passes where every part's harm is below `harm` for sure; else unsure. Of the `few` (column, value) nobody can
    be sure, and only proven harm counts.
    """
    keys = [(column, value) for column in columns for value in gains.get(column, {})]
    chances = [gains[column][value].map(np.negative).chance_not_above(0.0) for column, value in keys]
    harmed = dict(zip(keys, benjamini_hochberg(chances, alpha), strict=True))
    return [
        _column(
            column,
            gains.get(column),
            {v for (c, v), bad in harmed.items() if c == column and bad},
            {v for c, v in few if c == column},
            harm,
            alpha,
        )
        for column in columns
    ]


def _column(
    column: str, gains: Mapping[str, Draws] | None, harmed: set[str], few: set[str], harm: float, alpha: float
) -> Finding:
    name, wanted = f"slice: {column}", f"no part worse by more than {harm:g}"
    if gains is None:
        return Finding(name, "fail", None, wanted, advice=f"the declared slice {column} is absent; give it with the rows")
    if not gains:
        return Finding(name, "unsure", None, wanted, advice="no part has enough rows; wait for more labels")
    losses = {value: gain.map(np.negative).interval(alpha) for value, gain in gains.items()}
    proven = {value for value in harmed if losses[value].estimate > harm}
    unknown = {value for value, loss in losses.items() if value not in few and (not loss.known or loss.high > harm)}
    worst = max(losses, key=lambda value: (value in proven, value not in few, not losses[value].known, losses[value].high))
    loss = losses[worst]
    status: Status = "fail" if proven else "unsure" if unknown else "pass"
    seen = loss.estimate if np.isfinite(loss.estimate) else None
    low, high = (loss.low, loss.high) if loss.known else (None, None)
    advice = f"worst of {len(losses)} parts: {worst}" + (f"; provably harmed: {', '.join(sorted(proven))}" if proven else "")
    return Finding(name, status, seen, wanted, low, high, loss.sure, advice)

"""Days of a shop's rows without any drift, and the same days with one change: what an error rate is measured on.

Ten rows a customer, of which half the variance is the customer's own (so that 500 rows are worth about 90), a weekly season in
half of the columns, an effect of each day on every column, and a label that follows from the features by a fixed rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipelines.core.clock import DAY

Array = np.ndarray

NUMBERS, CATEGORIES = 18, 2
PER_CUSTOMER = 10
DAY_EFFECT = 0.05
WEEKEND = 0.6
POSITIVES = 0.1


@dataclass(frozen=True)
class Stream:
    """Rows of many days in order: `ts` microseconds, `columns` by name, `unit` the customer, `label` 0/1 and the model's `score`."""

    ts: Array
    columns: Mapping[str, Array]
    unit: Array
    label: Array
    score: Array

    @property
    def kinds(self) -> dict[str, str]:
        return {name: "category" for name, values in self.columns.items() if values.dtype.kind in "OU"}

    def between(self, first: int, until: int) -> Array:
        """The mask of the rows of [first, until)."""
        return (self.ts >= first) & (self.ts < until)

    def last(self, days: int, end: int) -> Stream:
        """The rows of the `days` days before the instant `end`."""
        first, until = np.searchsorted(self.ts, [end - days * DAY, end])
        part = slice(first, until)
        columns = {name: values[part] for name, values in self.columns.items()}
        return Stream(self.ts[part], columns, self.unit[part], self.label[part], self.score[part])


def quiet(seed: int, days: int, rows: int = 500) -> Stream:
    """So many days of `rows` rows each, from instant 0 (a Thursday) on, in which nothing drifts."""
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), rows)
    ts = day * DAY + np.sort(random.integers(0, DAY, (days, rows)), axis=1).ravel()
    unit = np.repeat(np.arange(days * rows // PER_CUSTOMER), PER_CUSTOMER)
    weekend = ((day + 3) % 7) >= 5
    columns: dict[str, Array] = {}
    for i in range(NUMBERS):
        own = random.normal(size=unit[-1] + 1)[unit]
        noise = np.sqrt(0.5) * (own + random.normal(size=len(day)))
        columns[f"n{i}"] = noise + random.normal(0, DAY_EFFECT, days)[day] + WEEKEND * weekend * (i % 2)
    for i in range(CATEGORIES):
        own = random.choice(4, unit[-1] + 1, p=[0.5, 0.3, 0.15, 0.05])[unit]
        each = random.choice(4, len(day), p=[0.5, 0.3, 0.15, 0.05])
        columns[f"c{i}"] = np.array(["a", "b", "c", "d"])[np.where(random.random(len(day)) < 0.5, own, each)]
    columns["n17"] = np.where(random.random(len(day)) < 0.05, np.nan, columns["n17"])
    return judged(Stream(ts, columns, unit, np.zeros(len(ts)), np.zeros(len(ts))), random)


def risk(columns: Mapping[str, Array]) -> Array:
    """The log-odds of the label, which the model knows."""
    return np.log(POSITIVES / (1 - POSITIVES)) - 0.9 + 1.2 * columns["n0"] + 0.8 * columns["n2"] + 0.6 * (columns["c0"] == "b")


def judged(stream: Stream, random: np.random.Generator) -> Stream:
    """The stream with labels drawn by the rule and the scores of the model that knows it."""
    chance = 1 / (1 + np.exp(-risk(stream.columns)))
    return replace(stream, label=(random.random(len(chance)) < chance) * 1.0, score=chance)


Change = Callable[[Stream, Array, np.random.Generator], Stream]


def _columns(change: Callable[[dict[str, Array], Array, np.random.Generator], None]) -> Change:
    """A change of columns: labels follow the old rule, scores follow what the columns now say."""

    def changed(stream: Stream, late: Array, random: np.random.Generator) -> Stream:
        columns = dict(stream.columns)
        change(columns, late, random)
        return replace(stream, columns=columns, score=1 / (1 + np.exp(-np.nan_to_num(risk(columns)))))

    return changed


def _half_a_sigma(columns: dict[str, Array], late: Array, _: np.random.Generator) -> None:
    columns |= {name: columns[name] + 0.5 * late for name in ("n3", "n8", "n13")}


def _a_sigma(columns: dict[str, Array], late: Array, _: np.random.Generator) -> None:
    columns["n5"] = columns["n5"] + late


def _swap(columns: dict[str, Array], late: Array, _: np.random.Generator) -> None:
    names = columns["c1"]
    columns["c1"] = np.where(late & (names == "a"), "b", np.where(late & (names == "b"), "a", names))


def _nulls(columns: dict[str, Array], late: Array, random: np.random.Generator) -> None:
    columns["n9"] = np.where(late & (random.random(len(late)) < 0.1), np.nan, columns["n9"])


def _concept(stream: Stream, late: Array, random: np.random.Generator) -> Stream:
    """The rule of the label turns round in one feature; nothing else changes."""
    new = risk(stream.columns) - 2.4 * stream.columns["n0"]
    label = (random.random(len(late)) < 1 / (1 + np.exp(-new))) * 1.0
    return replace(stream, label=np.where(late, label, stream.label))


CHANGES: dict[str, Change] = {
    "half a sigma in 3 of 20 features": _columns(_half_a_sigma),
    "one sigma in one feature": _columns(_a_sigma),
    "two categories swapped": _columns(_swap),
    "ten points more nulls": _columns(_nulls),
    "a change of concept": _concept,
}
"""What is looked for, each from one moment on."""


def changed(stream: Stream, change: str, since: int, seed: int) -> Stream:
    """The stream in which the change has set in at the instant `since`."""
    return CHANGES[change](stream, stream.ts >= since, np.random.default_rng(seed))

"""One decision the shop makes, on one page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from pipelines.core.contract import Contract
from pipelines.core.decision import Answers, CostMatrix, Newsvendor, Ranking
from pipelines.core.feature import FeatureSet, Label

GIVEN_KINDS = {
    "string": "category",
    "text": "text",
    "integer": "number",
    "cents": "number",
    "number": "number",
    "boolean": "number",
}


@dataclass(frozen=True)
class Spec:
    """What a maker needs to make an estimator: the encoded matrix' columns in order (`kinds` says number, category or text of
    each), what is to be answered, this model's block of params.yaml, the seed, and how many threads it may use."""

    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    answers: Answers
    settings: Mapping[str, Any]
    seed: int
    threads: int


@dataclass(frozen=True)
class Model:
    """A candidate: `make` turns a Spec into an unfitted estimator of scikit-learn's kind.

    `dummy` knows nothing and every gate must refuse it; `baseline` is the trivial rule that a release must beat.
    `of` names the members of an ensemble.
    """

    name: str
    make: Callable[..., Any]
    role: Literal["dummy", "baseline", "candidate"] = "candidate"
    of: tuple[str, ...] = ()


@dataclass(frozen=True)
class UseCase:
    """One decision: which event asks, what is answered, what the truth turns out to be and when, and who may be harmed.

    `metrics[0]` is the primary metric. `unit` is the field of the ask whose rows are not independent (resampled together).
    `slices` are fields or features that no release may harm. A `high` risk waits for a person's approval.
    `hidden_by` are the actions after which the label cannot be seen (a shop's parameters say so).
    """

    name: str
    question: str
    asks: Contract
    label: Label
    answers: Answers
    features: FeatureSet
    models: tuple[Model, ...]
    metrics: tuple[str, ...]
    unit: str
    slices: tuple[str, ...] = ()
    risk: Literal["low", "high"] = "low"
    hidden_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]{1,30}", self.name):
            raise ValueError(f"use case {self.name!r}: wanted 2..31 lower-case letters and digits")
        roles = [model.role for model in self.models]
        if roles.count("dummy") != 1 or roles.count("baseline") != 1:
            raise ValueError(f"{self.name}: wanted one dummy and one baseline among its models")
        names = [model.name for model in self.models]
        if len(set(names)) != len(names) or any(part not in names for model in self.models for part in model.of):
            raise ValueError(f"{self.name}: wanted models with different names, and ensembles of them, got {names}")
        kinds = tuple((name, GIVEN_KINDS[self.asks.field(name).type]) for name in self.features.given)
        kinds += tuple(pair for pair in self.features.kinds if pair[0] not in self.features.given)
        object.__setattr__(self, "features", replace(self.features, kinds=kinds))
        for name in {self.unit, *self._fields_needed()}:
            self.asks.field(name)

    def _fields_needed(self) -> set[str]:
        """Fields of the asking event that the use case reads besides its given features."""
        needed = {name for c in self.features.counted for name in c.asked} - {"candidate"} | set(self.label.keys)
        cost = getattr(self.answers, "cost", None)
        if isinstance(cost, CostMatrix) and isinstance(cost.missed, str):
            needed.add(cost.missed)
        if isinstance(cost, Newsvendor):
            needed.add(cost.price)
        if isinstance(self.answers, Ranking):
            needed |= {self.answers.item, self.answers.trail}
        return needed | {name for name in self.slices if name not in self.features.names}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of events the use case lives on: what asks, what is counted, what the label is made of."""
        return tuple(sorted({self.asks.kind, self.label.of, *self.features.sources}))

    @property
    def carried(self) -> tuple[str, ...]:
        """Columns a row carries besides its features: unit, keys, slices, amounts; each a field of the asking event."""
        return tuple(sorted(({self.unit} | self._fields_needed()) - set(self.features.names)))

    @property
    def snapshot(self) -> tuple[str, ...]:
        """The kinds of events that its rows are made from: those it lives on, and our answers where an action hides a label."""
        return (*self.kinds, *(("prediction",) if self.hidden_by else ()))

    def known_within(self, duration: timedelta, hidden_by: tuple[str, ...] = ()) -> UseCase:
        """The same use case with another label window (a shop's own label delay), and what keeps a label from coming."""
        return replace(self, label=replace(self.label, within=duration), hidden_by=hidden_by)

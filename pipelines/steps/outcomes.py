"""What the labels say of the answers, up to the day they are known: quality, an estimate of what came after, and money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipelines.core.clock import DAY, day_of, micros
from pipelines.core.decision import Probability, Ranking
from pipelines.core.verdict import Finding
from pipelines.steps.rows import Rows, amounts, labelled

if TYPE_CHECKING:
    from pipelines.core.params import Block
    from pipelines.core.usecase import UseCase
    from pipelines.evaluation.performance import Realised
    from pipelines.evaluation.statistic import Labelled, Statistic


@dataclass(frozen=True)
class Money:
    """Cents a day that the answers cost more than before, with bounds."""

    cents: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        return {"cents_a_day": self.cents, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Outcomes:
    """The scored rows of a use case and which of their labels are known.

    `known` is the moment (microseconds UTC) up to which labels are mature; `holdout` the span of asks that the champion was
    judged on before it was released. From its start on the champion had learnt from no label: what it learnt from would flatter
    its past.
    """

    usecase: UseCase
    block: Block
    rows: Rows
    scores: np.ndarray
    known: int
    holdout: tuple[int, int]

    @staticmethod
    def at(usecase: UseCase, block: Block, rows: Rows, scores: np.ndarray, as_of: int, holdout: tuple[int, int]) -> Outcomes:
        return Outcomes(usecase, block, rows, scores, as_of - micros(usecase.label.matures), holdout)

    @cached_property
    def mature(self) -> np.ndarray:
        """Which rows have a label that is known and will not change."""
        return np.isfinite(self.rows["label"]) & (self.rows["ts"] < self.known)

    @cached_property
    def labels(self) -> Realised:
        """The rows with a mature label."""
        from pipelines.evaluation.performance import Realised

        return Realised(labelled(self.usecase, self.rows.take(self.mature)), self.scores[self.mature])

    @cached_property
    def ts(self) -> np.ndarray:
        """When each row with a mature label was asked."""
        return self.rows["ts"][self.mature].astype(np.int64)

    @property
    def length(self) -> int:
        return micros(self.block.monitor.labels)

    def asked(self, first: int, last: int) -> np.ndarray:
        """Which rows with a mature label were asked in [first, last)."""
        return (self.ts >= first) & (self.ts < last)

    def window(self, back: int = 0) -> tuple[int, int]:
        """The newest window of labels, or the one so many windows before it."""
        end = self.known - back * self.length
        return end - self.length, end

    def references(self, back: int = 0) -> dict[str, np.ndarray]:
        """What a window of labels is held against, each on the window's own weekdays: the champion's holdout, which stays where
        it is however late one looks, and all labels since, which are more."""
        start, end = self.window(back)
        weekday = self.ts // DAY % 7
        alike = np.isin(weekday, weekday[self.asked(start, end)])
        spans = {
            "its own holdout": (self.holdout[0], min(self.holdout[1], start)),
            "the labels before": (self.holdout[0], start),
        }
        return {words: self.asked(*span) & alike for words, span in spans.items()}

    def performance(self, back: int = 0) -> Finding:
        """The fall of the primary metric in the newest window of labels, or in one so many windows before it."""
        from pipelines.evaluation.performance import performance

        start, end = self.window(back)
        found = performance(
            self.usecase.metrics[0],
            self.labels,
            self.asked(start, end),
            self.references(back),
            self.block.monitor,
            past=[self.asked(first, first + self.length) for first in self._before(start)],
            min_positives=min(10, self.block.gate.min_positives),
            seed=self.block.train.seed,
        )
        words = f"known up to {day_of(end - 1)}, estimated after"
        return replace(found, advice=f"{found.advice}; {words}" if found.advice else words)

    def _before(self, start: int) -> list[int]:
        """Where the windows of labels before that moment begin, oldest first, as far as the champion had not learnt from them."""
        return list(range(start - self.length, self.holdout[0] - 1, -self.length))[::-1]

    def lasting(self) -> list[list[Finding]]:
        """The performance of the windows before the newest, oldest first: they share no row with it."""
        return [[self.performance(back)] for back in range(self.block.monitor.of - 1, 0, -1)]

    def estimated(self, as_of: int) -> Finding:
        """What the scores foretell of the time whose labels are still out."""
        from pipelines.evaluation import estimate

        ts = self.rows["ts"]
        out = (ts >= as_of - self.length) & (ts < as_of)
        past = [self.labels.part(self.asked(first, first + self.length)) for first in self._before(self.known)]
        enough = [span for span in past if span.rows.asks >= self.block.monitor.min_rows]
        now = labelled(self.usecase, self.rows.take(out)), self.scores[out]
        probability = isinstance(self.usecase.answers, Probability)
        return estimate.estimated(
            self.usecase.metrics[0], now, enough, self.block.monitor, probability=probability, seed=self.block.train.seed
        )

    def fresh(self, learnt: int) -> tuple[int, int]:
        """How many labels, and positives among them, matured of asks since the last learning."""
        mask = self.mature & (self.rows["ts"] >= learnt)
        ranked = isinstance(self.usecase.answers, Ranking)
        return len(np.unique(self.rows["ask"][mask])) if ranked else int(mask.sum()), int((self.rows["label"][mask] > 0).sum())

    def money(self) -> Money | None:
        """What the answers of the newest window of labels cost a day more than those of the champion's holdout; None where nobody
        has put money on them, or the labels are too few to say."""
        from pipelines.evaluation import cost
        from pipelines.evaluation.paired import resample
        from pipelines.evaluation.performance import recoded

        if not cost.has_cost(self.usecase.answers):
            return None
        now, fixed = self.asked(*self.window()), self.references()["its own holdout"]
        before = fixed if fixed.any() else self.references()["the labels before"]
        rows = recoded(self.labels.rows, now | before)
        spans = {"now": now, "before": before}
        drawn = resample({name: self._cost(rows, mask) for name, mask in spans.items()}, rows.units, resamples=1000, seed=0)
        more, a_day = (drawn["now"] - drawn["before"]).interval(0.025), now.sum() / (self.length / DAY)
        return Money(more.estimate * a_day, more.low * a_day, more.high * a_day) if more.known else None

    def recall(self, formers: Mapping[str, np.ndarray]) -> dict[str, Finding]:
        """Whether releases that answered before would answer better, by their scores of the same rows: on the newest mature labels,
        as many days of them as a holdout has."""
        from pipelines.evaluation.performance import recoded
        from pipelines.evaluation.recall import recall

        mask = self.asked(self.known - micros(self.block.split.holdout), self.known)
        rows = recoded(self.labels.rows, mask).part(mask)
        scores = {who: score[self.mature][mask] for who, score in formers.items()}
        amount = amounts(self.usecase, self.rows.take(self.mature))
        of, seed = None if amount is None else amount[mask], self.block.train.seed
        return recall(self.usecase, self.block.gate, rows, self.labels.scores[mask], scores, of, seed=seed)

    def _cost(self, rows: Labelled, mask: np.ndarray) -> Statistic:
        """Cents per answer of the rows of a mask."""
        from pipelines.evaluation import cost

        amount = amounts(self.usecase, self.rows.take(self.mature))
        of = None if amount is None else amount[mask]
        return cost.mean_cost(self.usecase.answers, rows.part(mask), self.labels.scores[mask], of)

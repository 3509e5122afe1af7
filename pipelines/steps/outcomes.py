"""What the labels say of the answers, up to the day they are known: quality, an estimate of what came after, and money."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.clock import DAY, day_of, micros
from pipelines.core.decision import Probability, Ranking
from pipelines.core.verdict import Finding
from pipelines.steps.rows import Rows, amounts, labelled

if TYPE_CHECKING:
    from pipelines.core.params import Block
    from pipelines.core.usecase import UseCase
    from pipelines.evaluation.drift import Realised


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

    `known` is the moment (microseconds UTC) up to which labels are mature; `unseen` from when on the champion had not learnt
    from them: what it learnt from would flatter its past.
    """

    usecase: UseCase
    block: Block
    rows: Rows
    scores: np.ndarray
    known: int
    unseen: int

    @staticmethod
    def at(usecase: UseCase, block: Block, rows: Rows, scores: np.ndarray, as_of: int, unseen: int) -> Outcomes:
        return Outcomes(usecase, block, rows, scores, as_of - micros(usecase.label.matures), unseen)

    @property
    def mature(self) -> np.ndarray:
        return np.isfinite(self.rows["label"]) & (self.rows["ts"] < self.known)

    @property
    def length(self) -> int:
        return micros(self.block.monitor.labels)

    def between(self, first: int, last: int) -> Realised:
        """The mature rows asked in [first, last)."""
        from pipelines.evaluation import drift

        ts = self.rows["ts"]
        mask = self.mature & (ts >= first) & (ts < last)
        return drift.Realised(labelled(self.usecase, self.rows.take(mask)), self.scores[mask])

    def performance(self, back: int = 0) -> Finding:
        """The fall of the primary metric in the newest window of labels, or in one so many windows before it."""
        from pipelines.evaluation import drift

        end = self.known - back * self.length
        least = min(10, self.block.gate.min_positives)
        found = drift.performance(
            self.usecase.metrics[0],
            self.between(end - self.length, end),
            self.between(self.unseen, end - self.length),
            self.block.monitor,
            min_positives=least,
            seed=self.block.train.seed,
        )
        words = f"known up to {day_of(end - 1)}, estimated after"
        return replace(found, advice=f"{found.advice}; {words}" if found.advice else words)

    def lasting(self) -> list[list[Finding]]:
        """The performance of the windows before the newest, oldest first: they share no row with it."""
        return [[self.performance(back)] for back in range(self.block.monitor.of - 1, 0, -1)]

    def estimated(self, as_of: int) -> Finding:
        """What the scores foretell of the time whose labels are still out."""
        from pipelines.evaluation import estimate

        ts = self.rows["ts"]
        out = (ts >= as_of - self.length) & (ts < as_of)
        windows = range(self.known - self.length, self.unseen - 1, -self.length)
        past = [self.between(first, first + self.length) for first in windows]
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
        """What the answers of the newest window of labels cost a day more than those before; None where nobody has put money on
        them, or the labels are too few to say."""
        from pipelines.evaluation import cost
        from pipelines.evaluation.paired import resample

        if not cost.has_cost(self.usecase.answers):
            return None
        draws = []
        start = self.known - self.length
        for seed, (first, last) in enumerate(((start, self.known), (self.unseen, start))):
            ts = self.rows["ts"]
            mask = self.mature & (ts >= first) & (ts < last)
            part = self.rows.take(mask)
            rows = labelled(self.usecase, part)
            each = cost.mean_cost(self.usecase.answers, rows, self.scores[mask], amounts(self.usecase, part))
            draws.append((resample({"cents": each}, rows.units, resamples=1000, seed=seed)["cents"], len(part)))
        (now, answers), (before, _) = draws
        more, a_day = now.apart(before).interval(0.025), answers / (self.length / DAY)
        return Money(more.estimate * a_day, more.low * a_day, more.high * a_day) if more.known else None


def performance(
    usecase: UseCase, block: Block, rows: Rows, scores: Any, as_of: int, unseen: int, learnt: int
) -> tuple[Finding, int, int]:
    """The finding on the newest window of labels, and how many labels and positives matured since the last learning."""
    outcomes = Outcomes.at(usecase, block, rows, scores, as_of, unseen)
    return outcomes.performance(), *outcomes.fresh(learnt)

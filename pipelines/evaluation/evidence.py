"""What the judge looks at: everybody's scores on the same frozen rows, checked to fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.core.decision import Quantiles, Ranking
from pipelines.core.errors import NotDecidable, ShelflifeError
from pipelines.core.release import REASONS
from pipelines.core.usecase import UseCase
from pipelines.core.verdict import Finding
from pipelines.evaluation.statistic import Array, Labelled, labelled


@dataclass(frozen=True)
class Evidence:
    """What the judge looks at: the frozen, matured holdout and the scores of everybody on the same rows, made now by the code
    that serves. Arrays have a row per row of the holdout; rows without a label (NaN) are left out.

    `slices` maps each declared slice to its column, `amounts` is the field that the cost needs (cents), `ask` the ask of a
    ranking's row, `card` what card precision counts, `weight` how many asks a row stands for (the inverse of the chance that its
    label could be seen). A ranking's rows are the candidates of everybody: a score of minus infinity says that the item is not
    on this one's list. `looks` is how often this holdout was opened before. `parity` is the finding that the exported model
    equals the trained one. `reasons` are the stated reasons; they count only where the figures bear them out.
    """

    labels: Any
    unit: Any
    challenger: Any
    baseline: Any
    champion: Any = None
    slices: Mapping[str, Any] = field(default_factory=dict)
    amounts: Any = None
    ask: Any = None
    card: Any = None
    ts: Any = None
    weight: Any = None
    latency_ms: float | None = None
    size_mb: float | None = None
    memory_mb: float | None = None
    champion_latency_ms: float | None = None
    champion_size_mb: float | None = None
    parity: Finding | None = None
    reasons: tuple[str, ...] = ()
    looks: int = 0

    def upheld(self, standing: tuple[str, ...] = (), *, cheaper: bool) -> tuple[str, ...]:
        """The stated reasons, and those that always stand, as far as the figures bear them out; `cheaper` is whether its answers
        provably save money. Raises ShelflifeError for a reason that there is not.
        """
        stated = [*self.reasons, *standing]
        if unknown := sorted(set(stated) - set(REASONS)):
            raise ShelflifeError(f"there is no reason {', '.join(map(ascii, unknown))}; wanted some of {', '.join(REASONS)}")
        smaller = _below(self.size_mb, self.champion_size_mb)
        faster = _below(self.latency_ms, self.champion_latency_ms)
        holds = {"fresher": True, "cheaper": cheaper, "smaller": smaller, "faster": faster}
        return tuple(reason for reason in REASONS if reason in stated and holds[reason])


def _below(ours: float | None, theirs: float | None) -> bool:
    return ours is not None and theirs is not None and ours < theirs


@dataclass(frozen=True)
class Holdout:
    """The labelled rows, and everybody's scores and the slices on them; `ts` is None where nobody knows when they were asked."""

    rows: Labelled
    scores: dict[str, Array]
    slices: dict[str, Array]
    amounts: Array | None
    ts: Array | None = None

    @staticmethod
    def of(case: UseCase, evidence: Evidence) -> Holdout:
        if evidence.challenger is None or evidence.baseline is None:
            raise NotDecidable("wanted the scores of the challenger and of the trivial baseline; score both on the holdout")
        labels = np.asarray(evidence.labels, float)
        given = {"challenger": evidence.challenger, "champion": evidence.champion, "baseline": evidence.baseline}
        scores = {who: np.asarray(score, float) for who, score in given.items() if score is not None}
        columns = {name: np.asarray(evidence.slices[name]) for name in case.slices if evidence.slices.get(name) is not None}
        others = {name: getattr(evidence, name) for name in ("unit", "ask", "card", "ts", "amounts", "weight")}
        _check_lengths(len(labels), scores | columns | {name: column for name, column in others.items() if column is not None})
        levels = case.answers.levels if isinstance(case.answers, Quantiles) else ()
        _check_shapes(scores, len(levels))
        if evidence.ask is None and isinstance(case.answers, Ranking):
            raise ShelflifeError("wanted the ask of each row of a ranking, got none; give `ask`")
        known = np.isfinite(labels)
        ask = evidence.ask if isinstance(case.answers, Ranking) else None
        kept = {name: others[name] for name in ("card", "ts", "amounts", "weight")} | {"ask": ask}
        some = {name: None if column is None else np.asarray(column)[known] for name, column in kept.items()}
        amounts = some.pop("amounts")
        rows = labelled(labels[known], np.asarray(evidence.unit)[known], levels=levels, **some)
        return Holdout(
            rows, {w: s[known] for w, s in scores.items()}, {c: v[known] for c, v in columns.items()}, amounts, some["ts"]
        )

    @property
    def size(self) -> int:
        return len(self.rows.labels)

    @property
    def other(self) -> str:
        """Whom the challenger is compared with: the champion, or the baseline where there is none yet."""
        return "champion" if "champion" in self.scores else "baseline"

    @property
    def compared(self) -> dict[str, Array]:
        return {who: self.scores[who] for who in ("challenger", self.other)}


def _check_lengths(rows: int, columns: Mapping[str, Any]) -> None:
    if wrong := {name: len(column) for name, column in columns.items() if len(column) != rows}:
        raise ShelflifeError(f"wanted {rows} rows of everything, got {wrong}; score the very rows of the holdout")


def _check_shapes(scores: Mapping[str, Array], levels: int) -> None:
    for who, score in scores.items():
        if score.ndim != (2 if levels else 1) or (levels and score.shape[1] != levels):
            wanted = f"{levels} quantiles a row" if levels else "one score a row"
            raise ShelflifeError(f"{who}: wanted {wanted}, got shape {score.shape}; score with the use case's own scorer")

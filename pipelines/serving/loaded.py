"""A released bundle, ready to answer: its own contract, features and model, all from bytes that were checked."""

from __future__ import annotations

import functools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.contract import Contract
from pipelines.core.decision import Answers, answers_from_dict
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import FeatureSet
from pipelines.serving import answers, golden, predictions
from pipelines.serving.schema import Asks, Refused
from pipelines.serving.scorer import Calibration, Encoder, OnnxScorer, count
from pipelines.serving.vigil import Reference, Sample

if TYPE_CHECKING:
    from pipelines.core.event import Event
    from pipelines.core.protocols import FeatureReader
    from pipelines.core.release import Bundle
    from pipelines.serving.champion import Champion
    from pipelines.serving.explore import Explorer

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Parts:
    """The other rooms, by argument. `open_bundle` returns bytes checked against the digest it was asked for, or raises.

    `believe` raises ShelflifeError unless the champion's release is signed by a trusted key and names its bundle and verdict.
    `is_behind` says whether the features at an offset lack events of these kinds that the log has had for long.
    `explorer` draws which asks are let pass for the sake of their label, None where no action hides it.
    `make_fallback` makes a reader that needs no store: it answers, degraded, while the features' store is away.
    """

    open_bundle: Callable[[str], tuple[Bundle, Files]]
    encoder_from: Callable[[Files], Encoder]
    calibration_from: Callable[[Files], Calibration]
    make_reader: Callable[[Files], FeatureReader]
    believe: Callable[[Champion], None]
    make_fallback: Callable[[Files], FeatureReader] | None = None
    is_behind: Callable[[tuple[str, ...], int], bool] = lambda _kinds, _seen: False
    explorer: Callable[[str, Answers], Explorer | None] = lambda _case, _answers: None

    def scorer(self, files: Files) -> OnnxScorer:
        return OnnxScorer(files, encoder=self.encoder_from(files), calibration=self.calibration_from(files))


@dataclass(frozen=True)
class Answered:
    """The answers to one request, the predictions that trace them, the release they came from, what was away meanwhile, and what
    the watch over the release keeps of it."""

    champion: Champion
    answers: list[answers.Answer]
    predictions: list[Event]
    reasons: tuple[str, ...]
    sample: Sample


@dataclass(frozen=True)
class Loaded:
    """A bundle in memory. One object answers a whole request, so no answer mixes two releases."""

    usecase: str
    contract: Contract
    answers: Answers
    asks: Asks = field(repr=False)
    response: type = field(repr=False)
    scorer: OnnxScorer = field(repr=False)
    reader: FeatureReader = field(repr=False)
    fallback: FeatureReader | None = field(repr=False)
    typical: Any = field(repr=False)
    is_behind: Callable[[int], bool] = field(repr=False)
    reference: Reference = field(repr=False)
    explorer: Explorer | None = field(default=None, repr=False)

    def answer(self, champion: Champion, asks: Sequence[Event], request: str, now: int, away: tuple[str, ...] = ()) -> Answered:
        """The answers at `now`; `away` is what is known to be away already.

        Raises ShelflifeError when neither the features' store nor a fallback can be read.
        """
        columns, seen, missing = self._read(asks)
        sample = self._score(asks, columns)
        scores, patched = answers.finite(sample.scores, self.typical)
        names = [f"{request}.{i}" for i in range(len(asks))]
        found, rows = answers.shape(self.answers, asks, names, columns, scores)
        reasons = (*away, *missing, *("score",) * patched)
        listed = {name: values.tolist() for name, values in columns.items()}
        known = [predictions.inputs(listed, mine, ask.ts) for ask, mine in zip(asks, rows, strict=True)]
        found, chances = self._explored(asks, found, now)
        told = predictions.events(champion, asks, found, known, chances, request=request, seen=seen, away=reasons, now=now)
        return Answered(champion, found, told, reasons, sample)

    def again(self, asks: Sequence[Event]) -> Sample:
        """The scores that this release gives asks which another one has answered; NaN where it has none of its own."""
        try:
            return self._score(asks, self._read(asks)[0])
        except (ShelflifeError, Refused):
            return Sample(asks, np.full((1, *np.shape(self.typical)), np.nan), math.inf)

    def respond(self, answered: Answered, away: tuple[str, ...] = ()) -> Any:
        """The typed response; `away` is what failed after the answers were made."""
        champion, reasons = answered.champion, list(dict.fromkeys((*answered.reasons, *away)))
        request = answered.predictions[0].body["request_id"]
        return self.response(
            request, champion.case, champion.release, champion.bundle, champion.epoch, bool(reasons), reasons, answered.answers
        )

    def _explored(
        self, asks: Sequence[Event], found: list[answers.Answer], now: int
    ) -> tuple[list[answers.Answer], list[float | None]]:
        """The answers as they are given, and the chance of each that its label can be seen."""
        if self.explorer is None:
            return found, [None] * len(found)
        tried = [self.explorer.tried(ask, answer, now) for ask, answer in zip(asks, found, strict=True)]
        return [answer for answer, _ in tried], [chance for _, chance in tried]

    def _score(self, asks: Sequence[Event], columns: Mapping[str, np.ndarray]) -> Sample:
        """The raw scores and the milliseconds that they took; NaN for every row where the model fails."""
        began = time.perf_counter()
        try:
            scores = self.scorer.score(columns)
        except Exception:  # whatever the model raises, the shop gets its answer, and the watch sees that it is none
            scores = np.full((count(columns), *np.shape(self.typical)), np.nan)
        return Sample(asks, scores, 1000 * (time.perf_counter() - began))

    def _read(self, asks: Sequence[Event]) -> tuple[Mapping[str, np.ndarray], int | None, tuple[str, ...]]:
        try:
            columns, seen = self.reader.read(asks)
        except Exception as error:  # whatever the store raises, the shop gets its answer
            if self.fallback is None:
                raise ShelflifeError("the features cannot be read; is `shelflife stream` running on this home?") from error
            return self._read_blind(asks), None, ("features",)
        return columns, seen, ("behind",) * self.is_behind(seen)

    def _read_blind(self, asks: Sequence[Event]) -> Mapping[str, np.ndarray]:
        """The features without their store. What cannot be read even so is the asks' own fault: Refused (422)."""
        assert self.fallback is not None, "the caller has looked"
        try:
            return self.fallback.read(asks)[0]
        except ShelflifeError:
            raise Refused(422, "asks: wanted asks that this release can answer; is their ts older than the release?") from None


def load(case: str, digest: str, parts: Parts) -> Loaded:
    """The bundle, its golden requests answered. Raises ShelflifeError where it is not what was judged."""
    bundle, files = parts.open_bundle(digest)
    if bundle.digest != digest or bundle.usecase != case:
        raise ShelflifeError(f"wanted the bundle {digest[:12]} of {case}, got {bundle.digest[:12]} of {bundle.usecase}")
    contract = Contract.from_dict(json.loads(files["contract.json"]))
    kind = answers_from_dict(json.loads(files["answers.json"]))
    answers.check(kind, contract)
    scorer = parts.scorer(files)
    scores = golden.check(scorer, files)
    fallback = parts.make_fallback(files) if parts.make_fallback else None
    sources = FeatureSet.from_json(files["features.json"]).sources
    return Loaded(
        case, contract, kind, Asks(case, contract), answers.response_type(case, kind), scorer,
        parts.make_reader(files), fallback, np.median(scores, axis=0), functools.partial(parts.is_behind, sources),
        Reference.of(files, golden.pace(scorer, files)),
        parts.explorer(case, kind),
    )  # fmt: skip

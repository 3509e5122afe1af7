"""The shadow: before it may answer, a judged bundle answers once more what the champion was asked meanwhile, and decides nothing.

The answers' own traces are read back: their logged inputs are what the serving code had before it, so no second model need
run beside the first, and the same log gives the same shadow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.decision import Ranking
from pipelines.core.verdict import Finding, Verdict, judged
from pipelines.steps import bundle

if TYPE_CHECKING:
    from pipelines.core.event import Event
    from pipelines.core.params import Gate
    from pipelines.core.usecase import UseCase
    from pipelines.store.home import Home

Files = Mapping[str, bytes]

REQUIRED = ("shadow: requests", "shadow: errors", "shadow: latency", "shadow: scores")
SHIFT = 0.25
"""How far the scores may lie from the champion's, as an effect size."""
BATCH = 1_000


def shadow(home: Home, usecase: UseCase, gate: Gate, challenger: Files, champion: Files, since: int) -> Verdict:
    """How the challenger does on the requests that came since (microseconds UTC), beside the champion on the very same."""
    required = REQUIRED[:3] if isinstance(usecase.answers, Ranking) else REQUIRED  # a ranking's scores have no scale
    asked = [json.loads(event.body["inputs"])["rows"] for event in _requests(home, usecase.name, since, gate.shadow)]
    enough = len(asked) >= gate.shadow
    advice = "" if enough else f"wait for {gate.shadow - len(asked)} more requests, then promote again"
    findings = [
        judged(REQUIRED[0], float(len(asked)), f"at least {gate.shadow}", passes_if=f"observed >= {gate.shadow}", advice=advice)
    ]
    if enough:
        ours, times = _answers(challenger, usecase, asked)
        theirs, _ = _answers(champion, usecase, asked)
        findings += [_errors(ours), _latency(times, gate), _moved(ours, theirs)][: len(required) - 1]
    return Verdict(f"the shadow of {usecase.name}", tuple(findings), required)


def _requests(home: Home, case: str, since: int, most: int) -> Iterator[Event]:
    """The traces of the use case's first answers since then, at most so many; degraded ones say nothing about a model."""
    after = 0
    while most and (found := home.log.read(after=after, limit=BATCH, kinds=("prediction",))):
        after = found[-1].offset or after
        for event in found:
            told = event.body
            if most and event.ts >= since and told["usecase"] == case and told.get("inputs") and not told["degraded"]:
                most -= 1
                yield event


def _answers(files: Files, usecase: UseCase, asked: list[list[dict[str, Any]]]) -> tuple[list[np.ndarray], list[float]]:
    """Scores of each request (empty where it could not be scored), and the milliseconds that each took."""
    scorer = bundle.open_scorer(files)
    names = {name: usecase.features.kind(name) for name in bundle.model_columns(usecase)}
    scores, times = [], []
    for rows in asked:
        began = perf_counter_ns()
        try:
            scores.append(scorer.score({name: _column(rows, name, kind) for name, kind in names.items()}))
        except Exception:  # whatever a model raises on a real request is what the shadow is for
            scores.append(np.zeros(0))
        times.append((perf_counter_ns() - began) / 1e6)
    return scores, times


def _column(rows: list[dict[str, Any]], name: str, kind: str) -> np.ndarray:
    """One column of a request's logged inputs. Raises KeyError where it was not logged."""
    values = [row[name] for row in rows]
    if kind == "number":
        return np.array([np.nan if value is None else value for value in values], float)
    column = np.empty(len(values), object)
    column[:] = values
    return column


def _errors(scores: list[np.ndarray]) -> Finding:
    wrong = float(np.mean([not len(found) or not np.isfinite(found).all() for found in scores]))
    rule = "observed <= 0.0"
    advice = "" if not wrong else "it does not answer what the champion was asked; does it need features that were not logged?"
    return judged(
        REQUIRED[1], wrong, "every request answered with finite scores", passes_if=rule, fails_unless=rule, advice=advice
    )


def _latency(times: list[float], gate: Gate) -> Finding:
    rule = f"observed <= {gate.latency_ms!r}"
    p99 = float(np.quantile(times, 0.99))
    return judged(REQUIRED[2], p99, f"99 of 100 within {gate.latency_ms:g} ms", passes_if=rule, fails_unless=rule)


def _moved(ours: list[np.ndarray], theirs: list[np.ndarray]) -> Finding:
    """How far the scores lie from the champion's on the same requests."""
    from pipelines.evaluation.effects import effect

    wanted = f"an effect size of at most {SHIFT:g} beside the champion's"
    mine, other = (np.concatenate([np.ravel(found) for found in scores]) for scores in (ours, theirs))
    if not len(mine) or not np.isfinite(mine).all() or not np.isfinite(other).all() or not len(other):
        return Finding(REQUIRED[3], "unsure", None, wanted, advice="some scores are missing")
    rule = f"observed <= {SHIFT!r}"
    return judged(REQUIRED[3], effect("number", other, mine), wanted, passes_if=rule, fails_unless=rule)

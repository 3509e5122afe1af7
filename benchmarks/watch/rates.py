"""How often the watch cries wolf on a thousand quiet days, and how often it finds what did change; by its own functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np

from benchmarks.watch import stream
from benchmarks.watch.stream import Stream
from pipelines.core.clock import DAY, days, micros
from pipelines.core.params import Monitor, Retrain
from pipelines.core.verdict import Finding
from pipelines.evaluation import controller, drift, quality
from pipelines.evaluation.controller import Entry
from pipelines.evaluation.performance import Realised
from pipelines.evaluation.performance import performance as measured
from pipelines.evaluation.statistic import labelled
from pipelines.evaluation.triage import Diagnosis, triage
from pipelines.evaluation.windows import windows

WATCH = Monitor(window=days(1), reference=days(56), min_rows=300, drop=0.1, drift=0.15, labels=days(2))
RETRAIN = Retrain(cooldown=timedelta(days=6), min_labels=1000, max_age=timedelta(days=10_000), min_positives=20)
MATURES = days(1)
RESAMPLES = 200
SPAN = (micros(WATCH.reference) + micros(WATCH.window) * WATCH.of) // DAY + 2
METRIC = "roc_auc"
HOLDOUT = 14 * DAY
"""The champion's holdout: the first days that a look sees."""
SAID = ("broken data", "concept change", "harmful shift", "harmless shift")
"""Diagnoses that say that something happened; the last of them writes no mail, and is counted all the same."""


def look(days_: Stream, end: int) -> Diagnosis:
    """One morning's look at the days before `end`, through every channel."""
    seen = windows(days_.ts, WATCH, end, days_.unit)
    findings = [
        *quality.quality(days_.columns, days_.kinds, days_.ts, seen, WATCH, now=end),
        *drift.shifts(days_.columns, days_.kinds, days_.score, seen, WATCH),
    ]
    newest = performance(days_, end, 0)
    before = [[performance(days_, end, back)] for back in (2, 1)] if newest.status == "fail" else []
    return triage([*before, [*findings, newest]], WATCH)


def performance(days_: Stream, end: int, back: int) -> Finding:
    """The fall of the metric in a window of mature labels, against the champion's holdout and against all labels since."""
    length = micros(WATCH.labels)
    last = end - micros(MATURES) - back * length
    first = int(days_.ts[0]) // DAY * DAY
    holdout, before = days_.between(first, min(first + HOLDOUT, last - length)), days_.between(first, last - length)
    now = days_.between(last - length, last)
    alike = np.isin(days_.ts // DAY % 7, days_.ts[now] // DAY % 7)
    known = Realised(labelled(days_.label, days_.unit), days_.score)
    past = [days_.between(start, start + length) for start in range(first + (last - first) % length, last - length, length)]
    references = {"its own holdout": holdout & alike, "the labels before": before & alike}
    return measured(METRIC, known, now, references, WATCH, past=past, min_positives=10, resamples=RESAMPLES, seed=1)


@dataclass
class Quiet:
    """What was said on quiet days: mornings by diagnosis, alarms (a new one only when the one before is over), retrainings."""

    mornings: int = 0
    said: Counter[str] = field(default_factory=Counter)
    alarms: int = 0
    retrainings: int = 0
    examples: list[str] = field(default_factory=list)


def quiet(mornings: int, seed: int = 1) -> Quiet:
    """So many mornings in a row without any drift."""
    days_ = stream.quiet(seed, SPAN + mornings)
    found, journal, before = Quiet(), list[Entry](), "quiet"
    for day in range(SPAN, SPAN + mornings):
        end = day * DAY
        diagnosis = look(days_.last(SPAN, end), end)
        found.mornings += 1
        found.said[diagnosis.kind] += 1
        if diagnosis.kind in SAID:
            found.alarms += diagnosis.kind != before
            found.examples.append(diagnosis.evidence[0])
        before = diagnosis.kind
        if diagnosis.retrain:
            event = Entry("triggered", end, f"drift-{day}", cause=diagnosis.kind, labels=9999, positives=999)
            decision = controller.decide(journal, event, RETRAIN, end)
            journal += decision.append
            found.retrainings += decision.start
    return found


WANTED = {
    "ten points more nulls": ("broken data",),
    "a change of concept": ("concept change", "harmful shift"),
}
"""What must be said of a change; of the others any word of a shift will do."""
SHIFTS = ("harmless shift", "harmful shift")


def found_within(change: str, seed: int, windows: int = 3) -> int | None:
    """On which window after the change it is said what happened (1 is the first); None within `windows`.

    A window is a day; of labels it is `labels` long, and counts from when they are mature.
    """
    since = SPAN * DAY
    concept = change == "a change of concept"
    length = micros(WATCH.labels) if concept else DAY
    wait = micros(MATURES) if concept else 0
    many = SPAN + windows * length // DAY + 2
    days_ = stream.changed(stream.quiet(seed, many), change, since, seed)
    for window in range(1, windows + 1):
        end = since + wait + window * length
        if look(days_.last(SPAN, end), end).kind in WANTED.get(change, SHIFTS):
            return window
    return None


def power(change: str, seeds: Sequence[int]) -> float:
    """The share of runs in which the change is found within three windows."""
    return float(np.mean([found_within(change, seed) is not None for seed in seeds]))


def without_unit(days_: Stream) -> Stream:
    """The same rows with every row taken for a customer of its own."""
    return replace(days_, unit=np.arange(len(days_.ts)))

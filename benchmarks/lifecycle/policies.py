"""Five ways to keep a model fresh. They share recipe, rows and the Monday clock, and differ in when they train, on what data, and
when they promote."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from benchmarks.lifecycle import ours, peers
from benchmarks.lifecycle.learning import NOTHING, Desk, Held, Model
from benchmarks.lifecycle.ours import FeedLook, Feeds
from pipelines.core.clock import DAY, instant
from pipelines.core.decision import Quantiles
from pipelines.evaluation import controller
from pipelines.evaluation.controller import Entry
from pipelines.evaluation.metrics import metric
from pipelines.steps.rows import Rows, measure

WEEK = 7 * DAY


@dataclass(frozen=True)
class Alarm:
    """Somebody is called: on which day, and whether about broken data or about drift."""

    at: int
    about: Literal["data", "drift"]
    words: str = ""


class Policy:
    """What answers, and what was done when. `cpu` counts seconds of training, watching and judging."""

    name: ClassVar[str]
    says: ClassVar[str]

    def __init__(self, desk: Desk, feeds: Feeds, first: Model) -> None:
        self.desk, self.feeds, self.champion = desk, feeds, first
        self.trained: list[Model] = []
        self.promoted: list[tuple[int, Model, Model]] = []
        self.alarms: list[Alarm] = []
        self.notes: list[tuple[int, str]] = []
        self.cpu = 0.0

    def monday(self, as_of: int) -> None:
        """Decide, knowing what had arrived by then."""
        raise NotImplementedError

    def _train(self, as_of: int, held: Held = NOTHING, of: Held = NOTHING) -> Model:
        model = self.desk.model(as_of, held, of)
        self.trained.append(model)
        self.cpu += model.cpu
        return model

    def _promote(self, as_of: int, model: Model) -> None:
        self.promoted.append((as_of, self.champion, model))
        self.champion = model


class Never(Policy):
    name = "never retrain"
    says = "The first model answers for good. Nothing is watched, nothing is trained."

    def monday(self, as_of: int) -> None:
        pass


class Weekly(Policy):
    name = "every week"
    says = "Every Monday a model is trained on everything that came in. It answers from then on, whatever it is."

    def monday(self, as_of: int) -> None:
        self._promote(as_of, self._train(as_of))


class PointCompare(Policy):
    name = "point compare"
    says = (
        "Every Monday a model is trained on everything that came in. It answers from then on if its primary metric on the newest matured "
        "holdout is higher than the old model's on the same rows, by however little."
    )

    def monday(self, as_of: int) -> None:
        challenger = self._train(as_of)
        began = time.process_time()
        rows = self.desk.labelled(self.desk.parts(as_of).holdout, as_of, NOTHING, NOTHING)
        new, old = (self._worth(rows, model) for model in (challenger, self.champion))
        self.cpu += time.process_time() - began
        if new > old:
            self._promote(as_of, challenger)

    def _worth(self, rows: Rows, model: Model) -> float:
        case = self.desk.case
        name = case.metrics[0]
        levels = case.answers.levels if isinstance(case.answers, Quantiles) else ()
        value = measure(case, rows, model.score(rows))[name]
        return float(metric(name, levels).orient(np.array([value]))[0])


class EvidentlyRule(Policy):
    name = "Evidently's rule"
    says = (
        "Every Monday the last seven days' features are compared with the answering model's training rows by Evidently's default rule. "
        "When it says that the data set has drifted, a model is trained on everything that came in and answers from then on."
    )

    def monday(self, as_of: int) -> None:
        began = time.process_time()
        share = peers.drifted_share(self._learnt(), self._window(as_of - WEEK, as_of), self.desk.kinds)
        self.cpu += time.process_time() - began
        self.notes.append((as_of, f"{share:.2f}"))
        if share >= peers.SHARE:
            self.alarms.append(Alarm(as_of, "drift", f"{share:.0%} of the columns have drifted"))
            self._promote(as_of, self._train(as_of))

    def _learnt(self) -> Rows:
        first, _ = self.desk.parts(self.champion.as_of).train
        return self._window(first, self.champion.newest + 1)

    def _window(self, first: int, last: int) -> Rows:
        rows = self.desk.served
        return rows.take((rows["ts"] >= first) & (rows["ts"] < last))


def _about_data(look: FeedLook) -> list[Alarm]:
    """A broken day is told the morning after; what no day could be named for, on the Monday."""
    named = [Alarm(instant(day) + DAY, "data", f"broken: {day}") for day in look.broken]
    return named or ([Alarm(look.as_of, "data", look.failing[0])] if look.failing and not look.known else [])


class Ours(Policy):
    name = "shelflife"
    says = (
        "Every morning the feeds are looked at, and a broken day is held from training; every Monday the watch looks at drift and at "
        "matured labels, and asks the models that answered before: one that would answer better, a person brings back, as the mail says. "
        "Every Monday a challenger is trained, unless the data do not validate or the controller says no, and it answers only when the "
        "gate passes it against the answering model on the newest matured holdout."
    )

    def __init__(self, desk: Desk, feeds: Feeds, first: Model) -> None:
        super().__init__(desk, feeds, first)
        self.harmed = False
        self.formers: list[Model] = []
        self.judged_until: list[int] = []
        self.journal: list[Entry] = []
        self.cpu = feeds.cpu
        self.alarms = [alarm for look in feeds.looks.values() for alarm in _about_data(look)]

    def monday(self, as_of: int) -> None:
        began = time.process_time()
        diagnosis, back = ours.look(self.desk, self.feeds, self.champion, as_of, self.formers)
        self.cpu += time.process_time() - began
        self.notes.append((as_of, diagnosis.kind))
        if back:
            self.notes.append((as_of, f"brought back: {back} before"))
            super()._promote(as_of, self.formers[back - 1])
            self.formers = self.formers[back:]
        if diagnosis.retrain and not self.harmed:
            self.alarms.append(Alarm(as_of, "drift", diagnosis.kind))
        self.harmed = diagnosis.retrain
        self._ask(Entry("triggered", as_of, f"calendar-{as_of}", cause="manual"))

    def _promote(self, as_of: int, model: Model) -> None:
        self.formers = [self.champion, *self.formers]
        super()._promote(as_of, model)

    def _ask(self, event: Entry) -> None:
        """Let the controller say whether a run may start; if it may, learn and let the gate judge."""
        decision = controller.decide(self.journal, event, self.desk.block.retrain, event.at)
        self.journal += decision.append
        if decision.start:
            status = self._learn(event.at)
            ending = {"pass": "promoted", "fail": "rejected"}.get(status, "rejected")
            self._note(Entry("finished", event.at, event.run, verdict=status))
            if ending == "promoted":
                self._note(Entry("promoted", event.at, event.run))

    def _note(self, entry: Entry) -> None:
        self.journal += controller.decide(self.journal, entry, self.desk.block.retrain, entry.at).append

    def _learn(self, as_of: int) -> Literal["pass", "fail", "unsure"]:
        if stopped := self.feeds.valid(as_of):
            self.notes.append((as_of, f"not valid: {stopped[0]}"))
            return "unsure"
        challenger = self._train(as_of, self.feeds.held(as_of), self.feeds.rows_without(as_of))
        began = time.process_time()
        first, _ = self.desk.parts(as_of).holdout
        looks = sum(last > first for last in self.judged_until)
        self.judged_until.append(self.desk.parts(as_of).holdout[1])
        verdict = ours.judge(self.desk, self.feeds, challenger, self.champion, as_of, looks)
        self.cpu += time.process_time() - began
        failed = [f"{f.name} {f.status}" for f in verdict.findings if f.status != "pass"]
        self.notes.append((as_of, f"{verdict.status}: {', '.join(failed)}"))
        if verdict.status == "pass":
            self._promote(as_of, challenger)
        return verdict.status


POLICIES = (Never, Weekly, EvidentlyRule, PointCompare, Ours)

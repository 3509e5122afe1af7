"""The platform's own decisions on the benchmark's shop: one thin adapter over the watch, the validation, the controller and the gate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.lifecycle.learning import NOTHING, Desk, Held, Model
from pipelines.checks import history, suite
from pipelines.core.clock import DAY, instant, micros
from pipelines.core.verdict import Finding, Verdict
from pipelines.evaluation import gate, recall
from pipelines.evaluation.evidence import Evidence
from pipelines.evaluation.triage import Diagnosis, triage
from pipelines.evaluation.windows import history_needed
from pipelines.shop.contracts import CONTRACTS
from pipelines.steps import looking
from pipelines.steps.outcomes import Outcomes
from pipelines.steps.rows import amounts, groups

SUITES = Path(__file__).resolve().parents[2] / "great_expectations"
PARITY = Finding("parity", "pass", 0.0, "the exported model equals the trained one")
"""The export is not made here; that it equals the model is what tests/models shows."""
BUDGETS = {"latency_ms": 1.0, "size_mb": 1.0, "champion_latency_ms": 1.0, "champion_size_mb": 1.0, "memory_mb": 1.0}
"""What is not measured here; of these the gate takes those that it asks for."""


@dataclass(frozen=True)
class FeedLook:
    """A Monday morning's look at the feeds: what failed, in words, the days newly found broken, and what is held since.

    `known`: all that failed was told before.
    """

    as_of: int
    failing: tuple[str, ...]
    broken: tuple[str, ...]
    known: bool
    held: Held


class Feeds:
    """The use case's feeds as the watch sees them. No policy changes them, so one watch serves all.

    A look goes through the seven days of its window one by one, each against what was known at its end; so looks on Mondays
    find the broken days that daily looks would have found, each on the morning after.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._columns: Mapping[str, pa.Table] = {kind: _plain(desk.shop.tables[kind], kind) for kind in desk.case.kinds}
        self.looks: dict[int, FeedLook] = {}
        began = time.process_time()
        before = FeedLook(desk.first, (), (), known=False, held=NOTHING)
        for as_of in desk.mondays[1:]:
            before = self.looks[as_of] = self._look(as_of, before)
        self.cpu = time.process_time() - began

    def _look(self, as_of: int, before: FeedLook) -> FeedLook:
        held = before.held
        shop, case, block = self.desk.shop, self.desk.case, self.desk.block
        since = as_of - history_needed(replace(block.monitor, window=timedelta(days=7))) - 8 * DAY
        tables = {kind: _between(self._columns[kind], since, as_of, kind, held) for kind in case.kinds}
        refused = {kind: shop.refused[kind][shop.refused[kind] < as_of] for kind in case.kinds}
        findings, broken = looking.feeds(case, block, tables, as_of, refused, since=as_of - 7 * DAY, held=held)
        failing = tuple(f.sentence() for f in findings if f.status == "fail")
        found = {(kind, name) for kind, days in broken.items() for name in days}
        fresh = tuple(sorted(name for kind, name in found - held))
        return FeedLook(as_of, failing, fresh, not fresh and bool(found or before.failing), held | found)

    @cached_property
    def finally_held(self) -> Held:
        return self.looks[self.desk.mondays[-1]].held

    def at(self, as_of: int) -> FeedLook:
        """The look of the morning."""
        return self.looks[as_of]

    def held(self, as_of: int) -> Held:
        """What is held by then and can still touch a training row."""
        reach = self.desk.reach(as_of)
        return frozenset((kind, day) for kind, day in self.at(as_of).held if instant(day) >= reach)

    def rows_without(self, as_of: int) -> Held:
        """The rows to learn from: those without all that is ever held, where every such day before `as_of` is held by now."""
        due = {(kind, day) for kind, day in self.finally_held if instant(day) < as_of}
        return self.finally_held if due <= self.at(as_of).held else self.at(as_of).held

    def valid(self, as_of: int) -> list[str]:
        """What the validation of the snapshot would stop the training for, in words: the history half of each feed's suite."""
        held = self.at(as_of).held
        found = []
        for kind in self.desk.case.kinds:
            table = _between(self._columns[kind], as_of - 7 * (history.WEEKS + 2) * DAY, as_of, kind, held)
            expected = suite.read(SUITES, CONTRACTS[kind]).history
            days = [day for name, day in held if name == kind]
            past = [f for f in history.compare(kind, table, expected, as_of=as_of, held=days) if f.status == "fail"]
            found += [f.sentence() for f in past]
            newest = int(table["arrived"].to_numpy().max(initial=0))
            if as_of - newest >= micros(CONTRACTS[kind].freshness):
                found.append(f"{kind}: the feed has stopped")
        return found


def _plain(table: pa.Table, kind: str) -> pa.Table:
    """The columns that the watch looks at: keys and prose are none of them."""
    contract = CONTRACTS[kind]
    fields = [f.name for f in contract.fields if not f.key and looking.FEED_KINDS.get(f.type) != "text"]
    return table.select(["ts", "arrived", *fields])


def _between(table: pa.Table, since: int, until: int, kind: str, held: Held) -> pa.Table:
    """What arrived in the time and is not held; the table is in the order of arrival."""
    arrived = table["arrived"].to_numpy()
    first, last = np.searchsorted(arrived, [since, until])
    part = table.slice(first, last - first)
    days = [instant(day) for name, day in held if name == kind]
    return part.filter(pa.array(~np.isin(arrived[first:last] // DAY * DAY, days))) if days else part


def look(desk: Desk, feeds: Feeds, champion: Model, as_of: int, formers: Sequence[Model]) -> tuple[Diagnosis, int]:
    """The watch's whole look of a Monday morning: what it makes of it with the windows of labels before; and how many models back
    the one is that would answer better; 0 for none."""
    watch, failing = desk.block.monitor, feeds.at(as_of).failing
    holdout = desk.parts(champion.as_of).holdout
    rows = desk.known((min(desk.watched(as_of), holdout[0]), as_of), as_of, feeds.held(as_of), feeds.rows_without(as_of))
    scores = champion.score(rows)
    outcomes = Outcomes.at(desk.case, desk.block, rows, scores, as_of, holdout)
    # A broken day stops one morning's look; those of the other mornings of the week asked the models before all the same.
    said = outcomes.recall({str(back): model.score(rows) for back, model in enumerate(formers[: recall.MOST], 1)})
    back = int(recall.best(said) or 0)
    if failing:
        broken = [Finding(f"quality: {sentence}", "fail", None, "a feed as before") for sentence in failing]
        return triage([broken], watch), back
    findings = [Finding("quality: feeds", "pass", 0.0, "feeds as before")]
    findings += looking.shifts(desk.case, desk.block, rows, scores, as_of, champion.weigh)
    found = outcomes.performance()
    findings += [outcomes.estimated(as_of), found]
    before = outcomes.lasting() if found.status == "fail" else []
    return triage([*before, findings], watch), back


def judge(desk: Desk, feeds: Feeds, challenger: Model, champion: Model, as_of: int, looks: int) -> Verdict:
    """The gate's verdict on the holdout of the moment, by the primary metric and all that decides; `looks` were spent on it."""
    rows = desk.labelled(desk.parts(as_of).holdout, as_of, challenger.held, feeds.rows_without(as_of))
    case = replace(desk.case, metrics=desk.case.metrics[:1])
    evidence = Evidence(
        labels=rows["label"], unit=rows[case.unit], challenger=challenger.score(rows), baseline=challenger.trivial(rows),
        champion=champion.score(rows), slices={name: rows[name] for name in case.slices}, amounts=amounts(case, rows),
        ask=groups(case, rows), card=rows.columns.get("card"), ts=rows["ts"],
        looks=looks, parity=PARITY, **{name: one for name, one in BUDGETS.items() if name in Evidence.__dataclass_fields__},
    )  # fmt: skip
    return gate.judge(case, desk.block.gate, evidence, seed=desk.block.train.seed).verdict(f"{case.name}")

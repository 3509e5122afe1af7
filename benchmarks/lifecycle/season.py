"""One use case through one shop: every policy week by week, beside an oracle that knows what each model would have cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.lifecycle.learning import Desk, Model
from benchmarks.lifecycle.ours import Feeds
from benchmarks.lifecycle.policies import POLICIES, WEEK, Policy
from benchmarks.lifecycle.shop import Setting, Shop
from pipelines.core.clock import DAY, days
from pipelines.core.params import Block
from pipelines.core.usecase import UseCase
from pipelines.shop.incidents import Incident
from pipelines.steps.workspace import Workspace

CHANGES = {"fraud": ("concept_change",), "demand": ("price_response", "level_shift")}
"""Changes of the world that a model should learn, by use case; their end is a change too."""
FAULTS = ("unit_bug", "null_column", "late_partition", "label_outage", "bot_attack")
"""What breaks a feed; it concerns the use cases that read the feed."""
SEEN_WITHIN = {"change": 56, "fault": 14}
"""An alarm within so many days after the first day of a change, or the last of a fault, has found it."""
NEAR, FORTNIGHTS = 1.10, 4
"""Recovered: over four weeks no more than ten percent dearer than the oracle."""


def block_of(workspace: Workspace, case: str, setting: Setting) -> Block:
    """The use case's parameters as they are shipped, but for what lets hundreds of trainings and looks fit into the time: a shorter
    reference span, fewer resamples; and for fraud a shorter training span, and a longer holdout, for these shops are small."""
    block = workspace.params.block(case)
    shorter = {"train": days(setting.train), "holdout": days(setting.holdout)} if case == "fraud" else {}
    return replace(
        block,
        split=replace(block.split, **shorter),
        gate=replace(block.gate, resamples=400),
        monitor=replace(block.monitor, reference=days(28)),
    )


def season(shop: Shop, case: UseCase, block: Block) -> dict[str, Any]:
    """The figures of every policy in this shop, as plain JSON data; `cpu` is the one that no two runs share."""
    desk = Desk(shop, case, block)
    return figures_of(desk, *through(desk))


def through(desk: Desk) -> tuple[Feeds, list[Policy], dict[str, list[Model]]]:
    """The feeds' watch, the policies after the last Monday, and which model answered in each week."""
    feeds = Feeds(desk)
    first = desk.model(desk.mondays[0])
    policies = [policy(desk, feeds, first) for policy in POLICIES]
    answering: dict[str, list[Model]] = {policy.name: [] for policy in policies}
    for monday in desk.mondays:
        for policy in policies:
            if monday > desk.mondays[0]:
                policy.monday(monday)
            answering[policy.name].append(policy.champion)
    return feeds, policies, answering


def figures_of(
    desk: Desk, feeds: Feeds, policies: Sequence[Policy], answering: Mapping[str, Sequence[Model]]
) -> dict[str, Any]:
    """What the policies have cost, seen and done."""
    shop, case = desk.shop, desk.case
    paid = Paid(desk, desk.mondays)
    oracle = paid.oracle()
    happened = events(shop, case)
    quiet = quiet_days(shop, happened)
    return {
        "seed": shop.seed, "case": case.name, "asks": len(desk.served), "incidents": [str(i) for i in shop.incidents],
        "held": sorted(feeds.finally_held), "oracle": oracle.round().astype(int).tolist(), "quiet": len(quiet),
        "policies": {p.name: _figures(p, answering[p.name], paid, oracle, happened, quiet) for p in policies},
    }  # fmt: skip


class Paid:
    """What each model would have cost in each week from its training on, in cents."""

    def __init__(self, desk: Desk, mondays: Sequence[int]) -> None:
        self.desk, self.mondays = desk, mondays
        self.models = desk.models
        rows = desk.served
        rows = rows.take(rows["ts"] >= mondays[0])
        week = (rows["ts"] - mondays[0]) // WEEK
        self._cents = {}
        for model in self.models:
            mine = rows.take(rows["ts"] >= model.as_of)
            cents = desk.cents(mine, model.score(mine))
            self._cents[id(model)] = np.bincount(week[rows["ts"] >= model.as_of], cents, len(mondays))

    def of(self, model: Model) -> np.ndarray:
        """Cents by week; only those from its training on mean anything."""
        return self._cents[id(model)]

    def oracle(self) -> np.ndarray:
        """Each week the cheapest of the models that any policy had trained by then, chosen by the truth of that very week."""
        best = [
            min(self.of(model)[week] for model in self.models if model.as_of <= monday)
            for week, monday in enumerate(self.mondays)
        ]
        return np.array(best)


def events(shop: Shop, case: UseCase) -> list[tuple[str, int, int, str]]:
    """What calls for an action: (change or fault, first day, last day, in words). The end of a change is a change."""
    end = shop.setting.history + 7 * shop.setting.weeks
    found = []
    for incident in shop.incidents:
        if incident.name in CHANGES[case.name]:
            found.append(("change", incident.first_day, incident.first_day, incident.name))
            if incident.until < end:
                found.append(("change", incident.until, incident.until, f"{incident.name} ends"))
        if incident.name in FAULTS and _kind(incident) in case.kinds:
            found.append(("fault", incident.first_day, incident.until - 1, f"{incident.name} of {_kind(incident)}"))
    return found


def _kind(incident: Incident) -> str:
    return incident.kind or "view_item"


def quiet_days(shop: Shop, happened: Sequence[tuple[str, int, int, str]]) -> set[int]:
    """The watched days on which nothing calls for an action, nor did shortly before."""
    first, last = shop.setting.history, shop.setting.history + 7 * shop.setting.weeks
    quiet = set(range(first, last))
    for what, begin, end, _ in happened:
        quiet -= set(range(begin, end + SEEN_WITHIN[what]))
    return quiet


def _figures(
    policy: Policy, champions: Sequence[Model], paid: Paid, oracle: np.ndarray, happened: Sequence[Any], quiet: set[int]
) -> dict[str, Any]:
    start = policy.desk.shop.start
    cents = np.array([paid.of(model)[week] for week, model in enumerate(champions)])
    seen = {f"{words} on day {begin}": _seen(policy, begin, end, what) for what, begin, end, words in happened}
    recovered = {
        f"{words} on day {begin}": _recovered(policy, cents, oracle, paid, begin)
        for what, begin, _, words in happened
        if what == "change"
    }
    false = [alarm.at for alarm in policy.alarms if (alarm.at - start) // DAY - 1 in quiet]
    dearer = [at for at, old, new in policy.promoted if (at - start) // DAY in quiet and _dearer(paid, at, old, new)]
    return {
        "cents": cents.round().astype(int).tolist(), "retrainings": len(policy.trained), "promotions": len(policy.promoted),
        "alarms": [[(a.at - start) // DAY, a.about, a.words] for a in policy.alarms],
        "false_alarms": len(false), "dearer": len(dearer), "seen": seen, "recovered": recovered,
        "notes": [[(at - start) // DAY, words] for at, words in policy.notes], "cpu": round(policy.cpu, 2),
    }  # fmt: skip


def _seen(policy: Policy, begin: int, end: int, what: str) -> int | None:
    """Days from the first moment of it to the first alarm that it explains; a fault is found by an alarm about data."""
    first, last = policy.desk.shop.midnight(begin), policy.desk.shop.midnight(end + SEEN_WITHIN[what])
    found = [a.at for a in policy.alarms if first < a.at <= last and (what == "change") == (a.about == "drift")]
    if policy.name == "Evidently's rule":
        found = [a.at for a in policy.alarms if first < a.at <= last]
    return (min(found) - first) // DAY if found else None


def _recovered(policy: Policy, cents: np.ndarray, oracle: np.ndarray, paid: Paid, day: int) -> int | None:
    """Days from the change to the first Monday from which four weeks cost at most a tenth more than the oracle's, not before there
    was a model that had learnt from the changed world; None where it never was."""
    change = policy.desk.shop.midnight(day)
    ready = min((model.as_of for model in paid.models if model.newest >= change), default=None)
    for week, monday in enumerate(paid.mondays[: len(cents) - FORTNIGHTS + 1]):
        span = slice(week, week + FORTNIGHTS)
        if ready is not None and monday >= ready and cents[span].sum() <= NEAR * oracle[span].sum():
            return (monday - change) // DAY
    return None


def _dearer(paid: Paid, at: int, old: Model, new: Model) -> bool:
    week = (at - paid.mondays[0]) // WEEK
    span = slice(week, week + FORTNIGHTS)
    return bool(paid.of(new)[span].sum() > paid.of(old)[span].sum())

"""monitor: look for broken data, drift and falling quality; say so by mail; propose a retraining where a shift harms."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.clock import day_of, duration, instant, iso
from pipelines.core.errors import NotDecidable, ShelflifeError
from pipelines.core.verdict import Finding
from pipelines.evaluation import controller
from pipelines.evaluation.controller import Entry
from pipelines.steps import alarms, journal, looking, skew
from pipelines.steps.pulse import pulse
from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.core.params import Block
    from pipelines.evaluation.triage import Diagnosis
    from pipelines.store.home import Home

CAUSES = {"concept change": "drift", "harmful shift": "drift", "age": "age"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", nargs="*", help="the use cases; all of them by default")
    parser.add_argument("--as-of", help="the instant to look from; the last closed day by default")
    parser.add_argument(
        "--snooze", metavar="DURATION", help="write no mail about these use cases' alarms for so long, such as 7d"
    )
    parser.add_argument(
        "--check", action="store_true", help="only say whether the monitor has looked lately; status 1 where it has not"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    for case in args.case:
        workspace.params.block(case)
    if args.check:
        found = pulse(workspace, home := open_home(workspace), home.clock()())
        return {**found, "exit": int(found["watch"] != "fresh")}
    if args.snooze:
        return _snooze(open_home(workspace), args.case, args.snooze)
    as_of = instant(args.as_of) if args.as_of else None
    return monitor(workspace, open_home(workspace), args.case or list(workspace.params.cases), as_of)


def _snooze(home: Home, cases: list[str], text: str) -> dict[str, Any]:
    if not cases:
        raise ShelflifeError("wanted a use case with --snooze, such as shelflife monitor fraud --snooze 7d")
    try:
        told = {case: alarms.snooze(home, case, duration(text), home.clock()()) for case in cases}
    except (ValueError, OverflowError):
        raise ShelflifeError(f"--snooze: wanted a duration such as 12h or 7d, got {text!a}") from None
    return {"text": "\n".join(found["text"] for found in told.values()), "snoozed": told}


@dataclass(frozen=True)
class Look:
    """What one look at a use case found, and what was done about it."""

    case: str
    as_of: int
    diagnosis: Diagnosis
    findings: tuple[Finding, ...]
    done: tuple[str, ...]
    proposal: str | None

    def sentence(self) -> str:
        return f"{self.case}: {self.diagnosis.kind}. {' '.join(self.done)}".strip()


def monitor(workspace: Workspace, home: Home, cases: list[str], as_of: int | None = None) -> dict[str, Any]:
    """Look at each use case once. One that cannot be looked at is "cannot decide" and does not keep the others from being seen."""
    from rich.progress import track

    from pipelines.shop.contracts import CONTRACTS

    now = home.clock()()
    home.landing.land(home.log, CONTRACTS, until=now)
    at = min(as_of or now, home.landing.closed_until())
    looks = [look(workspace, home, case, at, now) for case in track(cases, "looking", transient=True)]
    delivered = home.outbox.deliver(workspace.params.shop.mail, now)
    home.state.put("monitored", str(now))
    proposals = [{"case": found.case, "as_of": iso(at), "run": found.proposal} for found in looks if found.proposal]
    text = "\n".join([*(found.sentence() for found in looks), f"mail: {delivered.sent} sent, {delivered.waiting} waiting"])
    rows = [{"case": f.case, **f.diagnosis.to_dict(), "done": list(f.done)} for f in looks]
    return {"text": text, "as_of": iso(at), "looks": rows, "proposals": proposals}


def look(workspace: Workspace, home: Home, case: str, as_of: int, now: int) -> Look:
    """Look, diagnose, act, and keep what was seen."""
    from pipelines.evaluation.triage import Diagnosis, triage

    block = workspace.params.block(case)
    journal.note_lost(workspace, home, case, now)
    try:
        seen = looking.see(workspace, home, case, as_of)
    except (NotDecidable, ShelflifeError) as error:
        return Look(case, as_of, Diagnosis("cannot decide", (str(error),)), (), ("The champion keeps answering.",), None)
    seen = replace(seen, findings=[*seen.findings, *skew.check(workspace, home, case, as_of)])
    diagnosis = triage([*seen.before, seen.findings], block.monitor)
    done, proposal = act(workspace, home, case, diagnosis, seen, now)
    body = {
        "as_of": iso(as_of),
        "diagnosis": diagnosis.to_dict(),
        "findings": [_plain(f) for f in seen.findings],
        "done": list(done),
        "broken_days": {kind: list(found) for kind, found in seen.broken_days.items()},
        "money": seen.money and seen.money.to_dict(),
        "formers": [_plain(f) for f in seen.former.values()],
    }
    home.decisions.record("look", case, as_of, body)
    return Look(case, as_of, diagnosis, tuple(seen.findings), done, proposal)


def act(
    workspace: Workspace, home: Home, case: str, diagnosis: Diagnosis, seen: looking.Seen, now: int
) -> tuple[tuple[str, ...], str | None]:
    """What is done about a diagnosis, in words, and the id of the run that is proposed, if one is."""
    done: list[str] = []
    proposal = None
    block = workspace.params.block(case)
    if diagnosis.quarantine:
        done += _quarantine(home, seen, diagnosis, now)
    cause = diagnosis.kind if diagnosis.retrain else _age(home, case, block, now)
    if cause:
        name = f"{CAUSES[cause]}-{day_of(seen.as_of)}"
        event = Entry("triggered", now, name, cause=cause, labels=seen.labels, positives=seen.positives)
        decision = journal.note(workspace, home, case, event)
        proposal = name if decision.start else None
        done.append("Retraining is proposed." if decision.start else f"No retraining: {decision.reason}.")
    if diagnosis.kind != "quiet":
        done.append("The champion keeps answering.")
    done += alarms.way_back(case, seen.former)
    currency = workspace.params.shop.currency
    if said := alarms.raise_alarms(home, case, block.monitor, diagnosis, seen, done, now, currency):
        done.append(said)
    if said := alarms.raise_served(home, case, block.monitor, seen.findings, seen.as_of, now):
        done.append(said)
    if said := alarms.raise_back(home, case, block.monitor, seen.former, seen.as_of, now):
        done.append(said)
    return tuple(done), proposal


def _quarantine(home: Home, seen: looking.Seen, diagnosis: Diagnosis, now: int) -> list[str]:
    """Hold the broken days, so that nothing is trained on them."""
    held = [(kind, day) for kind, days in seen.broken_days.items() for day in days]
    for kind, day in held:
        home.quarantine.hold_partition(kind, day, diagnosis.evidence[0], now)
    return (
        [f"Held from training: {', '.join(f'{kind} of {day}' for kind, day in held)}."]
        if held
        else ["No single day could be named; nothing is held."]
    )


def _age(home: Home, case: str, block: Block, now: int) -> str | None:
    state = controller.fold(journal.entries(home, case))
    return "age" if controller.too_old(state, block.retrain, now) else None


def _plain(finding: Finding) -> Mapping[str, Any]:
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in vars(finding).items()
    }

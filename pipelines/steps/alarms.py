"""One mail per cause: what moved, by how much, what it costs, what was done, what you can do, how often such alarms were right."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import iso, micros, spell
from pipelines.core.verdict import Finding
from pipelines.evaluation.alarm import BACK, CALLS, SERVED, Alarm, Told, better, follow, served, told
from pipelines.evaluation.recall import best
from pipelines.evaluation.triage import Diagnosis
from pipelines.steps import journal

if TYPE_CHECKING:
    from pipelines.core.params import Monitor
    from pipelines.steps.looking import Seen
    from pipelines.steps.outcomes import Money
    from pipelines.store.home import Home

SUBJECTS = {"broken data": "data broken", "concept change": "model drifting", "harmful shift": "model drifting"}
ADVICE = {
    "broken data": "Mend the feed. shelflife quarantine list shows the refused rows and why; replay takes them again "
    "(--scale amount_cents=0.01 mends a unit), free lets the day train again (--false-alarm, if nothing was wrong with it).",
    "concept change": "Follow the run in Airflow; a release of high risk waits for your approval. To keep things as they are: shelflife rollback {case} --hold",
}
QUIETER = "To hear no more of it for a week: shelflife monitor {case} --snooze 7d"
REMEMBERED = 60
"""Looks back that say how long a cause has lasted; alarms back that say how often such were right."""


@dataclass(frozen=True)
class Record:
    """What became of earlier alarms of one cause: `right` (the challenger was better; the data stayed held), `wrong`, or still `open`."""

    right: int = 0
    wrong: int = 0
    open: int = 0

    def sentence(self) -> str:
        if not self.right + self.wrong:
            return f"No earlier alarm of this kind has been settled yet ({self.open} open)."
        return f"Of {self.right + self.wrong} settled alarms of this kind {self.right} were right, {self.wrong} were not; {self.open} are open."


def raise_alarms(
    home: Home, case: str, monitor: Monitor, diagnosis: Diagnosis, seen: Seen, done: Sequence[str], now: int, currency: str
) -> str:
    """Put the mails that this look calls for into the outbox: one for each cause that is new, one for each that is over. In words,
    what was not sent and why; nothing where there is nothing to say.
    """
    looks = [*_looks(home, case, monitor, seen.as_of), told(seen.as_of, diagnosis, seen.findings, monitor)]
    mine = _followed(home, case, monitor, looks, now)
    if mine is None:
        return ""
    words = text(case, diagnosis, seen, done, record(home, case, mine), currency)
    return _send(home, case, mine, SUBJECTS[diagnosis.kind], words, now)


def raise_served(home: Home, case: str, monitor: Monitor, findings: Sequence[Finding], as_of: int, now: int) -> str:
    """The same for features that were served otherwise than batch makes them: one mail when it begins, one when it is over."""
    before = home.decisions.last(case, "look", REMEMBERED, before=as_of)
    looks = [*(served(d.at, [Finding(**row) for row in d.body["findings"]]) for d in before), served(as_of, findings)]
    mine = _followed(home, case, monitor, looks, now)
    if mine is None:
        return ""
    moved = [f.sentence() for f in findings if f.name.startswith("skew: ") and f.status == "fail"]
    lines = [
        f"{case}: features that were served differ from what batch makes of the same events, seen as of {iso(as_of)}.", "",
        *(f"- {sentence}" for sentence in moved), "",
        "The model was judged on batch's features, so its answers are worth less than its verdict says.", "",
        "What you can do:", "- Stop shelflife stream, delete the file of these features in online/, and start it: it is made anew from the log.",
        f"- shelflife rollback {case}, if another release answers from other features.", f"- {QUIETER.format(case=case)}",
    ]  # fmt: skip
    return _send(home, case, mine, SERVED, "\n".join(lines) + "\n", now)


def raise_back(home: Home, case: str, monitor: Monitor, formers: Mapping[str, Finding], as_of: int, now: int) -> str:
    """The same for a release that answered before and would answer better: one mail when it would, one when it is over."""
    before = home.decisions.last(case, "look", REMEMBERED, before=as_of)
    looks = [better(d.at, {row["name"]: Finding(**row) for row in d.body.get("formers", [])}) for d in before]
    mine = _followed(home, case, monitor, [*looks, better(as_of, formers)], now)
    if mine is None:
        return ""
    lines = [
        f"{case}: a release that answered before would answer better, seen as of {iso(as_of)}.", "",
        *(f"- {finding.sentence()}" for finding in formers.values()), "",
        "They were asked the same asks as the champion, on the newest matured labels. A change that ends makes the model that had learnt it the wrong one.",
        "", "What you can do:", *(f"- {words}" for words in way_back(case, formers)), f"- {QUIETER.format(case=case)}",
    ]  # fmt: skip
    return _send(home, case, mine, BACK, "\n".join(lines) + "\n", now)


def way_back(case: str, formers: Mapping[str, Finding]) -> list[str]:
    """What a person can do at once, where a release that answered before would answer better."""
    name = best(formers)
    if name is None:
        return []
    back = list(formers).index(name) + 1
    times = "" if back == 1 else f", {back} times"
    return [
        f"A release that answered before would do better: {formers[name].sentence()}. To let it answer: shelflife rollback {case}{times}."
    ]


def _followed(home: Home, case: str, monitor: Monitor, looks: Sequence[Told], now: int) -> Alarm | None:
    """Say which alarms are over, and return the one that the newest look is about, which is kept as a decision."""
    alarms, over = follow(looks, monitor)
    for alarm in over:
        home.outbox.post(
            key=f"over:{case}:{alarm.cause}:{iso(alarm.since)}",
            subject=f"[shelflife] {case}: well again",
            text=_recovery(case, alarm, looks[-1].at),
            at=now,
        )
    mine = next((a for a in alarms if a.cause == looks[-1].cause), None)
    if mine is not None:
        home.decisions.record("alarm", case, mine.since, {"cause": mine.cause})
    return mine


def _send(home: Home, case: str, alarm: Alarm, subject: str, words: str, now: int) -> str:
    """Put the mail into the outbox, once an alarm; in words why not, where alarms are snoozed."""
    if until := snoozed(home, case, now):
        return f"No mail: snoozed until {iso(until)}."
    home.outbox.post(
        key=f"alarm:{case}:{alarm.cause}:{iso(alarm.since)}", subject=f"[shelflife] {case}: {subject}", text=words, at=now
    )
    return ""


def text(case: str, diagnosis: Diagnosis, seen: Seen, done: Sequence[str], past: Record, currency: str) -> str:
    """The mail's text."""
    advice = ADVICE["concept change" if diagnosis.retrain else diagnosis.kind].format(case=case)
    lines = [
        f"{case}: {diagnosis.kind}, seen as of {iso(seen.as_of)}.", "",
        "What moved:", *(f"- {sentence}" for sentence in diagnosis.evidence[:10]), "",
        "What it costs:", f"- {cost(seen.money, currency)}", "",
        "What was done:", *(f"- {sentence}" for sentence in done), "",
        "What you can do:", f"- {advice}", f"- shelflife why {case}", f"- {QUIETER.format(case=case)}", "",
        "How often such alarms were right:", f"- {past.sentence()}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def cost(money: Money | None, currency: str) -> str:
    """What the answers cost a day more than before, in words."""
    if money is None:
        return "Not known: no matured label says it yet, or nobody has put money on these answers."
    low, middle, high = (f"{cents / 100:,.2f}" for cents in (money.low, money.cents, money.high))
    return f"{middle} {currency} a day more than before ({low} to {high}), by the matured labels."


def _recovery(case: str, alarm: Alarm, as_of: int) -> str:
    return f"{case}: well again as of {iso(as_of)}.\n\nThe alarm of {iso(alarm.since)} ({alarm.cause}) is over: the last looks were calm.\n"


def _looks(home: Home, case: str, monitor: Monitor, as_of: int) -> list[Told]:
    """The looks before, in short, oldest first."""
    return [_told(d.at, d.body, monitor) for d in home.decisions.last(case, "look", REMEMBERED, before=as_of)]


def _told(at: int, body: Any, monitor: Monitor) -> Told:
    diagnosis = Diagnosis(body["diagnosis"]["kind"], tuple(body["diagnosis"]["evidence"]))
    return told(at, diagnosis, [Finding(**row) for row in body["findings"]], monitor)


def record(home: Home, case: str, alarm: Alarm) -> Record:
    """What became of the alarms of this kind before this one."""
    earlier = home.decisions.last(case, "alarm", REMEMBERED, before=alarm.since)
    same = [d.at for d in earlier if d.body["cause"].split(" (")[0] == alarm.cause.split(" (")[0]]
    settle = _data_stood if alarm.cause.startswith("data broken") else _model_stood
    outcomes = [settle(home, case, at) for at in same]
    return Record(outcomes.count(True), outcomes.count(False), outcomes.count(None))


def _model_stood(home: Home, case: str, at: int) -> bool | None:
    """Whether the run that the alarm led to was better than what it found (None: it has not ended, or could not decide)."""
    entries = [entry for entry in journal.entries(home, case) if entry.at >= at]
    run = next((e.run for e in entries if e.name == "started" and e.cause in CALLS), None)
    ended = [e for e in entries if e.run == run and e.name in ("promoted", "finished", "rejected")]
    if any(e.name == "promoted" or e.verdict == "pass" for e in ended):
        return True
    return False if any(e.verdict == "fail" for e in ended) else None


def _data_stood(home: Home, case: str, at: int) -> bool | None:
    """Whether nobody called the alarm false when the day was freed (None: the day is still held)."""
    look = next((d for d in home.decisions.last(case, "look", 1, before=at + 1) if d.at == at), None)
    days = [(kind, day) for kind, found in (look.body.get("broken_days", {}) if look else {}).items() for day in found]
    if not days:
        return None
    if any(home.state.get(f"false_alarm:{kind}:{day}") for kind, day in days):
        return False
    return None if set(days) & home.quarantine.held() else True


def snooze(home: Home, case: str, duration: timedelta, now: int) -> dict[str, Any]:
    """Write no mail about the use case's alarms until then; what is found is found all the same, and said if it lasts longer."""
    until = now + micros(duration)
    home.state.put(f"snooze:{case}", json.dumps(until))
    return {"text": f"{case}: no mail about its alarms for {spell(duration)}, until {iso(until)}", "until": iso(until)}


def snoozed(home: Home, case: str, now: int) -> int:
    """Until when the use case's alarms are snoozed; 0 where they are not (any more)."""
    until = int(json.loads(home.state.get(f"snooze:{case}") or "0"))
    return until if until > now else 0

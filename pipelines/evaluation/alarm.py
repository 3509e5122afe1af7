"""When an alarm opens, how long it is the same one, and when it is over: a pure function over the looks of a use case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.core.params import Monitor
from pipelines.core.verdict import Finding
from pipelines.evaluation.triage import Diagnosis

CALLS = frozenset({"broken data", "concept change", "harmful shift"})
"""What a person is written to about; the rest is in the console and in shelflife why."""
LEAVE = 0.5
"""Quality is well again when its fall is below this share of the fall that opens an alarm: what flutters about a limit stays one
alarm."""


SERVED = "served features differ"
BACK = "a release before does better"


@dataclass(frozen=True)
class Told:
    """What a look said, in short: `cause` names what a mail would be about, `calm` that nothing is left of any alarm."""

    at: int
    cause: str = ""
    calm: bool = False


@dataclass(frozen=True)
class Alarm:
    """An alarm that is open: its cause, the look that opened it (microseconds UTC), and how many calm looks there were since."""

    cause: str
    since: int
    calm: int = 0


def told(at: int, diagnosis: Diagnosis, findings: Sequence[Finding], monitor: Monitor) -> Told:
    """A look in short."""
    calls = diagnosis.kind in CALLS
    return Told(at, cause(diagnosis, findings) if calls else "", calm(diagnosis, findings, monitor))


def served(at: int, findings: Sequence[Finding]) -> Told:
    """A look in short, about served features alone (the skew ledger): their alarm is closed by their own calm looks."""
    skew = [f.status for f in findings if f.name.startswith("skew: ")]
    return Told(at, SERVED if "fail" in skew else "", bool(skew) and set(skew) == {"pass"})


def better(at: int, formers: Mapping[str, Finding]) -> Told:
    """A look in short, about the releases before alone: whether one of them would answer better. What could not be computed is
    not calm."""
    found = any(f.status == "pass" for f in formers.values())
    return Told(at, BACK if found else "", not found and all(f.low is not None for f in formers.values()))


def cause(diagnosis: Diagnosis, findings: Sequence[Finding]) -> str:
    """What the mail is about: the feeds that are broken, or the model. One cause is one alarm, whatever its columns are."""
    if diagnosis.kind != "broken data":
        return "model drifting"
    failing = [
        f.name.removeprefix("quality: ").split()[0] for f in findings if f.status == "fail" and f.name.startswith("quality: ")
    ]
    return f"data broken ({', '.join(sorted(set(failing)))})"


def calm(diagnosis: Diagnosis, findings: Sequence[Finding], monitor: Monitor) -> bool:
    """Whether nothing is left of any alarm. What could not be decided is not calm."""
    fallen = [f.observed for f in findings if f.name.startswith("performance: ") and isinstance(f.observed, float)]
    well = all(fall < LEAVE * monitor.drop for fall in fallen)
    return diagnosis.kind in ("quiet", "harmless shift") and bool(fallen) and well


def follow(looks: Sequence[Told], monitor: Monitor) -> tuple[list[Alarm], list[Alarm]]:
    """The alarms that are open after these looks (oldest first), and those that the newest look has closed.

    An alarm is over after `monitor.persist` calm looks in a row: to leave takes more than to enter, so that nothing flaps.
    """
    alarms: list[Alarm] = []
    over: list[Alarm] = []
    for look in looks:
        alarms = [replace(a, calm=a.calm + 1 if look.calm else 0) for a in alarms]
        over = [a for a in alarms if a.calm >= monitor.persist]
        alarms = [a for a in alarms if a.calm < monitor.persist]
        if look.cause and look.cause not in [a.cause for a in alarms]:
            alarms.append(Alarm(look.cause, look.at))
    return alarms, over

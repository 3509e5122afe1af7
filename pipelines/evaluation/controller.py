"""When to learn again: a pure function over the journal of what happened, so that retraining cannot storm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pipelines.core.clock import DAY, iso, micros
from pipelines.core.errors import ShelflifeError
from pipelines.core.params import Retrain
from pipelines.core.verdict import Status

Name = Literal["triggered", "started", "spent", "finished", "promoted", "rejected", "crashed", "held", "freed"]
NAMES = ("triggered", "started", "spent", "finished", "promoted", "rejected", "crashed", "held", "freed")
WEEK = 7 * DAY
"""How long CPU time counts against the budget."""
CAUSES = ("harmful shift", "concept change", "schedule", "age", "manual")
"""What may ask for a retraining. A crash, missing data and a harmless shift are none."""


@dataclass(frozen=True)
class Entry:
    """One event of the journal. `run` names the run, or the trigger that asked for it; `at` is microseconds UTC.

    A trigger has its `cause` and how many labels and positives matured since the last retraining; `finished` has the verdict's
    status; `spent` the CPU seconds that a part of the run took, whatever becomes of it; `held` and `freed` say by whom and why in
    `note`.
    """

    name: Name
    at: int
    run: str = ""
    cause: str = ""
    labels: int = 0
    positives: int = 0
    verdict: Status | None = None
    note: str = ""
    cpu: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ShelflifeError(f"wanted an entry of {', '.join(NAMES)}, got {self.name!a}")
        if not self.run and self.name not in ("held", "freed"):
            raise ShelflifeError(f"the entry {self.name} names no run; give its id")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Entry:
        return Entry(**data)


@dataclass(frozen=True)
class State:
    """What the journal adds up to. `flying` is the run that is under way; `judged` one that passed and waits for its promotion
    or a person's no. `rejections` and `crashes` count in a row.
    """

    now: int = 0
    seen: frozenset[str] = frozenset()
    flying: str | None = None
    judged: str | None = None
    started: int | None = None
    ended: int | None = None
    promoted: int | None = None
    rejections: int = 0
    crashes: int = 0
    held: str | None = None
    spent: tuple[tuple[int, float], ...] = ()

    def spent_since(self, at: int) -> float:
        """CPU seconds that learning took from that moment on."""
        return sum(cpu for when, cpu in self.spent if when >= at)

    @property
    def busy(self) -> str | None:
        return self.flying or self.judged


@dataclass(frozen=True)
class Decision:
    """What to do: `start` a run or not, whether a person must be asked, why, and the entries to append in the same
    transaction as the deed.
    """

    start: bool
    reason: str
    append: tuple[Entry, ...] = ()
    ask_person: bool = False


def fold(journal: Sequence[Entry]) -> State:
    """The state that the journal adds up to. An entry that makes no sense in its state (a duplicate, a late word of a run that
    is no longer under way) changes nothing but the clock.
    """
    state = State()
    for entry in journal:
        state = _step(state, entry)
    return state


def _step(state: State, entry: Entry) -> State:
    state = replace(state, now=max(state.now, entry.at))
    if entry.name == "triggered":
        return replace(state, seen=state.seen | {entry.run})
    if entry.name == "spent":
        recent = tuple(part for part in state.spent if part[0] >= state.now - WEEK)
        return replace(state, spent=(*recent, (state.now, max(entry.cpu, 0.0))))
    if entry.name == "held":
        return replace(state, held=entry.note or "held")
    if entry.name == "freed":
        return replace(state, held=None, rejections=0, crashes=0)
    if entry.name == "started":
        return state if state.busy else replace(state, flying=entry.run, started=state.now)
    return _end(state, entry) if entry.run == state.busy else state


def _end(state: State, entry: Entry) -> State:
    """What becomes of the run under way."""
    if entry.name == "crashed":
        return replace(state, flying=None, judged=None, ended=state.now, crashes=state.crashes + 1)
    if entry.name == "promoted":
        # Nothing is promoted that was not judged to pass first.
        passed = state.judged == entry.run
        done = replace(state, flying=None, judged=None, ended=state.now, promoted=state.now, rejections=0, crashes=0)
        return done if passed else state
    if entry.name == "finished" and state.flying and entry.verdict == "pass":
        return replace(state, flying=None, judged=entry.run, crashes=0)
    if entry.name == "rejected" or (entry.name == "finished" and state.flying):
        # An inconclusive challenger keeps the champion, but is no sign that learning is broken.
        rejections = state.rejections + (entry.verdict != "unsure")
        return replace(state, flying=None, judged=None, ended=state.now, rejections=rejections, crashes=0)
    return state


def decide(journal: Sequence[Entry], event: Entry, params: Retrain, now: int) -> Decision:
    """What to do about an event: only a trigger can start a run, and only when nothing stands against it.

    Pure: the same journal, event, parameters and time give the same decision. Time never goes back: the latest of `now` and
    the journal counts. Raises ShelflifeError for a trigger whose cause is none. A manual trigger need not wait for cooldown,
    labels, the budget or the breaker, the calendar's for neither cooldown nor labels; nothing passes a hold, a run under way or a
    holiday.
    """
    state = fold(journal)
    at = max(now, state.now)
    event = replace(event, at=at)
    if event.name != "triggered":
        return _note(state, event, params)
    if event.cause not in CAUSES:
        raise ShelflifeError(f"{event.cause!a} is no cause to retrain; wanted one of {', '.join(CAUSES)}")
    if event.run in state.seen:
        return Decision(False, f"the trigger {event.run!a} was heard before")
    if obstacle := _obstacle(state, event, params, at):
        return Decision(False, obstacle, (event,), ask_person=_open(state, params))
    return Decision(True, f"retraining for {event.cause}", (event, Entry("started", at, event.run, cause=event.cause)))


def _note(state: State, event: Entry, params: Retrain) -> Decision:
    """Write down what happened, if it changes anything; call a person when the breaker opens by it."""
    after = _step(state, event)
    if replace(after, now=0) == replace(state, now=0):
        return Decision(False, f"{event.name} changes nothing now")
    opened = _open(after, params) and not _open(state, params)
    words = (
        f"{after.rejections} challengers in a row were rejected: a person decides what next"
        if opened
        else f"{event.name} noted"
    )
    return Decision(False, words, (event,), ask_person=opened)


def _open(state: State, params: Retrain) -> bool:
    return state.rejections >= params.breaker


def _obstacle(state: State, event: Entry, params: Retrain, at: int) -> str:
    """Why no run may start now, or nothing."""
    if closed := closed_door(state, params, at):
        return closed
    if event.cause == "manual":
        return ""
    if _open(state, params):
        return f"{state.rejections} challengers in a row were rejected: a person must free it"
    if event.cause != "schedule" and at < (ready := ready_at(state, params)):
        return f"too soon: not before {iso(ready)}"
    budget, spent = params.budget.total_seconds(), state.spent_since(at - WEEK)
    if spent >= budget:
        return f"learning took {spent / 3600:.1f} hours of CPU in a week, its budget is {budget / 3600:.1f}"
    few = event.labels < params.min_labels or event.positives < params.min_positives
    if few and event.cause != "schedule":
        wanted = f"{params.min_labels} labels and {params.min_positives} positives"
        return f"wanted {wanted} matured since the last retraining, got {event.labels} and {event.positives}"
    return ""


def closed_door(state: State, params: Retrain, at: int) -> str:
    """What nobody's wish passes: a hold, a run under way, a holiday; or nothing."""
    if state.held:
        return f"retraining is held: {state.held}"
    if state.busy:
        return f"the run {state.busy!a} is under way"
    holiday = params.holiday(at)
    return f"nothing starts on the holiday {holiday}" if holiday else ""


def ready_at(state: State, params: Retrain) -> int:
    """The earliest moment for the next run: the cooldown after the last one's start; after crashes in a row 1, 2, 4 .. days."""
    if state.started is None:
        return 0
    rested = state.started + micros(params.cooldown)
    if not state.crashes:
        return rested
    return (state.ended or state.started) + min(DAY * 2 ** (state.crashes - 1), max(micros(params.cooldown), DAY))


def too_old(state: State, params: Retrain, now: int) -> bool:
    """Whether the champion is older than it may become, which is a cause (`age`) to retrain."""
    return state.promoted is not None and max(now, state.now) - state.promoted >= micros(params.max_age)

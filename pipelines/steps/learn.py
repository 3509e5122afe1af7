"""learn: open a run at a moment, run its stages in its own worktree, keep what it found as a commit, close it."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.core.clock import day_of, days, instant, iso, micros
from pipelines.core.errors import ShelflifeError
from pipelines.core.release import Moment
from pipelines.core.verdict import Verdict
from pipelines.evaluation.controller import Decision, Entry, decide, fold
from pipelines.steps import reproduce
from pipelines.steps.runs import Key, Run, Runs, key_of, small_outputs
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.core.usecase import UseCase
    from pipelines.store.home import Home

LEASE = days(2)
"""How long a run may hold its use case: longer than a person may take to approve. A closed run frees it at once."""
KEPT = 2
"""Closed worktrees of a use case that stay to be looked at; the commits of all stay."""
STATUSES = ("promoted", "rejected", "inconclusive", "declined", "refused", "backfilled", "crashed")
BUSY = 99
"""The exit status that Airflow takes as "skip": another run of this use case is in flight."""
ENDINGS: dict[str, tuple[Literal["promoted", "rejected", "crashed"], Literal["unsure"] | None]] = {
    "promoted": ("promoted", None),
    "rejected": ("rejected", None),
    "declined": ("rejected", None),
    "inconclusive": ("rejected", "unsure"),
    "refused": ("rejected", "unsure"),
    "crashed": ("crashed", None),
}
"""What the controller's journal hears of an ending, and how sure it is; nothing new where the verdict ended the run already."""
WORDS = {
    "rejected": "the challenger was rejected; the champion keeps answering",
    "inconclusive": "the evidence does not decide; the champion keeps answering",
    "declined": "nobody approved the release; the champion keeps answering",
    "refused": "the release was refused at the door; the champion keeps answering",
    "crashed": "the learn run broke down; the champion keeps answering",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    moment = _action(
        actions, "moment", "write the moment of a use case into this checkout, to reproduce or try things on a laptop"
    )
    moment.add_argument("--as-of", help="the instant, such as 2025-05-26; the last closed day by default")
    opening = _action(actions, "open", "begin a run: its moment, its worktree, its lease on the use case")
    opening.add_argument("--as-of", help="the instant, unless the key says it; the last closed day by default")
    opening.add_argument(
        "--backfill", action="store_true", help="compute what was known then; promote, mail and change nothing"
    )
    stage = _action(actions, "stage", "run one stage of dvc.yaml in this worktree")
    stage.add_argument("--stage", required=True, help="a stage of dvc.yaml, such as train")
    _action(actions, "record", "commit what the run found")
    ask = _action(actions, "ask", "mail the people who may approve")
    ask.add_argument("--link", default="", help="where they answer")
    close = _action(actions, "close", "end a run, free its use case, remove old worktrees")
    close.add_argument("--status", required=True, choices=STATUSES)
    for action in (
        opening,
        _action(actions, "list", "the runs there are"),
        *(actions.choices[name] for name in ("record", "ask", "close")),
    ):
        action.add_argument("--run", metavar="ID", required=action is not actions.choices["list"], help="the run's id")


def _action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print the result as JSON")
    action.add_argument(
        "case", nargs="?" if name == "list" else None, help="a use case, or a key such as fraud@2025-05-26T00:00:00Z"
    )
    return action


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    if args.action == "stage":
        return stage(workspace.root, Key.parse(args.case).case, args.stage)
    runs = Runs(workspace.root, home_folder(workspace))
    if args.action == "list":
        return listed(runs, args.case and Key.parse(args.case).case)
    key = Key.parse(args.case)
    home = workspace.home()
    if args.action == "moment":
        return moment_here(workspace, home, key.case, _as_of(args, key))
    if args.action == "open":
        return open_run(
            workspace, home, runs, key.case, args.run, as_of=_as_of(args, key), backfill=args.backfill or key.backfill
        )
    if args.action == "record":
        return record(workspace, home, runs, key.case, args.run)
    if args.action == "ask":
        return ask(workspace, home, runs, key.case, args.run, args.link)
    return close(workspace, home, runs, key, args.run, args.status)


def home_folder(workspace: Workspace) -> Path:
    return Path(os.environ.get("SHELFLIFE_HOME") or workspace.root / ".shelflife").resolve()


def _as_of(args: argparse.Namespace, key: Key) -> int | None:
    try:
        said = instant(args.as_of) if args.as_of else None
    except ValueError as error:
        raise ShelflifeError(str(error)) from None
    if None not in (said, key.as_of) and said != key.as_of:
        raise ShelflifeError(f"the key says {iso(key.as_of or 0)} and --as-of says {iso(said or 0)}; give one of them")
    return key.as_of if said is None else said


def open_run(
    workspace: Workspace, home: Home, runs: Runs, case: str, name: str, *, as_of: int | None = None, backfill: bool = False
) -> dict[str, Any]:
    """Begin a run, or find it begun: opening twice is opening once. A run that was recorded before is opened at its own commit.

    Raises ShelflifeError for an unknown use case or a moment whose days are not closed yet. Where another run of the use case
    is in flight the result says busy (exit status 99); a backfill asks for no lease, since it touches nothing that lives.
    """
    usecase = workspace.case(case)
    with runs.alone():
        found = runs.find(case, name)
        if found and not found.closed:
            return _opened(runs, found, usecase, "is open already")
        now = home.clock()()
        at = _closed(home, as_of, now)
        if not backfill and (busy := _busy(home, case, name, now)):
            return {"text": busy, "status": "busy", "exit": BUSY}
        if not backfill and (obstacle := _obstacle(workspace, home, case, name, now)):
            return {"text": f"{case} does not learn now: {obstacle}", "status": "held", "exit": BUSY}
        begun = Run(
            case, name, at, backfill, runs.deployed(), now, lease=0 if backfill else home.runs.lease(case, name, now, LEASE)
        )
        tree = runs.add(begun)
        if not runs.ref(begun.ref):
            moment = moment_of(workspace, home, usecase, begun)
            Workspace(tree).write_moment(moment)
            runs.commit(begun, f"{key_of(begun)}: the moment", [f"moments/{case}.yaml"])
        runs.write(begun)
    return _opened(runs, begun, usecase, "is open")


def moment_of(workspace: Workspace, home: Home, usecase: UseCase, run: Run) -> Moment:
    """What the world was when the run began. Opening the holdout is counted, except in a backfill, which judges on validation data."""
    case, at = usecase.name, run.as_of
    holdout = holdout_of(workspace, usecase, at)
    releases = home.releases
    looks = releases.looks(case, holdout) if run.backfill else releases.open_holdout(case, holdout, run.run, run.opened)
    held = home.quarantine.held(usecase.kinds)
    champion = _champion_then(home, case, at) if run.backfill else _champion_now(home, case)
    return Moment(
        case, at, home.landing.digest(usecase.kinds, at, held), champion, holdout, looks, opens_holdout=not run.backfill
    )


def holdout_of(workspace: Workspace, usecase: UseCase, as_of: int) -> str:
    """The name of the frozen holdout at a moment: the span of its asks. The same span is the same holdout, whoever opens it."""
    from pipelines.features.split import parts

    first, last = parts(as_of, usecase.label.matures, workspace.params.block(usecase.name).split).holdout
    return f"{iso(first)}/{iso(last)}"


def moment_here(workspace: Workspace, home: Home, case: str, as_of: int | None) -> dict[str, Any]:
    """Write the moment into this checkout. It opens no holdout: on a laptop evaluate judges on validation data."""
    usecase = workspace.case(case)
    now = home.clock()()
    at = _closed(home, as_of, now)
    holdout = holdout_of(workspace, usecase, at)
    held = home.quarantine.held(usecase.kinds)
    log = home.landing.digest(usecase.kinds, at, held)
    looks = home.releases.looks(case, holdout)
    path = workspace.write_moment(Moment(case, at, log, _champion_now(home, case), holdout, looks, opens_holdout=False))
    return {"text": f"{path.relative_to(workspace.root)}: {case} as of {iso(at)}", "as_of": iso(at)}


def stage(tree: Path, case: str, name: str) -> dict[str, Any]:
    """Run one stage in the worktree of the current folder, on its own code."""
    reproduce.own_code(tree)
    if tree.parent.name != "worktrees":
        raise ShelflifeError(f"wanted to be in a run's worktree, got {tree}; outside of one say dvc repro -s {name}@{case}")
    status = reproduce.repro(tree, name, case, tree.parent.parent)
    done = "is done" if status == 0 else "failed: its own words are above"
    return {"text": f"{name} of {tree.name} {done}", "exit": min(status, 1)}


def record(workspace: Workspace, home: Home, runs: Runs, case: str, name: str) -> dict[str, Any]:
    """Commit dvc.lock and the small outputs to the run's ref. Raises ShelflifeError when there is no verdict to keep."""
    found = runs.get(case, name)
    tree, now = runs.worktree(case, name), home.clock()()
    verdict = _verdict(tree, case)
    if not found.backfill:
        home.runs.check(case, name, found.lease, now)
    sha = runs.commit(found, f"{key_of(found)}: {verdict.status}", small_outputs(tree, case))
    if not found.backfill:
        note(workspace, home, case, Entry("finished", now, name, verdict=verdict.status))
    why = _plain(verdict.why())
    return {"text": f"{found.ref} is {sha[:12]}\n{why}", "verdict": verdict.status, "why": why, "commit": sha, "ref": found.ref}


def ask(workspace: Workspace, home: Home, runs: Runs, case: str, name: str, link: str) -> dict[str, Any]:
    """Put the request for approval into the outbox, once however often it is asked, and try to send it."""
    runs.get(case, name)
    why = _plain(_verdict(runs.worktree(case, name), case).why())
    text = f"{why}\n\nWithout an answer nothing is promoted.\n{'Answer: ' + link if link else 'Answer in Airflow: the task approve.'}\n"
    return _mail(workspace, home, f"approve:{case}:{name}", f"[shelflife] {case}: a release waits for approval", text)


def close(workspace: Workspace, home: Home, runs: Runs, key: Key, name: str, status: str) -> dict[str, Any]:
    """End the run, whatever became of it; closing twice is closing once. A crash is journalled as a crash, never as drift."""
    case, now = key.case, home.clock()()
    found = runs.find(case, name)
    backfill = found.backfill if found else key.backfill
    if found and found.closed:
        return {"text": f"{case}-{name} was {found.closed} already", "status": found.closed}
    with runs.alone():
        if found:
            runs.close(found, status)
        pruned = runs.prune(KEPT)
    if not backfill:
        if status in ENDINGS:
            ending, sure = ENDINGS[status]
            note(workspace, home, case, Entry(ending, now, name, verdict=sure))
        home.runs.free(case, name)
    if status in WORDS and not backfill:
        _mail(
            workspace, home, f"closed:{case}:{name}", f"[shelflife] {case}: {WORDS[status]}", _story(runs, case, name, status)
        )
    return {"text": f"{case}-{name} is {status}", "status": status, "pruned": pruned}


def listed(runs: Runs, case: str | None) -> dict[str, Any]:
    """The runs whose records are there, oldest first."""
    found = runs.all(case)
    lines = [f"{r.run}  {key_of(r):<45}  {r.closed or 'open':<12}  {r.ref}" for r in found]
    rows = [{"case": r.case, "run": r.run, "as_of": iso(r.as_of), "status": r.closed or "open", "ref": r.ref} for r in found]
    return {"text": "\n".join(lines) or "there are no runs yet", "runs": rows}


def _opened(runs: Runs, found: Run, usecase: UseCase, how: str) -> dict[str, Any]:
    tree = runs.worktree(found.case, found.run)
    return {
        "text": f"{key_of(found)} {how} in {tree}",
        "case": found.case, "run": found.run, "key": key_of(found), "as_of": iso(found.as_of), "backfill": found.backfill,
        "worktree": str(tree), "commit": found.commit, "ref": found.ref, "risk": usecase.risk, "status": "open",
    }  # fmt: skip


def _closed(home: Home, as_of: int | None, now: int) -> int:
    """The moment, its days landed and closed; the last closed moment where none is given."""
    from pipelines.shop.contracts import CONTRACTS

    home.landing.land(home.log, CONTRACTS, until=now)
    closed = home.landing.closed_until()
    if as_of is not None and as_of > closed:
        raise ShelflifeError(
            f"the log is closed up to {iso(closed)}, got {iso(as_of)}; choose an earlier moment, or wait until the day is over"
        )
    return closed if as_of is None else as_of


def _busy(home: Home, case: str, name: str, now: int) -> str:
    """Which other run has the use case, in words, or nothing."""
    holder = home.runs.holder(case, now)
    return f"{case} is busy: the run {holder.run} has it until {iso(holder.until)}" if holder and holder.run != name else ""


def _champion_now(home: Home, case: str) -> str | None:
    champion = home.releases.champion(case)
    return champion.bundle if champion else None


def _champion_then(home: Home, case: str, at: int) -> str | None:
    """The bundle that answered at that time, None when there was none yet."""
    answered = [change.bundle for change in home.releases.history(case) if change.at <= at and change.bundle]
    return answered[-1] if answered else None


def _verdict(tree: Path, case: str) -> Verdict:
    path = tree / "reports" / case / "verdict.json"
    try:
        return Verdict.from_dict(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShelflifeError(f"{case} has no verdict to record ({error}); run its stage evaluate first") from None


def _obstacle(workspace: Workspace, home: Home, case: str, name: str, now: int) -> str:
    """Why the use case may not learn now, or nothing; then the journal says that this run has begun.

    A run that the controller has started already (the monitor asked it) just begins; any other comes from the calendar or from
    a person, who need not wait for a cooldown but must respect a hold.
    """
    note_lost(workspace, home, case, now)
    if any((entry.name, entry.run) == ("started", name) for entry in _read(home, case)):
        return ""
    decision = note(workspace, home, case, Entry("triggered", now, name, cause="manual"))
    return "" if decision.start else decision.reason


def note_lost(workspace: Workspace, home: Home, case: str, now: int) -> None:
    """A run that the journal believes under way, though nobody has held the use case for as long as a lease lasts, has crashed."""
    state = fold(_read(home, case))
    if state.busy and not home.runs.holder(case, now) and now - (state.started or 0) > micros(LEASE):
        note(workspace, home, case, Entry("crashed", now, state.busy, note="nothing was heard of it"))


def note(workspace: Workspace, home: Home, case: str, entry: Entry) -> Decision:
    """Let the retraining controller hear of an event, write down what it says, and call a person where it asks for one."""
    decision = decide(_read(home, case), entry, workspace.params.block(case).retrain, entry.at)
    for found in decision.append:
        home.runs.append(case, found.to_dict(), found.at, key=f"{found.name}:{found.run}")
    if decision.ask_person:
        subject = f"[shelflife] {case}: a person must decide whether it goes on learning"
        _mail(workspace, home, f"breaker:{case}:{entry.run}", subject, f"{case}: {decision.reason}.\n")
    return decision


def _read(home: Home, case: str) -> list[Entry]:
    return [Entry.from_dict(body) for body in home.runs.journal(case)]


def _mail(workspace: Workspace, home: Home, key: str, subject: str, text: str) -> dict[str, Any]:
    now = home.clock()()
    with home.state.begin() as connection:
        home.outbox.queue(connection, key=key, subject=subject, text=text, at=now)
    delivery = home.outbox.deliver(workspace.params.shop.mail, now)
    return {"text": f"sent {delivery.sent}, waiting {delivery.waiting}", "sent": delivery.sent, "waiting": delivery.waiting}


def _story(runs: Runs, case: str, name: str, status: str) -> str:
    """What the closing mail says: what happened, on which evidence, and where to look."""
    found = runs.find(case, name)
    lines = [
        f"{case}: {WORDS[status]}.",
        f"Run {name}" + (f" as of {day_of(found.as_of)}, kept in {found.ref}." if found else " did not begin."),
    ]
    try:
        lines += ["", _plain(_verdict(runs.worktree(case, name), case).why())]
    except ShelflifeError:
        lines += ["There is no verdict; the log of the failed task in Airflow says what broke."]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text for mails and Airflow's page: printable, no back-ticks (it stands in a code block there), at most 4,000 characters."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text.replace("`", "'"))[:4000]

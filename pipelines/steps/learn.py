"""learn: open a run at a moment, run its stages in its own worktree, keep what it found as a commit, close it."""

from __future__ import annotations

import argparse
import json
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.core.clock import day_of, instant, iso
from pipelines.core.errors import ShelflifeError
from pipelines.core.verdict import Verdict
from pipelines.evaluation.controller import Entry
from pipelines.steps import reproduce
from pipelines.steps.decided import record_decision
from pipelines.steps.journal import LEASE, note, obstacle, post, waiting_key
from pipelines.steps.moment import closed_moment, moment_here, moment_of, reasons_of
from pipelines.steps.runs import Key, Run, Runs, key_of, small_outputs
from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.core.usecase import UseCase
    from pipelines.store.home import Home

KEPT = 2
"""Closed worktrees of a use case that stay to be looked at; the commits of all stay."""
STATUSES = ("promoted", "rejected", "inconclusive", "declined", "refused", "waiting", "backfilled", "crashed")
SKIP = 99
"""The exit status that Airflow takes as "skip": nothing broke, but this run shall not be now."""
ENDINGS: dict[str, tuple[Literal["promoted", "rejected", "crashed"], Literal["unsure"] | None]] = {
    "promoted": ("promoted", None),
    "rejected": ("rejected", None),
    "declined": ("rejected", None),
    "inconclusive": ("rejected", "unsure"),
    "refused": ("rejected", "unsure"),
    "waiting": ("rejected", "unsure"),
    "crashed": ("crashed", None),
}
"""What the controller's journal hears of an ending, and how sure it is; nothing new where the verdict ended the run already."""
SAID = "why a challenger that is no better may replace the champion in this run, such as cheaper or smaller,faster"
WORDS = {
    "rejected": "the challenger was rejected; the champion keeps answering",
    "inconclusive": "the evidence does not decide; the champion keeps answering",
    "declined": "nobody approved the release; the champion keeps answering",
    "refused": "the release was refused at the door; the champion keeps answering",
    "waiting": "the release has not answered enough requests in the shadow yet; the champion keeps answering",
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
    opening.add_argument(
        "--cause", choices=("manual", "schedule"), default="manual", help="what asks for it: a person, or the calendar"
    )
    for action in (moment, opening):
        action.add_argument("--reasons", default="", metavar="WORDS", help=SAID)
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
    reproduce.heal(workspace.root)
    if args.action == "stage":
        return stage(workspace.root, Key.parse(args.case).case, args.stage)
    runs = Runs(workspace.root, home_folder(workspace))
    if args.action == "list":
        return listed(runs, args.case and Key.parse(args.case).case)
    key = Key.parse(args.case)
    home = open_home(workspace)
    if args.action == "moment":
        return moment_here(workspace, home, key.case, _as_of(args, key), reasons_of(args.reasons))
    if args.action == "open":
        return open_run(
            workspace, home, runs, key.case, args.run, as_of=_as_of(args, key), backfill=args.backfill or key.backfill,
            reasons=reasons_of(args.reasons), cause=args.cause,
        )  # fmt: skip
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
    workspace: Workspace, home: Home, runs: Runs, case: str, name: str, *, as_of: int | None = None, backfill: bool = False,
    reasons: tuple[str, ...] = (), cause: str = "manual",
) -> dict[str, Any]:  # fmt: skip
    """Begin a run, or find it begun: opening twice is opening once, with the reasons that were stated first. A run that was recorded
    before is opened at its own commit.

    Raises ShelflifeError for an unknown use case or a moment whose days are not closed yet. Where the run shall not be now the
    result says why (early: the home's clock is not there yet; busy: another run of the use case is in flight; held), with exit
    status 99. A backfill asks for no lease, since it touches nothing that lives.
    """
    usecase = workspace.case(case)
    with runs.alone():
        found = runs.find(case, name)
        if found and not found.closed:
            return _opened(runs, found, usecase, "is open already")
        now = home.clock()()
        if as_of is not None and as_of > now:
            return {"text": f"{case}: {iso(as_of)} has not come yet, it is {iso(now)} here", "status": "early", "exit": SKIP}
        at = closed_moment(home, as_of, now)
        if not backfill and (busy := _busy(home, case, name, now)):
            return {"text": busy, "status": "busy", "exit": SKIP}
        if not backfill and (said := obstacle(workspace, home, case, name, now, cause)):
            return {"text": f"{case} does not learn now: {said}", "status": "held", "exit": SKIP}
        begun = Run(
            case, name, at, backfill, runs.deployed(), now, lease=0 if backfill else home.runs.lease(case, name, now, LEASE)
        )
        tree = runs.add(begun)
        if not runs.ref(begun.ref):
            moment = moment_of(workspace, home, usecase, begun, reasons)
            Workspace(tree).write_moment(moment)
            runs.commit(begun, f"{key_of(begun)}: the moment", [f"moments/{case}.yaml"])
        runs.write(begun)
    return _opened(runs, begun, usecase, "is open")


def stage(tree: Path, case: str, name: str) -> dict[str, Any]:
    """Run one stage in the worktree of the current folder, on its own code."""
    reproduce.own_code(tree)
    if tree.parent.name != "worktrees":
        raise ShelflifeError(f"wanted to be in a run's worktree, got {tree}; outside of one say dvc repro -s {name}@{case}")
    status = reproduce.repro(tree, name, case, tree.parent.parent)
    journal_cpu(tree, case, sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]))
    done = "is done" if status == 0 else "failed: its own words are above"
    return {"text": f"{name} of {tree.name} {done}", "exit": min(status, 1)}


def journal_cpu(tree: Path, case: str, seconds: float) -> None:
    """Tell the controller what a stage of a live run took, whatever became of it: the week's budget counts it."""
    runs = Runs(tree, tree.parent.parent)
    found = next((run for run in runs.all(case) if runs.worktree(case, run.run) == tree), None)
    if found and not found.backfill:
        workspace = Workspace(tree)
        home = open_home(workspace)
        note(workspace, home, case, Entry("spent", home.clock()(), found.run, cpu=round(seconds, 1)))


def record(workspace: Workspace, home: Home, runs: Runs, case: str, name: str) -> dict[str, Any]:
    """Commit dvc.lock and the small outputs to the run's ref. Raises ShelflifeError when there is no verdict to keep."""
    found = runs.get(case, name)
    tree, now = runs.worktree(case, name), home.clock()()
    verdict = _verdict(tree, case)
    if not found.backfill:
        home.runs.check(case, name, found.lease, now)
    sha = runs.commit(found, f"{key_of(found)}: {verdict.status}", small_outputs(tree, case))
    if not found.backfill:
        record_decision(home, Workspace(tree), Workspace(tree).moment(case), verdict, {"action": "verdict", "run": name})
        note(workspace, home, case, Entry("finished", now, name, verdict=verdict.status))
    why = _plain(verdict.why())
    return {"text": f"{found.ref} is {sha[:12]}\n{why}", "verdict": verdict.status, "why": why, "commit": sha, "ref": found.ref}


def ask(workspace: Workspace, home: Home, runs: Runs, case: str, name: str, link: str) -> dict[str, Any]:
    """Put the request for approval into the outbox, once however often it is asked, and try to send it."""
    runs.get(case, name)
    why = _plain(_verdict(runs.worktree(case, name), case).why())
    text = f"{why}\n\nWithout an answer nothing is promoted.\n{'Answer: ' + link if link else 'Answer in Airflow: the task approve.'}\n"
    return post(workspace, home, f"approve:{case}:{name}", f"[shelflife] {case}: a release waits for approval", text)


def close(workspace: Workspace, home: Home, runs: Runs, key: Key, name: str, status: str) -> dict[str, Any]:
    """End the run, whatever became of it; closing twice is closing once. A crash is journalled as a crash, never as drift."""
    case, now = key.case, home.clock()()
    found = runs.find(case, name)
    waits = home.state.get(waiting_key(case, name)) if status == "refused" else None
    status = "waiting" if waits else status
    backfill = found.backfill if found else key.backfill
    if found and found.closed:
        return {"text": f"{case}-{name} was {found.closed} already", "status": found.closed}
    if not backfill:
        if status in ENDINGS:
            ending, sure = ENDINGS[status]
            note(workspace, home, case, Entry(ending, now, name, verdict=sure))
        home.runs.free(case, name)
        if status in WORDS:
            post(
                workspace,
                home,
                f"closed:{case}:{name}",
                f"[shelflife] {case}: {WORDS[status]}",
                "\n\n".join(filter(None, [_story(runs, case, name, status), waits])),
            )
    with runs.alone():  # last, so that a kill before this leaves an open run that is closed again
        if found:
            runs.close(found, status)
        pruned = runs.prune(KEPT)
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


def _busy(home: Home, case: str, name: str, now: int) -> str:
    """Which other run has the use case, in words, or nothing."""
    holder = home.runs.holder(case, now)
    return f"{case} is busy: the run {holder.run} has it until {iso(holder.until)}" if holder and holder.run != name else ""


def _verdict(tree: Path, case: str) -> Verdict:
    path = tree / "reports" / case / "verdict.json"
    try:
        return Verdict.from_dict(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShelflifeError(f"{case} has no verdict to record ({error}); run its stage evaluate first") from None


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

"""promote: let a judged bundle answer, if its verdict still reads as a pass and the champion it was judged against still answers."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import iso
from pipelines.core.digest import canonical, digest
from pipelines.core.errors import ShelflifeError
from pipelines.core.release import Moment, Release
from pipelines.core.verdict import Verdict
from pipelines.steps.decided import record_decision
from pipelines.steps.journal import waiting_key
from pipelines.steps.runs import Runs
from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.store.home import Home


ATTEMPTS = 10
"""How often a promotion looks again when other use cases are promoted in the same moment."""
SKIPPED = 99
"""The exit status that Airflow takes as "skip": nothing is wrong, and nothing was promoted."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", help="the use case")
    parser.add_argument("--run", dest="run_id", required=True, metavar="ID", help="the learn run whose bundle was judged")
    parser.add_argument("--by", default="", metavar="WHO", help="who approved it; asked for where the risk is high")
    parser.add_argument("--because", default="", metavar="WHY", help="the approver's reason, kept with the decision")


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    return promote(workspace, open_home(workspace), args.case, args.run_id, args.by, args.because)


def promote(workspace: Workspace, home: Home, case: str, run_id: str, by: str, because: str = "") -> dict[str, Any]:
    """Sign the run's bundle and let it answer; tag its commit and push its data.

    Raises ShelflifeError, with nothing changed, when the verdict is no pass, the run opened no holdout, approval is missing where
    the risk is high, the probe fails, or another champion answers by now.
    """
    runs = Runs(workspace.root, home.path)
    found = runs.get(case, run_id)
    tree = Workspace(runs.worktree(case, run_id))
    moment, usecase = tree.moment(case), workspace.case(case)
    if usecase.risk == "high" and not by:
        raise ShelflifeError(f"{case} is of high risk: wanted a person's approval, got none; say who with --by")
    verdict = judged(tree, moment)
    now = home.clock()()
    name = home.releases.add(tree.models(case) / "bundle")
    if moved := _moved(home, moment, name):
        return {"text": moved, "exit": SKIPPED}
    if verdict.facts.get("bundle") != name:
        raise ShelflifeError(
            f"{case}: the verdict is about bundle {str(verdict.facts.get('bundle'))[:12]}, the run holds {name[:12]}; evaluate again"
        )
    probe = probe_bundle(home, name)
    seen = shadowed(workspace, home, moment, name, found.opened)
    if seen is not None and seen.status == "unsure":
        home.state.put(waiting_key(case, run_id), seen.why())
        return {"text": f"{seen.why()}\nNothing was promoted yet; the champion keeps answering.", "exit": SKIPPED}
    report = (tree.reports(case) / "verdict" / "report.json").read_bytes()
    release = Release(case, name, digest(verdict.to_dict()), digest(report), moment.champion, now)
    actor = by or f"run {run_id}"
    decision = record_decision(
        home, tree, moment, verdict,
        {
            "action": "promote", "run": run_id, "actor": actor, "because": _said(because), "release": release.digest,
            "shadow": seen and seen.to_dict(),
        },
    )  # fmt: skip
    mail = _mail(case, verdict, actor)
    after = _enthrone(home, release, {"at": now, "actor": actor, "probe": probe, "verdict": verdict.to_dict(), "mail": mail})
    home.outbox.deliver(workspace.params.shop.mail, now)
    tag = runs.tag(found, name)
    runs.push(found)
    text = f"{case}: {name[:12]} answers since {iso(now)} (epoch {after}, {tag})"
    return {"text": text, "bundle": name, "release": release.digest, "epoch": after, "tag": tag, "decision": decision}


def _enthrone(home: Home, release: Release, words: dict[str, Any]) -> int:
    """Promote the signed release; the new epoch. When another use case changed in the same moment, look again and retry.

    Raises ShelflifeError when the release itself is refused.
    """
    signature = home.keys.sign(canonical(release.to_dict()))
    for _ in range(ATTEMPTS - 1):
        epoch = home.releases.epoch()
        try:
            return home.releases.promote(release, signature, expected_epoch=epoch, **words)
        except ShelflifeError:
            if home.releases.epoch() == epoch:
                raise
    return home.releases.promote(release, signature, expected_epoch=home.releases.epoch(), **words)


def _moved(home: Home, moment: Moment, name: str) -> str:
    """Why this verdict is of no use any more, though nothing is wrong: the world has moved on. Nothing, where it has not."""
    case = moment.usecase
    champion, hold = home.releases.champion(case), home.releases.held(case)
    if champion and champion.bundle == name:
        return f"{case}: {name[:12]} answers already"
    if hold:
        return f"{case} is held by {hold.actor}: {hold.reason}"
    if (champion.bundle if champion else None) != moment.champion:
        return f"{case}: another champion answers by now than the one judged against; evaluate again"
    return ""


def judged(tree: Workspace, moment: Moment) -> Verdict:
    """The verdict read off the run's report once more. Raises ShelflifeError unless it passes on an opened holdout."""
    from pipelines.evaluation import gate
    from pipelines.reports import verdict as report

    case = moment.usecase
    path = tree.reports(case) / "verdict" / "report.json"
    if not path.is_file():
        raise ShelflifeError(f"{case}: the run has no report; run its stage evaluate first")
    required = gate.required(tree.case(case), tree.params.block(case).gate, champion=moment.champion is not None)
    verdict = report.read(json.loads(path.read_text()), required)
    if not moment.opens_holdout:
        raise ShelflifeError(
            f"{case}: this is a preview on validation data, which never promotes; start a run with shelflife learn open"
        )
    if verdict.status != "pass":
        raise ShelflifeError(f"{verdict.why()}\nNothing was promoted; the champion keeps answering.")
    return verdict


def shadowed(workspace: Workspace, home: Home, moment: Moment, name: str, since: int) -> Verdict | None:
    """How the bundle answers what its champion was asked since its run began; None where no shadow is asked for, or nobody answers.

    Raises ShelflifeError where it does worse than the budgets allow.
    """
    from pipelines.steps.shadow import shadow

    gate = workspace.params.block(moment.usecase).gate
    if not gate.shadow or moment.champion is None:
        return None
    files = [home.releases.read(digest).files for digest in (name, moment.champion)]
    found = shadow(home, workspace.case(moment.usecase), gate, *files, since=since)
    if found.status == "fail":
        raise ShelflifeError(f"{found.why()}\nNothing was promoted; the champion keeps answering.")
    return found


def probe_bundle(home: Home, name: str) -> dict[str, Any]:
    """Load the bundle in a limited process of its own and let it answer its golden requests."""
    from pipelines.serving.probe import probe

    found = probe(home.releases.read(name).files)
    if not found.get("ok"):
        raise ShelflifeError(
            f"bundle {name[:12]} did not answer its golden requests in a process of its own: {found.get('why', 'no word')}"
        )
    return {**found, "bundle": name}


def _mail(case: str, verdict: Verdict, actor: str) -> Any:
    from pipelines.store.releases import Mailing

    return Mailing(
        f"A new release of {case} answers. Approved by: {actor}.\n\n{verdict.why()}\n\nGo back with: shelflife rollback {case}\n"
    )


def _said(words: str) -> str:
    """A person's words as one printable line of at most 500 characters: they end up in terminals and reports."""
    return "".join(letter for letter in " ".join(words.split()) if letter.isprintable())[:500]

"""rollback: let the previous champion answer again; hold a use case, or clear the hold."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", help="the use case")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--hold", action="store_true", help="block promotion and retraining until the hold is cleared")
    choice.add_argument("--unhold", action="store_true", help="clear the hold")
    parser.add_argument("--by", default="a person", metavar="WHO", help="who says so")
    parser.add_argument("--reason", default="", help="why; kept in the ledger")


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    workspace.params.block(args.case)
    home = open_home(workspace)
    now = home.clock()()
    who = {"at": now, "actor": args.by, "reason": args.reason}
    if args.hold or args.unhold:
        epoch = home.releases.hold(args.case, **who) if args.hold else home.releases.unhold(args.case, **who)
        word = "held: nothing is promoted or retrained until --unhold" if args.hold else "free again"
        return {"text": f"{args.case} is {word}", "epoch": epoch}
    epoch = home.releases.rollback(args.case, **who)
    home.outbox.deliver(workspace.params.shop.mail, now)
    champion = home.releases.champion(args.case)
    name = champion.bundle if champion else ""
    return {"text": f"{args.case}: {name[:12]} answers again (epoch {epoch})", "epoch": epoch, "bundle": name}

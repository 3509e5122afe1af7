"""mail: hand over the mail that waits for its server, and say what still waits and why."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import iso
from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.store.home import Home


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--list", action="store_true", help="only say what waits")


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    return mail(workspace, open_home(workspace), send=not args.list)


def mail(workspace: Workspace, home: Home, *, send: bool = True) -> dict[str, Any]:
    """Each verb sends the mail of its own cause; this sends what a server that was down or unwilling has not taken since."""
    sent = home.outbox.deliver(workspace.params.shop.mail, home.clock()()).sent if send else 0
    waiting = home.outbox.waiting()
    lines = [f"{iso(letter.at)}  {letter.subject}  ({letter.error or 'not tried yet'})" for letter in waiting]
    rows = [{"subject": w.subject, "at": iso(w.at), "tries": w.tries, "error": w.error} for w in waiting]
    return {"text": "\n".join([f"{sent} sent, {len(waiting)} waiting", *lines]), "sent": sent, "waiting": rows}

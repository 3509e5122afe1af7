"""keys: make, rotate, revoke and list the keys that sign releases."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines.core.errors import ShelflifeError
from pipelines.store.home import Home


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=("make", "rotate", "revoke", "list"), help="make is safe to repeat; list shows who is trusted"
    )
    parser.add_argument("key", nargs="?", help="the key to revoke")
    parser.add_argument("--home", type=Path, help="whose keys (default: SHELFLIFE_HOME, or .shelflife in the checkout)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    return act(Home.open(args.home, create=args.action == "make"), args.action, args.key)


def act(home: Home, action: str, key: str | None = None) -> dict[str, Any]:
    """Do it, and list the keys that there are afterwards."""
    if action == "make":
        home.keys.make()
    elif action == "rotate":
        home.keys.rotate()
    elif action == "revoke":
        if key is None:
            raise ShelflifeError("wanted the key to revoke; shelflife keys list shows those there are")
        home.keys.revoke(key)
    keys = [vars(found) for found in home.keys.list()]
    orphans = _disbelieved(home)
    lines = [f"{found['id']}  {found['standing']}" for found in keys] or ["no keys yet; make one with shelflife keys make"]
    lines += [f"{case}: its release is signed with a revoked key; judge and promote again" for case in orphans]
    return {"text": "\n".join(lines), "keys": keys, "disbelieved": orphans}


def _disbelieved(home: Home) -> list[str]:
    """Use cases whose champion no server believes any more."""
    found = []
    for case, champion in home.releases.champions().items():
        try:
            home.releases.envelope(champion.release)
        except ShelflifeError:
            found.append(case)
    return found

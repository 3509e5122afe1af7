"""prune: remove what retention no longer needs, never what answers or may have to answer again."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines.core.clock import duration, spell
from pipelines.core.errors import ShelflifeError
from pipelines.store.home import Home


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep", default="90d", metavar="DURATION", help="how much of the past stays, such as 30d or 12w (default 90d)"
    )
    parser.add_argument("--home", type=Path, help="the state to clean (default: SHELFLIFE_HOME, or .shelflife in the checkout)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    try:
        keep = duration(args.keep)
    except ValueError as error:
        raise ShelflifeError(f"--keep: {error}") from None
    home = Home.open(args.home)
    return clean(home, home.clock()(), keep)


def clean(home: Home, now: int, keep: timedelta) -> dict[str, Any]:
    """Prune what is older than `keep` at `now` (microseconds UTC)."""
    from pipelines.store.retention import prune

    gone = prune(home, now, keep)
    text = (
        f"kept {spell(keep)}; removed {len(gone.bundles)} bundles, the evidence of {len(gone.evidence)} decisions, {gone.mails} sent mails, "
        f"{gone.rows} replayed rows and {gone.unfinished} unfinished files"
    )
    return {"text": text, **vars(gone)}

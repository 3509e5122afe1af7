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
    stores = discard_stores(home)
    text = (
        f"kept {spell(keep)}; removed {len(gone.bundles)} bundles, the evidence of {len(gone.evidence)} decisions, {gone.mails} sent mails, "
        f"{gone.rows} replayed rows, {gone.unfinished} unfinished files and {len(stores)} online stores"
    )
    return {"text": text, **vars(gone), "stores": stores}


def discard_stores(home: Home) -> list[str]:
    """Remove the online stores whose definitions no use case declares and no bundle holds, unless a process has them open; a bundle
    that cannot be read is for a person to look at, and until then all stay."""
    from pipelines import usecases
    from pipelines.features.unused import discard_unused
    from pipelines.steps.released import definitions

    declared, judged = [case.features for case in usecases.load().values()], list(definitions(home))
    known = [features for features in judged if features is not None]
    return discard_unused(home.path / "online", [*declared, *known]) if len(known) == len(judged) else []

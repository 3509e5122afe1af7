"""restore: bring the living state back from an archive, verified, into a folder that is free."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines.store.home import where


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("archive", type=Path, help="what shelflife backup wrote")
    parser.add_argument(
        "--home", type=Path, help="where the state shall be (default: SHELFLIFE_HOME, or .shelflife in the checkout)"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    return bring_back(args.archive, args.home or where())


def bring_back(archive: Path, path: Path) -> dict[str, Any]:
    """Restore the archive and say what answers now."""
    from pipelines.store.backup import restore

    home = restore(archive, path)
    champions = {case: champion.bundle for case, champion in home.releases.champions().items()}
    told = ", ".join(f"{case} {bundle[:12]}" for case, bundle in champions.items()) or "nothing answers yet"
    text = f"{path}: {home.log.last_offset():,} events; {told}"
    return {"text": text, "path": str(path), "events": home.log.last_offset(), "champions": champions}

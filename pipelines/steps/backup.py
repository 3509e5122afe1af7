"""backup: copy the whole living state to one archive while everything goes on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines.store.home import Home


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", type=Path, help="the archive to write, such as shelflife-2025-06-01.tar")
    parser.add_argument("--home", type=Path, help="the state to copy (default: SHELFLIFE_HOME, or .shelflife in the checkout)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    return save(Home.open(args.home), args.target)


def save(home: Home, target: Path) -> dict[str, Any]:
    """Write and verify the archive."""
    from pipelines.store.backup import backup

    archive = backup(home, target)
    text = f"{archive.path}: {archive.files:,} files, {archive.bytes / 1e6:,.1f} MB, verified. It holds the signing key: keep it private."
    return {"text": text, "path": str(archive.path), "files": archive.files, "bytes": archive.bytes}

"""erase: a person's events out of everything that this home holds, for good."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.core.feature import FeatureSet
    from pipelines.core.usecase import UseCase
    from pipelines.store.home import Home

Events = list[tuple[int, str, str, int]]
"""Offset, kind, id and ts of what was erased."""

DERIVED = {"releases": "bundles", "decisions": "decisions", "worktrees": "worktrees of runs"}
"""Folders of the home whose content was derived from events, and what lies there."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("field", help="the key that names the person in events, such as customer")
    parser.add_argument("value", help="the person's value of it")
    parser.add_argument("--yes", action="store_true", help="do it; without it, only what would be erased is counted")


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    cases = [workspace.case(name) for name in workspace.params.cases]
    return erase(open_home(workspace), cases, args.field, args.value, sure=args.yes)


def erase(home: Home, cases: list[UseCase], field: str, value: str, *, sure: bool) -> dict[str, Any]:
    """Erase the person whose key `field` is `value`, or count what would go. Doing it again finishes what was interrupted."""
    from pipelines.shop.contracts import CONTRACTS
    from pipelines.store import erasure

    person, asks = erasure.Person.named(field, value, CONTRACTS), {case.name: case.asks.kind for case in cases}
    if not sure:
        count = len(erasure.events_of(home.log, person, CONTRACTS, asks))
        return {"text": f"{count:,} events would be erased, and cannot be brought back; do it with --yes", "events": count}
    spooled(home)
    done = erasure.erase(home, person, CONTRACTS, asks, home.clock()(), lambda events: _online(home, cases, events))
    left = {what: _count(home, folder) for folder, what in DERIVED.items()}
    text = (
        f"{len(done.events):,} events erased, {done.partitions:,} landed partitions written again, {done.rows:,} rows of the quarantine "
        f"removed, {done.mails:,} mails changed"
        + (f"; line {done.line} of the ledger" if done.line else "; there was nothing left to do")
        + f"\nmade earlier from what was known then: {', '.join(f'{n:,} {what}' for what, n in left.items())}; see docs/ops.md"
    )
    return {"text": text, "events": len(done.events), "partitions": done.partitions, "ledger": done.line, "derived": left}


def spooled(home: Home) -> None:
    """Answers that a server has left for the log go into it first: they would come back otherwise."""
    from pipelines.serving.predictions import Predictions

    Predictions(home.path / "online" / "spool", lambda found: home.log.append(found, arrived=home.clock()())).move()


def _online(home: Home, cases: list[UseCase], events: Events) -> None:
    """The events out of every online store; one whose definitions no use case and no bundle has goes as a whole."""
    from pipelines.features.unused import discard, unused
    from pipelines.steps.stream import kept_stores

    folder, definitions = home.path / "online", _definitions(home, cases)
    for features in definitions:
        for store in kept_stores(folder, features):
            store.erase(_by_kind(events))
            store.close()
    for path in unused(folder, definitions):
        discard(path)


def _definitions(home: Home, cases: list[UseCase]) -> list[FeatureSet]:
    """Those that a use case declares or that a bundle was judged with; what cannot be read answers nothing."""
    from pipelines.steps.released import definitions

    known = [*(case.features for case in cases), *definitions(home)]
    return list({features.digest: features for features in known if features is not None}.values())


def _by_kind(events: Iterable[tuple[int, str, str, int]]) -> dict[str, dict[str, int]]:
    """Per kind the ids, each with the earliest ts of its versions."""
    found: dict[str, dict[str, int]] = {}
    for _, kind, name, ts in events:
        known = found.setdefault(kind, {})
        known[name] = min(ts, known.get(name, ts))
    return found


def _count(home: Home, folder: str) -> int:
    return sum(path.is_dir() for path in (home.path / folder).iterdir())

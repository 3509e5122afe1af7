"""stream: the event log's news into the online features, each batch and its offset in one transaction; closed days are landed."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.core.usecase import UseCase
    from pipelines.features.stream import OnlineStore
    from pipelines.store.home import Home

BATCH = 1000
PAUSE = 0.2
"""Seconds between two looks at an idle log."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", nargs="*", help="the use cases; all of them by default")
    parser.add_argument("--follow", action="store_true", help="go on until interrupted, instead of ending at the log's end")


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    home = open_home(workspace)
    cases = [workspace.case(name) for name in args.case or workspace.params.cases]
    epoch, stores = home.releases.epoch(), open_stores(home, cases)
    events = catch_up(home, stores)
    try:
        while args.follow:
            time.sleep(PAUSE)
            if (now := home.releases.epoch()) != epoch:  # a new champion may have brought its own definitions
                epoch, stores = now, open_stores(home, cases)
            events += catch_up(home, stores)
    except KeyboardInterrupt:
        pass
    offset = min((store.offset() for store, _ in stores), default=0)
    return {
        "text": f"{events:,} events; the online features have seen the log up to {offset:,}",
        "events": events,
        "offset": offset,
    }


def open_stores(home: Home, cases: list[UseCase]) -> list[tuple[OnlineStore, tuple[str, ...]]]:
    """An online store per set of definitions, with the kinds of events it lives on: the declared one, and the champion's."""
    from pipelines.features.stream import OnlineStore

    definitions = {case.features.digest: case.features for case in cases}
    for case in cases:
        if (kept := champion_features(home, case.name)) is not None:
            definitions[kept.digest] = kept
    return [(OnlineStore.at(home.path / "online", features), features.sources) for features in definitions.values()]


def champion_features(home: Home, case: str) -> Any:
    """The definitions that the use case's champion was judged with; None where nothing answers yet."""
    import json

    from pipelines.core.feature import FeatureSet

    champion = home.releases.champion(case)
    return FeatureSet.from_dict(json.loads(home.releases.read(champion.bundle).files["features.json"])) if champion else None


def catch_up(home: Home, stores: list[tuple[OnlineStore, tuple[str, ...]]]) -> int:
    """Apply what the log holds and the stores have not seen; land the days that are over. The number of events applied."""
    from pipelines.shop.contracts import CONTRACTS

    applied = 0
    for store, kinds in stores:
        while batch := home.log.read(after=store.offset(), limit=BATCH, kinds=kinds):
            store.apply(batch)
            applied += len(batch)
    now = home.clock()()
    if now // 86_400_000_000 * 86_400_000_000 > home.landing.closed_until():
        home.landing.land(home.log, CONTRACTS, until=now)
    return applied

"""stream: the event log's news into the online features, each batch and its offset in one transaction; closed days are landed."""

from __future__ import annotations

import argparse
import gc
import os
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from pipelines.core.clock import DAY
from pipelines.core.errors import ShelflifeError
from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipelines.core.feature import FeatureSet
    from pipelines.core.usecase import UseCase
    from pipelines.features.stream import OnlineStore
    from pipelines.store.home import Home
    from pipelines.store.log import SqliteLog

BATCH = 50_000
"""Events taken at once, where so many wait; a stream that keeps up takes what has come since its last look."""
PAUSE = 0.01
"""Seconds between two looks at an idle log."""
MANY = 5_000
"""Keys in memory from which on they are kept out of the collector's sight."""
SELDOM = 0.2
"""Seconds between two looks for a new champion and for days that are over."""
VARIABLE = "SHELFLIFE_ONLINE"
LATE = 2 * DAY
"""How late an ask may come and still find its windows whole."""

Stores: TypeAlias = "list[tuple[OnlineStore, tuple[str, ...]]]"
"""Online stores, each with the kinds of events that it lives on."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", nargs="*", help="the use cases; all of them by default")
    parser.add_argument("--follow", action="store_true", help="go on until interrupted, instead of ending at the log's end")


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    home = open_home(workspace)
    cases = [workspace.case(name) for name in args.case or workspace.params.cases]
    epoch, stores = home.releases.epoch(), open_stores(home, cases)
    events, looked = catch_up(home, stores), time.monotonic()
    try:
        while args.follow:
            time.sleep(PAUSE)
            if time.monotonic() - looked < SELDOM:
                events += take(home, stores)
                continue
            if (now := home.releases.epoch()) != epoch:  # a new champion may have brought its own definitions
                epoch, stores = now, open_stores(home, cases)
            events, looked = events + catch_up(home, stores), time.monotonic()
    except KeyboardInterrupt:
        pass
    offset = min((store.offset() for store, _ in stores), default=0)
    return {
        "text": f"{events:,} events; the online features have seen the log up to {offset:,}",
        "events": events,
        "offset": offset,
    }


def open_stores(home: Home, cases: list[UseCase]) -> Stores:
    """An online store per set of definitions, with the kinds of events it lives on: the declared one, and the champion's.

    Changed definitions begin a store of their own, made from the whole log, while the champion's goes on beside it.
    """
    definitions = {case.features.digest: case.features for case in cases}
    for case in cases:
        if (kept := champion_features(home, case.name)) is not None:
            definitions[kept.digest] = kept
    return [(open_store(home.path / "online", features), features.sources) for features in definitions.values()]


def where() -> str:
    """Where the online stores lie, as SHELFLIFE_ONLINE says: sqlite (what is meant where it says nothing), lmdb, or a Redis."""
    from pipelines.features.keyvalue import LMDB, SQLITE

    said = os.environ.get(VARIABLE) or SQLITE
    if said not in (SQLITE, LMDB) and not said.startswith(("redis://", "rediss://", "unix://")):
        raise ShelflifeError(f"{VARIABLE}: wanted sqlite, lmdb or redis://host:6379/0, got {said!a}")
    return said


def open_store(folder: Path, features: FeatureSet) -> OnlineStore:
    """The online store of these definitions, where SHELFLIFE_ONLINE says."""
    from pipelines.features.stream import OnlineStore

    return OnlineStore.at(folder, features, where())


def kept_stores(folder: Path, features: FeatureSet) -> Iterator[OnlineStore]:
    """Every online store of these definitions that there is, also of a setting that was changed since."""
    from pipelines.features.keyvalue import LMDB, SQLITE
    from pipelines.features.stream import OnlineStore

    for at in dict.fromkeys((SQLITE, LMDB, where())):
        if OnlineStore.kept(folder, features, at):
            yield OnlineStore.at(folder, features, at)


def champion_features(home: Home, case: str) -> FeatureSet | None:
    """The definitions that the use case's champion was judged with; None where nothing answers yet."""
    from pipelines.core.feature import FeatureSet

    champion = home.releases.champion(case)
    return FeatureSet.from_json(home.releases.read(champion.bundle).files["features.json"]) if champion else None


def catch_up(home: Home, stores: Stores) -> int:
    """Apply what the log holds and the stores have not seen; when a day is over, land it and let the stores forget what no ask
    can reach any more. The number of events applied."""
    from pipelines.shop.contracts import CONTRACTS

    applied = take(home, stores)
    now = home.clock()()
    if now // DAY * DAY > home.landing.closed_until():
        home.landing.land(home.log, CONTRACTS, until=now)
        for store, _ in stores:
            store.expire(now - LATE)
    return applied


def take(home: Home, stores: Stores) -> int:
    """Apply what waits, a batch a store in turn, so that one that is made anew keeps none of the others waiting for long."""
    applied, behind = 0, list(stores)
    while behind:
        found = [(store, kinds, take_some(home.log, store, kinds, BATCH // len(stores))) for store, kinds in behind]
        applied += sum(count for _, _, count in found)
        behind = [(store, kinds) for store, kinds, count in found if count == BATCH // len(stores)]
    return applied


def take_some(log: SqliteLog, store: OnlineStore, kinds: Sequence[str], limit: int) -> int:
    """One batch out of the log into one store; how many events.

    The collector of cycles would look at every state there is, again and again. They live as long as the stream, so where they are
    many they are kept out of its sight.
    """
    gc.disable()
    try:
        last = log.last_offset()
        rows = log.stored(after=store.offset(), limit=limit, kinds=kinds)
        store.apply_stored(rows, upto=last if len(rows) < limit else 0)
        if any(len(states) > MANY for states in store.states):
            gc.freeze()
    finally:
        gc.enable()
    return len(rows)

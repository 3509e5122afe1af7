"""Retention: a clean-up that never removes what may answer, or what an answer of late came from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.core.clock import micros
from pipelines.core.digest import canonical
from pipelines.core.errors import ShelflifeError
from pipelines.store.backup import TREES
from pipelines.store.decisions import Decision
from pipelines.store.durable import discard, unfinished
from pipelines.store.failpoint import failpoint
from pipelines.store.home import Home
from pipelines.store.reigns import Change, changes
from pipelines.store.state import OUTBOX, QUARANTINE

if TYPE_CHECKING:
    from sqlalchemy import Connection

PROMOTED_KEPT = 3
"""How many bundles of each use case stay whatever their age: the champion, the one before it, and the one before that."""


@dataclass(frozen=True)
class Pruned:
    """What retention removed: bundles and decisions by digest, and counts of mails and quarantined rows."""

    bundles: tuple[str, ...]
    evidence: tuple[str, ...]
    mails: int
    rows: int
    unfinished: int


def prune(home: Home, now: int, keep: timedelta) -> Pruned:
    """Remove what is older than `keep`: bundles that may not answer any more, evidence of decisions on them, sent mails, replayed rows.

    Never removed: a champion, the two that rollback would bring back before it, a bundle that a prediction of the
    last `keep` names, one that is still waiting for its verdict, an unsent mail, a waiting row, any event.
    """
    since = now - micros(keep)
    with home.state.begin() as connection:  # nobody promotes meanwhile
        needed = _needed(connection, since)
        gone = [digest for digest in _bundles(home) if digest not in needed and _is_old(home, digest, since)]
        for digest in gone:
            discard(home.path / "releases" / digest)
            failpoint("prune.bundle")
        mails = connection.execute(OUTBOX.delete().where(OUTBOX.c.sent < since)).rowcount
        old = (QUARANTINE.c.state == "replayed") & (QUARANTINE.c.at < since)
        rows = connection.execute(QUARANTINE.delete().where(old)).rowcount
    evidence = [d.id for d in _stale(home, since)]
    for id_ in evidence:
        discard(home.path / "decisions" / id_)
    return Pruned(tuple(gone), tuple(evidence), mails, rows, _sweep(home))


def _needed(connection: Connection, since: int) -> set[str]:
    """Bundles that stay: champions and those that rollbacks would bring back, and what answered since."""
    needed: set[str] = set()
    reigns: dict[str, list[Change]] = {}
    for change in changes(connection):
        if change.bundle:
            reigns.setdefault(change.case, []).append(change)
    for reign in reigns.values():
        needed |= set(_way_back(reign))
        ended = zip(reign, [change.at for change in reign[1:]], strict=False)
        needed |= {str(change.bundle) for change, end in ended if end >= since}
    return needed


def _way_back(reigns: list[Change]) -> Iterator[str]:
    """The champion of a use case and the bundles that rolling back again and again would bring, as many as are kept."""
    now: Change | None = reigns[-1]
    for _ in range(PROMOTED_KEPT):
        if now is None or now.bundle is None:
            return
        yield now.bundle
        earlier = [change for change in reigns if change.bundle == now.previous and change.epoch < now.epoch]
        now = earlier[-1] if earlier else None


def _bundles(home: Home) -> list[str]:
    return sorted(path.name for path in (home.path / "releases").iterdir() if path.is_dir() and len(path.name) == 64)


def _is_old(home: Home, digest: str, since: int) -> bool:
    """Made from data older than `since`, and named by no prediction after it. What cannot be read is for a person to look at."""
    try:
        made = home.releases.read(digest).manifest.made_from.get("as_of")
    except ShelflifeError:
        return False
    return isinstance(made, int) and made < since and not home.log.mentions("prediction", digest, since)


def _stale(home: Home, since: int) -> Iterator[Decision]:
    """Old decisions whose evidence names no bundle that is still here."""
    here = _bundles(home)
    for decision in home.decisions.list():
        text = canonical(dict(decision.body)).decode()
        if (
            decision.at < since
            and not any(digest in text for digest in here)
            and (home.path / "decisions" / decision.id).exists()
        ):
            yield decision


def _sweep(home: Home) -> int:
    """Remove what processes that died left unfinished; how many there were."""
    found = [path for tree in ("", *TREES) for path in unfinished(home.path / tree)]
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return len(found)

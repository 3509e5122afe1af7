"""Which bundle answers: promotion, rollback and hold, each one transaction whose epoch follows the one before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipelines.core.digest import canonical
from pipelines.core.errors import ShelflifeError
from pipelines.core.release import Release
from pipelines.store import admission, ledger
from pipelines.store.bundles import BundleFiles, Bundles
from pipelines.store.failpoint import failpoint
from pipelines.store.keys import Keys
from pipelines.store.notices import Mailing, sentences, subject
from pipelines.store.outbox import Outbox
from pipelines.store.reigns import CHAIN, Champion, Change, Hold, champion_of, changes, hold_of, looks_at, named, reign_before
from pipelines.store.state import CHAMPIONS, ENVELOPES, HOLDS, LOOKS, State, put


class Releases:
    """The bundles of one home, and who is champion of each use case. Every change is one line of a hash-chained ledger; its
    number is the epoch, so a server asks for one small number to learn whether anything has changed.
    """

    def __init__(self, folder: Path, state: State, keys: Keys, outbox: Outbox) -> None:
        self.bundles = Bundles(folder)
        self.state = state
        self.keys = keys
        self.outbox = outbox

    def add(self, folder: Path) -> str:
        """Take an immutable copy of the bundle in a folder; its digest. A copy that was damaged since is replaced."""
        return self.bundles.add(folder)

    def read(self, bundle: str) -> BundleFiles:
        """The bundle's verified bytes. Raises ShelflifeError unless the folder is exactly what the digest names."""
        return self.bundles.read(bundle)

    def promote(
        self, release: Release, signature: Mapping[str, str], *, expected_epoch: int, at: int, actor: str, probe: Mapping[str, Any],
        verdict: Mapping[str, Any], mail: Mailing | None = None,
    ) -> int:  # fmt: skip
        """Let the release's bundle answer; the new epoch.

        `signature` is `keys.sign(canonical(release.to_dict()))`. `expected_epoch` is what `epoch()` was when the caller looked.
        `probe` is the record of the separate process that loaded the bundle: {"ok": True, "bundle": its digest, ...}.
        `verdict` (its dict) must pass, be the one the release names, and be about this bundle against the champion it replaces.
        Raises ShelflifeError, with nothing changed, when any of this does not hold, when the use case is held, or when another
        champion answers than the one judged against.
        """
        admission.check_word(release, probe, verdict)
        with self.state.begin() as connection:
            failpoint("promote.begun")
            self.keys.verify(canonical(release.to_dict()), signature)
            admission.check_bundle(release, self.read(release.bundle).manifest)
            admission.check_turn(connection, release, expected_epoch)
            failpoint("promote.checked")
            change = Change(
                expected_epoch + 1,
                release.usecase,
                "promote",
                at,
                actor,
                "",
                release.bundle,
                release.digest,
                release.replaces,
                dict(probe),
            )
            self._enthrone(connection, change)
            failpoint("promote.written")
            envelope = {
                "usecase": release.usecase,
                "bundle": release.bundle,
                "body": _text(release.to_dict()),
                "signature": _text(signature),
            }
            connection.execute(ENVELOPES.insert().values(digest=release.digest, epoch=change.epoch, **envelope))
            self._mail(connection, change, mail)
            failpoint("promote.mailed")
        failpoint("promote.committed")
        return change.epoch

    def rollback(
        self, case: str, *, at: int, actor: str, reason: str, expected_epoch: int | None = None, mail: Mailing | None = None
    ) -> int:
        """Let the champion before this one answer again; the new epoch. It works while the use case is held.

        Raises ShelflifeError when there is none, or its bytes or the signature it was promoted with are no longer good.
        """
        with self.state.begin() as connection:
            failpoint("rollback.begun")
            admission.check_epoch(ledger.head(connection, CHAIN)[0], expected_epoch)
            epoch = self._step_back(connection, "rollback", case, at, actor, reason, mail)
            failpoint("rollback.written")
        failpoint("rollback.committed")
        return epoch

    def fall_back(self, case: str, bundle: str, *, at: int, actor: str, reason: str, mail: Mailing | None = None) -> int:
        """Like `rollback`, and hold the use case, in one transaction and one mail; the new epoch.

        Raises ShelflifeError, with nothing changed, unless this bundle answers now: of many servers that find it bad, one is first.
        """
        with self.state.begin() as connection:
            now = champion_of(connection, case)
            if now is None or now.bundle != bundle:
                raise ShelflifeError(f"{case}: {bundle[:12]} does not answer any more; there is nothing to fall back from")
            epoch = self._step_back(connection, "fallback", case, at, actor, reason, mail)
            put(connection, HOLDS, {"usecase": case}, {"at": at, "actor": actor, "reason": reason})
            failpoint("fallback.written")
        return epoch

    def _step_back(
        self, connection: Connection, action: str, case: str, at: int, actor: str, reason: str, mail: Mailing | None
    ) -> int:
        now = champion_of(connection, case)
        if now is None or now.previous is None:
            raise ShelflifeError(
                f"{named(case)} has no champion before this one to go back to; hold it, or promote another release"
            )
        before = reign_before(connection, case, now.previous, now.epoch)
        if before is None or before.release is None:
            raise ShelflifeError(f"{case}: {now.previous[:12]} was never promoted, so it cannot answer; restore a backup")
        self.envelope(before.release, connection)
        self.read(now.previous)
        failpoint("rollback.checked")
        # What retention has removed is no way back any more: better to say so now than when it is needed.
        further = before.previous if before.previous and (self.bundles.folder / before.previous).exists() else None
        epoch = ledger.head(connection, CHAIN)[0] + 1
        change = Change(epoch, case, action, at, actor, reason, now.previous, before.release, further)
        self._enthrone(connection, change)
        self._mail(connection, change, mail)
        return epoch

    def formers(self, case: str) -> list[str]:
        """The bundles to which rollbacks lead, one after the other, the nearest first, as far as retention has left them."""
        way: list[str] = []
        for change in self.history(case):
            if change.action == "promote" and change.bundle:
                way.append(change.bundle)
            elif change.action in ("rollback", "fallback") and way:
                way.pop()
        return list(takewhile(lambda name: (self.bundles.folder / name).exists(), reversed(way[:-1])))

    def hold(self, case: str, *, at: int, actor: str, reason: str) -> int:
        """Block promotion (and learning) of a use case until somebody clears it; the new epoch. Rollback still works."""
        with self.state.begin() as connection:
            put(connection, HOLDS, {"usecase": named(case)}, {"at": at, "actor": actor, "reason": reason})
            return self._record(connection, case, "hold", at, actor, reason)

    def unhold(self, case: str, *, at: int, actor: str, reason: str = "") -> int:
        """Clear the hold; the new epoch. Raises ShelflifeError where there is none."""
        with self.state.begin() as connection:
            if connection.execute(HOLDS.delete().where(HOLDS.c.usecase == named(case))).rowcount == 0:
                raise ShelflifeError(f"{case} is not held")
            return self._record(connection, case, "unhold", at, actor, reason)

    def held(self, case: str) -> Hold | None:
        """Who holds the use case, since when and why; None when nobody does."""
        with self.state.read() as connection:
            return hold_of(connection, case)

    def champion(self, case: str) -> Champion | None:
        """What answers the use case; None before its first promotion. Raises ShelflifeError when the ledger tells otherwise."""
        with self.state.read() as connection:
            return champion_of(connection, case)

    def champions(self) -> dict[str, Champion]:
        """Every use case that has a champion."""
        with self.state.read() as connection:
            cases = connection.execute(sa.select(CHAMPIONS.c.usecase)).scalars().all()
            return {case: found for case in sorted(cases) if (found := champion_of(connection, case))}

    def answering(self, case: str) -> tuple[Champion, Release, BundleFiles] | None:
        """Champion, its release with the signature checked, and its bundle's verified bytes: what a server loads."""
        with self.state.read() as connection:
            champion = champion_of(connection, case)
            if champion is None:
                return None
            release, _ = self.envelope(champion.release, connection)
        if (release.usecase, release.bundle) != (case, champion.bundle):
            raise ShelflifeError(
                f"{case}: the champion's release is another bundle's; restore a backup and find out who wrote to the database"
            )
        return champion, release, self.read(champion.bundle)

    def envelope(self, release: str, connection: Connection | None = None) -> tuple[Release, dict[str, str]]:
        """A promoted release and its signature, checked against the keys trusted now."""
        if connection is None:
            with self.state.read() as view:
                return self.envelope(release, view)
        row = connection.execute(sa.select(ENVELOPES).where(ENVELOPES.c.digest == release)).first()
        if row is None:
            raise ShelflifeError(f"there is no release {ascii(release)[:70]}; shelflife why lists those there were")
        signature = _signature(row.signature)
        self.keys.verify(row.body.encode(), signature)  # the very bytes that were signed, before anybody parses them
        found = Release(**{name: value for name, value in json.loads(row.body).items() if name != "format"})
        if found.digest != release:
            raise ShelflifeError(
                f"release {release[:12]} was changed in the database; restore a backup and find out who wrote to it"
            )
        return found, signature

    def epoch(self) -> int:
        """The number of changes so far, over all use cases: cheap, and different whenever anything has changed."""
        with self.state.read() as connection:
            return ledger.head(connection, CHAIN)[0]

    def history(self, case: str | None = None) -> list[Change]:
        """Every change, oldest first."""
        with self.state.read() as connection:
            return [change for change in changes(connection) if case in (None, change.case)]

    def verify(self) -> int:
        """Follow the ledger and compare the champions with it; how many lines it has. Raises ShelflifeError if it was changed."""
        with self.state.read() as connection:
            count = ledger.verify(connection, CHAIN)
            told = {change.case: change.epoch for change in changes(connection) if change.bundle}
            found = {row.usecase: row.epoch for row in connection.execute(sa.select(CHAMPIONS))}
            if told != found:
                raise ShelflifeError(
                    "the champions are not those of the ledger; restore a backup and find out who wrote to the database"
                )
            for case in found:
                champion_of(connection, case)
        return count

    def looks(self, case: str, holdout: str) -> int:
        """How often a holdout has been opened."""
        with self.state.read() as connection:
            return looks_at(connection, case, holdout)

    def open_holdout(self, case: str, holdout: str, run: str, at: int) -> int:
        """Count one look at a holdout; how often it had been opened before. The same run again is the same look."""
        key = {"usecase": named(case), "holdout": holdout, "run": run}
        with self.state.begin() as connection:
            where = [LOOKS.c[name] == value for name, value in key.items()]
            known = connection.execute(sa.select(LOOKS.c.before).where(*where)).scalar()
            if known is not None:
                return int(known)
            before = looks_at(connection, case, holdout)
            connection.execute(LOOKS.insert().values(**key, at=at, before=before))
        return before

    def _enthrone(self, connection: Connection, change: Change) -> None:
        """Ledger line and champion, in the caller's transaction."""
        self._append(connection, change)
        row = {
            "bundle": change.bundle,
            "release": change.release,
            "epoch": change.epoch,
            "since": change.at,
            "previous": change.previous,
        }
        put(connection, CHAMPIONS, {"usecase": change.case}, row)

    def _record(self, connection: Connection, case: str, action: str, at: int, actor: str, reason: str) -> int:
        change = Change(ledger.head(connection, CHAIN)[0] + 1, case, action, at, actor, reason)
        self._append(connection, change)
        self._mail(connection, change, None)
        failpoint("hold.written")
        return change.epoch

    def _append(self, connection: Connection, change: Change) -> None:
        body = {name: value for name, value in vars(change).items() if name not in ("epoch", "at")}
        seq = ledger.append(connection, CHAIN, body, change.at)
        assert seq == change.epoch, "the write lock is held since the epoch was read"

    def _mail(self, connection: Connection, change: Change, mail: Mailing | None) -> None:
        said, key = mail or Mailing(sentences(change)), f"release/{change.epoch}"
        self.outbox.queue(connection, key=key, subject=subject(change), text=said.text, html=said.html, at=change.at)


def _text(value: Mapping[str, Any]) -> str:
    return canonical(dict(value)).decode()


def _signature(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ShelflifeError("the release's signature cannot be read; restore a backup and find out who wrote to the database")
    return found

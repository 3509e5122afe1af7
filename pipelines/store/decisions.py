"""Decisions as they were taken, with all they were taken from: content-addressed, hash-chained, to be decided again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pipelines.core.digest import canonical, digest
from pipelines.core.errors import ShelflifeError
from pipelines.store import bundles, ledger
from pipelines.store.durable import discard, make_folder, place_folder
from pipelines.store.failpoint import failpoint
from pipelines.store.state import DECISIONS, State

CHAIN = "decisions"
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9]+)*")


@dataclass(frozen=True)
class Decision:
    """One decision. `files` maps the names of its evidence to their SHA-256."""

    id: str
    kind: str
    case: str
    at: int
    body: Mapping[str, Any]
    files: Mapping[str, str]


class Decisions:
    """The decisions of one home; the evidence lies in a folder named by the decision's digest."""

    def __init__(self, folder: Path, state: State) -> None:
        self.folder = folder
        self.state = state

    def record(self, kind: str, case: str, at: int, body: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> str:
        """Keep a decision; its id, which is the digest of all it holds. The same decision again is kept once."""
        evidence = dict(files or {})
        if bad := [name for name in evidence if not FILE.fullmatch(name)]:
            raise ShelflifeError(f"wanted plain file names, got {ascii(bad[0])[:60]}")
        found = _decision(kind, case, at, body, {name: digest(data) for name, data in evidence.items()})
        self._keep(found, evidence)
        failpoint("decision.kept")
        with self.state.begin() as connection:
            if connection.execute(sa.select(DECISIONS.c.id).where(DECISIONS.c.id == found.id)).first() is None:
                seq = ledger.append(connection, CHAIN, {"id": found.id, "kind": kind, "case": case}, at)
                row = {"body": canonical(dict(body)).decode(), "files": canonical(dict(found.files)).decode()}
                connection.execute(DECISIONS.insert().values(id=found.id, seq=seq, kind=kind, usecase=case, at=at, **row))
                failpoint("decision.written")
        return found.id

    def get(self, id_: str) -> Decision:
        """A decision by its id, or by the first digits of it. Raises ShelflifeError when there is none, or it was changed."""
        if not re.fullmatch(r"[0-9a-f]{6,64}", id_):
            raise ShelflifeError(f"wanted a decision's id (6 to 64 hex digits), got {ascii(id_)[:70]}")
        with self.state.read() as connection:
            rows = connection.execute(sa.select(DECISIONS).where(DECISIONS.c.id.startswith(id_))).all()
        if len(rows) != 1:
            raise ShelflifeError(
                f"there {'is no decision' if not rows else 'are several decisions that begin with'} {id_}; shelflife why lists them"
            )
        return _of(rows[0])

    def files(self, id_: str) -> dict[str, bytes]:
        """The evidence of a decision, each byte verified. Raises ShelflifeError when it was changed, or retention removed it."""
        decision = self.get(id_)
        if not decision.files:
            return {}
        raw = bundles.contents(self.folder / decision.id)
        if {name: digest(data) for name, data in raw.items()} != dict(decision.files):
            raise ShelflifeError(f"decision {decision.id[:12]}: its evidence is not what it was decided from; restore a backup")
        return raw

    def list(self, case: str | None = None, kind: str | None = None) -> list[Decision]:
        """Decisions in the order they were recorded."""
        query = sa.select(DECISIONS).order_by(DECISIONS.c.seq)
        with self.state.read() as connection:
            rows = connection.execute(query).all()
        return [_of(row) for row in rows if case in (None, row.usecase) and kind in (None, row.kind)]

    def last(self, case: str, kind: str, many: int, *, before: int) -> Sequence[Decision]:
        """The last so many decisions of a kind on a use case that were of a moment before that one, oldest first."""
        query = sa.select(DECISIONS).where(DECISIONS.c.usecase == case, DECISIONS.c.kind == kind, DECISIONS.c.at < before)
        with self.state.read() as connection:
            rows = connection.execute(query.order_by(DECISIONS.c.seq.desc()).limit(many)).all()
        return [_of(row) for row in reversed(rows)]

    def verify_chain(self) -> int:
        """Follow the ledger, each decision and each file that is still here; how many decisions there are.

        Raises ShelflifeError for the first that is not as it was recorded.
        """
        with self.state.read() as connection:
            count = ledger.verify(connection, CHAIN)
            told = [(line.seq, line.body["id"]) for line in ledger.lines(connection, CHAIN)]
            rows = connection.execute(sa.select(DECISIONS).order_by(DECISIONS.c.seq)).all()
        if told != [(row.seq, row.id) for row in rows]:
            raise ShelflifeError(
                "the decisions are not those of the ledger; restore a backup and find out who wrote to the database"
            )
        for row in rows:
            if _of(row).files and (self.folder / row.id).exists():
                self.files(row.id)
        return count

    def _keep(self, decision: Decision, files: dict[str, bytes]) -> None:
        """Evidence first, the row that names it second: a row is never without its files."""
        folder = make_folder(self.folder) / decision.id
        if not files or self._is_whole(folder, decision):
            return
        discard(folder)
        try:
            place_folder(folder, files)
        except OSError:
            if not self._is_whole(folder, decision):
                raise

    @staticmethod
    def _is_whole(folder: Path, decision: Decision) -> bool:
        if not folder.is_dir():
            return False
        try:
            return {name: digest(data) for name, data in bundles.contents(folder).items()} == dict(decision.files)
        except ShelflifeError:
            return False


def _decision(kind: str, case: str, at: int, body: Mapping[str, Any], files: Mapping[str, str]) -> Decision:
    content = {"kind": kind, "case": case, "at": at, "body": dict(body), "files": dict(files)}
    return Decision(digest(content), kind, case, at, dict(body), dict(files))


def _of(row: Any) -> Decision:
    decision = _decision(row.kind, row.usecase, row.at, json.loads(row.body), json.loads(row.files))
    if decision.id != row.id:
        raise ShelflifeError(
            f"decision {row.id[:12]} was changed after it was recorded; restore a backup and find out who wrote to the database"
        )
    return decision

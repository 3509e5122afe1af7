"""Backup, restore and retention: a copy that is consistent while others write, and a clean-up that never removes what may answer."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import micros
from pipelines.core.digest import canonical
from pipelines.core.errors import ShelflifeError
from pipelines.store import sqlite
from pipelines.store.decisions import Decision
from pipelines.store.durable import discard, make_folder, sha256_of, sync_folder, unfinished
from pipelines.store.failpoint import failpoint
from pipelines.store.home import VERSION, Home
from pipelines.store.reigns import Change, changes
from pipelines.store.state import OUTBOX, QUARANTINE

if TYPE_CHECKING:
    from sqlalchemy import Connection

DATABASES = ("state.db", "log.db", "landing/manifest.db")
"""In this order: what a database names was written before it, so a file it names is in the archive."""

TREES = ("releases", "decisions", "keys", "landing")
CONTENTS = "contents.json"
PROMOTED_KEPT = 3
"""How many bundles of each use case stay whatever their age: the champion, the one before it, and the one before that."""


@dataclass(frozen=True)
class Archive:
    """What a backup holds: where it is, how many files, how many bytes."""

    path: Path
    files: int
    bytes: int


@dataclass(frozen=True)
class Pruned:
    """What retention removed: bundles and decisions by digest, and counts of mails and quarantined rows."""

    bundles: tuple[str, ...]
    evidence: tuple[str, ...]
    mails: int
    rows: int
    unfinished: int


def backup(home: Home, target: Path) -> Archive:
    """Copy the whole living state to a new archive (.tar) while others go on writing; the archive is verified before it gets its name.

    Worktrees, Airflow's own files and the online features are left out: they are made again from what is here. The archive
    holds the signing key, so it can be read by its owner alone.
    """
    if target.exists():
        raise ShelflifeError(f"{target} is there already; choose another name, or remove it")
    if not home.state.url.startswith("sqlite"):
        raise ShelflifeError("the operational state is in PostgreSQL: back that up with pg_dump, and the home's folder with it")
    make_folder(target.parent)
    stage = Path(mkdtemp(prefix=f".tmp-{os.getpid()}-backup-", dir=home.path))
    aside = target.parent / f".tmp-{os.getpid()}-{target.name}"
    try:
        files = _staged(home, stage)
        contents = {name: sha256_of(path) for name, path in files.items()}
        _pack(aside, files, {"version": VERSION, "files": contents})
        _unpack(aside, None)
        failpoint("backup.verified")
        aside.rename(target)
        sync_folder(target.parent)
    finally:
        aside.unlink(missing_ok=True)
        shutil.rmtree(stage, ignore_errors=True)
    return Archive(target, len(files), target.stat().st_size)


def restore(archive: Path, path: Path) -> Home:
    """Bring a home back from an archive, into a folder that is not there yet (or is empty). An older home is brought up to date.

    Raises ShelflifeError, with nothing written under that name, when any byte of the archive is not what was backed up.
    """
    path = path.absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ShelflifeError(f"{path} holds a home already; move it away first, then restore")
    make_folder(path.parent)
    stage = Path(mkdtemp(prefix=f".tmp-{os.getpid()}-restore-", dir=path.parent))
    try:
        _unpack(archive, stage)
        _check(stage)
        failpoint("restore.checked")
        if path.exists():
            path.rmdir()
        stage.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return Home.open(path)


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


def _staged(home: Home, stage: Path) -> dict[str, Path]:
    """Name in the archive -> file to read: copies of the databases, and the other files as they are, for they never change."""
    files = {}
    for name in DATABASES:
        if (home.path / name).exists():
            make_folder((stage / name).parent)
            sqlite.copy(home.path / name, stage / name)
            files[name] = stage / name
        failpoint("backup.copied")
    files["version"] = home.path / "version"
    for tree in TREES:
        for found in sorted((home.path / tree).rglob("*")):
            name = found.relative_to(home.path).as_posix()
            if (
                found.is_file()
                and not found.is_symlink()
                and "/.tmp-" not in name
                and not name.startswith("landing/manifest.db")
                and name != "landing/lock"
            ):
                files[name] = found
    return files


def _pack(target: Path, files: dict[str, Path], contents: dict[str, Any]) -> None:
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as raw, tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        listing = canonical(contents)
        member = tarfile.TarInfo(CONTENTS)
        member.size = len(listing)
        tar.addfile(member, io.BytesIO(listing))
        for name, path in files.items():
            tar.add(path, name, recursive=False)
        tar.close()
        raw.flush()
        os.fsync(raw.fileno())


def _unpack(archive: Path, target: Path | None) -> None:
    """Write the archive's files under `target` (None: only look), each compared with the list that the archive begins with."""
    try:
        with tarfile.open(archive, "r:") as tar:
            listed = _contents(tar)
            missing = dict(listed)
            for member in tar:
                if member.name == CONTENTS:
                    continue
                data = _bytes(tar, member)
                if missing.pop(member.name, None) != hashlib.sha256(data).hexdigest():
                    raise ShelflifeError(
                        f"{archive.name}: {ascii(member.name)[:80]} is not what was backed up; use another archive"
                    )
                if target is not None:
                    _put(target, member, data)
    except (tarfile.TarError, EOFError, ValueError, KeyError, FileNotFoundError) as error:
        raise ShelflifeError(
            f"{archive}: wanted an archive written by shelflife backup, got {type(error).__name__}: {error}"
        ) from None
    if missing:
        raise ShelflifeError(f"{archive.name}: {min(missing)} is missing; use another archive")


def _contents(tar: tarfile.TarFile) -> dict[str, str]:
    first = tar.next()
    if first is None or first.name != CONTENTS:
        raise ValueError(f"no {CONTENTS}")
    data = json.loads(_bytes(tar, first))
    if data["version"] > VERSION:
        raise ShelflifeError(
            f"wanted an archive of version {VERSION} or older, got {data['version']}; use the newer Shelflife that wrote it"
        )
    for name in data["files"]:
        parts = PurePosixPath(name).parts
        if (
            not parts
            or name.startswith("/")
            or ".." in parts
            or "\\" in name
            or parts[0] not in (*TREES, *DATABASES, "version")
        ):
            raise ShelflifeError(f"the archive names {ascii(name)[:60]}, which is no file of a home; use another archive")
    return dict(data["files"])


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) if member.isreg() else None
    if file is None:
        raise ShelflifeError(f"the archive holds {ascii(member.name)[:60]}, which is no plain file; use another archive")
    return file.read()


def _put(target: Path, member: tarfile.TarInfo, data: bytes) -> None:
    path = target / member.name
    make_folder(path.parent)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), member.mode & 0o644)
        os.fsync(file.fileno())


def _check(path: Path) -> None:
    """The databases are whole, and every champion's bundle and the one before it is there."""
    for name in DATABASES:
        if (path / name).exists() and (problem := sqlite.problem(path / name)):
            raise ShelflifeError(f"the archive's {name} is damaged ({problem}); use another archive")
    home = Home(path)
    if home.version() == VERSION:  # an older one is brought up to date when it has its place
        home.releases.verify()
        for champion in home.releases.champions().values():
            for digest in filter(None, (champion.bundle, champion.previous)):
                home.releases.read(digest)
        home.close()


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

"""Backup and restore: a copy of the living state that is consistent while others write, and is proven before it is believed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Any

from pipelines.core.digest import canonical
from pipelines.core.errors import ShelflifeError
from pipelines.store import sqlite
from pipelines.store.durable import make_folder, sha256_of, sync_folder
from pipelines.store.failpoint import failpoint
from pipelines.store.home import VERSION, Home

DATABASES = ("state.db", "log.db", "landing/manifest.db")
"""In this order: what a database names was written before it, so a file it names is in the archive."""

TREES = ("releases", "decisions", "keys", "landing")
CONTENTS = "contents.json"


@dataclass(frozen=True)
class Archive:
    """What a backup holds: where it is, how many files, how many bytes."""

    path: Path
    files: int
    bytes: int


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

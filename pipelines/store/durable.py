"""Files that are whole and on disk when the call returns, or not there at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from pipelines.store.failpoint import failpoint

TEMPORARY = ".tmp-"
"""How the name of a file or folder begins that is not finished; whoever finds one of a dead process may remove it."""


def write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """The bytes under that name, atomically: written aside, synced, renamed, and the folder synced."""
    place(path, data, mode=mode)
    sync_folder(path.parent)


def place(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Like `write`, for many files of one folder: the caller syncs the folder once, at the end."""
    aside = path.parent / f"{TEMPORARY}{os.getpid()}-{path.name}"
    try:
        write_new(aside, data, mode=mode)
        failpoint("durable.before_rename")
        aside.rename(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_new(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """A new synced file; one left by an earlier try is replaced, a symbolic link is never followed."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in the folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> Path:
    """The folder, private to its owner."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def place_folder(folder: Path, files: dict[str, bytes], *, mode: int = 0o444) -> None:
    """A folder of exactly these files, renamed into place when all of them are on disk. It must not be there yet."""
    aside = folder.parent / f"{TEMPORARY}{os.getpid()}-{folder.name}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        make_folder(aside)
        for name, data in files.items():
            write_new(aside / name, data, mode=mode)
        sync_folder(aside)
        failpoint("folder.before_rename")
        aside.rename(folder)
        failpoint("folder.renamed")
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def discard(path: Path) -> None:
    """Remove the file or folder so that no half of it is ever seen under its name."""
    aside = path.parent / f"{TEMPORARY}{os.getpid()}-gone-{path.name}"
    with suppress(FileNotFoundError):
        path.rename(aside)
        failpoint("discard.renamed")
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)


def unfinished(folder: Path) -> list[Path]:
    """What processes that are no longer alive left unfinished in the folder."""
    found = folder.glob(f"{TEMPORARY}*") if folder.is_dir() else ()
    return [path for path in found if not _alive(path.name.removeprefix(TEMPORARY).partition("-")[0])]


def _alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sha256_of(path: Path) -> str:
    """SHA-256 of the file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Bundles on disk: each byte is checked against the manifest, and the manifest against its name, before anybody parses it."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.digest import canonical, digest
from pipelines.core.errors import ShelflifeError
from pipelines.core.release import FILES, Bundle
from pipelines.store.durable import discard, make_folder, place_folder

MANIFEST = "manifest.json"
DIGEST = re.compile(r"[0-9a-f]{64}")
LARGEST = 2 << 30
"""Bytes of the largest file that is read."""


@dataclass(frozen=True)
class BundleFiles:
    """A bundle whose bytes are those that its digest names. Parse these bytes; the files may change, they cannot."""

    manifest: Bundle
    files: Mapping[str, bytes]


class Bundles:
    """The bundles of one home, each in a folder that its digest names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, folder: Path) -> str:
        """Take an immutable copy of the bundle in a folder; its digest. A copy that was damaged since is replaced."""
        bundle = pack(folder)
        name = bundle.manifest.digest
        target = make_folder(self.folder) / name
        if target.exists() or target.is_symlink():
            if self._problem(name) is None:
                return name
            discard(target)
        try:
            place_folder(target, stored(bundle))
        except OSError:
            # Somebody else may have added the very same bundle in this moment.
            if self._problem(name) is not None:
                raise
        return name

    def read(self, bundle: str) -> BundleFiles:
        """The bundle's verified bytes. Raises ShelflifeError unless the folder is exactly what the digest names."""
        return load(self.folder / bundle, bundle)

    def _problem(self, bundle: str) -> str | None:
        try:
            self.read(bundle)
        except ShelflifeError as error:
            return str(error)
        return None


def load(folder: Path, expected: str) -> BundleFiles:
    """The bundle in a folder whose manifest must have this digest.

    Raises ShelflifeError for anything that is not exactly as it was judged: a byte changed, a file more, fewer or renamed, a
    symbolic or hard link, a manifest that is another bundle's.
    """
    if not DIGEST.fullmatch(expected):
        raise ShelflifeError(f"wanted a bundle's digest (64 hex digits), got {ascii(expected)[:70]}")
    raw = contents(folder)
    manifest = raw.pop(MANIFEST, b"")
    if digest(manifest) != expected:
        raise ShelflifeError(
            f"bundle {expected[:12]}: its manifest is not the one that was judged; add the bundle again from its run"
        )
    return _matched(Bundle.from_dict(json.loads(manifest)), raw)


def pack(folder: Path) -> BundleFiles:
    """The bundle that a training run left in its folder, complete and consistent. Raises ShelflifeError otherwise."""
    raw = contents(folder)
    try:
        bundle = Bundle.from_dict(json.loads(raw.pop(MANIFEST)))
    except KeyError:
        raise ShelflifeError(f"{folder}: wanted a bundle with {MANIFEST}, got none; run shelflife train first") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ShelflifeError(f"{folder}: its {MANIFEST} is not a bundle's ({error}); run shelflife train again") from None
    if missing := sorted(set(FILES) - set(bundle.files)):
        raise ShelflifeError(f"{folder}: wanted a bundle with {', '.join(missing)}, got none; run shelflife train again")
    return _matched(bundle, raw)


def stored(bundle: BundleFiles) -> dict[str, bytes]:
    """The files as they are kept: the manifest as canonical bytes, whose SHA-256 is the bundle's digest."""
    return {**bundle.files, MANIFEST: canonical(bundle.manifest.to_dict())}


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file in the folder. Raises ShelflifeError where an entry is anything but a plain file of its own."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        raise ShelflifeError(f"there is no bundle at {folder}; add it again from its run") from None
    try:
        names = sorted(os.listdir(handle))  # noqa: PTH208  # of the open folder, whatever its name leads to by now
        return {name: _plain(name, handle) for name in names}
    finally:
        os.close(handle)


def _plain(name: str, folder: int) -> bytes:
    """One file's bytes, through one handle: what is looked at is what is read."""
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise ShelflifeError(
            f"bundle: {ascii(name)[:60]} cannot be read as a plain file ({error.strerror}); add the bundle again"
        ) from None
    try:
        seen = os.fstat(handle)
        if not stat.S_ISREG(seen.st_mode) or seen.st_nlink != 1 or seen.st_size > LARGEST:
            raise ShelflifeError(
                f"bundle: {ascii(name)[:60]} is not a plain file of its own (a link or a folder); add the bundle again"
            )
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def _matched(bundle: Bundle, raw: Mapping[str, bytes]) -> BundleFiles:
    """The bundle, if these are exactly its files."""
    name = f"{bundle.usecase} bundle {bundle.digest[:12]}"
    if extra := sorted(set(raw) - set(bundle.files)):
        raise ShelflifeError(f"{name}: {ascii(extra[0])[:60]} does not belong to it; remove it, or add the bundle again")
    if missing := sorted(set(bundle.files) - set(raw)):
        raise ShelflifeError(f"{name}: {missing[0]} is missing; add the bundle again from its run")
    for file, sha in bundle.files.items():
        if digest(raw[file]) != sha:
            raise ShelflifeError(f"{name}: {file} is not the file that was judged; add the bundle again from its run")
    return BundleFiles(bundle, dict(raw))

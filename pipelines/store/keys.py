"""The keys that sign releases: the private one is read by promote alone, servers hold the trusted public ones."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.errors import ShelflifeError
from pipelines.store.durable import make_folder, sync_folder, write
from pipelines.store.failpoint import failpoint

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_ID = re.compile(r"[0-9a-f]{16}")
PURPOSE = b"shelflife release v1\0"
"""Goes before what is signed, so that a signature made for something else can never be taken for a release's."""


@dataclass(frozen=True)
class Key:
    """A public key as it is listed: `standing` is signing, trusted or revoked."""

    id: str
    standing: str


class Keys:
    """Ed25519 keys in one folder: private.key (0600), trusted/<id>.pub and revoked/<id>.pub. Revoked wins over trusted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> str:
        """Make the signing key where there is none; its id. Safe to call at every set-up."""
        return self.current() or self.rotate()

    def rotate(self) -> str:
        """Make a new signing key. What the old one signed stays trusted until it is revoked."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        make_folder(self.folder)
        # Trusted first: a kill in between leaves a trusted key that nobody can sign with, not a signature that nobody trusts.
        write(make_folder(self.folder / "trusted") / f"{_id(public)}.pub", public.hex().encode())
        failpoint("keys.trusted")
        write(self._private, private.private_bytes_raw().hex().encode(), mode=0o600)
        failpoint("keys.rotated")
        return _id(public)

    def revoke(self, key_id: str) -> None:
        """Nothing that this key has signed is believed any more. The signing key is replaced first."""
        if not KEY_ID.fullmatch(key_id) or key_id not in {key.id for key in self.list()}:
            raise ShelflifeError(f"there is no key {ascii(key_id)[:40]}; shelflife keys list shows those there are")
        if self.current() == key_id:
            self.rotate()
        trusted = self.folder / "trusted" / f"{key_id}.pub"
        if trusted.exists():
            write(make_folder(self.folder / "revoked") / trusted.name, trusted.read_bytes())
            failpoint("keys.revoked")
            trusted.unlink()
            sync_folder(trusted.parent)

    def current(self) -> str | None:
        """The id of the key that signs now."""
        return _id(self._signing().public_key().public_bytes_raw()) if self._private.exists() else None

    def list(self) -> list[Key]:
        """Every key that was ever made here."""
        revoked, signing = self._names("revoked"), self.current()
        trusted = [Key(name, "signing" if name == signing else "trusted") for name in sorted(self._names("trusted") - revoked)]
        return trusted + [Key(name, "revoked") for name in sorted(revoked)]

    def trusted(self) -> dict[str, bytes]:
        """Public keys by id: what a server needs to believe a release. A file that is not its name's key is left out."""
        names = self._names("trusted") - self._names("revoked")
        found = {name: _public(self.folder / "trusted" / f"{name}.pub") for name in sorted(names)}
        return {name: public for name, public in found.items() if public and _id(public) == name}

    def sign(self, data: bytes) -> dict[str, str]:
        """A signature of the bytes: {"key_id", "signature"}, both hex."""
        private = self._signing()
        return {"key_id": _id(private.public_key().public_bytes_raw()), "signature": private.sign(PURPOSE + data).hex()}

    def verify(self, data: bytes, signature: Mapping[str, str]) -> None:
        """Raises ShelflifeError unless a trusted key that is not revoked has signed exactly these bytes."""
        verify(data, signature, self.trusted(), self._names("revoked"))

    @property
    def _private(self) -> Path:
        return self.folder / "private.key"

    def _names(self, standing: str) -> set[str]:
        return {path.stem for path in (self.folder / standing).glob("*.pub") if KEY_ID.fullmatch(path.stem)}

    def _signing(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        try:
            handle = os.open(self._private, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise ShelflifeError("there is no key to sign with; make one with shelflife keys make") from None
        with os.fdopen(handle, "rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ShelflifeError(
                    f"{self._private.name} can be read by others; chmod 600 it, and rotate if somebody may have copied it"
                )
            return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(file.read().decode()))


def verify(
    data: bytes, signature: Mapping[str, str], trusted: Mapping[str, bytes], revoked: set[str] | frozenset[str] = frozenset()
) -> None:
    """Raises ShelflifeError unless one of the trusted public keys has signed exactly these bytes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key_id = signature.get("key_id")
    if key_id in revoked:
        raise ShelflifeError(
            f"the release is signed with the revoked key {key_id}; judge it again and sign it with a trusted one"
        )
    if not isinstance(key_id, str) or key_id not in trusted:
        raise ShelflifeError(
            f"the release is signed with the unknown key {ascii(key_id)[:40]}; only keys under keys/trusted are believed"
        )
    try:
        Ed25519PublicKey.from_public_bytes(trusted[key_id]).verify(_exact(signature.get("signature", "")), PURPOSE + data)
    except (InvalidSignature, ValueError, TypeError):
        raise ShelflifeError(
            f"the release's signature by {key_id} is wrong: it was changed after it was signed; judge and sign it again"
        ) from None


def _exact(text: str) -> bytes:
    """The bytes of hexadecimal text as we write it: a changed letter is a changed signature, even where it reads alike."""
    data = bytes.fromhex(text)
    if data.hex() != text:
        raise ValueError("not as it was written")
    return data


def _id(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()[:16]


def _public(path: Path) -> bytes | None:
    try:
        public = bytes.fromhex(path.read_text(encoding="ascii"))
    except (ValueError, OSError):
        return None
    return public if len(public) == 32 else None

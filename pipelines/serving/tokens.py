"""Who may write: a bearer token in a file that only its owner can read."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.core.errors import ShelflifeError

if TYPE_CHECKING:
    from pathlib import Path

SHORTEST = 32
"""Characters that a token must have at least."""


@dataclass(frozen=True)
class Token:
    """The token's file, read at each use: a new token holds at once. Several lines are several tokens, for a rotation."""

    path: Path

    @staticmethod
    def at(path: Path) -> Token:
        """The token of that file; made, mode 0600, where there is none yet."""
        if not path.exists():
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "w") as out:
                out.write(secrets.token_urlsafe(32) + "\n")
        return Token(path)

    def read(self) -> list[bytes]:
        """The tokens that hold. Raises ShelflifeError when others can read the file, or it holds none of a safe length."""
        with self.path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            lines = file.read(4096).split()
        if mode & 0o077:
            raise ShelflifeError(
                f"wanted {self.path.name} to be readable by its owner alone, got mode {mode:o}; run chmod 600 on it"
            )
        if not lines or min(map(len, lines)) < SHORTEST:
            raise ShelflifeError(
                f"wanted tokens of {SHORTEST} characters or more in {self.path.name}; delete it to have one made"
            )
        return lines

    def allows(self, authorization: bytes) -> bool:
        """Whether the Authorization header bears a token that holds, compared in constant time. A file that cannot be read
        lets nobody in.
        """
        try:
            tokens = self.read()
        except (OSError, ShelflifeError):
            return False
        scheme, _, given = authorization.partition(b" ")
        matches = [hmac.compare_digest(token, given.strip()) for token in tokens]
        return scheme.lower() == b"bearer" and any(matches)

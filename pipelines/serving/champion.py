"""Which release answers a use case: the registry's word, by digest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Champion:
    """Which bundle answers a use case, all by digest: on the word of which release and verdict, at which epoch, since when.

    `previous` is the bundle that answered before: it is kept warm, so that a rollback is a swap. `signed` is the release with
    its signature, as whoever checks it wrote it (see `Parts.believe`).
    """

    case: str
    bundle: str
    release: str
    verdict: str
    epoch: int
    since: int = 0
    previous: str | None = None
    signed: str = ""

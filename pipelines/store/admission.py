"""What must hold before a release may answer. Each raises ShelflifeError, saying what was wanted and what came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipelines.core.digest import digest
from pipelines.core.errors import ShelflifeError
from pipelines.core.release import Bundle, Release
from pipelines.core.verdict import Verdict
from pipelines.store import ledger
from pipelines.store.reigns import CHAIN, champion_of, hold_of, named
from pipelines.store.state import ENVELOPES


def check_word(release: Release, probe: Mapping[str, Any], verdict: Mapping[str, Any]) -> None:
    """The probe and the verdict must be about this very bundle, and good."""
    named(release.usecase)
    if probe.get("ok") is not True or probe.get("bundle") != release.bundle:
        raise ShelflifeError(
            f'{release.usecase}: wanted a probe record {{"ok": true, "bundle": "{release.bundle[:12]}…"}}, got {ascii(dict(probe))[:100]}; '
            "let the bundle answer its golden requests in a separate process first"
        )
    try:
        judged = Verdict.from_dict(verdict)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ShelflifeError(f"{release.usecase}: wanted a verdict, got {ascii(str(error))[:100]}; evaluate again") from None
    if judged.status != "pass" or digest(dict(verdict)) != release.verdict:
        raise ShelflifeError(
            f"{release.usecase}: wanted the passing verdict that the release names, got one that is {judged.status}; evaluate again"
        )
    if (judged.facts.get("bundle"), judged.facts.get("replaces")) != (release.bundle, release.replaces):
        raise ShelflifeError(f"{release.usecase}: the verdict is about another bundle or another champion; evaluate again")


def check_bundle(release: Release, bundle: Bundle) -> None:
    """The bundle was made for this use case."""
    if bundle.usecase != release.usecase:
        raise ShelflifeError(
            f"{release.usecase}: bundle {release.bundle[:12]} was made for another use case; judge the right one"
        )


def check_turn(connection: Connection, release: Release, expected_epoch: int) -> None:
    """Nobody holds the use case, the champion is the one judged against, and the release comes for the first time."""
    case = release.usecase
    if hold := hold_of(connection, case):
        raise ShelflifeError(
            f"{case} is held by {hold.actor} ({hold.reason}); clear it with shelflife rollback {case} --unhold"
        )
    check_epoch(ledger.head(connection, CHAIN)[0], expected_epoch)
    champion = champion_of(connection, case)
    bundle = champion.bundle if champion else None
    if bundle != release.replaces:
        wanted, got = (release.replaces or "none")[:12], (bundle or "none")[:12]
        raise ShelflifeError(f"{case}: the release was judged against champion {wanted}, now {got} answers; evaluate again")
    if bundle == release.bundle:
        raise ShelflifeError(f"{case}: bundle {release.bundle[:12]} answers already")
    if connection.execute(sa.select(ENVELOPES.c.digest).where(ENVELOPES.c.digest == release.digest)).first():
        raise ShelflifeError(f"{case}: release {release.digest[:12]} was promoted before; evaluate again and sign anew")


def check_epoch(found: int, expected: int | None) -> None:
    """Nothing has changed since the caller looked (None: he does not mind)."""
    if expected is not None and found != expected:
        raise ShelflifeError(
            f"the epoch is {found}, not {expected}: something else was promoted meanwhile; look again and retry"
        )

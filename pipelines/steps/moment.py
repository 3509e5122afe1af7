"""The moment of a run: what the world was when it began, as a small committed file from which the verdict follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.core.clock import iso
from pipelines.core.errors import ShelflifeError
from pipelines.core.release import REASONS, Moment

if TYPE_CHECKING:
    from pipelines.core.usecase import UseCase
    from pipelines.steps.runs import Run
    from pipelines.steps.workspace import Workspace
    from pipelines.store.home import Home


def reasons_of(text: str) -> tuple[str, ...]:
    """Reasons that a person states for one run, as `cheaper` or `cheaper,smaller`. Raises ShelflifeError for any other word."""
    said = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if unknown := [word for word in said if word not in REASONS]:
        raise ShelflifeError(f"there is no reason {', '.join(map(ascii, unknown))[:100]}; wanted some of {', '.join(REASONS)}")
    return said


def moment_of(workspace: Workspace, home: Home, usecase: UseCase, run: Run, reasons: tuple[str, ...] = ()) -> Moment:
    """What the world was when the run began, and what a person stated for it. Opening the holdout is counted, except in a backfill,
    which judges on validation data."""
    case, at = usecase.name, run.as_of
    holdout = holdout_of(workspace, usecase, at)
    releases = home.releases
    looks = releases.looks(case, holdout) if run.backfill else releases.open_holdout(case, holdout, run.run, run.opened)
    held = home.quarantine.held(usecase.snapshot)
    champion = _champion_then(home, case, at) if run.backfill else _champion_now(home, case)
    return Moment(
        case, at, home.landing.digest(usecase.snapshot, at, held), champion, holdout, looks, not run.backfill, reasons
    )


def moment_here(
    workspace: Workspace, home: Home, case: str, as_of: int | None, reasons: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Write the moment into this checkout. It opens no holdout: on a laptop evaluate judges on validation data."""
    usecase = workspace.case(case)
    now = home.clock()()
    at = closed_moment(home, as_of, now)
    holdout = holdout_of(workspace, usecase, at)
    held = home.quarantine.held(usecase.snapshot)
    log = home.landing.digest(usecase.snapshot, at, held)
    looks = home.releases.looks(case, holdout)
    moment = Moment(case, at, log, _champion_now(home, case), holdout, looks, opens_holdout=False, reasons=reasons)
    path = workspace.write_moment(moment)
    return {"text": f"{path.relative_to(workspace.root)}: {case} as of {iso(at)}", "as_of": iso(at)}


def holdout_of(workspace: Workspace, usecase: UseCase, as_of: int) -> str:
    """The name of the frozen holdout at a moment: the span of its asks. The same span is the same holdout, whoever opens it."""
    from pipelines.features.split import parts

    first, last = parts(as_of, usecase.label.matures, workspace.params.block(usecase.name).split).holdout
    return f"{iso(first)}/{iso(last)}"


def closed_moment(home: Home, as_of: int | None, now: int) -> int:
    """The moment, its days landed and closed; the last closed moment where none is given."""
    from pipelines.shop.contracts import CONTRACTS

    home.landing.land(home.log, CONTRACTS, until=now)
    closed = home.landing.closed_until()
    if as_of is not None and as_of > closed:
        raise ShelflifeError(
            f"the log is closed up to {iso(closed)}, got {iso(as_of)}; choose an earlier moment, or wait until the day is over"
        )
    return closed if as_of is None else as_of


def _champion_now(home: Home, case: str) -> str | None:
    champion = home.releases.champion(case)
    return champion.bundle if champion else None


def _champion_then(home: Home, case: str, at: int) -> str | None:
    """The bundle that answered at that time, None when there was none yet."""
    answered = [change.bundle for change in home.releases.history(case) if change.at <= at and change.bundle]
    return answered[-1] if answered else None

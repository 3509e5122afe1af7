"""simulate: let days go by in the simulated shop; its events arrive in the log, and the home's clock moves on."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import DAY, instant, iso
from pipelines.core.errors import ShelflifeError
from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.shop.incidents import Incident
    from pipelines.store.home import Home


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", type=int, help="how many days go by; the first time shop.simulate.days by default, then 1")
    parser.add_argument(
        "--incident",
        action="append",
        default=[],
        metavar="NAME:DAY[:DAYS]",
        help="what goes wrong, such as unit_bug:3 on the third of these days",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    home = open_home(workspace, create=True)
    if args.days is not None and args.days < 1:
        raise ShelflifeError(f"wanted one day or more, got {args.days}")
    first = day_now(workspace, home)
    days = args.days or (1 if first else workspace.params.shop.simulate.days)
    return live(workspace, home, days, [_incident(text, first) for text in args.incident])


def day_now(workspace: Workspace, home: Home) -> int:
    """How many days the simulated shop has lived in this home. Raises ShelflifeError where other events are in its log."""
    start = instant(workspace.params.shop.simulate.start)
    if home.log.last_offset() == 0:
        return 0
    known = home.state.get("simulated_days")
    if known is None:
        raise ShelflifeError("this home's log holds a real shop's events; simulate in a home of its own (set SHELFLIFE_HOME)")
    if home.state.get("simulated_start") != str(start):
        raise ShelflifeError("shop.simulate.start has changed since this home was made; simulate in a new home")
    return int(known)


def live(workspace: Workspace, home: Home, days: int, incidents: Sequence[Incident] = ()) -> dict[str, Any]:
    """Let so many days go by. Incidents are remembered: a concept that has changed stays changed. Landed when it returns."""
    from rich.progress import Progress

    from pipelines.shop.contracts import CONTRACTS
    from pipelines.shop.simulator import simulate_days

    shop = workspace.params.shop
    first = day_now(workspace, home)
    known = [*remembered(home), *incidents]
    home.state.put("simulated_incidents", json.dumps([incident.to_dict() for incident in known]))
    start = instant(shop.simulate.start)
    home.state.put("simulated_start", str(start))
    home.state.put("simulated_days", str(first))
    events = broken = 0
    with Progress(transient=True) as progress:
        task = progress.add_task("simulating", total=days)
        for day, tables in simulate_days(shop.simulate, shop.seed, first_day=first, last_day=first + days, incidents=known):
            now = start + (day + 1) * DAY
            good, bad = check(tables, now)
            events += home.log.append_tables(good)
            broken += len(home.quarantine.put_all(bad, now))
            home.simulated(now)
            home.state.put("simulated_days", str(day + 1))
            progress.advance(task)
    now = start + (first + days) * DAY
    home.landing.land(home.log, CONTRACTS, until=now)
    text = f"{days} days, {events:,} events, {broken:,} rows in quarantine; it is {iso(now)}"
    return {"text": text, "events": events, "quarantined": broken, "now": iso(now), "day": first + days}


def check(tables: Sequence[tuple[str, Any]], now: int) -> tuple[list[tuple[str, Any]], list[Any]]:
    """Tables of well-formed rows, and the rows that break their contract with the reasons."""
    from pipelines.checks import rows
    from pipelines.shop.contracts import CONTRACTS

    checked = [(kind, *rows.split(table, CONTRACTS[kind], now)) for kind, table in tables]
    return [(kind, good) for kind, good, _ in checked], [row for _, _, bad in checked for row in bad]


def remembered(home: Home) -> list[Incident]:
    """The incidents that this home's shop has lived through, or still lives with."""
    from pipelines.shop.incidents import Incident

    return [Incident.from_dict(row) for row in json.loads(home.state.get("simulated_incidents") or "[]")]


def _incident(text: str, first: int) -> Incident:
    from pipelines.shop.incidents import Incident

    name, *numbers = text.split(":")
    if not 1 <= len(numbers) <= 2 or not all(number.isdigit() and int(number) for number in numbers):
        raise ShelflifeError(f"wanted NAME:DAY or NAME:DAY:DAYS with days from 1 on, got {text!a}")
    day, *days = map(int, numbers)
    return Incident.from_dict({"name": name, "first_day": first + day - 1} | ({"days": days[0]} if days else {}))

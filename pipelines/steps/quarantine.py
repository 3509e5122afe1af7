"""quarantine: what broke its contract, and its way back into the log after a fix."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipelines.core.clock import instant, iso
from pipelines.core.contract import Contract
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.store.home import Home

SHOWN = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "replay", "hold", "free"), help="hold and free are for a kind's whole day")
    parser.add_argument("--kind", help="only events of this kind")
    parser.add_argument("--day", metavar="YYYY-MM-DD", help="the arrived day to hold or free")
    parser.add_argument("--reason", default="", help="why the day is held")
    parser.add_argument(
        "--scale", action="append", default=[], metavar="FIELD=FACTOR", help="mend by multiplying, such as amount_cents=0.01"
    )
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", dest="put", help="mend by setting a text")
    parser.add_argument("--drop", action="append", default=[], metavar="FIELD", help="mend by leaving a field out")
    parser.add_argument(
        "--false-alarm", action="store_true", help="nothing was wrong with the day that is freed: later mails count it"
    )
    parser.add_argument("--limit", type=int, default=SHOWN, help=f"how many rows to list (default {SHOWN})")
    parser.add_argument("--home", type=Path, help="whose quarantine (default: SHELFLIFE_HOME, or .shelflife in the checkout)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pipelines.shop.contracts import CONTRACTS

    home = Home.open(args.home)
    if args.kind is not None and args.kind not in CONTRACTS:
        raise ShelflifeError(f"there is no kind {ascii(args.kind)[:60]}; there are {', '.join(CONTRACTS)}")
    if args.action == "list":
        return show(home, args.kind, args.limit)
    if args.action == "replay":
        fix = mend(_pairs(args.scale, "--scale"), _pairs(args.put, "--set"), args.drop)
        return replay(home, CONTRACTS, fix, args.kind, home.clock()())
    done = hold(home, args.action, args.kind, args.day, args.reason, home.clock()())
    if args.false_alarm and args.action == "free":
        home.state.put(f"false_alarm:{args.kind}:{args.day}", args.reason or "yes")
    return done


def show(home: Home, kind: str | None, limit: int = SHOWN) -> dict[str, Any]:
    """What waits, with the reasons, and which partitions are held."""
    rows = home.quarantine.list(kind, limit=limit)
    counts = {
        name: n for (name, state), n in sorted(home.quarantine.counts().items()) if state == "waiting" and kind in (None, name)
    }
    lines = [f"{n:,} {name or 'unreadable'} waiting" for name, n in counts.items()] or ["nothing waits in quarantine"]
    lines += [f"{row.id[:12]}  {iso(row.at)}  {row.kind or 'unreadable'}: {'; '.join(row.problems)}" for row in rows]
    held = home.quarantine.reasons(None if kind is None else [kind])
    lines += [f"held: {name} of {day}: {reason}" for name, day, reason in held]
    listed = [{"id": row.id, "kind": row.kind, "problems": row.problems, "at": iso(row.at), "times": row.times} for row in rows]
    return {"text": "\n".join(lines), "waiting": counts, "rows": listed, "held": held}


def replay(
    home: Home, contracts: Mapping[str, Contract], fix: Callable[[Event], Event] | None, kind: str | None, now: int
) -> dict[str, Any]:
    """Mend, check against the contracts, and append what is well formed; the rest stays with its reasons."""

    def check(event: Event) -> Sequence[str]:
        contract = contracts.get(event.kind)
        return contract.problems(event, now) if contract else (f"kind: there is no contract for {ascii(event.kind)[:60]}",)

    done = home.quarantine.replay(fix, check, home.log, now, kind=kind)
    text = f"{done.accepted:,} went into the log, {done.broken:,} are still broken"
    return {"text": text, "accepted": done.accepted, "broken": done.broken, "exit": 0}


def hold(home: Home, action: str, kind: str | None, day: str | None, reason: str, now: int) -> dict[str, Any]:
    """Hold a partition back from snapshots, or free it."""
    if kind is None or day is None or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
        raise ShelflifeError(f"wanted --kind and --day YYYY-MM-DD, got {kind!a} and {day!a}")
    try:
        instant(day)
    except ValueError:
        raise ShelflifeError(f"--day: wanted a day of the calendar, got {day}") from None
    if action == "hold":
        home.quarantine.hold_partition(kind, day, reason or "held by hand", now)
    else:
        home.quarantine.free_partition(kind, day)
    return {
        "text": f"{kind} of {day} is {'held' if action == 'hold' else 'free'}",
        "kind": kind,
        "day": day,
        "held": action == "hold",
    }


def mend(scale: Mapping[str, str], put: Mapping[str, str], drop: Sequence[str]) -> Callable[[Event], Event] | None:
    """The fix that the arguments describe; None when there is none. Integers stay integers, or the fix fails for that event."""
    if not (scale or put or drop):
        return None

    def fix(event: Event) -> Event:
        body = {name: value for name, value in event.body.items() if name not in drop} | dict(put)
        return replace(
            event,
            body=body | {name: _scaled(body[name], factor) for name, factor in scale.items() if body.get(name) is not None},
        )

    return fix


def _scaled(value: Any, factor: str) -> Any:
    if isinstance(value, float):
        return value * float(factor)
    exact = Decimal(value) * Decimal(factor)
    if exact != int(exact):
        raise ValueError(f"{value} times {factor} is not a whole number")
    return int(exact)


def _pairs(words: Sequence[str], option: str) -> dict[str, str]:
    pairs = dict(word.partition("=")[::2] for word in words)
    for name, value in pairs.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or (option == "--scale" and not re.fullmatch(r"-?\d+(\.\d+)?", value)):
            raise ShelflifeError(
                f"{option}: wanted FIELD=VALUE such as amount_cents=0.01, got {ascii(name)[:40]}={ascii(value)[:40]}"
            )
    return pairs

"""ingest: a use case's events as they were known at its moment; or a source's events into the log."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import day_of, iso
from pipelines.core.errors import ShelflifeError
from pipelines.steps.progress import Bars
from pipelines.steps.state import open_home
from pipelines.steps.workspace import HELD, Workspace, write_json, write_known

if TYPE_CHECKING:
    from pipelines.core.contract import Contract
    from pipelines.shop.readers import Reading
    from pipelines.store.home import Home


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", nargs="?", help="the use case whose snapshot is taken")
    parser.add_argument("--source", metavar="NAME", help="read a public dataset, or a kind of your own events, into the log")
    parser.add_argument("--folder", type=Path, help="where the source's files lie (CSV, Parquet or JSON lines for your own)")
    parser.add_argument("--download", action="store_true", help="fetch a public dataset from its publisher into --folder first")
    parser.add_argument("--sql", metavar="QUERY", help="read your own events with this query instead")
    parser.add_argument("--url", help="the database of --sql, as SQLAlchemy writes it")


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    if args.source:
        return read_source(open_home(workspace, create=True), args)
    if not args.case:
        raise ShelflifeError("wanted a use case or --source; see shelflife ingest --help")
    return snapshot(workspace, open_home(workspace), args.case)


def snapshot(workspace: Workspace, home: Home, case: str) -> dict[str, Any]:
    """Write data/<case>/events/<kind>.parquet: every event that the use case's rows are made from and that had arrived by the moment.

    Raises ShelflifeError when the landed partitions are not those that the moment names, or are not closed yet.
    """
    usecase, moment = workspace.case(case), workspace.moment(case)
    if moment.as_of > home.landing.closed_until():
        raise ShelflifeError(
            f"{case}: the log is closed up to {iso(home.landing.closed_until())}, the moment is {iso(moment.as_of)}; "
            "let the day end (shelflife stream lands it), or choose an earlier moment"
        )
    held = home.quarantine.held(usecase.snapshot)
    found = home.landing.digest(usecase.snapshot, moment.as_of, held)
    if found != moment.log:
        raise ShelflifeError(
            f"{case}: the moment names the log {moment.log[:12]}, this home holds {found[:12]}; "
            f"bring the data (dvc pull) or write a new moment: shelflife learn moment {case} --as-of {iso(moment.as_of)}"
        )
    folder = workspace.events(case)
    folder.mkdir(parents=True, exist_ok=True)
    counts = {kind: _write(kind, home, held, moment.as_of, folder) for kind in usecase.snapshot}
    write_known(folder, moment.as_of, moment.log)
    write_json(folder / HELD, {kind: sorted(day for name, day in held if name == kind) for kind in usecase.snapshot})
    text = ", ".join(f"{n:,} {kind}" for kind, n in counts.items())
    return {"text": f"{case} as of {iso(moment.as_of)}: {text}", "events": counts}


def _write(kind: str, home: Home, held: set[tuple[str, str]], as_of: int, folder: Path) -> int:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = home.landing.table(kind, as_of, held)
    table = table.filter(pc.less_equal(table["arrived"], as_of))
    pq.write_table(table, folder / f"{kind}.parquet", compression="zstd", write_page_checksum=True)
    return table.num_rows


def read_source(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Read a public dataset or the shop's own files into the log. Rows that break their contract go to quarantine."""
    from pipelines.shop import readers
    from pipelines.shop.contracts import CONTRACTS

    if args.source in readers.PUBLISHED:
        if not args.folder:
            raise ShelflifeError(f"wanted --folder, where the files of {args.source} lie (or shall be downloaded to)")
        if args.download:
            with Bars("downloading") as bars:
                readers.download(args.source, args.folder, progress=bars)
        return pour(home, readers.read(args.source, args.folder))
    if args.source in CONTRACTS:
        return pour(home, _own(args, CONTRACTS[args.source], home.clock()()))
    raise ShelflifeError(f"there is no source {args.source!a}; there are {', '.join([*readers.PUBLISHED, *CONTRACTS])}")


def _own(args: argparse.Namespace, contract: Contract, now: int) -> Reading:
    from pipelines.shop.readers import folder, query

    if args.sql:
        if not args.url:
            raise ShelflifeError("wanted --url with --sql, such as --url postgresql+psycopg2://shop@localhost/shop")
        return query.read(args.url, args.sql, contract, now=now)
    if not args.folder:
        raise ShelflifeError("wanted --folder with CSV, Parquet or JSON lines, or --sql with --url")
    return folder.read(args.folder, contract, now=now)


def pour(home: Home, reading: Reading) -> dict[str, Any]:
    """Append a reading to the log, put what broke its contract into quarantine, and land the days that are over."""
    from rich.progress import track

    from pipelines.shop.contracts import CONTRACTS
    from pipelines.shop.rows import by_arrived_day, event

    now = home.clock()()
    days = by_arrived_day(reading)
    read = sum(home.log.append_tables(tables) for _, tables in track(days, "reading", transient=True))
    home.quarantine.put_all([(event(row.kind, row.raw), row.problems) for row in reading.broken], now)
    home.landing.land(home.log, CONTRACTS, until=now)
    closed = day_of(home.landing.closed_until())
    text = f"{read:,} events into the log, {len(reading.broken):,} into quarantine; landed up to {closed}"
    return {"text": text, "events": read, "quarantined": len(reading.broken)}

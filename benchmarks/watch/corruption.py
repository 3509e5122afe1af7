"""Broken feeds of the simulated shop, through the checks of the watch and of the validation: what is said, and what would train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.checks import history, rows, suite
from pipelines.core.clock import DAY, instant
from pipelines.core.params import Simulate
from pipelines.shop import incidents
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.incidents import Incident
from pipelines.shop.simulator import simulate
from pipelines.shop.simulator.faults import faulty
from pipelines.shop.simulator.world import World
from pipelines.steps import looking
from pipelines.steps.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
CASE, KIND = "fraud", "payment"
DAYS = 77
SIZE = Simulate("2025-01-06", DAYS, 1200, 40, 20)
"""A small shop: some 550 payments a day."""
CORRUPTIONS: dict[str, Any] = {
    "a unit bug, times 100": incidents.unit_bug,
    "a unit bug in a fiftieth of the rows": incidents.unit_bug,
    "a null column": incidents.null_column,
    "half nulls": incidents.half_nulls,
    "a late partition": lambda day: incidents.late_partition(day, kind=KIND),
    "a day sent twice": incidents.duplicate_day,
    "dropped rows": incidents.dropped_rows,
    "a shuffled column": incidents.shuffled_column,
    "a constant column": incidents.constant_column,
    "a flipped sign": incidents.sign_flip,
    "swapped columns": incidents.swapped_columns,
    "a shifted time zone": incidents.timezone_shift,
    "garbled codes": incidents.garbled_codes,
    "truncated decimals": incidents.truncated_decimals,
}
SOUND = "nothing"


@dataclass
class Outcome:
    """What became of a corruption over seeds: `said` counts broken data or nothing; `trained` what nothing kept from training."""

    said: Counter[str] = field(default_factory=Counter)
    trained: int = 0
    why: Counter[str] = field(default_factory=Counter)


def shop(seed: int) -> tuple[World, pa.Table]:
    """A sound shop's payments of all its days."""
    parts = [table for kind, table in simulate(SIZE, seed, first_day=0, last_day=DAYS) if kind == KIND]
    return World(SIZE, seed), pa.concat_tables(parts)


def corrupted(world: World, payments: pa.Table, name: str) -> pa.Table:
    """The payments with the last day but one corrupted; a fiftieth of its rows where the name says so."""
    if name == SOUND:
        return payments
    incident: Incident = CORRUPTIONS[name](DAYS - 2)
    broken = faulty(world, KIND, payments, (incident,))
    if "a fiftieth" not in name:
        return broken
    few = np.arange(len(payments)) % 50 == 0
    values = np.where(few, broken[incident.field].to_numpy(), payments[incident.field].to_numpy())
    return payments.set_column(payments.schema.get_field_index(incident.field), incident.field, pa.array(values))


def looked(world: World, payments: pa.Table) -> tuple[list[str], set[str], list[str]]:
    """The two mornings after: what the watch says failed, which days it holds, and what the validation would stop."""
    workspace = Workspace(ROOT)
    case, block, contract = workspace.case(CASE), workspace.params.block(CASE), CONTRACTS[KIND]
    said: list[str] = []
    held: set[str] = set()
    stopped: list[str] = []
    for end in (world.midnight(DAYS - 1), world.midnight(DAYS)):
        known = payments.filter(pa.array(payments["arrived"].to_numpy() < end))
        good, bad = rows.split(known, contract, end)
        good = without(good, held)
        newest = (payments["arrived"].to_numpy() < end) & (payments["arrived"].to_numpy() >= end - DAY)
        late = len(rows.split(payments.filter(pa.array(newest)), contract, end)[1])
        refused = np.r_[np.full(len(bad) - late, end - DAY), np.full(late, end)].astype(np.int64)
        findings, broken = looking.feeds(
            case, block, {KIND: good}, end, {KIND: refused}, since=end - DAY, held={(KIND, d) for d in held}
        )
        said += [f.sentence() for f in findings if f.status == "fail"]
        held |= set(broken.get(KIND, ()))
        kept = without(good, held)
        expected = suite.read(ROOT / "great_expectations", contract).history
        stopped += [f.sentence() for f in history.compare(KIND, kept, expected, as_of=end) if f.status == "fail"]
    return said, held, stopped


def without(payments: pa.Table, held: set[str]) -> pa.Table:
    """The payments of the days that are not held."""
    days = [instant(day) for day in held]
    return payments.filter(pa.array(~np.isin(payments["arrived"].to_numpy() // DAY * DAY, days)))


def outcomes(names: Sequence[str], seeds: Sequence[int]) -> dict[str, Outcome]:
    """Every corruption in every shop."""
    found = {name: Outcome() for name in names}
    for seed in seeds:
        world, payments = shop(seed)
        for name in names:
            said, held, stopped = looked(world, corrupted(world, payments, name))
            found[name].said["broken data" if said else "nothing"] += 1
            found[name].trained += not (held or stopped) and name != SOUND
            # A sentence begins with FAILED: quality: payment volume: ..; the check is the part after the feed's name.
            found[name].why.update({sentence.split(": ")[2].removeprefix(f"{KIND} ") for sentence in said[:1]})
    return found

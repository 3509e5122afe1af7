"""What each decision cost or saved, by the simulator's truth, which nobody in the shop can know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.clock import DAY, instant
from pipelines.steps import bundle, released
from pipelines.steps.rows import Rows, from_arrow
from pipelines.steps.simulate import remembered
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipelines.shop.incidents import Incident
    from pipelines.store.home import Home

HISTORY = 45
"""Days of events before the looked-at ones that the features may need."""


@dataclass(frozen=True)
class Money:
    """What a bundle's answers to the payments of some days cost, in cents, and what a knowing shop would have paid."""

    cents: int
    payments: int
    frauds: int


def fraud_cost(workspace: Workspace, home: Home, name: str, first: int, last: int, *, without: Sequence[str] = ()) -> Money:
    """What the answers of bundle `name` to the payments of the days first..last-1 cost; incidents in `without` never happened."""
    incidents = remembered(home)
    told = [incident for incident in incidents if incident.name not in without]
    tables = _tables(workspace, told, first, last)
    rows = _rows(workspace, tables, first, last)
    _, files = released.released(home, name)
    usecase = workspace.case("fraud")
    scores = bundle.open_scorer(files).score({column: rows[column] for column in bundle.model_columns(usecase)})
    truth, amounts = _truth(workspace, incidents, first, last, rows["ask"])
    cost: Any = usecase.answers.cost  # type: ignore[union-attr]
    expected, real = cost.costs(scores, rows[cost.missed].astype(float)), cost.costs(truth, amounts)
    actions = list(expected)
    chosen = np.argmin([expected[action] for action in actions], axis=0)
    paid = np.choose(chosen, [real[action] for action in actions])
    return Money(int(paid.sum()), len(rows), int(truth.sum()))


def _tables(workspace: Workspace, incidents: Sequence[Incident], first: int, last: int) -> Mapping[str, Any]:
    """The events that the features of these days read."""
    import pyarrow as pa

    from pipelines.shop.simulator import simulate

    shop = workspace.params.shop
    kept: dict[str, list[Any]] = {}
    start = max(0, first - HISTORY)
    for kind, table in simulate(shop.simulate, shop.seed, first_day=start, last_day=last, incidents=incidents):
        if kind in workspace.case("fraud").kinds:
            kept.setdefault(kind, []).append(table)
    return {kind: pa.concat_tables(parts) for kind, parts in kept.items()}


def _rows(workspace: Workspace, tables: Mapping[str, Any], first: int, last: int) -> Rows:
    from pipelines.features import batch

    start = instant(workspace.params.shop.simulate.start)
    span = (start + first * DAY, start + last * DAY)
    return Rows(from_arrow(batch.rows(workspace.case("fraud"), tables, span, as_of=span[1], threads=2)))


def _truth(
    workspace: Workspace, incidents: Sequence[Incident], first: int, last: int, asks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each payment was a fraud, and its true amount in cents, whatever unit the feed sent it in."""
    from pipelines.shop.simulator import simulate, truth

    shop = workspace.params.shop
    right = [incident for incident in incidents if incident.name != "unit_bug"]
    known = truth(shop.simulate, shop.seed, first_day=max(0, first - 2), last_day=last, incidents=right)["payment"]
    fraud = dict(zip(known["payment_id"].to_pylist(), known["fraud"].to_pylist(), strict=True))
    events = simulate(shop.simulate, shop.seed, first_day=max(0, first - 2), last_day=last, incidents=right)
    paid = [table for kind, table in events if kind == "payment"]
    amount = {
        name: cents
        for table in paid
        for name, cents in zip(table["id"].to_pylist(), table["amount_cents"].to_pylist(), strict=True)
    }
    return np.array([fraud[ask] for ask in asks], float), np.array([amount[ask] for ask in asks], float)

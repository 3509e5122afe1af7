"""Next items on Tmall's sessions, as the session-recommendation papers judge them: every prefix of a test session is an ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.results import data
from pipelines.core.decision import Ranking
from pipelines.core.usecase import Spec
from pipelines.evaluation.metrics import measure
from pipelines.evaluation.statistic import labelled
from pipelines.features import candidates
from pipelines.models.makers import lightgbm

DATASET = "sessions_tmall"
SEED = 13
METRICS = ("hit_at_20", "mrr_at_20")
ANSWERS = Ranking(neighbours=100, popular=10)
SESSION = ("seen_next", "seen_rank", "seen_gap", "now_again")
"""seen_next: how often the candidate came right after the ask's own item in this session; seen_rank: how many different items
were viewed since it was; seen_gap: views between its last two; now_again: how many views in a row the ask's own item has."""
COLUMNS = (*candidates.FEATURES, *SESSION)


@dataclass(frozen=True)
class Views:
    """Every click in order: the event table, the part and session of each, and the item that came next (None at the end)."""

    table: Any
    part: np.ndarray
    session: np.ndarray
    wanted: np.ndarray

    def first(self, part: str) -> int:
        """When the first click of a part happened."""
        return int(self.table["ts"].to_numpy()[self.part == part].min())


@dataclass(frozen=True)
class Asks:
    """Candidates of some asks: matrix (rows, COLUMNS), 1 for the item that came next, the ask and its session."""

    matrix: np.ndarray
    labels: np.ndarray
    ask: np.ndarray
    session: np.ndarray


def views() -> Views:
    reading = data.read(DATASET)
    table = reading.tables["view_item"]
    names = table["session"].to_numpy(zero_copy_only=False).astype(str)
    known, session = np.unique(names, return_inverse=True)
    part = np.array([reading.splits[name] for name in known.tolist()])[session]
    item = table["item"].to_numpy(zero_copy_only=False)
    more = np.r_[session[1:] == session[:-1], False]
    return Views(table, part, session, np.where(more, np.r_[item[1:], None], None))


def asks(seen: Views, index: Any, chosen: np.ndarray) -> Asks:
    """The asks at these rows of the views, expanded and described."""
    import pyarrow as pa

    told = candidates.asks_of(seen.table.take(pa.array(chosen)), ANSWERS)
    pairs = candidates.expand(index, told, ANSWERS)
    within = in_session(told["item"], told["trail"], pairs)
    columns = [*(pairs[name] for name in candidates.FEATURES), *(within[name] for name in SESSION)]
    labels = (pairs["candidate"] == seen.wanted[chosen][pairs["ask"]]).astype(np.float64)
    return Asks(np.column_stack(columns).astype(np.float32), labels, pairs["ask"], seen.session[chosen][pairs["ask"]])


def in_session(items: Sequence[str], trails: Sequence[Sequence[str]], pairs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The SESSION columns of the candidates; null for an item that this session has not seen."""
    columns = {name: np.full(len(pairs["ask"]), np.nan) for name in SESSION}
    seen = np.flatnonzero(pairs["seen_count"] > 0)
    of = pairs["ask"][seen].tolist()
    last, told = -1, {}
    for row, ask, name in zip(seen.tolist(), of, pairs["candidate"][seen].tolist(), strict=True):
        if ask != last:
            last, told = ask, _session([*trails[ask], items[ask]])
        columns["seen_next"][row], columns["seen_rank"][row], columns["seen_gap"][row] = told[name]
    again = np.array([_run([*trail, item]) for item, trail in zip(items, trails, strict=True)], dtype=np.float64)
    return columns | {"now_again": again[pairs["ask"]]}


def _session(clicks: Sequence[str]) -> dict[str, tuple[int, int, float]]:
    """Of each item: times right after the newest one, different items viewed since, views between its last two."""
    newest, told = clicks[-1], {}
    after = [b for a, b in zip(clicks, clicks[1:], strict=False) if a == newest]
    places: dict[str, list[int]] = {}
    for place, name in enumerate(clicks):
        places.setdefault(name, []).append(place)
    for rank, name in enumerate(sorted(places, key=lambda name: -places[name][-1])):
        at = places[name]
        told[name] = (after.count(name), rank, at[-1] - at[-2] if len(at) > 1 else np.nan)
    return told


def _run(clicks: Sequence[str]) -> int:
    """How many of the newest clicks in a row are on the same item."""
    length = 1
    while length < len(clicks) and clicks[-length - 1] == clicks[-1]:
        length += 1
    return length


def sample(mask: np.ndarray, count: int, seed: int) -> np.ndarray:
    rows = np.flatnonzero(mask)
    return rows if count >= len(rows) else np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))


def judged(rows: Asks, scores: np.ndarray) -> dict[str, float]:
    return dict(measure(METRICS, labelled(rows.labels, rows.session, ask=rows.ask), scores))


def most_seen(rows: Asks) -> np.ndarray:
    """S-POP: the items of the session, most viewed first, equal ones the latest first; nothing else."""
    count, recency = rows.matrix[:, 0], rows.matrix[:, 1]
    return np.where(count > 0, count * 100 - np.nan_to_num(recency), -1.0)


def ranker(rows: Asks, settings: Mapping[str, Any]) -> Any:
    spec = Spec(COLUMNS, ("number",) * len(COLUMNS), ANSWERS, settings, SEED, 1)
    return lightgbm(spec).fit(rows.matrix, rows.labels, rows.ask)

"""Which items may come next, and why: seen in this session, viewed next to what was seen, or simply popular.

An index is fitted on views before a moment, `until`, and expands only asks at or after it: an index that had seen the clicks it
is asked to find would teach the ranker that co-views are never wrong. `fit_before` gives the indexes for a training period: the
asks of each stretch are expanded by an index of the views before that stretch, exactly as at serving; the last one is what
goes into the bundle. Shares, not counts, are features, so that an index of four weeks and one of eight mean the same.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipelines.core.clock import iso
from pipelines.core.decision import Ranking
from pipelines.core.errors import ShelflifeError
from pipelines.features import sessions
from pipelines.features.sessions import Views, flatten, listed, look_up, ragged

RECENT = 10
"""Neighbours are looked up for so many of the session's latest views."""

CHUNK = 2_000
"""Asks expanded at once: bounds the memory."""

FEATURES = (
    "seen_count", "seen_recency", "seen_first", "seen_length", "seen_items",
    "item_coview", "item_follows", "item_follows_seen", "item_popularity", "item_repeats",
)  # fmt: skip
"""What retrieval knows of a candidate; every ranking gets these columns after its own features.

seen_count: how often the candidate was viewed in this session; seen_recency, seen_first: how many views ago it was last and first
viewed (0 is the ask's own item; null if never); seen_length, seen_items: the session's views and different items so far.
item_coview: share of co-views that lead from the session's latest views to it, nearer views weighing more; item_follows: share of
direct follows that lead from the ask's own item to it; item_follows_seen: the largest such share among the session's latest views;
item_popularity: its share of all views (natural logarithm; null for an item the index has never seen); item_repeats: share of its
views that came after another view of it in the same session.
"""

REASONS = {
    "seen": "viewed in this session",
    "follows": "often viewed right after this item",
    "coview": "often viewed together with items of this session",
    "popular": "popular in the shop",
}
"""Why a candidate is one; the first that applies."""


@dataclass(frozen=True)
class Index:
    """Items in string order, and from each item its strongest co-viewed items: CSR arrays `start`, `to`, `coview`, `follows`
    (`to` rises within a row). `popular` are item codes, most viewed first. `until`: every view in here arrived before it."""

    until: int
    items: np.ndarray
    start: np.ndarray
    to: np.ndarray
    coview: np.ndarray
    follows: np.ndarray
    popularity: np.ndarray
    repeats: np.ndarray
    popular: np.ndarray

    @staticmethod
    def fit(items: Sequence[str], trails: Sequence[Sequence[str]], *, until: int, answers: Ranking) -> Index:
        """From views: each one's item and the items viewed before it in its session (newest last). All arrived before until."""
        names = np.unique(np.asarray([name for name in items if name is not None] or [""], dtype=str))
        code = {name: at for at, name in enumerate(names.tolist())}
        flat = flatten(items, trails, code)
        viewed = np.bincount(flat.code[flat.back == 0], minlength=len(names)).astype(np.float64)
        start, to, coview, follows = sessions.neighbours(flat, len(names), answers.neighbours)
        again = np.bincount(flat.code[flat.back == 0], weights=sessions.repeated(flat), minlength=len(names))
        popular = np.lexsort((np.arange(len(names)), -viewed))[: answers.popular].astype(np.int32)
        shares = np.log(np.maximum(viewed, 1) / max(viewed.sum(), 1))
        repeats = again / np.maximum(viewed, 1)
        return Index(until, names, start, to, coview, follows, shares.astype(np.float32), repeats.astype(np.float32), popular)

    @cached_property
    def codes(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.items.tolist())}

    @cached_property
    def edges(self) -> np.ndarray:
        """Every (from, to) as one rising integer, for looking a pair up."""
        sources = np.repeat(np.arange(len(self.items), dtype=np.int64), np.diff(self.start))
        return sources * len(self.items) + self.to

    def to_npz(self) -> bytes:
        """The index as an npz file of plain arrays."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in self.__dataclass_fields__}
        np.savez_compressed(buffer, format=np.int64(1), **arrays)
        return buffer.getvalue()

    @staticmethod
    def from_npz(data: bytes) -> Index:
        """The index that to_npz wrote. Raises ShelflifeError for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                if int(arrays["format"]) != 1:
                    raise ShelflifeError(f"wanted a candidate index of format 1, got {int(arrays['format'])}")
                fields = {name: arrays[name] for name in Index.__dataclass_fields__}
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ShelflifeError(
                f"wanted a candidate index as this program writes it, got something else: {error}; train again"
            ) from error
        return Index(**{**fields, "until": int(fields["until"])})

    def expand(self, asks: Mapping[str, Any], answers: Ranking) -> dict[str, np.ndarray]:
        """The candidates of each ask: columns `ask` (row among the asks), `candidate`, `reason` and FEATURES; by ask, candidate.

        `asks` has ts, item and trail. Raises ShelflifeError where an ask is older than the index.
        """
        ts = np.asarray(asks["ts"], dtype=np.int64)
        if len(ts) and ts.min() < self.until:
            raise ShelflifeError(
                f"wanted asks from {iso(self.until)} on, when this index was fitted, got one of {iso(int(ts.min()))}; fit one before it"
            )
        chunks = [slice(at, at + CHUNK) for at in range(0, max(len(ts), 1), CHUNK)]
        parts = [self._expand(asks["item"][chunk], asks["trail"][chunk], answers, chunk.start) for chunk in chunks]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _expand(self, items: Sequence[Any], trails: Sequence[Any], answers: Ranking, first: int) -> dict[str, np.ndarray]:
        session, strangers = self._sessions(items, trails)
        width = len(self.items) + len(strangers)
        near = self._near(session, width)
        seen, count, last, oldest = sessions.seen(session, width)
        asks = len(items)
        popular = (np.arange(asks, dtype=np.int64)[:, None] * width + self.popular[None, : answers.popular]).ravel()
        pair = np.unique(np.concatenate([seen, near.best(answers.neighbours, width), popular]))
        ask, code = pair // width, pair % width
        columns: dict[str, np.ndarray] = {"ask": ask + first, "candidate": self._names(code, strangers)}
        columns |= _session_features(pair, seen, count, last, oldest, session, ask)
        columns |= self._item_features(pair, code, near)
        return columns | {"reason": _reasons(columns)}

    def _sessions(self, items: Sequence[Any], trails: Sequence[Any]) -> tuple[Views, np.ndarray]:
        """The asks' sessions as codes, and the items the index has never seen: their codes come after its own."""
        code: dict[str, int] = {}
        for name in (
            name for trail, item in zip(trails, items, strict=True) for name in (*listed(trail), item) if name is not None
        ):
            if name not in code:
                code[name] = self.codes.get(name, -1)
        strangers = [name for name, at in code.items() if at < 0]
        code |= {name: len(self.items) + n for n, name in enumerate(strangers)}
        return flatten(items, trails, code), np.array(strangers, dtype=object)

    def _names(self, code: np.ndarray, strangers: np.ndarray) -> np.ndarray:
        names = np.empty(len(code), dtype=object)
        known = code < len(self.items)
        names[known] = self.items[code[known]]
        names[~known] = strangers[code[~known] - len(self.items)]
        return names

    def _near(self, session: Views, width: int) -> _Near:
        """What was viewed together with the latest views, summed over them by 1 / (1 + steps back)."""
        recent = (session.back < RECENT) & (session.code < len(self.items))
        source, ask, back = session.code[recent], session.ask[recent], session.back[recent]
        rows, edges = ragged(self.start[source], self.start[source + 1])
        pairs = ask[rows] * width + self.to[edges]
        weight = self.coview[edges] / (1.0 + back[rows])
        pair, place = np.unique(pairs, return_inverse=True)
        follows = self.follows[edges]
        strongest = np.zeros(len(pair))
        np.maximum.at(strongest, place, follows)
        own = np.bincount(place, weights=follows * (back[rows] == 0), minlength=len(pair))
        return _Near(pair, np.bincount(place, weights=weight, minlength=len(pair)), own, strongest)

    def _item_features(self, pair: np.ndarray, code: np.ndarray, near: _Near) -> dict[str, np.ndarray]:
        known = code < len(self.items)
        inside = np.where(known, code, 0)
        return {
            "item_coview": look_up(near.pair, near.coview, pair, 0.0),
            "item_follows": look_up(near.pair, near.follows, pair, 0.0),
            "item_follows_seen": look_up(near.pair, near.strongest, pair, 0.0),
            "item_popularity": np.where(known, self.popularity[inside], np.nan).astype(np.float64),
            "item_repeats": np.where(known, self.repeats[inside], np.nan).astype(np.float64),
        }


@dataclass(frozen=True)
class _Near:
    """Pairs (ask * width + code, rising) that co-views lead to, and how strongly."""

    pair: np.ndarray
    coview: np.ndarray
    follows: np.ndarray
    strongest: np.ndarray

    def best(self, neighbours: int, width: int) -> np.ndarray:
        """Each ask's strongest pairs; equal ones in item order."""
        ask = self.pair // width
        order = np.lexsort((self.pair, -self.coview, ask))
        ranked = ask[order]
        rank = np.arange(len(order)) - np.searchsorted(ranked, ranked)
        return self.pair[order[rank < neighbours]]


def expand(index: Index | Sequence[Index], asks: Mapping[str, Any], answers: Ranking) -> dict[str, np.ndarray]:
    """The candidates of asks in rising time, each ask by the newest index fitted before it. Raises ShelflifeError if none was."""
    if isinstance(index, Index):
        return index.expand(asks, answers)
    ordered = sorted(index, key=lambda one: one.until)
    ts = np.asarray(asks["ts"], dtype=np.int64)
    which = np.maximum(np.searchsorted([one.until for one in ordered], ts, side="right") - 1, 0)
    parts = []
    for at, one in enumerate(ordered):
        rows = np.flatnonzero(which == at)
        part = one.expand({name: values[rows] for name, values in asks.items()}, answers)
        parts.append({**part, "ask": rows[part["ask"]] if len(rows) else part["ask"]})
    together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(together["ask"], kind="stable")
    return {name: values[order] for name, values in together.items()}


def asks_of(table: Any, answers: Ranking) -> dict[str, np.ndarray]:
    """The columns that expansion reads (ts, item, trail) of a table of asks."""
    trails = np.empty(len(table), dtype=object)
    trails[:] = table[answers.trail].to_pylist()
    return {"ts": table["ts"].to_numpy(), "item": np.array(table[answers.item].to_pylist(), dtype=object), "trail": trails}


def fit_before(views: Any, moments: Sequence[int], answers: Ranking) -> list[Index]:
    """An index per moment (microseconds), each fitted on the views that had happened and arrived before it and on nothing else.

    `views` is an event table of the asks. For a training span `[from, to)` use `stretches(from, to, n)`; the asks of a stretch
    are then expanded by the index of all views before it (rows and features.candidates.expand choose it by the ask's ts).
    """
    import pyarrow.compute as pc

    def fitted(moment: int) -> Index:
        past = views.filter(pc.and_(pc.less(views["arrived"], moment), pc.less(views["ts"], moment)))
        newest = _newest(past)
        return Index.fit(newest[answers.item].to_pylist(), newest[answers.trail].to_pylist(), until=moment, answers=answers)

    return [fitted(moment) for moment in moments]


def stretches(start: int, end: int, count: int) -> list[int]:
    """The beginnings of `count` equal stretches of a span: the moments at which its indexes are fitted."""
    return [start + (end - start) * n // count for n in range(count)]


def _newest(views: Any) -> Any:
    """Each view once, as it was last known."""
    ids = views["id"].to_numpy(zero_copy_only=False)
    order = np.lexsort((np.arange(len(ids)), views["arrived"].to_numpy()))
    _, last = np.unique(ids[order][::-1].astype(str), return_index=True)
    return views.take(np.sort(order[::-1][last]))


def _session_features(
    pair: np.ndarray,
    seen: np.ndarray,
    count: np.ndarray,
    last: np.ndarray,
    oldest: np.ndarray,
    session: Views,
    ask: np.ndarray,
) -> dict[str, np.ndarray]:
    width = int(ask.max(initial=0)) + 1
    items = np.bincount(np.searchsorted(pair, seen) if len(seen) else [], minlength=len(pair))
    return {
        "seen_count": look_up(seen, count, pair, 0.0),
        "seen_recency": look_up(seen, last, pair, np.nan),
        "seen_first": look_up(seen, oldest, pair, np.nan),
        "seen_length": np.bincount(session.ask, minlength=width)[ask].astype(np.float64),
        "seen_items": np.bincount(ask, weights=items, minlength=width)[ask],
    }


def _reasons(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The first reason that applies, as an object array of words from REASONS."""
    tests = [columns["seen_count"] > 0, columns["item_follows"] > 0, columns["item_coview"] > 0]
    words = np.array(list(REASONS), dtype=object)
    return words[np.select(tests, [0, 1, 2], 3)]

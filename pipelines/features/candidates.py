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

DISTANCE = 10
"""Two views of a session count as viewed together when at most so many steps lie between; a step further counts 1/distance."""

RECENT = 10
"""Neighbours are looked up for so many of the session's latest views."""

SESSION = 50
"""The longest session that is looked at."""

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
        flat = _flatten(items, trails, code)
        viewed = np.bincount(flat.code[flat.back == 0], minlength=len(names)).astype(np.float64)
        start, to, coview, follows = _neighbours(flat, len(names), answers.neighbours)
        again = np.bincount(flat.code[flat.back == 0], weights=_repeated(flat), minlength=len(names))
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
        np.savez_compressed(buffer, format=np.int64(1), **{name: np.asarray(getattr(self, name)) for name in self.__dataclass_fields__})
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
            raise ShelflifeError(f"wanted a candidate index as this program writes it, got something else: {error}; train again") from error
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
        seen, count, last, oldest = _seen(session, width)
        asks = len(items)
        popular = (np.arange(asks, dtype=np.int64)[:, None] * width + self.popular[None, : answers.popular]).ravel()
        pair = np.unique(np.concatenate([seen, near.best(answers.neighbours, width), popular]))
        ask, code = pair // width, pair % width
        columns: dict[str, np.ndarray] = {"ask": ask + first, "candidate": self._names(code, strangers)}
        columns |= _session_features(pair, seen, count, last, oldest, session, ask)
        columns |= self._item_features(pair, code, near)
        return columns | {"reason": _reasons(columns)}

    def _sessions(self, items: Sequence[Any], trails: Sequence[Any]) -> tuple[_Views, np.ndarray]:
        """The asks' sessions as codes, and the items the index has never seen: their codes come after its own."""
        code: dict[str, int] = {}
        for name in (name for trail, item in zip(trails, items, strict=True) for name in (*_list(trail), item) if name is not None):
            if name not in code:
                code[name] = self.codes.get(name, -1)
        strangers = [name for name, at in code.items() if at < 0]
        code |= {name: len(self.items) + n for n, name in enumerate(strangers)}
        return _flatten(items, trails, code), np.array(strangers, dtype=object)

    def _names(self, code: np.ndarray, strangers: np.ndarray) -> np.ndarray:
        names = np.empty(len(code), dtype=object)
        known = code < len(self.items)
        names[known] = self.items[code[known]]
        names[~known] = strangers[code[~known] - len(self.items)]
        return names

    def _near(self, session: _Views, width: int) -> _Near:
        """What was viewed together with the latest views, summed over them by 1 / (1 + steps back)."""
        recent = (session.back < RECENT) & (session.code < len(self.items))
        source, ask, back = session.code[recent], session.ask[recent], session.back[recent]
        rows, edges = _ragged(self.start[source], self.start[source + 1])
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
            "item_coview": _look_up(near.pair, near.coview, pair, 0.0),
            "item_follows": _look_up(near.pair, near.follows, pair, 0.0),
            "item_follows_seen": _look_up(near.pair, near.strongest, pair, 0.0),
            "item_popularity": np.where(known, self.popularity[inside], np.nan).astype(np.float64),
            "item_repeats": np.where(known, self.repeats[inside], np.nan).astype(np.float64),
        }


@dataclass(frozen=True)
class _Views:
    """Sessions laid end to end, newest first: the ask's row, the item's code, how many steps back (0: the ask's own item)."""

    ask: np.ndarray
    code: np.ndarray
    back: np.ndarray


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


def _list(trail: Any) -> Sequence[Any]:
    return [] if trail is None else trail


def _flatten(items: Sequence[Any], trails: Sequence[Any], code: Mapping[str, int]) -> _Views:
    """Each session newest first, cut at SESSION views. Names without a code (only in a fit: seen, never viewed) are left out."""
    ask: list[int] = []
    codes: list[int] = []
    back: list[int] = []
    for row, (item, trail) in enumerate(zip(items, trails, strict=True)):
        session = [item, *list(_list(trail))[: -SESSION : -1]]
        ask += [row] * len(session)
        codes += [code.get(name, -1) for name in session]
        back += range(len(session))
    flat = _Views(np.array(ask, dtype=np.int64), np.array(codes, dtype=np.int64), np.array(back, dtype=np.int64))
    known = flat.code >= 0
    return _Views(flat.ask[known], flat.code[known], flat.back[known])


def _repeated(views: _Views) -> np.ndarray:
    """For each view that is newest in its session: 1 if its item is in the trail, else 0."""
    newest = views.back == 0
    own = np.full(views.ask.max(initial=-1) + 1, -1, dtype=np.int64)
    own[views.ask[newest]] = views.code[newest]
    again = np.bincount(views.ask, weights=(~newest) & (views.code == own[views.ask]), minlength=len(own))
    return (again[views.ask[newest]] > 0).astype(np.float64)


def _neighbours(views: _Views, count: int, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """CSR of shares: from an item, which items come after it in a session (1/distance), and which directly."""
    newest = views.back == 0
    own = np.full(views.ask.max(initial=-1) + 1, -1, dtype=np.int64)
    own[views.ask[newest]] = views.code[newest]
    before = (views.back > 0) & (views.back <= DISTANCE) & (own[views.ask] >= 0)
    pair, place = np.unique(views.code[before] * count + own[views.ask[before]], return_inverse=True)
    weight = np.bincount(place, weights=1.0 / views.back[before], minlength=len(pair))
    direct = np.bincount(place, weights=views.back[before] == 1, minlength=len(pair))
    source = pair // count
    coview, follows = (values / np.maximum(np.bincount(source, weights=values, minlength=count), 1e-12)[source] for values in (weight, direct))
    order = np.lexsort((pair, -coview, source))
    rank = np.arange(len(order)) - np.searchsorted(source[order], source[order])
    kept = np.sort(order[rank < most])
    start = np.searchsorted(source[kept], np.arange(count + 1)).astype(np.int64)
    return start, (pair[kept] % count).astype(np.int32), coview[kept].astype(np.float32), follows[kept].astype(np.float32)


def _ragged(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers and positions of ranges laid end to end."""
    lengths = ends - starts
    rows = np.repeat(np.arange(len(starts)), lengths)
    offsets = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return rows, starts[rows] + offsets


def _seen(session: _Views, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of the session's own items, how often, and how many views ago last and first."""
    pair, place = np.unique(session.ask * width + session.code, return_inverse=True)
    count = np.bincount(place, minlength=len(pair))
    last = np.full(len(pair), SESSION, dtype=np.int64)
    np.minimum.at(last, place, session.back)
    oldest = np.zeros(len(pair), dtype=np.int64)
    np.maximum.at(oldest, place, session.back)
    return pair, count, last, oldest


def _session_features(
    pair: np.ndarray, seen: np.ndarray, count: np.ndarray, last: np.ndarray, oldest: np.ndarray, session: _Views, ask: np.ndarray
) -> dict[str, np.ndarray]:
    width = int(ask.max(initial=0)) + 1
    items = np.bincount(np.searchsorted(pair, seen) if len(seen) else [], minlength=len(pair))
    return {
        "seen_count": _look_up(seen, count, pair, 0.0),
        "seen_recency": _look_up(seen, last, pair, np.nan),
        "seen_first": _look_up(seen, oldest, pair, np.nan),
        "seen_length": np.bincount(session.ask, minlength=width)[ask].astype(np.float64),
        "seen_items": np.bincount(ask, weights=items, minlength=width)[ask],
    }


def _look_up(known: np.ndarray, values: np.ndarray, wanted: np.ndarray, missing: float) -> np.ndarray:
    """The values of the wanted pairs (both rising), `missing` where a pair is not known."""
    if not len(known):
        return np.full(len(wanted), missing)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, values[at], missing).astype(np.float64)


def _reasons(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The first reason that applies, as an object array of words from REASONS."""
    tests = [columns["seen_count"] > 0, columns["item_follows"] > 0, columns["item_coview"] > 0]
    words = np.array(list(REASONS), dtype=object)
    return words[np.select(tests, [0, 1, 2], 3)]

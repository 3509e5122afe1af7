"""Sessions as arrays: views laid end to end, what was viewed with what, and what was seen in a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DISTANCE = 10
"""Two views of a session count as viewed together when at most so many steps lie between; a step further counts 1/distance."""

SESSION = 50
"""The longest session that is looked at."""


@dataclass(frozen=True)
class Views:
    """Sessions laid end to end, newest first: the ask's row, the item's code, how many steps back (0: the ask's own item)."""

    ask: np.ndarray
    code: np.ndarray
    back: np.ndarray


def listed(trail: Any) -> Sequence[Any]:
    return [] if trail is None else trail


def flatten(items: Sequence[Any], trails: Sequence[Any], code: Mapping[str, int]) -> Views:
    """Each session newest first, cut at SESSION views. Names without a code (only in a fit: seen, never viewed) are left out."""
    ask: list[int] = []
    codes: list[int] = []
    back: list[int] = []
    for row, (item, trail) in enumerate(zip(items, trails, strict=True)):
        session = [item, *list(listed(trail))[:-SESSION:-1]]
        ask += [row] * len(session)
        codes += [code.get(name, -1) for name in session]
        back += range(len(session))
    flat = Views(np.array(ask, dtype=np.int64), np.array(codes, dtype=np.int64), np.array(back, dtype=np.int64))
    known = flat.code >= 0
    return Views(flat.ask[known], flat.code[known], flat.back[known])


def repeated(views: Views) -> np.ndarray:
    """For each view that is newest in its session: 1 if its item is in the trail, else 0."""
    newest = views.back == 0
    own = np.full(views.ask.max(initial=-1) + 1, -1, dtype=np.int64)
    own[views.ask[newest]] = views.code[newest]
    again = np.bincount(views.ask, weights=(~newest) & (views.code == own[views.ask]), minlength=len(own))
    return (again[views.ask[newest]] > 0).astype(np.float64)


def neighbours(views: Views, count: int, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """CSR of shares: from an item, which items come after it in a session (1/distance), and which directly."""
    newest = views.back == 0
    own = np.full(views.ask.max(initial=-1) + 1, -1, dtype=np.int64)
    own[views.ask[newest]] = views.code[newest]
    before = (views.back > 0) & (views.back <= DISTANCE) & (own[views.ask] >= 0)
    pair, place = np.unique(views.code[before] * count + own[views.ask[before]], return_inverse=True)
    weight = np.bincount(place, weights=1.0 / views.back[before], minlength=len(pair))
    direct = np.bincount(place, weights=views.back[before] == 1, minlength=len(pair))
    source = pair // count
    coview, follows = (
        values / np.maximum(np.bincount(source, weights=values, minlength=count), 1e-12)[source] for values in (weight, direct)
    )
    order = np.lexsort((pair, -coview, source))
    rank = np.arange(len(order)) - np.searchsorted(source[order], source[order])
    kept = np.sort(order[rank < most])
    start = np.searchsorted(source[kept], np.arange(count + 1)).astype(np.int64)
    return start, (pair[kept] % count).astype(np.int32), coview[kept].astype(np.float32), follows[kept].astype(np.float32)


def ragged(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers and positions of ranges laid end to end."""
    lengths = ends - starts
    rows = np.repeat(np.arange(len(starts)), lengths)
    offsets = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return rows, starts[rows] + offsets


def seen(session: Views, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of the session's own items, how often, and how many views ago last and first."""
    pair, place = np.unique(session.ask * width + session.code, return_inverse=True)
    count = np.bincount(place, minlength=len(pair))
    last = np.full(len(pair), SESSION, dtype=np.int64)
    np.minimum.at(last, place, session.back)
    oldest = np.zeros(len(pair), dtype=np.int64)
    np.maximum.at(oldest, place, session.back)
    return pair, count, last, oldest


def look_up(known: np.ndarray, values: np.ndarray, wanted: np.ndarray, missing: float) -> np.ndarray:
    """The values of the wanted pairs (both rising), `missing` where a pair is not known."""
    if not len(known):
        return np.full(len(wanted), missing)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, values[at], missing).astype(np.float64)

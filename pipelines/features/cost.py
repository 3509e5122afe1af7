"""What a counted feature costs online: the bytes that a key's value keeps for it, as measured in a store."""

from __future__ import annotations

from itertools import islice

import msgspec

from pipelines.core.feature import Counted
from pipelines.features.kept import Kept
from pipelines.features.plan import WIDTH, Question
from pipelines.features.state import WORD, State, unpack

SAMPLE = 1000
"""Keys of a group that are looked at."""

_size = msgspec.msgpack.Encoder().encode


def kept(store: Kept) -> dict[str, float]:
    """Per counted feature the bytes of its tiles in a key's value, on average over some keys; tiles that features share count for
    each of them. Features of a kind that nothing has happened to yet are left out."""
    found: dict[str, float] = {}
    for group in store.plan.groups:
        page: list[tuple[bytes, bytes]] = []
        for some in store.values.scan(b"v%c" % group.number):
            page += islice(some, SAMPLE - len(page))
            if len(page) >= SAMPLE:
                break
        states = [unpack(value, group) for _, value in page]
        for question in store.plan.questions:
            if question.group == group and states:
                found |= {f.name: sum(_bytes(question, f, state) for state in states) / len(states) for f in question.features}
    return found


def _bytes(question: Question, feature: Counted, state: State) -> int:
    """Its numbers, with the tiles' starts, and its objects as they are packed."""
    cells = [question.cells[n] for n in question.takes[question.features.index(feature)]]
    numbers = sum(WIDTH.get(cell.op, 1) for cell in cells if cell.column)
    tiles = len(state[question.series.slot]) // question.series.width
    return (1 + numbers) * tiles * WORD * bool(numbers) + sum(len(_size(state[c.slot])) for c in cells if not c.column)

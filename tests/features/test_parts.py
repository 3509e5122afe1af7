"""What an aggregation accumulates and how it finishes, against the oracle: the half of the language that streams run."""

import math

import oracle
import pytest
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.core.aggregation import Distinct, OverCap, Ratio, Sum, Top
from pipelines.core.event import Event

HOWS = sorted({c.how for c in worlds.COUNTED}, key=str)
END = 20 * 24 * 60 * worlds.MINUTE


def accumulated(part, events):
    """One part over events, the plain way."""
    met = [e for e in events if part.where.test()(e.body)]
    valued = sorted((e for e in met if part.field and e.body.get(part.field) is not None), key=lambda e: (e.ts, e.id))
    values, times = [e.body[part.field] for e in valued], [e.ts for e in met]
    plain = {"n": len(met), "c": len(values), "newest": max(times, default=None), "oldest": min(times, default=None)}
    if part.op in plain:
        return plain[part.op]
    if part.op == "bag":
        return {value: values.count(value) for value in values}
    ends = {"first": lambda: values[0], "last": lambda: values[-1], "lo": lambda: min(values), "hi": lambda: max(values)}
    if part.op in ends:
        return ends[part.op]() if values else None
    return sum(value ** (2 if part.op == "q" else 1) for value in values)


@settings(deadline=None, max_examples=25)
@given(bodies=st.lists(worlds.fields["buy"], max_size=8), data=st.data())
@pytest.mark.parametrize("how", HOWS, ids=str)
def test_what_is_accumulated_finishes_as_the_oracle_says(how, bodies, data):
    events = [Event("buy", f"e{n}", data.draw(st.integers(0, 9)), body) for n, body in enumerate(bodies)]
    got = how.finish({part: accumulated(part, events) for part in how.parts}, END)
    want = oracle.aggregate(how, events, END)
    assert worlds.same(want, got), f"{how}: wanted {want}, got {got}"


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_nothing_accumulated_is_an_empty_window(how):
    want = math.nan if how.empty is None else how.empty
    assert worlds.same(how.finish({}, END), want)
    assert worlds.same(oracle.aggregate(how, [], END), want)


@pytest.mark.parametrize("how", [Distinct("item", cap=2), Top("item", cap=2), Ratio(Sum("cents"), Distinct("item", cap=2))])
def test_a_set_beyond_its_cap_is_refused_and_one_at_its_cap_is_not(how):
    events = [Event("buy", name, 0, {"item": name, "cents": 1}) for name in "abc"]
    parts = {part: accumulated(part, events[:2]) for part in how.parts}
    assert worlds.same(how.finish(parts, END), oracle.aggregate(how, events[:2], END))
    with pytest.raises(oracle.Refused):
        oracle.aggregate(how, events, END)
    with pytest.raises(OverCap, match="more than 2 different item"):
        how.finish({part: accumulated(part, events) for part in how.parts}, END)

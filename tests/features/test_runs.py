"""Runs of events, against loops over the same events one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.features import runs
from pipelines.features.runs import Runs, bisect, exact, previous


@st.composite
def windows(draw):
    """Values and labels, slices of them, and places inside that are left out."""
    values = draw(st.lists(st.integers(-9, 9), min_size=1, max_size=30))
    edges = st.integers(0, len(values))
    slices = sorted(tuple(sorted(pair)) for pair in draw(st.lists(st.tuples(edges, edges), min_size=1, max_size=12)))
    out = [(n, p) for n, (low, high) in enumerate(slices) for p in range(low, high) if draw(st.integers(0, 5)) == 0]
    return np.array(values), slices, out


@pytest.mark.parametrize("laid", [3, 10**6])
@settings(deadline=None, max_examples=60)
@given(world=windows())
def test_what_runs_say_is_what_their_events_say(laid, world):
    values, slices, out = world
    begin, end = np.array(slices).T
    ask, place = np.array(out, dtype=int).reshape(-1, 2).T
    made = Runs.without(begin, end, ask, place)
    held = [[p for p in range(low, high) if (n, p) not in out] for n, (low, high) in enumerate(slices)]
    label = values + 9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "LAID", laid)
        different = made.different(label, previous(label))
    small, large = (made.extreme(ufunc, values.astype(float)) for ufunc in (np.fmin, np.fmax))
    for n, places in enumerate(held):
        mine = values[places].tolist()
        assert made.count()[n] == len(mine)
        assert made.sum(values)[n] == made.sum(values.astype(float))[n] == sum(mine)
        assert different[n] == len(set(mine))
        assert (made.earliest()[n], made.last()[n]) == ((places[0], places[-1]) if places else (-1, -1))
        assert np.array_equal([small[n], large[n]], [min(mine), max(mine)] if mine else [np.nan] * 2, equal_nan=True)


@given(keys=st.lists(st.lists(st.integers(0, 9)), min_size=1, max_size=5), wanted=st.integers(-1, 10))
def test_a_search_within_each_key_finds_what_a_search_in_it_alone_finds(keys, wanted):
    low = np.cumsum([0, *map(len, keys)])
    values = np.array([value for each in keys for value in sorted(each)], dtype=int)
    found = bisect(values, low[:-1], low[1:], np.full(len(keys), wanted)) - low[:-1]
    assert found.tolist() == [np.searchsorted(sorted(each), wanted) for each in keys]


def test_sums_that_pass_sixty_four_bits_are_exact():
    large = np.array([2**62 + 1, 2**62, 3])
    whole = Runs(np.array([0, 1]), np.array([3, 3]), None)
    assert whole.sum(exact(large)).tolist() == [2**63 + 4, 2**62 + 3]
    assert whole.sum(exact(large, 2)).tolist() == [(2**62 + 1) ** 2 + 2**124 + 9, 2**124 + 9]

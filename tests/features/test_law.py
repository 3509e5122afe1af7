"""Law 1 and 2: the oracle, the batch engine and the stream agree on any history, and nobody sees the future."""

import oracle
import pytest
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines.core.aggregation import AGGREGATIONS
from pipelines.core.clock import DAY, EVER, days, hours
from pipelines.core.event import Event
from pipelines.core.feature import (
    Count,
    Counted,
    Distinct,
    First,
    Label,
    Last,
    Max,
    Min,
    Ratio,
    Since,
    Std,
    Sum,
    Top,
    Until,
    features,
    field,
)
from pipelines.features import batch, history, microbatch, runs, sql, state
from pipelines.features.reader import BatchReader
from pipelines.features.stream import OnlineStore, StreamReader
from pipelines.features.together import at_once

LATER = 100 * DAY
HOUR = DAY // 24


@pytest.fixture(params=["as it comes", "as little as can be"])
def at_hand(request, monkeypatch):
    """How many rows and tiles a key's value holds; a short history would not fill it, so it also runs with next to none."""
    if request.param == "as little as can be":
        monkeypatch.setattr(microbatch, "LONGEST", 2)
        monkeypatch.setattr(state, "OBSOLETE", 0)


CASE = worlds.case()
STREAM = worlds.case(counted=worlds.STREAMED)


def law(examples):
    """A law over so many histories. A failing history is shown as it is: shrinking it takes minutes; do it by hand."""
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    return settings(deadline=None, max_examples=examples, phases=phases, suppress_health_check=list(HealthCheck))


def rows_of(log, again=(), **how):
    table = batch.rows(how.pop("case", CASE), worlds.tables(log, again), (0, LATER), as_of=how.pop("as_of", LATER), **how)
    return {row["ask"]: row for row in table.to_pylist()}


def assert_counted(rows, log, counted=worlds.COUNTED, **how):
    for ask in worlds.asks_of(log):
        for feature in counted:
            want = oracle.counted(feature, ask, log, **{k: v[ask.id] for k, v in how.items()})
            got = rows[ask.id][feature.name]
            assert worlds.same(want, got), f"{feature.name} of {ask.id}: the oracle says {want}, got {got}"


@law(25)
@given(log=worlds.histories(), data=st.data())
def test_batch_says_what_the_oracle_says(log, data):
    again = data.draw(st.lists(st.sampled_from(log), max_size=3))
    rows = rows_of(log, again)
    assert list(rows) == [ask.id for ask in worlds.asks_of(log)]
    assert_counted(rows, log)


PLANS = {
    "in the order of time, a few at once": {
        (history, "EVENTS"): 3,
        (history, "ASKS"): 2,
        (history, "UNKNOWN"): 2,
        (runs, "LAID"): 3,
    },
    "pair by pair, as Spark does": {(sql, "by_pairs"): lambda group, **_: [[f] for f in group]},
}
"""How the batch engine is made to take small bites, and its other plan."""


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("corrections", [True, False])
@law(10)
@given(data=st.data())
def test_batch_says_what_the_oracle_says_by_every_plan(plan, corrections, data, monkeypatch):
    for (module, name), value in PLANS[plan].items():
        monkeypatch.setattr(module, name, value)
    log = data.draw(worlds.histories(corrections=corrections))
    assert_counted(rows_of(log), log)


CORRECTED = tuple(
    Counted(f"{how.how}_{'ever' if over == EVER else 'day'}", "back", "item", how, over)
    for how in (Count(), Sum("cents"), Min("cents"), Max("cents"), First("cents"), Last("cents"), Distinct("cents"), Since())
    for over in (days(1), EVER)
)
corrected = st.fixed_dictionaries({"item": st.sampled_from(["a", "b"]), "cents": st.integers(-2, 2)})
hours_of_two_days = st.integers(0, 48).map(lambda n: n * HOUR)


@law(25)
@given(
    backs=st.lists(st.tuples(hours_of_two_days, st.integers(0, 1), hours_of_two_days, corrected), min_size=5, max_size=12),
    buys=st.lists(st.tuples(hours_of_two_days, st.sampled_from(["a", "b"])), min_size=4, max_size=8),
)
def test_what_was_corrected_again_and_again_is_what_was_known_of_it(backs, buys):
    sent = [(arrived, Event("back", f"r{n}", ts, body)) for arrived, n, ts, body in backs]
    blank = dict.fromkeys(f.name for f in worlds.BUY.fields)
    sent += [(ts, Event("buy", f"x{n}", ts, blank | {"item": item})) for n, (ts, item) in enumerate(buys)]
    log = worlds.logged(sent)
    case = worlds.case(counted=(*worlds.COUNTED[:3], *CORRECTED))
    assert_counted(rows_of(log, case=case), log, CORRECTED)


def streamed(store, log, asks, data):
    """Each ask read when everything that had arrived by then was applied; redelivery and batches as hypothesis likes."""
    reader, answers, at = StreamReader(store, STREAM.features, worlds.BUY), {}, 0
    for ask in sorted(asks, key=lambda e: e.ts):
        known = [e for e in log if e.arrived <= ask.ts]
        while at < len(known):
            size = data.draw(st.integers(1, 8))
            again = data.draw(st.integers(0, 3))
            store.apply(known[max(at - again, 0) : at + size])
            at = min(at + size, len(known))
        columns, offset = reader.read([ask])
        assert offset == max((e.offset for e in known), default=0)
        answers[ask.id] = {name: columns[name][0] for name in STREAM.features.names}
    return answers


@law(40)
@given(log=worlds.histories(), data=st.data())
def test_the_stream_says_what_the_oracle_says(log, data, tmp_path_factory, at_hand):
    store = OnlineStore(tmp_path_factory.mktemp("online") / "s.db", STREAM.features)
    answers = streamed(store, log, worlds.asks_of(log), data)
    store.close()
    assert_counted(answers, log, worlds.STREAMED)


NOW = {"all": worlds.STREAMED, "what arrays answer": tuple(filter(at_once, worlds.STREAMED))}


@pytest.mark.parametrize("counted", NOW)
@law(12)
@given(log=worlds.histories(most=40), later=st.integers(0, 40 * DAY))
def test_an_ask_of_now_is_told_the_same_alone_and_among_many(counted, log, later, tmp_path_factory, at_hand):
    wanted = features(counted=NOW[counted])
    store = OnlineStore(tmp_path_factory.mktemp("online") / "s.db", wanted)
    store.apply(log)
    now = max(max(e.ts, e.arrived) for e in log) + later
    bodies = {(e.body.get("customer"), e.body.get("item"), e.body.get("country")): e.body for e in log if e.kind == "buy"}
    asks = [Event("buy", f"now{n}", now + n % 3, body) for n, body in enumerate([*bodies.values()] * 8)]
    reader = StreamReader(store, wanted, worlds.BUY)
    together, _ = reader.read(asks)
    assert all(len(column) == len(asks) for column in together.values())
    for n, ask in enumerate(asks[: len(bodies)]):
        alone, _ = reader.read([ask])
        for feature in NOW[counted]:
            want = oracle.counted(feature, ask, log)
            assert worlds.same(want, alone[feature.name][0]), feature.name
            assert worlds.same(want, together[feature.name][n]), feature.name
    store.close()


@law(30)
@given(log=worlds.histories(), data=st.data())
def test_a_stream_that_expires_says_the_same(log, data, tmp_path_factory, at_hand):
    log = [Event(e.kind, e.id, e.ts, e.body, max(e.arrived, e.ts), e.offset) for e in log]
    log = worlds.logged([(e.arrived, e) for e in log])
    store = OnlineStore(tmp_path_factory.mktemp("online") / "s.db", STREAM.features)
    reader = StreamReader(store, STREAM.features, worlds.BUY)
    for ask in worlds.asks_of(log):
        store.apply([e for e in log if e.arrived <= ask.ts])
        store.expire(ask.ts, keep=15 * DAY)
        columns, _ = reader.read([ask])
        for feature in worlds.STREAMED:
            want = oracle.counted(feature, ask, log)
            assert worlds.same(want, columns[feature.name][0]), feature.name
    store.close()


@law(10)
@given(log=worlds.histories())
def test_what_a_stream_that_had_seen_more_answered_is_what_batch_gives_for_its_offset(log, tmp_path_factory, at_hand):
    store = OnlineStore(tmp_path_factory.mktemp("online") / "s.db", STREAM.features)
    store.apply(log)
    asks = worlds.asks_of(log)
    columns, offset = StreamReader(store, STREAM.features, worlds.BUY).read(asks)
    store.close()
    seen = {ask.id: offset for ask in asks}
    rows = rows_of(log, seen=seen)
    assert_counted(rows, log, seen=seen)
    for n, ask in enumerate(asks):
        assert all(worlds.same(rows[ask.id][name], columns[name][n]) for name in STREAM.features.names)


@law(12)
@given(log=worlds.histories(), data=st.data())
def test_nothing_after_the_moment_changes_anything_at_the_moment(log, data):
    if not (asks := worlds.asks_of(log)):
        return
    ask = data.draw(st.sampled_from(asks))
    past = [e for e in log if e.arrived <= ask.ts or (e.kind, e.id) == (ask.kind, ask.id)]
    past = past[: next(n for n, e in enumerate(past) if e is ask) + 1]
    before, after = rows_of(past), rows_of(log)
    for name in CASE.features.names:
        assert worlds.same(before[ask.id][name], after[ask.id][name]), name


@law(15)
@given(log=worlds.histories(), label=st.sampled_from([
    Label("back", "item", Count(), days(2), at_least=1),
    Label("buy", "customer", Count(), days(3)),
    Label("buy", "customer", Sum("cents"), days(3), ahead=days(1)),
    Label("buy", ("customer", "item"), Until(), days(5), ahead=hours(1)),
    Label("buy", "customer", Ratio(Sum("cents"), Count()), days(5), where=field("weight") > 0),
    Label("buy", "item", Std("cents"), days(5)),
    Label("buy", "item", Top("cents"), days(5)),
]), day=st.integers(0, 14))  # fmt: skip
def test_a_label_is_what_the_oracle_says_as_of_any_day(log, label, day):
    log = [e for e in log if e.arrived <= day * DAY]
    rows = rows_of(log, case=worlds.case(label), as_of=day * DAY)
    for ask in worlds.asks_of(log):
        assert worlds.same(oracle.label(label, ask, log, day * DAY), rows[ask.id]["label"])


@law(6)
@given(log=worlds.histories())
def test_a_reader_over_tables_reads_what_the_rows_hold(log):
    asks = worlds.asks_of(log)
    rows = rows_of(log)
    columns, _ = BatchReader(CASE, worlds.tables(log), as_of=LATER).read(asks)
    for n, ask in enumerate(asks):
        assert all(worlds.same(rows[ask.id][name], columns[name][n]) for name in CASE.features.names)


@pytest.mark.slow
@law(400)
@given(log=worlds.histories(most=60), data=st.data())
def test_oracle_batch_and_stream_agree_on_many_long_histories(log, data, tmp_path_factory, at_hand):
    store = OnlineStore(tmp_path_factory.mktemp("online") / "s.db", STREAM.features)
    answers = streamed(store, log, worlds.asks_of(log), data)
    store.close()
    assert_counted(answers, log, worlds.STREAMED)
    assert_counted(rows_of(log), log)


def test_the_worlds_try_every_aggregation_a_delay_a_filter_and_ever():
    assert {c.how.how for c in worlds.COUNTED} == set(AGGREGATIONS) - {"until"}
    assert any(c.delay for c in worlds.COUNTED)
    assert any(c.where for c in worlds.COUNTED)
    assert any(c.over == EVER for c in worlds.COUNTED)
    assert First("item").field == "item"

"""The online store: exactly once, whole or not at all, bounded, and never a number it cannot stand for."""

import sqlite3

import msgspec
import pytest
import worlds
from test_batch import buy

from pipelines.core.clock import DAY, EVER, days
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.feature import Count, Counted, Min, Sum, features
from pipelines.features.keyvalue import _select
from pipelines.features.state import value_key
from pipelines.features.stream import OnlineStore, StreamReader

HOUR = DAY // 24
DAILY = features(
    counted=(
        Counted("cents_1d", "buy", "customer", Sum("cents"), days(1)),
        Counted("low_1d", "buy", "customer", Min("cents"), days(1)),
    )
)
ALL = features(
    counted=(Counted("n_ever", "buy", "customer", Count(), EVER), Counted("n_7d", "buy", "customer", Count(), days(7)))
)


def read(store, wanted, ts, name="ask", **body):
    columns, _ = StreamReader(store, wanted, worlds.BUY).read([Event("buy", name, ts, {"customer": "a", **body})])
    return {name: values[0] for name, values in columns.items()}


def test_events_delivered_twice_count_once(tmp_path):
    store, log = OnlineStore(tmp_path / "s.db", DAILY), worlds.logged([buy("x", HOUR), buy("y", 2 * HOUR)])
    assert store.apply(log) == 2
    assert store.apply(log) == 2
    assert store.apply(log[:1]) == 2
    assert read(store, DAILY, 3 * HOUR)["cents_1d"] == 200


def test_a_batch_that_breaks_leaves_nothing_behind(tmp_path):
    store = OnlineStore(tmp_path / "s.db", DAILY)
    good, bad = worlds.logged([buy("x", HOUR), buy("y", 2 * HOUR, cents=[1])])
    with pytest.raises(ShelflifeError, match="wanted one value"):
        store.apply([good, bad])
    assert store.offset() == 0
    assert read(store, DAILY, 3 * HOUR)["cents_1d"] == 0
    store.apply([good])
    assert read(store, DAILY, 3 * HOUR)["cents_1d"] == 100


def test_a_store_that_is_opened_again_goes_on_where_it_was(tmp_path):
    log = worlds.logged([buy("x", HOUR), buy("y", 2 * HOUR)])
    first = OnlineStore(tmp_path / "s.db", DAILY)
    first.apply(log[:1])
    first.close()
    again = OnlineStore(tmp_path / "s.db", DAILY)
    assert again.offset() == 1
    again.apply(log)
    assert read(again, DAILY, 3 * HOUR)["cents_1d"] == 200


def test_a_reader_sees_what_another_connection_wrote_and_the_offset_of_the_same_moment(tmp_path):
    writer, reader = OnlineStore(tmp_path / "s.db", DAILY), OnlineStore(tmp_path / "s.db", DAILY)
    log = worlds.logged([buy("x", HOUR), buy("y", 2 * HOUR)])
    for event, cents in zip(log, (100, 200), strict=True):
        writer.apply([event])
        columns, offset = StreamReader(reader, DAILY, worlds.BUY).read([Event("buy", "ask", 3 * HOUR, {"customer": "a"})])
        assert (offset, columns["cents_1d"][0]) == (event.offset, cents)


def test_a_second_writer_goes_on_where_the_first_was_and_counts_nothing_twice(tmp_path):
    one, two = OnlineStore(tmp_path / "s.db", DAILY), OnlineStore(tmp_path / "s.db", DAILY)
    log = worlds.logged([buy(f"x{n}", n * HOUR) for n in range(6)])
    for n, store in enumerate((one, two, one, one, two, one)):
        assert store.apply(log[: n + 1]) == n + 1
    assert read(one, DAILY, 6 * HOUR)["cents_1d"] == read(two, DAILY, 6 * HOUR)["cents_1d"] == 600


def test_a_correction_replaces_even_the_smallest_value(tmp_path):
    store = OnlineStore(tmp_path / "s.db", DAILY)
    store.apply(
        worlds.logged([buy("x", HOUR, cents=1), buy("y", HOUR + 1, cents=5), buy("x", HOUR, arrived=2 * HOUR, cents=9)])
    )
    made = read(store, DAILY, 5 * HOUR)
    assert (made["cents_1d"], made["low_1d"]) == (14, 5)


def test_an_ask_that_is_already_in_the_store_is_not_among_its_own_past(tmp_path):
    store = OnlineStore(tmp_path / "s.db", DAILY)
    store.apply(worlds.logged([buy("x", HOUR), buy("y", 2 * HOUR)]))
    assert read(store, DAILY, 3 * HOUR, name="x")["cents_1d"] == 100


def test_the_far_edge_lies_on_a_tile_and_the_near_edge_does_not(tmp_path):
    store = OnlineStore(tmp_path / "s.db", DAILY)
    store.apply(worlds.logged([buy("x", DAY), buy("y", DAY + HOUR // 2)]))
    for ts, cents in ((DAY, 0), (DAY + 1, 100), (2 * DAY + HOUR - 1, 200), (2 * DAY + HOUR, 0)):
        assert read(store, DAILY, ts)["cents_1d"] == cents


def test_state_expires_and_what_has_expired_is_refused_and_not_guessed(tmp_path):
    store = OnlineStore(tmp_path / "s.db", DAILY)
    store.apply(worlds.logged([buy(f"x{n}", n * DAY) for n in range(30)]))
    before = read(store, DAILY, 30 * DAY)
    assert store.expire(30 * DAY) == 29
    assert read(store, DAILY, 30 * DAY) == before
    with pytest.raises(ShelflifeError, match="read them in batch"):
        read(store, DAILY, 20 * DAY)


def test_ever_is_folded_and_still_counts_what_is_gone_and_what_comes_very_late(tmp_path):
    store = OnlineStore(tmp_path / "s.db", ALL)
    log = worlds.logged([*[buy(f"x{n}", n * DAY) for n in range(60)], buy("late", DAY, arrived=61 * DAY)])
    store.apply(log[:60])
    store.expire(60 * DAY, keep=10 * DAY)
    assert read(store, ALL, 60 * DAY) == {"n_ever": 60, "n_7d": 7}
    store.apply(log)
    assert read(store, ALL, 61 * DAY)["n_ever"] == 61
    (packed,) = store.values.get([value_key(store.plan.groups[0], "a")]).values()
    assert len(packed) < 1000


def test_changed_definitions_get_a_store_of_their_own_and_a_wrong_one_is_refused(tmp_path):
    first = OnlineStore.at(tmp_path, DAILY)
    other = OnlineStore.at(tmp_path, ALL)
    assert first.path != other.path
    with pytest.raises(ShelflifeError, match="other feature definitions"):
        OnlineStore(first.path, ALL)
    with pytest.raises(ShelflifeError, match="online store of these features"):
        StreamReader(first, ALL, worlds.BUY)


def test_an_event_that_the_log_has_not_numbered_is_refused(tmp_path):
    with pytest.raises(ShelflifeError, match="append it to the log"):
        OnlineStore(tmp_path / "s.db", DAILY).apply([Event("buy", "x", HOUR, {})])


def test_a_read_looks_its_keys_up_and_scans_nothing(tmp_path):
    store = OnlineStore(tmp_path / "s.db", DAILY)
    plan = store.values._connection.execute("EXPLAIN QUERY PLAN " + _select(4), [b"x"] * 4).fetchall()
    assert [row[-1] for row in plan if "kept" in row[-1]] == ["SEARCH kept USING PRIMARY KEY (key=?)"]


def test_a_busy_key_keeps_few_rows_at_hand_and_still_answers_any_moment(tmp_path):
    store = OnlineStore(tmp_path / "s.db", DAILY)
    log = worlds.logged([buy(f"x{n}", n * 1_000_000, cents=n) for n in range(5000)])
    for at in range(0, 5000, 100):
        store.apply(log[at : at + 100])
    (packed,) = store.values.get([value_key(store.plan.groups[0], "a")]).values()
    assert len(packed) < 3000
    for seconds in (1, 17, 2000, 4999, 7000):
        known = range(min(seconds, 5000))
        assert read(store, DAILY, seconds * 1_000_000) == {"cents_1d": sum(known), "low_1d": min(known)}


def test_many_asks_are_answered_as_each_alone(tmp_path):
    log = worlds.logged([buy(f"x{n}", n * HOUR // 7, customer=f"c{n % 9}", cents=n) for n in range(300)])
    store = OnlineStore(tmp_path / "s.db", DAILY)
    store.apply(log)
    reader = StreamReader(store, DAILY, worlds.BUY)
    asks = [Event("buy", f"ask{n}", 30 * HOUR + n * HOUR, {"customer": f"c{n % 11}" if n % 5 else None}) for n in range(40)]
    together, _ = reader.read(asks)
    for n, ask in enumerate(asks):
        alone, _ = reader.read([ask])
        assert all(worlds.same(alone[name][0], column[n]) for name, column in together.items())


def test_the_file_is_plain_sqlite_with_the_offset_in_it(tmp_path):
    store = OnlineStore(tmp_path / "s.db", DAILY)
    store.apply(worlds.logged([buy("x", HOUR)]))
    store.close()
    (head,) = sqlite3.connect(tmp_path / "s.db").execute("SELECT value FROM kept WHERE key = ?", (b"head",)).fetchone()
    assert msgspec.msgpack.decode(head)["offset"] == 1

import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest
from goods import DAY, KILLED, NOW, fill_up, killed_at, view
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.store.log import SqliteLog

law = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
bodies = st.fixed_dictionaries(
    {
        "word": st.none() | words,
        "cents": st.none() | st.integers(-(2**53), 2**53),
        "share": st.none() | numbers,
        "good": st.none() | st.booleans(),
        "trail": st.none() | st.lists(words, max_size=3),
    }
)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@pytest.fixture
def log(tmp_path):
    opened = SqliteLog(tmp_path / "log.db")
    yield opened
    opened.close()


def table(rows, arrived=None):
    """An event table of (id, ts, body)."""
    fields = {
        "word": pa.string(),
        "cents": pa.int64(),
        "share": pa.float64(),
        "good": pa.bool_(),
        "trail": pa.list_(pa.string()),
    }
    names = {name for _, _, body in rows for name in body}
    columns = {name: pa.array([body.get(name) for _, _, body in rows], kind) for name, kind in fields.items() if name in names}
    when = pa.array(arrived or [NOW] * len(rows), pa.int64())
    return pa.table(
        {
            "id": pa.array([r[0] for r in rows], pa.string()),
            "ts": pa.array([r[1] for r in rows], pa.int64()),
            "arrived": when,
            **columns,
        }
    )


def test_events_come_back_in_the_order_of_their_offsets(log):
    assert log.append([view(1), view(2)], arrived=NOW) == [1, 2]
    assert [(e.id, e.offset, e.arrived) for e in log.read()] == [("v1", 1, NOW), ("v2", 2, NOW)]
    assert [e.id for e in log.read(after=1)] == ["v2"]
    assert log.read(kinds=["purchase"]) == []


def test_who_follows_the_log_pays_for_what_is_new_and_not_for_what_there_is(log):
    """Steps of SQLite's machine, a thousand at a time: a follower looks a hundred times a second."""

    def steps(look):
        counted = []
        log._connections.get().set_progress_handler(lambda: counted.append(1), 1000)
        found = look()
        log._connections.get().set_progress_handler(None, 0)
        return found, len(counted)

    log.append([view(n) for n in range(20_000)], arrived=NOW)
    found, many = steps(lambda: log.stored(after=19_990, kinds=["view_item", "purchase"]))
    assert (len(found), many) == (10, 0)


def test_the_same_event_again_counts_once_and_keeps_its_offset(log):
    log.append([view(1)], arrived=NOW)
    assert log.append([view(2), view(1), view(1)], arrived=NOW + 5) == [2, 1, 1]
    assert log.last_offset() == 2


def test_new_content_under_an_old_id_is_a_new_version(log):
    log.append([view(1)], arrived=NOW)
    log.append([view(1, item="other")], arrived=NOW + 1)
    assert [e.body["item"] for e in log.versions("view_item", "v1")] == ["i1", "other"]


def test_arrived_never_goes_back_even_when_the_clock_does(log):
    log.append([view(1)], arrived=NOW)
    log.append([view(2)], arrived=NOW - DAY)
    assert [e.arrived for e in log.read()] == [NOW, NOW]


def test_after_a_seal_nothing_arrives_before_it(log):
    log.seal(NOW + DAY)
    log.seal(NOW)
    log.append([view(1)], arrived=NOW)
    assert log.last_arrived() == NOW + DAY
    with pytest.raises(ShelflifeError, match="where the log has got to"):
        log.append_table("word", table([("a", NOW, {})]))


@law
@given(st.lists(st.tuples(ids, st.integers(0, 2**60), bodies), max_size=12))
def test_a_table_and_its_events_one_by_one_are_the_same_events(rows):
    bulk, single = (SqliteLog(Path(":memory:")) for _ in range(2))
    if rows:
        bulk.append_table("word", table(rows))
    single.append([Event("word", id_, ts, body) for id_, ts, body in rows], arrived=NOW)
    assert bulk.stored(limit=99) == single.stored(limit=99)
    assert [row[5].hex() for row in bulk.stored(limit=99)] == [event.digest for event in bulk.read(limit=99)]
    for opened in (bulk, single):
        opened.close()


def test_a_table_that_is_delivered_again_adds_nothing_though_the_log_went_on(log):
    early = table([("a", 1, {"word": "x"}), ("b", 2, {"word": "y"})], [NOW, NOW + 1])
    assert log.append_table("word", early) == 2
    log.append([view(1)], arrived=NOW + DAY)
    assert log.append_table("word", early) == 0


def test_a_table_from_before_the_end_of_the_log_is_refused_whole(log):
    log.append([view(1)], arrived=NOW)
    with pytest.raises(ShelflifeError, match="give the tables of one day together"):
        log.append_table("word", table([("new", 1, {}), ("newer", 2, {})], [NOW - 1, NOW + 1]))
    assert log.last_offset() == 1


def test_tables_of_one_day_are_merged_by_their_arrival(log):
    log.append_tables([("one", table([("a", 1, {}), ("b", 2, {})], [NOW, NOW + 2])), ("two", table([("c", 1, {})], [NOW + 1]))])
    assert [(e.kind, e.id) for e in log.read()] == [("one", "a"), ("two", "c"), ("one", "b")]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ({"arrived": pa.array([None], pa.int64())}, "without nulls"),
        ({"ts": pa.array([1.5])}, "wanted ts"),
        ({"when": pa.array([1], pa.timestamp("us"))}, "wanted text, integers"),
        ({"share": pa.array([float("inf")])}, "finite"),
    ],
)
def test_a_table_that_is_no_event_table_is_refused(log, column, says):
    columns = {"id": pa.array(["a"]), "ts": pa.array([1]), "arrived": pa.array([NOW])} | column
    with pytest.raises(ShelflifeError, match=says):
        log.append_table("word", pa.table(columns))
    assert log.last_offset() == 0


@pytest.mark.parametrize("body", [{"share": float("nan")}, {"share": float("inf")}, {"raw": b"bytes"}, {"word": "\ud800"}])
def test_a_body_that_json_cannot_hold_is_refused_and_nothing_of_the_call_is_kept(log, body):
    with pytest.raises(ShelflifeError, match="body that JSON can hold"):
        log.append([view(1), Event("view_item", "v2", NOW, body)], arrived=NOW)
    assert log.last_offset() == 0


def test_a_record_that_changed_on_disk_is_not_read(log):
    log.append([view(1), view(2)], arrived=NOW)
    with sqlite3.connect(log.path) as other:
        other.execute("UPDATE events SET body = replace(body, 'i2', 'i9') WHERE id = 'v2'")
    assert [e.id for e in log.read(limit=1)] == ["v1"]
    with pytest.raises(ShelflifeError, match="record 2"):
        log.read()
    with pytest.raises(ShelflifeError, match="record 2"):
        log.verify()


@pytest.mark.parametrize(
    ("failpoint", "kept"), [("log.inserted", 1), ("log.committed", 3), ("log.bulk_inserted", 1), ("log.bulk_committed", 3)]
)
def test_a_kill_leaves_all_events_of_a_call_or_none(log, failpoint, kept):
    log.append([view(0)], arrived=NOW)

    def act():
        if "bulk" in failpoint:
            log.append_table("word", table([("a", 1, {}), ("b", 2, {})]))
        log.append([view(1), view(2)], arrived=NOW)

    assert killed_at(failpoint, act) == KILLED
    assert log.last_offset() == kept


def test_what_was_acknowledged_survives_a_kill(log, tmp_path):
    def act():
        with (tmp_path / "acknowledged").open("w", buffering=1) as said:
            for number in range(10**6):
                log.append([view(number)], arrived=NOW)
                said.write(f"{number}\n")

    assert _killed_after(act, 0.05) == KILLED
    said = (tmp_path / "acknowledged").read_text().split()
    assert log.verify() >= len(said) > 0


def test_a_full_disk_loses_nothing_and_the_same_call_succeeds_later(log):
    log.append([view(n) for n in range(50)], arrived=NOW)

    def act():
        fill_up(64 * 1024)
        log.append([view(n, note="x" * 200) for n in range(100, 3000)], arrived=NOW)

    assert killed_at("", act) == 7
    assert log.verify() == 50
    assert log.append([view(n, note="x" * 200) for n in range(100, 3000)], arrived=NOW)[-1] == 2950


def _killed_after(act, seconds):
    """Kill the child with SIGKILL that long after it began."""
    import os
    import signal
    import threading

    child = os.fork()
    if child == 0:
        act()
        os._exit(0)
    threading.Timer(seconds, os.kill, (child, signal.SIGKILL)).start()
    _, status = os.waitpid(child, 0)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

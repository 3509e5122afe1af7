"""A person taken out of the online store: what is left is what a store makes of a log in which they never were."""

import oracle
import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st
from test_batch import buy
from test_kills import content
from test_law import STREAM, at_hand, law  # noqa: F401  at_hand is a fixture

from pipelines.core.clock import DAY, EVER, days
from pipelines.core.event import Event
from pipelines.core.feature import Count, Counted, Max, Sum, features
from pipelines.features.stream import OnlineStore, StreamReader

HOUR = DAY // 24
SOLD = features(
    counted=(
        Counted("cents_1d", "buy", "customer", Sum("cents"), days(1)),
        Counted("most_1d", "buy", "item", Max("cents"), days(1)),
        Counted("both_1d", "buy", ("customer", "item"), Count(), days(1)),
    )
)
EVERS = features(counted=(Counted("n_ever", "buy", "item", Count(), EVER),))


def of_person(log, value="a", field="customer"):
    """The events that a version of theirs says are the person's: per kind the ids, with the earliest ts."""
    named = {(e.kind, e.id) for e in log if e.body.get(field) == value}
    found = {}
    for event in log:
        if (event.kind, event.id) in named:
            known = found.setdefault(event.kind, {})
            known[event.id] = min(event.ts, known.get(event.id, event.ts))
    return found


def without(log, gone):
    return [e for e in log if e.id not in gone.get(e.kind, {})]


def read(store, wanted, ts, **body):
    columns, _ = StreamReader(store, wanted, worlds.BUY).read([Event("buy", "ask", ts, body)])
    return {name: values[0] for name, values in columns.items()}


@law(30)
@given(log=worlds.histories(), data=st.data())
def test_after_an_erasure_the_stream_says_what_the_oracle_says_of_the_log_without_the_person(
    log,
    data,
    tmp_path_factory,
    at_hand,  # noqa: F811
):
    person = data.draw(st.sampled_from(sorted({str(e.body.get("customer")) for e in log}) or ["a"]))
    store = OnlineStore(tmp_path_factory.mktemp("online") / "s.db", STREAM.features)
    at = data.draw(st.integers(0, len(log)))
    store.apply(log[:at])
    if data.draw(st.booleans()) and at:
        store.expire(max(e.ts for e in log[:at]), keep=15 * DAY)
    gone = of_person(log[:at], person)
    store.erase(gone)
    kept = without(log, gone)
    store.apply([e for e in kept if e.offset > store.offset()])
    now = max((max(e.ts, e.arrived) for e in log), default=0) + 1
    asks = [Event("buy", f"ask{n}", now, e.body, now) for n, e in enumerate(log) if e.kind == "buy"]
    columns, _ = StreamReader(store, STREAM.features, worlds.BUY).read(asks) if asks else ({}, 0)
    for n, ask in enumerate(asks):
        for feature in worlds.STREAMED:
            want = oracle.counted(feature, ask, kept)
            assert worlds.same(want, columns[feature.name][n]), feature.name
    store.close()


def test_what_is_stored_afterwards_is_what_a_store_makes_of_the_log_without_them(tmp_path):
    log = worlds.logged([
        buy(f"x{n}", n * HOUR // 3, customer=f"c{n % 5}", item=f"i{n % 3}", cents=n * 7919 % 100) for n in range(400)
    ])  # fmt: skip
    store, clean = OnlineStore(tmp_path / "s.db", SOLD), OnlineStore(tmp_path / "clean.db", SOLD)
    for at in range(0, 400, 50):
        store.apply(log[at : at + 50])
    gone = of_person(log, "c2")
    assert store.erase(gone) == 80
    clean.apply(without(log, gone))
    (_, rows, ids, _), (_, wanted, known, _) = content(store), content(clean)
    assert (rows, ids) == (wanted, known)
    for ts in (40 * HOUR, 100 * HOUR, 134 * HOUR):
        for n in range(15):
            asked = {"customer": f"c{n % 5}", "item": f"i{n % 3}"}
            assert read(store, SOLD, ts, **asked) == read(clean, SOLD, ts, **asked)
    assert read(store, SOLD, 134 * HOUR, customer="c2", item="i1")["cents_1d"] == 0


@pytest.mark.parametrize("where", ["sqlite", "lmdb"])
def test_no_byte_of_them_is_left_in_the_stores_files(tmp_path, where):
    store = OnlineStore.at(tmp_path, SOLD, where)
    log = worlds.logged([buy(f"x{n}", n * HOUR // 9, customer=f"somebody-{n % 4}", item="i", cents=n) for n in range(900)])
    for at in range(0, 900, 30):
        store.apply(log[at : at + 30])
    assert holding(tmp_path, b"somebody-2")
    store.erase(of_person(log, "somebody-2"))
    assert holding(tmp_path, b"somebody-2") == []
    assert holding(tmp_path, b"somebody-1")


def holding(folder, text):
    return [path.name for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


@pytest.mark.parametrize("where", ["sqlite", "lmdb"])
def test_a_worker_of_another_process_does_not_write_them_back(tmp_path, where):
    worker, other = (OnlineStore.at(tmp_path, SOLD, where) for _ in range(2))
    log = worlds.logged([
        buy(f"x{n}", n * HOUR // 9, customer=f"somebody-{n % 2}", item="i", cents=100 - n) for n in range(60)
    ])  # fmt: skip
    worker.apply(log[:50])
    gone = of_person(log, "somebody-0")
    assert other.erase(gone) == other.erase(gone) + 25 == 25
    assert worker.apply(log) == 50, "read before, it may hold them: it is to be read again"
    worker.apply(without(log, gone))
    assert read(worker, SOLD, 8 * HOUR, item="i")["most_1d"] == 99
    assert not any(b"x10" in page_key for page in worker.values.scan(b"i") for page_key, _ in page)


def test_what_expired_and_still_counts_for_ever_is_made_again_without_them(tmp_path):
    store = OnlineStore(tmp_path / "s.db", EVERS)
    log = worlds.logged([buy(f"x{n}", n * DAY, customer=f"c{n % 2}", item="i") for n in range(60)])
    store.apply(log)
    store.expire(60 * DAY, keep=10 * DAY)
    assert read(store, EVERS, 61 * DAY, item="i")["n_ever"] == 60
    gone = of_person(log, "c1")
    store.erase(gone)
    assert store.offset() == 0
    store.apply(without(log, gone))
    assert read(store, EVERS, 61 * DAY, item="i")["n_ever"] == 30

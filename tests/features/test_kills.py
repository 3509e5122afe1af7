"""The stream's worker killed at any moment, with redelivery: what it leaves is what a run without a kill makes of the same log."""

import os
import random
import signal
import sqlite3

import pytest
import worlds

from pipelines.core.clock import DAY, EVER, days, hours
from pipelines.core.event import Event
from pipelines.core.feature import Count, Counted, Distinct, Last, Max, Mean, Std, Sum, Top, features
from pipelines.features.plan import FROM, NEWEST, ROWS
from pipelines.features.state import unpack, unpack_row, unpack_rows
from pipelines.features.stream import OnlineStore, StreamReader
from pipelines.store.log import SqliteLog

FEATURES = features(
    counted=(
        Counted("n_1h", "buy", "customer", Count(), hours(1)),
        Counted("cents_1d", "buy", "customer", Sum("cents"), days(1)),
        Counted("mean_ever", "buy", "customer", Mean("cents"), EVER),
        Counted("most_7d", "buy", "item", Max("cents"), days(7), delay=days(1)),
        Counted("spread_7d", "buy", "item", Std("cents"), days(7)),
        Counted("lands_1d", "buy", "item", Distinct("country"), days(1)),
        Counted("usual_7d", "buy", ("customer", "item"), Top("country"), days(7)),
        Counted("last_back", "back", "item", Last("cents"), EVER),
    )
)
CHUNK = 600


def sent(rng, start, count):
    """Events in the order they arrive: late ones, corrections, and some delivered twice to the log itself."""
    found = []
    for n in range(start, start + count):
        name = f"e{n}" if rng.random() > 0.08 else f"e{rng.randrange(max(n - 500, 0), n + 1)}"
        ts = n * 60_000_000 - (rng.randrange(DAY) if rng.random() < 0.05 else rng.randrange(1000))
        body = {
            "customer": f"c{rng.randrange(40)}",
            "item": f"i{int(rng.random() ** 3 * 30)}",
            "cents": rng.randrange(-500, 5000),
        }
        if rng.random() < 0.9:
            found.append(Event("buy", name, ts, body | {"country": rng.choice(["DE", "FR", "中国", None])}))
        else:
            found.append(Event("back", name, ts, {"item": body["item"], "cents": body["cents"]}))
        if rng.random() < 0.1:
            found.append(rng.choice(found))
    return found


def opened(folder, where):
    return OnlineStore.at(folder, FEATURES, where)


def work(folder, where, seed, seconds):
    """A life of the worker: micro-batches of any size, one in ten delivered again, until it is killed or the log ends.

    It dies after so many seconds of its own work, however busy the machine is, by a signal that nothing catches: between two
    instructions, wherever it is, as by kill -9.
    """
    rng = random.Random(seed)
    log, store = SqliteLog(folder / "log.db"), opened(folder, where)
    if seconds is not None:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)
    while True:
        again = rng.randrange(1, 200) if rng.random() < 0.1 else 0
        rows = log.stored(after=max(store.offset() - again, 0), limit=rng.randrange(1, 120) + again)
        if not rows or rows[-1][0] <= store.offset():
            return
        store.apply_stored(rows)


def life(folder, where, seed, seconds):
    """Whether the worker was killed; None lets it live."""
    child = os.fork()
    if child == 0:
        try:
            work(folder, where, seed, seconds)
            os._exit(0)
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def content(store):
    """What is stored, whatever batches made it: tiles that a window can reach, all rows, every identity, the offset."""
    tiles, rows, ids = {}, {}, {}
    for group in store.plan.groups:
        for page in store.values.scan(b"v%c" % group.number):
            for key, value in page:
                state = unpack(value, group)
                rows[key[1:]] = [unpack_row(row) for row in state[ROWS]]
                for n, series in enumerate(group.series):
                    reached = max(state[NEWEST] - series.reach, state[FROM][n])
                    numbers, width = state[series.slot], series.width
                    tiles[key, series] = (
                        [numbers[at : at + width].tolist() for at in range(0, len(numbers), width) if numbers[at] >= reached],
                        [[entry for entry in state[slot] if entry[0] >= reached] for slot in series.lists.values()],
                    )
    for group in store.plan.groups:
        for page in store.values.scan(b"c%c" % group.number):
            for key, value in page:
                rows[key[1:-5]] += [unpack_row(row) for row in unpack_rows(value)]
    for page in store.values.scan(b"i"):
        ids |= {key: unpack_row(value) for key, value in page}
    return tiles, {key: sorted(found) for key, found in rows.items()}, ids, store.offset()


def answers(store, now):
    asks = [Event("ask", f"a{n}", now - n * DAY // 7, {"customer": f"c{n % 40}", "item": f"i{n % 30}"}) for n in range(120)]
    columns, offset = StreamReader(store, FEATURES, worlds.BUY).read(asks)
    return {name: [str(value) for value in values] for name, values in columns.items()}, offset


def killed(folder, kills, where, seed=5):
    rng, at, done = random.Random(seed), 0, 0
    log = SqliteLog(folder / "log.db")
    while done < kills:
        if not life(folder, where, rng.random(), rng.uniform(0.001, 0.08)):
            log.append(sent(rng, at, CHUNK), arrived=at)
            at += CHUNK
        else:
            done += 1
            if done % 4 == 0:  # a fresh worker always finds something to do
                log.append(sent(rng, at, CHUNK), arrived=at)
                at += CHUNK
    life(folder, where, 0, None)
    damaged, clean = opened(folder, where), OnlineStore(folder / "clean.db", FEATURES)
    clean.apply_stored(log.stored(limit=10**6))
    assert clean.offset() == log.last_offset() > 0
    if damaged.path:
        assert sqlite3.connect(damaged.path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    for mine, wanted in zip(content(damaged), content(clean), strict=True):
        assert mine == wanted
    assert answers(damaged, at * 60_000_000) == answers(clean, at * 60_000_000)
    return clean.offset()


@pytest.mark.parametrize("where", ["sqlite", "lmdb"])
def test_a_worker_that_is_killed_fifteen_times_leaves_what_a_clean_run_makes(tmp_path, where):
    assert killed(tmp_path, 15, where) > CHUNK


@pytest.mark.slow
@pytest.mark.parametrize("where", ["sqlite", "lmdb"])
def test_a_worker_that_is_killed_three_hundred_times_leaves_what_a_clean_run_makes(tmp_path, where):
    assert killed(tmp_path, 300, where) > 10 * CHUNK

"""The online store in a real Redis: the same law, one writer, whole or not at all, and a server that dies."""

import itertools

import oracle
import pytest
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_batch import buy
from test_stream import ALL, DAILY, HOUR, read

from pipelines.core.clock import DAY
from pipelines.core.errors import ShelflifeError
from pipelines.features.keyvalue import HEAD, Moved
from pipelines.features.redis_values import RedisValues
from pipelines.features.stream import OnlineStore, StreamReader

CASE = worlds.case(counted=worlds.STREAMED)
fresh = itertools.count()


@pytest.fixture
def values(redis_server):
    """Values of this test alone."""
    made = RedisValues(redis_server.url, f"t{next(fresh)}")
    yield made
    made.close()


@settings(max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(log=worlds.histories(), data=st.data())
def test_redis_says_what_the_oracle_says(log, data, redis_server):
    law(OnlineStore(RedisValues(redis_server.url, f"law{next(fresh)}"), CASE.features), log, data)


def law(store, log, data):
    """A store over some values, at each ask of a history, says what the oracle says."""
    reader, at = StreamReader(store, CASE.features, worlds.BUY), 0
    for ask in worlds.asks_of(log):
        known = [e for e in log if e.arrived <= ask.ts]
        while at < len(known):
            size = data.draw(st.integers(1, 8))
            store.apply(known[max(at - 2, 0) : at + size])
            at = min(at + size, len(known))
        columns, offset = reader.read([ask])
        assert offset == max((e.offset for e in known), default=0)
        for feature in worlds.STREAMED:
            want = oracle.counted(feature, ask, log)
            assert worlds.same(want, columns[feature.name][0]), feature.name
    store.close()


def test_a_change_made_on_an_older_head_is_refused(values):
    values.put([(HEAD, b"1"), (b"x", b"old")], on=None)
    with pytest.raises(Moved):
        values.put([(HEAD, b"2"), (b"x", b"new")], on=b"0")
    assert values.get([HEAD, b"x", b"none"]) == {HEAD: b"1", b"x": b"old"}


def test_a_head_that_moves_between_look_and_change_is_seen(values, redis_server):
    values.put([(HEAD, b"1")], on=None)
    other = RedisValues(redis_server.url, values._prefix.decode().split(":")[1])
    real = values._redis.pipeline

    def late(**how):
        pipe = real(**how)
        multi = pipe.multi
        pipe.multi = lambda: (other.put([(HEAD, b"2")], on=b"1"), multi())
        return pipe

    values._redis.pipeline = late
    with pytest.raises(Moved):
        values.put([(HEAD, b"3"), (b"x", b"lost")], on=b"1")
    assert values.get([HEAD, b"x"]) == {HEAD: b"2"}


def test_a_server_that_dies_and_comes_back_goes_on_where_it_was(tmp_path, redis_server):
    from redis_server import RedisServer

    server = RedisServer(tmp_path)
    store = OnlineStore.at(tmp_path, DAILY, server.url)
    log = worlds.logged([buy(f"x{n}", n * HOUR // 2) for n in range(12)])
    store.apply(log[:7])
    server.kill()
    with pytest.raises(Exception, match="sock"):
        store.apply(log)
    server.start()
    again = OnlineStore.at(tmp_path, DAILY, server.url)
    assert again.offset() in range(8)
    assert store.apply(log) == 12
    assert read(again, DAILY, 6 * HOUR)["cents_1d"] == 1200
    server.kill()


def test_state_expires_in_redis_too(values):
    store = OnlineStore(values, ALL)
    store.apply(worlds.logged([buy(f"x{n}", n * DAY) for n in range(60)]))
    assert store.expire(60 * DAY, keep=10 * DAY) == 50
    assert read(store, ALL, 60 * DAY) == {"n_ever": 60, "n_7d": 7}
    assert not any(page for page in values.scan(b"i") if len(page) > 12)


def test_values_of_other_definitions_are_refused(values):
    OnlineStore(values, DAILY)
    with pytest.raises(ShelflifeError, match="other feature definitions"):
        OnlineStore(values, ALL)

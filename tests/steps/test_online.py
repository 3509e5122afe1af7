"""The stream over a real home: definitions that change, many asks at once, and the online features in Redis by one setting."""

import dataclasses
import sys
from pathlib import Path

import pytest
from test_serve import NOW, WORKSPACE, ask, client_of, home, payment, promote  # noqa: F401  home is a fixture

from pipelines.core.clock import DAY, days
from pipelines.core.event import Event
from pipelines.core.feature import Count, Counted
from pipelines.features.stream import StreamReader
from pipelines.shop.contracts import CONTRACTS
from pipelines.steps import stream

sys.path.insert(0, str(Path(__file__).parents[1] / "features"))
from redis_server import RedisServer, redis_server  # noqa: F401  redis_server is a fixture

FRAUD = WORKSPACE.case("fraud")
CHANGED = dataclasses.replace(
    FRAUD,
    features=dataclasses.replace(
        FRAUD.features, counted=(*FRAUD.features.counted, Counted("payments_3d", "payment", "card", Count(), days(3)))
    ),
)


def spent(store, features):
    columns, offset = StreamReader(store, features, FRAUD.asks).read([Event("payment", "ask", NOW, payment(99).body)])
    return columns["spend_1d"][0], offset


def test_changed_definitions_are_made_from_the_log_while_the_champions_go_on_answering(home, tmp_path, monkeypatch):  # noqa: F811
    promote(home, tmp_path, 1e-5)
    monkeypatch.setattr(stream, "BATCH", 8)
    (changed, _), (old, _) = stores = stream.open_stores(home, [CHANGED])
    assert (changed.offset(), old.offset()) == (0, 20)
    home.log.append([payment(20, amount_cents=5)], arrived=NOW - DAY // 2)
    answers = []
    real = changed.apply_stored
    monkeypatch.setattr(
        changed, "apply_stored", lambda *rows, **how: (real(*rows, **how), answers.append(spent(old, FRAUD.features)))[0]
    )
    assert stream.take(home, stores) == 22
    assert [offset for _, offset in answers] == [20, 21, 21, 21, 21, 21]
    assert spent(changed, CHANGED.features) == spent(old, FRAUD.features) == (20 * 1000 + sum(range(20)) + 5, 21)


def test_the_stores_forget_what_no_ask_can_reach_when_a_day_is_over(home):  # noqa: F811
    stores = stream.open_stores(home, [FRAUD])
    home.simulated(NOW + 60 * DAY)
    stream.catch_up(home, stores)
    assert home.landing.closed_until() > NOW
    assert not [page for page in stores[0][0].values.scan(b"i") if page]
    assert CONTRACTS["payment"]


def test_the_offset_passes_by_what_no_feature_reads(home):  # noqa: F811
    ((store, _),) = stream.open_stores(home, [FRAUD])
    other = [Event("view_item", f"v{n}", NOW, {"session": "s", "item": "i"}) for n in range(2500)]
    home.log.append(other, arrived=NOW)
    stream.catch_up(home, [(store, FRAUD.features.sources)])
    assert store.offset() == 2520


def test_five_hundred_asks_are_one_look_into_the_store_and_one_for_a_busy_tills_older_rows(home, monkeypatch):  # noqa: F811
    ((store, _),) = stream.open_stores(home, [FRAUD])
    asks = [Event("payment", f"ask{n}", NOW, {**payment(n).body, "card": f"c{n % 7}"}) for n in range(512)]
    looks, real = [], store.values.get
    monkeypatch.setattr(store.values, "get", lambda keys: (looks.append(len(keys)), real(keys))[1])
    columns, _ = StreamReader(store, FRAUD.features, FRAUD.asks).read(asks)
    assert len(looks) == 2
    assert looks[0] > 512 > looks[1]
    assert {len(values) for values in columns.values()} == {512}


@pytest.mark.usefixtures("redis_server")
def test_redis_by_one_setting_and_answers_that_go_on_without_it(home, tmp_path, monkeypatch):  # noqa: F811
    server = RedisServer(tmp_path)
    monkeypatch.setenv(stream.VARIABLE, server.url)
    promote(home, tmp_path, 1e-5)
    ((store, _),) = stores = stream.open_stores(home, [FRAUD])
    assert store.path is None
    assert stream.catch_up(home, stores) == 20
    with client_of(home) as client:
        assert ask(client).json()["reasons"] == []
        server.kill()
        body = ask(client, "a-2").json()
        assert (body["degraded"], body["reasons"]) == (True, ["features"])
        server.start()
        assert ask(client, "a-3").json()["reasons"] == []
    server.kill()

"""A person's erasure over a whole home: log, landed days, online features, the answers they got, and a server that goes on."""

import io

import pyarrow.parquet as pq
import pytest
from test_serve import NOW, WORKSPACE, ask, client_of, home, payment, predictions, promote  # noqa: F401  home is a fixture

from pipelines.core.clock import DAY
from pipelines.core.event import Event
from pipelines.features.reader import BatchReader
from pipelines.features.stream import StreamReader
from pipelines.steps import erase, stream

WHO = "k-5f3a"
FRAUD = WORKSPACE.case("fraud")
CASES = [WORKSPACE.case(name) for name in WORKSPACE.params.cases]


def theirs(n, **changed):
    return payment(n, customer=WHO, card="card-5f3a", amount_cents=77_000, **changed)


def holding(home, text=WHO):  # noqa: F811
    found = []
    for path in home.path.rglob("*"):
        data = path.read_bytes() if path.is_file() and "releases" not in path.parts else b""
        said = str(pq.read_table(io.BytesIO(data)).to_pylist()).encode() if path.suffix == ".parquet" and data else data
        found += [path.name] if text.encode() in said else []
    return found


def asked(card, terminal, ts):
    return Event("payment", "now", ts, payment(99, card=card, terminal=terminal).body, ts)


def both(home, event):  # noqa: F811
    """What stream and batch say of an ask."""
    stores = stream.open_stores(home, [FRAUD])
    stream.take(home, stores)
    columns, _ = StreamReader(stores[0][0], FRAUD.features, FRAUD.asks).read([event])
    tables = {kind: home.landing.table(kind, home.landing.closed_until()) for kind in FRAUD.features.sources}

    made, _ = BatchReader(FRAUD, tables, as_of=2**61).read([event])
    stores[0][0].close()
    counted = [feature.name for feature in FRAUD.features.counted]
    return {name: columns[name][0] for name in counted}, {name: made[name][0] for name in counted}


@pytest.fixture
def busy(home, tmp_path):  # noqa: F811
    """A till at which they and another paid, an answer to one of their payments, and one more answer in the spool."""
    home.log.append([theirs(40 + n) for n in range(30)], arrived=NOW - DAY // 3)
    promote(home, tmp_path, 1e-5)
    with client_of(home) as client:
        assert ask(client, "p41", **{k: v for k, v in theirs(41).body.items() if k != "payment_id"}).status_code == 200
        assert ask(client, "p5").status_code == 200
    home.simulated(NOW + 2 * DAY)
    stream.catch_up(home, stream.open_stores(home, [FRAUD]))
    spool = home.path / "online" / "spool" / "00000000000000000001-1.jsonl"
    answer = predictions(home)[0]
    spool.write_text(f'["prediction","late",{NOW},{{"usecase":"fraud","ask":"p42","answer":"{{}}","inputs":"{WHO}"}}]\n')
    assert answer.body["ask"] == "p41"
    return home


def test_nothing_of_them_is_left_and_stream_and_batch_agree_on_what_is(busy):
    assert len(holding(busy)) >= 3
    before, _ = both(busy, asked("c1", "t1", NOW + DAY))
    assert erase.erase(busy, CASES, "customer", WHO, sure=False)["events"] == 31
    assert len(holding(busy)) >= 3
    done = erase.erase(busy, CASES, "customer", WHO, sure=True)
    assert (done["events"], done["ledger"]) == (32, 1)
    assert holding(busy) == []
    assert holding(busy, "card-5f3a") == []
    assert [event.body["ask"] for event in predictions(busy)] == ["p5"]
    online, computed = both(busy, asked("c1", "t1", NOW + DAY))
    assert online == pytest.approx(computed, nan_ok=True)
    assert online != pytest.approx(before, nan_ok=True)
    assert online["spend_1d"] >= 0
    gone, _ = both(busy, asked("card-5f3a", "nowhere", NOW + DAY))
    assert gone == pytest.approx(both(busy, asked("nobody", "nowhere", NOW + DAY))[0], nan_ok=True)


def test_a_server_answers_before_and_after(busy):
    with client_of(busy) as client:
        assert ask(client, "a-1").status_code == 200
        erase.erase(busy, CASES, "customer", WHO, sure=True)
        assert ask(client, "a-2").status_code == 200
    assert erase.erase(busy, CASES, "customer", WHO, sure=True)["ledger"] is None


def test_a_store_that_nothing_uses_any_more_goes_whole(busy):
    old = busy.path / "online" / "0123456789abcdef.db"
    old.write_bytes(f"tiles of {WHO}".encode())
    erase.erase(busy, CASES, "customer", WHO, sure=True)
    assert not old.exists()

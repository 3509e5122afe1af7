"""A person's erasure: no byte of theirs is left, killed anywhere it is finished by the same call, and nothing brings them back."""

import io
import shutil
import sqlite3

import pyarrow.parquet as pq
import pytest
from goods import DAY, KILLED, NOW, killed_at

from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.shop.contracts import CONTRACTS
from pipelines.store import ledger
from pipelines.store.erasure import CHAIN, Person, erase, events_of
from pipelines.store.home import Home

WHO = "customer-5f3a"
KINDS = {kind: CONTRACTS[kind] for kind in ("view_item", "payment", "prediction")}
ASKS = {"fraud": "payment"}
POINTS = ["log.erased", "log.erased_committed", "landing.rewritten", "landing.replaced", "durable.before_rename", "erasure.online", "erasure.ledger", "erasure.log_compacted"]  # fmt: skip


def view(n, customer, ts=NOW, item="i1"):
    return Event("view_item", f"v{n}", ts, {"item": item, "customer": customer, "session": f"s{n}"})


def payment(n, customer):
    body = {"payment_id": f"p{n}", "card": f"card-of-{customer}", "customer": customer, "terminal": "t1", "amount_cents": 1000 + n, "country": "DE"}  # fmt: skip
    return Event("payment", f"p{n}", NOW, body)


def prediction(n, ask, known):
    body = {"request_id": f"r{n}", "usecase": "fraud", "release": "r", "bundle": "b", "ask": ask, "answer": "{}", "inputs": known, "degraded": False}  # fmt: skip
    return Event("prediction", f"a{n}", NOW, body)


@pytest.fixture
def lived_in(home):
    """A home in which two people did things, on two days that are landed, and one of them is in every place there is."""
    people = [WHO, "customer-of-another"]
    first = [view(n, people[n % 2]) for n in range(40)] + [payment(n, people[n % 2]) for n in range(6)]
    home.log.append(first, arrived=NOW)
    home.log.append([prediction(n, f"p{n}", f'{{"card": "card-of-{people[n % 2]}"}}') for n in range(6)], arrived=NOW)
    home.log.append([view(0, WHO, item="i2"), view(2, None), view(1, people[1], item="i9")], arrived=NOW + DAY)
    home.landing.land(home.log, KINDS, until=NOW + 2 * DAY)
    home.log.append([view(90, WHO)], arrived=NOW + 3 * DAY)
    home.quarantine.put(view(91, WHO, item=None), ["item: wanted string, got nothing"], NOW)
    home.quarantine.put(f'{{"kind": "view_item", "customer": "{WHO}"', ["no JSON"], NOW)
    home.quarantine.put(view(93, people[1], item=None), ["item: wanted string, got nothing"], NOW)
    home.outbox.post(key="m1", subject="odd", text=f"Many views of {WHO} came at once.", at=NOW)
    home.outbox.post(key="m2", subject="even", text="Many views came at once.", at=NOW)
    return home


def erased(home, who=WHO, taken=None):
    return erase(home, Person("customer", who), KINDS, ASKS, NOW + 4 * DAY, taken or (lambda events: None))


def holding(home, text=WHO):
    """The files of the home that hold the text, Parquet unpacked."""
    found = []
    for path in home.path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            said = str(pq.read_table(io.BytesIO(data)).to_pylist()).encode() if path.suffix == ".parquet" else data
            found += [path.relative_to(home.path).as_posix()] if text.encode() in said else []
    return sorted(found)


def facts(home):
    """What an erasure changes, as everybody else sees it."""
    lines = [(line.seq, line.body["who"], line.body["events"]) for line in _ledger(home)]
    partitions = {kind: home.landing.table(kind, NOW + 2 * DAY).to_pylist() for kind in KINDS}
    return {
        "events": home.log.read(limit=999), "erased": home.log.erased(Person("customer", WHO).who), "whole": home.log.verify(),
        "landed": partitions, "sound": home.landing.verify(), "digest": home.landing.digest(KINDS, NOW + 2 * DAY), "lines": lines,
        "waiting": home.quarantine.list(state=None), "mails": [letter.text for letter in home.outbox.waiting()], "left": holding(home),
    }  # fmt: skip


def _ledger(home):
    with home.state.read() as connection:
        assert ledger.verify(connection, CHAIN) >= 0
        return ledger.lines(connection, CHAIN)


def test_no_byte_of_them_is_left_in_the_home_and_others_are_as_they_were(lived_in):
    places = holding(lived_in)
    assert {"log.db", "state.db", "landing/view_item/2025-05-26.parquet"} <= {place.removesuffix("-wal") for place in places}
    others = [e for e in lived_in.log.read(limit=999) if WHO not in str(e.body) and e.id not in ("v2", "v0")]
    done = erased(lived_in)
    assert holding(lived_in) == []
    assert holding(lived_in, "card-of-customer-of-another")
    assert lived_in.log.read(limit=999) == others
    assert (done.partitions, done.rows, done.mails, done.line) == (4, 2, 1, 1)
    assert {(kind, id_) for _, kind, id_, _ in done.events} >= {("view_item", "v0"), ("payment", "p4"), ("prediction", "a4")}
    assert [letter.text for letter in lived_in.outbox.waiting()] == [
        "Many views of [erased] came at once.", "Many views came at once.",
    ]  # fmt: skip
    assert lived_in.log.verify() == len(others)
    assert lived_in.landing.verify() > 0


def test_answers_of_a_use_case_that_is_no_more_go_by_the_id_of_what_asked(lived_in):
    found = events_of(lived_in.log, Person("customer", WHO), KINDS, {})
    assert {id_ for kind, id_ in found if kind == "prediction"} == {"a0", "a2", "a4"}
    other = events_of(lived_in.log, Person("customer", WHO), KINDS, {"fraud": "view_item"})
    assert not [id_ for kind, id_ in other if kind == "prediction"]


def test_every_version_of_an_event_goes_also_those_that_named_nobody(lived_in):
    erased(lived_in)
    assert lived_in.log.versions("view_item", "v2") == []
    assert len(lived_in.log.versions("view_item", "v1")) == 2


def test_what_is_erased_does_not_come_back_when_it_is_delivered_again(lived_in):
    before = lived_in.log.last_offset()
    erased(lived_in)
    assert lived_in.log.append([view(4, WHO), payment(2, WHO)], arrived=NOW + 5 * DAY) == [5, 43]
    assert lived_in.log.last_offset() == before
    assert holding(lived_in) == []


def test_doing_it_again_changes_nothing_and_what_came_since_is_another_line(lived_in):
    erased(lived_in)
    seen = facts(lived_in)
    assert erased(lived_in).line is None
    assert facts(lived_in) == seen
    lived_in.log.append([view(95, WHO)], arrived=NOW + 5 * DAY)
    assert erased(lived_in).line == 2
    assert holding(lived_in) == []


def test_the_ledger_names_them_by_digest_alone(lived_in):
    erased(lived_in)
    (line,) = _ledger(lived_in)
    assert line.body["who"] == Person("customer", WHO).who
    assert WHO not in str(line.body)


@pytest.mark.parametrize("name", POINTS)
def test_killed_anywhere_the_same_call_finishes_it(lived_in, tmp_path, name):
    lived_in.close()
    shutil.copytree(lived_in.path, tmp_path / "twin")
    twin = Home.open(tmp_path / "twin")
    erased(twin)
    wanted = facts(twin)
    assert wanted["left"] == []
    assert killed_at(name, lambda: erased(Home.open(lived_in.path))) == KILLED
    again = Home.open(lived_in.path)
    assert again.log.verify() >= wanted["whole"]
    assert again.landing.verify() == wanted["sound"]
    seen = []
    erased(again, taken=seen.extend)
    assert seen == wanted["erased"]
    assert facts(again) == wanted


def test_a_record_that_somebody_emptied_is_found(lived_in):
    lived_in.log.close()
    with sqlite3.connect(lived_in.log.path) as connection:
        connection.execute("UPDATE events SET body = x'' WHERE id = 'v3'")
    with pytest.raises(ShelflifeError, match="nobody erased it"):
        lived_in.log.verify()


def test_a_file_that_somebody_reads_for_long_is_refused_and_the_same_call_does_the_rest(lived_in, monkeypatch):
    monkeypatch.setattr("pipelines.store.sqlite.PATIENCE", 0.1)
    monkeypatch.setattr("pipelines.store.sqlite.PRAGMAS", ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=100"))
    reader = sqlite3.connect(lived_in.log.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    with pytest.raises(ShelflifeError, match="written anew"):
        erased(lived_in)
    reader.close()
    erased(lived_in)
    assert holding(lived_in) == []


def test_a_person_is_named_by_a_key_in_its_own_type():
    assert Person.named("customer", "17", CONTRACTS).value == "17"
    with pytest.raises(ShelflifeError, match="wanted a key that events have"):
        Person.named("amount_cents", "17", CONTRACTS)


def test_whoever_is_not_there_is_nobodys_erasure(lived_in):
    before = lived_in.log.read(limit=999)
    assert events_of(lived_in.log, Person("customer", "customer-5f3"), KINDS, ASKS) == set()
    done = erased(lived_in, "customer-5f3")
    assert (done.events, done.partitions, done.rows) == ([], 0, 0)
    assert lived_in.log.read(limit=999) == before

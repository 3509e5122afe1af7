"""The skew ledger over a real home: answers of the API beside batch; a stream that is broken on purpose calls somebody."""

from dataclasses import replace

from test_serve import NOW, WORKSPACE, ask, client_of, home, payment, promote  # noqa: F401  home is a fixture

from pipelines.core.clock import DAY
from pipelines.core.event import Event
from pipelines.features.keyvalue import HEAD
from pipelines.features.state import value_key
from pipelines.shop.contracts import CONTRACTS
from pipelines.steps import alarms, skew, stream


def answered(home, tmp_path, count=30, known=True):  # noqa: F811
    """Asks at noon, the events that asked, and the day after: when the day has landed."""
    promote(home, tmp_path, 1e-5)
    with client_of(home) as client:
        for n in range(count):
            assert ask(client, f"a{n}", card=f"c{n % 3}").status_code == 200
    asking = [Event("payment", f"a{n}", NOW, {**payment(99).body, "card": f"c{n % 3}"}) for n in range(count)]
    if known:
        home.log.append(asking, arrived=NOW)
    return the_day_after(home)


def the_day_after(home):  # noqa: F811
    home.simulated(NOW + DAY)
    home.landing.land(home.log, CONTRACTS, until=NOW + DAY)
    return home.landing.closed_until()


def check(home, as_of):  # noqa: F811
    return skew.check(WORKSPACE, home, "fraud", as_of)


def mails(home):  # noqa: F811
    return [mail.subject for mail in home.outbox.waiting() if "promoted" not in mail.subject]


def test_what_was_served_is_what_batch_makes_of_it(home, tmp_path):  # noqa: F811
    (finding,) = check(home, answered(home, tmp_path))
    assert (finding.status, finding.observed) == ("pass", 0.0)
    assert "of 30 rows differ" in finding.advice
    assert not mails(home)


def test_a_stream_that_lost_a_key_is_an_alarm_once(home, tmp_path):  # noqa: F811
    (store, _), *_ = stream.open_stores(home, [WORKSPACE.case("fraud")])
    by_card = next(group for group in store.plan.groups if (group.of, group.by) == ("payment", ("card",)))
    head = store.values.get([HEAD])[HEAD]
    assert value_key(by_card, "c1") in store.values.get([value_key(by_card, "c1")])
    store.values.put([(value_key(by_card, "c1"), None)], on=head)
    as_of = answered(home, tmp_path)
    (finding,) = check(home, as_of)
    assert (finding.status, round(finding.observed, 3)) == ("fail", 0.333)
    assert mails(home) == []
    watch = WORKSPACE.params.block("fraud").monitor

    def told(day, found):
        alarms.raise_served(home, "fraud", watch, [found], as_of + day * DAY, NOW + day * DAY)
        home.decisions.record("look", "fraud", as_of + day * DAY, {"findings": [vars(found)]})

    told(0, finding)
    told(1, finding)
    assert mails(home) == ["[shelflife] fraud: served features differ"]
    (letter,) = [mail for mail in home.outbox.waiting() if "differ" in mail.subject]
    assert finding.sentence() in letter.text
    well = replace(finding, status="pass", observed=0.0)
    told(2, well)
    told(3, replace(finding, status="unsure", observed=None))
    told(4, well)
    assert len(mails(home)) == 1, "what could not be compared is not calm"
    told(5, well)
    told(6, well)
    assert mails(home)[1:] == ["[shelflife] fraud: well again"]


def test_answers_whose_own_event_is_not_known_are_counted_and_never_a_pass(home, tmp_path):  # noqa: F811
    assert check(home, answered(home, tmp_path, known=False)) == []
    _, unknown = skew.ledger(
        WORKSPACE.case("fraud"), home, home.releases.answering("fraud")[2].files, home.landing.closed_until(), 0
    )
    assert unknown == 30


def test_a_comparison_that_cannot_be_made_is_unsure(home, tmp_path):  # noqa: F811
    as_of = answered(home, tmp_path)
    for path in (home.path / "landing").rglob("*.parquet"):
        path.write_bytes(b"broken")
    (finding,) = check(home, as_of)
    assert finding.status == "unsure"
    assert "could not be compared" in finding.advice

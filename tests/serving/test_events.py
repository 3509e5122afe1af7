import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from little_shop import NOW, PAYMENT, ask

from pipelines.core.event import Event
from pipelines.serving.events import Intake
from pipelines.serving.schema import Refused

BODY = {name: value for name, value in ask().items() if name != "id"}
GOOD = {"kind": "payment", "id": "p-1", "ts": NOW, "body": BODY}


class Book:
    def __init__(self):
        self.events, self.bad = [], []
        self.intake = Intake({"payment": PAYMENT}, self.append, lambda row, problems: self.bad.append((row, problems)))

    def append(self, events):
        self.events += events
        return list(range(len(self.events) - len(events) + 1, len(self.events) + 1))

    def take(self, *rows):
        return self.intake.take(json.dumps({"events": rows}).encode(), NOW)


def test_good_rows_are_acknowledged_with_the_logs_offset():
    book = Book()
    receipt = book.take(GOOD, {**GOOD, "id": "p-2", "ts": "2025-03-01T11:00:00Z"})
    assert (receipt.accepted, receipt.offset, receipt.quarantined) == (2, 2, [])
    assert book.events[0] == Event("payment", "p-1", NOW, BODY)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**GOOD, "body": {**BODY, "amount_cents": 0}}, "amount_cents: wanted cents 1..500000 in EUR cents"),
        ({**GOOD, "body": {**BODY, "s3cr3t": 0}}, "a field that payment does not have"),
        ({**GOOD, "body": {"card": "c1"}}, "amount_cents: wanted cents 1..500000 in EUR cents"),
        ({**GOOD, "ts": NOW + 10**9}, "ts: wanted a time since 1970 that has happened by our clock"),
        ({**GOOD, "kind": "prediction"}, "kind: wanted one of payment"),
        ({**GOOD, "id": "a b"}, "Expected `str` matching regex"),
        ({**GOOD, "body": {**BODY, "note": {"a": 1}}}, "Expected `"),
        ({**GOOD, "arrived": 1}, "Object has a field that is not in the contract"),
        ({**GOOD, "body": {**BODY, "rate": 10**400}}, "rate: wanted number 0..1"),
        ("s3cr3t", "Expected `object`, got `str`"),
    ],
)
def test_a_bad_row_is_kept_and_answered_with_the_reason_and_the_good_ones_go_on(row, said):
    book = Book()
    receipt = book.take(row, GOOD)
    assert receipt.accepted == 1
    ((bad,), kept) = receipt.quarantined, book.bad
    assert bad.index == 0
    assert any(problem.startswith(said) for problem in bad.problems), bad.problems
    assert not any("s3cr3t" in problem for problem in bad.problems)
    assert len(kept) == 1


def test_what_was_no_event_is_kept_as_it_came():
    book = Book()
    book.take({"kind": "payment"})
    assert book.bad[0][0] == '{"kind": "payment"}'


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, *BODY, "z"]), inner, max_size=4),
    max_leaves=8,
)


@given(
    st.lists(
        st.one_of(JUNK, st.just(GOOD), st.builds(lambda junk: {**GOOD, "body": {**BODY, "note": junk}}, JUNK)),
        min_size=1,
        max_size=5,
    )
)
def test_every_row_is_either_in_the_log_or_in_quarantine(rows):
    book = Book()
    try:
        receipt = book.take(*rows)
    except Refused as refused:
        assert refused.status == 400  # noqa: PT017
        return
    assert receipt.accepted + len(receipt.quarantined) == len(rows)
    assert (len(book.events), len(book.bad)) == (receipt.accepted, len(receipt.quarantined))
    assert all(PAYMENT.problems(event, NOW) == () for event in book.events)


@pytest.mark.parametrize(
    "body",
    [
        b'{"events": ["\xff"]}',
        b'{"events": [1, ]}',
        b'{"events": []}',
        b'{"events": {}}',
        b"[]",
        b"",
        b'{"events": ' + b"[" * 9999,
    ],
)
def test_what_is_no_batch_at_all_is_refused_whole(body):
    book = Book()
    with pytest.raises(Refused):
        book.intake.take(body, NOW)
    assert not book.bad

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from little_shop import NOW, PAYMENT, VIEW, ask

from pipelines.core.clock import iso
from pipelines.core.event import Event
from pipelines.serving.schema import BATCH, Asks, Refused

ASKS = Asks("fraud", PAYMENT)


def decode(*asks, now=NOW):
    return ASKS.decode(json.dumps({"asks": asks}).encode(), now)


def test_an_ask_becomes_the_event_that_asks():
    (event,) = decode(ask(ts=NOW - 5))
    assert event == Event(
        "payment", "p-1", NOW - 5, {"card": "c1", "amount_cents": 5000, "country": "DE", "rate": 0.5, "note": None}
    )


def test_a_time_may_be_written_for_people_and_is_now_by_default():
    assert decode(ask(ts=iso(NOW)))[0].ts == NOW
    assert decode(ask())[0].ts == NOW


@pytest.mark.parametrize(
    "ts", ["2025-03-01T12:00:00", "yesterday", "", NOW + 6 * 60_000_000, "9999-12-31T23:59:59Z", -1, 2**60, 1.5, True]
)
def test_a_time_without_a_zone_or_from_the_future_is_refused(ts):
    with pytest.raises(Refused) as refused:
        decode(ask(ts=ts))
    assert refused.value.status == 422


def test_one_request_asks_for_each_id_once():
    with pytest.raises(Refused, match="different id"):
        decode(ask(), ask())


def test_a_request_has_between_one_and_512_asks():
    assert len(decode(*(ask(id=f"p{i}") for i in range(BATCH)))) == BATCH
    for rows in ([], [ask(id=f"p{i}") for i in range(BATCH + 1)]):
        with pytest.raises(Refused, match="length"):
            decode(*rows)


def test_of_a_key_that_comes_twice_the_last_counts():
    body = b'{"asks": [{"id": "p-1", "card": "first", "card": "second", "amount_cents": 1, "country": "DE"}]}'
    assert ASKS.decode(body, NOW)[0].body["card"] == "second"


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 600_000), st.integers(-(2**70), 2**70), st.text(max_size=25),
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["DE", "FR", "", "c1", "x" * 20, "x" * 21]),
    st.lists(st.text(max_size=3), max_size=2),
)  # fmt: skip


@given(st.fixed_dictionaries({}, optional={field.name: VALUES for field in PAYMENT.fields} | {"other": VALUES}))
def test_the_typed_request_takes_what_the_contract_takes(body):
    """A law: one contract, whoever checks it."""
    problems = PAYMENT.problems(Event("payment", "p-1", NOW, body), NOW)
    assert taken(json.dumps({"asks": [{"id": "p-1", **body}]}).encode()) == (not problems), problems


def taken(body):
    try:
        return bool(ASKS.decode(body, NOW))
    except Refused:
        return False


def test_lists_are_typed_too():
    asks = Asks("recommend", VIEW)
    asks.decode(b'{"asks": [{"id": "v", "item": "i", "trail": ["a", "b"]}]}', NOW)
    for trail in (b'["a", 1]', b'"a"', b"[null]", json.dumps(["a"] * 51).encode()):
        with pytest.raises(Refused):
            asks.decode(b'{"asks": [{"id": "v", "item": "i", "trail": %s}]}' % trail, NOW)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a\n", "a" * 129, "é", "a/b", 5, None])
def test_an_id_is_plain(name):
    with pytest.raises(Refused):
        decode(ask(id=name))


def test_a_refusal_never_repeats_what_came():
    secrets = ["s3cr3t", "4111111111111111"]
    bodies = [
        ask(s3cr3t=1), ask(country="s3cr3t"), ask(card="s3cr3t" * 10), ask(amount_cents="s3cr3t"),
        ask(amount_cents=4111111111111111), ask(id="s3cr3t s3cr3t"), ask(ts="s3cr3t"), ask(rate=4111111111111111),
    ]  # fmt: skip
    for body in bodies:
        with pytest.raises(Refused) as refused:
            decode(body)
        assert not any(secret in problem for secret in secrets for problem in refused.value.problems)

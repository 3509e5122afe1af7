from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.clock import hours, instant
from pipelines.core.contract import Contract, Field
from pipelines.core.event import Event

NOW = instant("2025-03-01T12:00:00Z")
PAYMENT = Contract(
    "payment",
    "Money moves.",
    (
        Field("card", "string", minimum=1, maximum=20, key=True),
        Field("amount_cents", "cents", unit="EUR cents", minimum=1, maximum=10**9),
        Field("country", "string", choices=("DE", "FR")),
        Field("rate", "number", required=False),
        Field("trail", "strings", maximum=3, required=False),
    ),
    hours(24),
)
GOOD = Event("payment", "p-1", NOW, {"card": "c1", "amount_cents": 500, "country": "DE"})


def test_a_well_formed_event_has_no_problems():
    assert PAYMENT.problems(GOOD, NOW) == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"card": None}, "card: wanted string"),
        ({"card": ""}, "length 1..20"),
        ({"amount_cents": 5.0}, "got float"),
        ({"amount_cents": True}, "got bool"),
        ({"amount_cents": 0}, "1..1e+09"),
        ({"amount_cents": 10**30}, "below 2^53"),
        ({"rate": 10**400}, "rate: wanted number"),
        ({"country": "US"}, "of DE, FR"),
        ({"rate": float("nan")}, "got nan"),
        ({"rate": float("inf")}, "got inf"),
        ({"trail": ["a", 1]}, "wanted strings"),
        ({"trail": ["a"] * 4}, "length"),
        ({"extra": 1}, "not a field of payment"),
    ],
)
def test_each_broken_field_is_named_with_what_was_wanted(body, said):
    problems = PAYMENT.problems(replace(GOOD, body={**GOOD.body, **body}), NOW)
    assert len(problems) == 1
    assert said in problems[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "a b"}, "id:"),
        ({"id": 7}, "id:"),
        ({"ts": NOW + 10**9}, "has happened"),
        ({"ts": 1.5}, "ts:"),
        ({"kind": "x"}, "kind:"),
    ],
)
def test_a_broken_envelope_is_named(change, said):
    assert said in PAYMENT.problems(replace(GOOD, **change), NOW)[0]


def test_a_clock_that_runs_five_minutes_ahead_is_forgiven():
    assert PAYMENT.problems(replace(GOOD, ts=NOW + 299_000_000), NOW) == ()


@given(
    st.dictionaries(
        st.text(max_size=10),
        st.none() | st.integers() | st.floats() | st.text(max_size=200) | st.lists(st.text(max_size=5), max_size=5),
    )
)
def test_no_body_makes_the_check_raise_or_be_echoed_whole(body):
    problems = PAYMENT.problems(replace(GOOD, body=body), NOW)
    assert all(len(p) < 250 and p.isascii() for p in problems)


def test_a_contract_survives_its_json():
    assert Contract.from_dict(PAYMENT.to_dict()) == PAYMENT


@pytest.mark.parametrize("name", ["select", "Card", "ts", "offset", "a-b"])
def test_a_field_that_sql_or_the_envelope_owns_is_refused_at_declaration(name):
    with pytest.raises(ValueError, match="SQL keyword"):
        Field(name, "string")


def test_the_same_content_has_the_same_digest_wherever_it_landed():
    assert GOOD.digest == replace(GOOD, arrived=5, offset=9).digest
    assert GOOD.digest != replace(GOOD, ts=NOW - 1).digest

"""Tables under their contracts: the quick check of columns and the slow one of rows agree."""

import math

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.core.clock import DAY
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.rows import by_arrived_day, event, split
from pipelines.shop.tables import schema, table

NOW = 400 * DAY
TEXTS = st.one_of(st.none(), st.sampled_from(["", "a", "en", "zh", "promote", "x" * 129, "id 1", "p-1", "名字"]))
NUMBERS = st.one_of(
    st.none(), st.sampled_from([-1, 0, 1, 5, 6, 100_000, 100_001, 500_000, 500_001, 2**53, -(2**63), 2**63 - 1])
)
VALUES = {
    "string": TEXTS, "text": TEXTS, "integer": NUMBERS, "cents": NUMBERS, "boolean": st.one_of(st.none(), st.booleans()),
    "number": st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.5, math.nan, math.inf])),
    "strings": st.one_of(st.none(), st.lists(st.sampled_from(["a", "b"]), max_size=51)),
}  # fmt: skip


PLAIN = {"string": "a", "text": "a", "integer": 1, "cents": 1, "number": 1.0, "boolean": True, "strings": ["a"]}


@st.composite
def nearly_good(draw):
    """A table of good rows in which one column is anything."""
    contract = CONTRACTS[draw(st.sampled_from(sorted(CONTRACTS)))]
    odd = draw(st.sampled_from(contract.fields))
    values = draw(st.lists(VALUES[odd.type], min_size=3, max_size=3))
    special = {"country": "XX", "language": "en", "status": "raised"} | (
        {"action": "hold"} if contract.kind == "promotion" else {}
    )
    rows = {field.name: [special.get(field.name, PLAIN[field.type])] * 3 for field in contract.fields}
    return contract, table(contract, ["a", "b", "c"], [0] * 3, [0] * 3, rows | {odd.name: values})


@st.composite
def tables(draw):
    contract = CONTRACTS[draw(st.sampled_from(sorted(CONTRACTS)))]
    n = draw(st.integers(0, 4))
    rows = {field.name: draw(st.lists(VALUES[field.type], min_size=n, max_size=n)) for field in contract.fields}
    ids = draw(
        st.lists(st.one_of(st.none(), st.sampled_from(["a", "", "-a", "a b", "a\n", "x" * 129])), min_size=n, max_size=n)
    )
    ts = draw(st.lists(st.sampled_from([-1, 0, NOW, NOW + 300_000_000, NOW + 300_000_001]), min_size=n, max_size=n))
    return contract, table(contract, ids, ts, ts, rows)


@settings(max_examples=250, deadline=None)
@given(st.one_of(tables(), nearly_good()))
def test_columns_and_rows_find_the_same_rows_broken(drawn):
    contract, events = drawn
    good, broken = split(contract, events, now=NOW)
    one_by_one = [contract.problems(event(contract.kind, raw), NOW) for raw in events.to_pylist()]
    assert [b.problems for b in broken] == [problems for problems in one_by_one if problems]
    assert good.num_rows + len(broken) == events.num_rows
    assert good.schema == schema(contract)


def test_by_arrived_day_gives_every_event_once_and_in_order():
    arrived = [3 * DAY + 5, DAY, DAY + 1, 0]
    stars = table(CONTRACTS["rating"], list("abcd"), [0] * 4, arrived, {"review_id": list("abcd"), "stars": [1] * 4})
    days = by_arrived_day([("rating", stars), ("rating", stars.slice(1, 1))])
    assert [(day // DAY, [t["id"].to_pylist() for _, t in parts]) for day, parts in days] == [
        (0, [["d"]]),
        (1, [["b", "c"], ["b"]]),
        (3, [["a"]]),
    ]


def test_a_missing_column_of_a_table_is_null():
    stars = table(CONTRACTS["rating"], ["a"], [0], [0], {"review_id": ["a"], "stars": [4]})
    assert stars.to_pylist() == [
        {"id": "a", "ts": 0, "arrived": 0, "offset": None, "review_id": "a", "item": None, "stars": 4, "recommended": None}
    ]
    assert stars.schema.field("stars").type == pa.int64()

"""Spark says what DuckDB says, cell by cell: `make test-spark`. One session for all tests, for a start takes seconds."""

import importlib.util

import oracle
import pytest
import worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines.core.clock import DAY, days, hours
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.feature import Count, Counted, Distinct, Label, Ratio, Std, Sum, Top, Until, field
from pipelines.features import batch

if importlib.util.find_spec("pyspark") is None:
    pytest.skip("pyspark is not installed; make test-spark installs it beside", allow_module_level=True)

LATER = 100 * DAY
CASE = worlds.case()
LABELS = (
    Label("buy", ("customer", "item"), Until(), days(5), ahead=hours(1)),
    Label("buy", "customer", Ratio(Sum("cents"), Count()), days(5), where=field("weight") > 0),
    Label("buy", "item", Top("cents"), days(5)),
)
once = settings(
    deadline=None,
    max_examples=1,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)


@st.composite
def crowds(draw, corrections):
    """Many histories in one log, each with customers, items and ids of its own: Spark takes seconds a query, however few the rows."""
    sent = []
    for n, log in enumerate(draw(st.lists(worlds.histories(corrections=corrections), min_size=25, max_size=25))):
        own = dict.fromkeys(("customer", "item"))
        for e in log:
            body = e.body | {name: f"{n} {e.body[name]}" for name in own if e.body.get(name) is not None}
            sent.append((e.arrived, Event(e.kind, f"{n}-{e.id}", e.ts, body)))
    return worlds.logged(sent)


def both(log, case=CASE, **how):
    """The rows of the two engines."""
    tables = worlds.tables(log, log[:3])
    made = [
        batch.rows(case, tables, (0, LATER), as_of=LATER, engine=engine, threads=2, **how) for engine in ("duckdb", "spark")
    ]
    assert made[0].schema == made[1].schema
    return [table.to_pylist() for table in made]


def assert_same(duckdb, spark):
    assert len(duckdb) == len(spark) > 0
    for want, got in zip(duckdb, spark, strict=True):
        for name in want:
            assert worlds.same(want[name], got[name]), f"{name} of {want['ask']}: DuckDB says {want[name]}, Spark {got[name]}"


@once
@given(log=crowds(corrections=False), data=st.data())
def test_spark_says_what_duckdb_and_the_oracle_say(log, data):
    log = [e for n, e in enumerate(log) if (e.kind, e.id) not in {(x.kind, x.id) for x in log[:n]}]
    duckdb, spark = both(log)
    assert_same(duckdb, spark)
    rows = {row["ask"]: row for row in spark}
    for ask in data.draw(st.lists(st.sampled_from(worlds.asks_of(log)), min_size=20, max_size=20)):
        for feature in worlds.COUNTED:
            assert worlds.same(oracle.counted(feature, ask, log), rows[ask.id][feature.name]), feature.name


@once
@given(log=crowds(corrections=True))
def test_spark_says_the_same_where_events_were_corrected_and_came_twice(log):
    assert_same(*both(log))


@once
@given(log=crowds(corrections=True), data=st.data())
def test_spark_says_the_same_for_the_offsets_that_answers_had_seen(log, data):
    seen = {ask.id: data.draw(st.integers(0, len(log))) for ask in worlds.asks_of(log)}
    some = worlds.case(counted=(worlds.COUNTED[2], *worlds.COUNTED[::4]))
    assert_same(*both(log, case=some, seen=seen))


@pytest.mark.parametrize("label", LABELS, ids=str)
@once
@given(log=crowds(corrections=True))
def test_spark_says_the_same_labels(label, log):
    assert_same(*both(log, case=worlds.case(label, counted=(worlds.COUNTED[2],))))


@pytest.mark.parametrize("how", [Distinct("country", cap=2), Top("country", cap=2)])
def test_spark_refuses_a_set_beyond_its_cap(how):
    sent = [(n, Event("buy", f"x{n}", n, {"customer": "a", "country": f"c{n}"})) for n in range(5)]
    case = worlds.case(counted=(Counted("lands_1d", "buy", "customer", how, days(1)), worlds.COUNTED[2]))
    with pytest.raises(ShelflifeError, match="lands_1d: a window holds more than 2 different country"):
        both(worlds.logged(sent), case=case)


def test_spark_reads_quotes_and_backslashes_in_a_filter_as_what_they_are():
    odd = "x'\\'); DROP TABLE asks; --"
    sent = [(n, Event("buy", f"x{n}", n * 1000, {"customer": "a", "cents": 1, "country": odd})) for n in range(3)]
    counted = (Counted("n_1d", "buy", "customer", Count(), days(1), where=field("country") == odd), worlds.COUNTED[2])
    _, spark = both(worlds.logged(sent), case=worlds.case(counted=counted))
    assert [row["n_1d"] for row in spark] == [0, 1, 2]


def test_a_standard_deviation_of_large_amounts_is_exact_on_spark_too():
    sent = [(n, Event("buy", f"x{n}", n * 1000, {"customer": "a", "cents": 10**11 + n})) for n in range(3)]
    counted = (Counted("spread_1d", "buy", "customer", Std("cents"), days(1)), worlds.COUNTED[2])
    assert both(worlds.logged(sent), case=worlds.case(counted=counted))[1][2]["spread_1d"] == 0.5

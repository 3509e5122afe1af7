"""The batch engine's edges: what it refuses, what it reads, and its two ways of counting that must agree."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import worlds

from pipelines.core.clock import DAY, days, hours
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.feature import Count, Counted, Distinct, First, Label, Last, Max, Mean, Ratio, Std, Sum, Top
from pipelines.features import batch, sql
from pipelines.features.database import Database

HOUR = DAY // 24
LATER = 100 * DAY


def buy(name, ts, arrived=None, **body):
    full = {f.name: None for f in worlds.BUY.fields} | {"customer": "a", "item": "i", "cents": 100} | body
    return (ts if arrived is None else arrived), Event("buy", name, ts, full)


def rows(sent, *counted, case=None, **how):
    made = case or worlds.case(counted=(*counted, Counted("cents_1d", "buy", "customer", Sum("cents"), days(1))))
    table = batch.rows(
        made, worlds.tables(worlds.logged(sent)), how.pop("asks", (0, LATER)), as_of=how.pop("as_of", LATER), **how
    )
    return {row["ask"]: row for row in table.to_pylist()}


def test_the_near_edge_is_exact_and_excludes_the_moment_itself():
    made = rows([buy("x", 10 * HOUR), buy("y", 10 * HOUR), buy("z", 10 * HOUR + 1)])
    assert [made[n]["cents_1d"] for n in "xyz"] == [0, 0, 200]


def test_the_far_edge_lies_on_a_tile():
    hour = Counted("n_1h", "buy", "customer", Count(), hours(1))
    five = 5 * 60_000_000
    made = rows([buy("x", 10 * HOUR), buy("y", 11 * HOUR + five - 1), buy("z", 11 * HOUR + five)], hour)
    assert (made["y"]["n_1h"], made["z"]["n_1h"]) == (1, 1)
    made = rows([buy("x", 10 * HOUR), buy("y", 11 * HOUR + five)], hour)
    assert made["y"]["n_1h"] == 0


def test_an_event_that_had_not_arrived_is_not_seen_and_one_that_had_is():
    made = rows([buy("x", HOUR, arrived=3 * HOUR), buy("y", 3 * HOUR - 1), buy("z", 3 * HOUR)])
    assert (made["y"]["cents_1d"], made["z"]["cents_1d"]) == (0, 200)


def test_a_correction_counts_from_its_own_arrival_and_replaces_what_it_corrects():
    sent = [buy("x", HOUR), buy("x", HOUR, arrived=3 * HOUR, cents=7), buy("y", 2 * HOUR, item="j"), buy("z", 3 * HOUR)]
    made = rows(sent)
    assert (made["y"]["cents_1d"], made["z"]["cents_1d"]) == (100, 107)
    assert made["x"]["cents"] == 100


def test_a_deleted_event_is_nobodys_from_its_deletion_on():
    made = rows([buy("x", HOUR), (4 * HOUR, Event("buy", "x", HOUR, {})), buy("y", 3 * HOUR), buy("z", 4 * HOUR)])
    assert (made["y"]["cents_1d"], made["z"]["cents_1d"]) == (100, 100)
    assert made["x"]["cents"] == 100


def test_an_ask_is_never_among_its_own_past_even_if_a_correction_moved_it_back():
    made = rows([buy("x", 3 * HOUR, arrived=HOUR), buy("x", 2 * HOUR, arrived=HOUR)])
    assert made["x"]["cents_1d"] == 0


def test_a_label_is_one_or_zero_and_only_what_had_arrived_tells():
    back = (5 * HOUR, Event("back", "r", 4 * HOUR, {"item": "i", "cents": 1}))
    assert rows([buy("x", HOUR), back])["x"]["label"] == 1
    assert rows([buy("x", HOUR), back], as_of=5 * HOUR - 1)["x"]["label"] == 0


def test_an_ask_whose_label_is_empty_has_none():
    made = rows([buy("x", HOUR)], case=worlds.case(Label("back", "item", Mean("cents"), days(2))))
    assert made["x"]["label"] is None


def test_events_of_one_moment_follow_each_other_by_id_in_a_label():
    later = worlds.case(Label("buy", "customer", Count(), days(1)))
    made = rows([buy("x", HOUR), buy("y", HOUR), buy("z", 2 * HOUR)], case=later)
    assert [made[n]["label"] for n in "xyz"] == [2, 1, 0]


def test_versions_that_differ_in_a_field_nobody_reads_are_still_versions():
    backs = [("i", 1), ("j", 1), ("i", 2)]
    sent = [(n * HOUR, Event("back", "r", 0, {"item": item, "cents": cents})) for n, (item, cents) in enumerate(backs)]
    count = Counted("backs", "back", "item", Count(), days(1))
    made = rows([*sent, buy("x", HOUR), buy("y", 2 * HOUR)], count, case=worlds.case(counted=(*worlds.COUNTED[:3], count)))
    assert (made["x"]["backs"], made["y"]["backs"]) == (0, 1)


def test_rows_have_the_columns_that_the_steps_exchange_in_order():
    case = worlds.case()
    table = batch.rows(case, worlds.tables(worlds.logged([buy("y", HOUR), buy("x", HOUR)])), (0, LATER), as_of=LATER)
    assert table.column_names == ["ask", "ts", *case.carried, *case.features.names, "label"]
    assert table["ask"].to_pylist() == ["x", "y"]
    assert table.schema.field("gift").type == pa.float64()
    assert table.schema.field("country").type == pa.string()


def test_asks_may_be_named_or_thinned_out():
    sent = [buy("x", HOUR), buy("y", 2 * HOUR)]
    assert list(rows(sent, asks=["y", "nobody"])) == ["y"]
    assert list(rows(sent, keep=lambda table: [True, False])) == ["x"]


def test_parquet_files_are_read_like_the_table(tmp_path):
    tables = worlds.tables(worlds.logged([buy("x", HOUR), buy("y", 2 * HOUR)]))
    paths = {}
    for kind, table in tables.items():
        paths[kind] = [tmp_path / f"{kind}{n}.parquet" for n in range(2)]
        pq.write_table(table.slice(0, 1), paths[kind][0], write_page_checksum=True)
        pq.write_table(table.slice(1), paths[kind][1], write_page_checksum=True)
    case = worlds.case()
    assert batch.rows(case, paths, (0, LATER), as_of=LATER).equals(batch.rows(case, tables, (0, LATER), as_of=LATER))


def test_no_events_at_all_give_no_rows():
    assert rows([]) == {}


@pytest.mark.parametrize(("feature", "message"), [
    (Counted("bad", "buy", "customer", Sum("weight"), days(1)), "wanted an integer"),
    (Counted("bad", "buy", "customer", Max("country"), days(1)), "wanted a number"),
    (Counted("bad", "buy", "weight", Count(), days(1), key="customer"), "wanted a key"),
    (Counted("bad", "buy", "nobody", Count(), days(1), key="customer"), "no column nobody"),
    (Counted("bad", "visit", "customer", Count(), days(1)), "wanted a table of visit"),
])  # fmt: skip
def test_a_definition_that_cannot_be_computed_is_one_clear_sentence(feature, message):
    with pytest.raises(ShelflifeError, match=message):
        rows([buy("x", HOUR)], feature)


def test_of_one_moment_the_last_and_the_first_are_decided_by_the_ids():
    last = Counted("last_1d", "buy", "item", Last("cents"), days(1))
    first = Counted("first_1d", "buy", "item", First("cents"), days(1))
    sent = [buy(name, HOUR, arrived=2 * HOUR, cents=cents) for name, cents in (("m", 1), ("z", 2), ("b", 3), ("x", 4))]
    made = rows([*sent, buy("ask", 3 * HOUR)], last, first)
    assert (made["ask"]["last_1d"], made["ask"]["first_1d"]) == (2, 3)


def test_ids_are_loaded_where_the_order_of_one_moment_asks_for_them_and_not_before():
    sent = [(HOUR, Event("back", name, 0, {"item": "i", "cents": cents})) for name, cents in (("z", 1), ("a", 2))]
    last = Counted("last_back", "back", "item", Last("cents"), days(1))
    asked = {"id": pa.array(["x"]), "ts": pa.array([2 * HOUR]), "item": pa.array(["i"])}
    with Database(worlds.tables(worlds.logged(sent)), {"back": ["item", "cents"]}, as_of=LATER) as opened:
        opened.counted([Counted("n", "back", "item", Count(), days(1))], "buy", asked)
        assert "id" not in opened._query('SELECT * FROM "raw back"').column_names
        assert opened.counted([last], "buy", asked)["last_back"].tolist() == [1]
        assert "id" in opened._query('SELECT * FROM "raw back"').column_names


def test_the_database_reads_no_file_and_its_constants_cannot_break_out(tmp_path):
    with Database(worlds.tables([]), {"buy": ["customer"]}, as_of=LATER) as opened, pytest.raises(duckdb.Error):
        opened._connection.sql(f"SELECT * FROM read_csv('{tmp_path}/x.csv')")
    odd = Counted("n", "buy", "customer", Count(), days(1), where=(("country", "x'); DROP TABLE asks; --"),))
    assert rows([buy("x", HOUR, country="x'); DROP TABLE asks; --"), buy("y", 2 * HOUR)], odd)["y"]["n"] == 1
    assert sql.quote('a"b') == '"a""b"'


def test_an_answer_without_its_offset_cannot_be_read_by_offset():
    with pytest.raises(ShelflifeError, match="none for x"):
        rows([buy("x", HOUR)], seen={})


@pytest.mark.parametrize("how", [Distinct("country", cap=2), Top("country", cap=2), Ratio(Count(), Distinct("country", cap=2))])
def test_a_set_beyond_its_cap_is_refused_and_one_at_its_cap_is_not(how):
    sent = [buy(f"x{n}", n * HOUR, country=f"c{n}") for n in range(3)]
    feature = Counted("lands_1d", "buy", "customer", how, days(1))
    assert len(rows(sent, feature)) == 3
    with pytest.raises(ShelflifeError, match="lands_1d: a window holds more than 2 different country; raise its cap"):
        rows([*sent, buy("y", 4 * HOUR)], feature)


def test_a_standard_deviation_of_large_amounts_is_exact():
    sent = [buy(f"x{n}", n * HOUR, cents=10**11 + n) for n in range(3)]
    assert rows(sent, Counted("spread_1d", "buy", "customer", Std("cents"), days(1)))["x2"]["spread_1d"] == 0.5

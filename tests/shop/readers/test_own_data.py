"""A shop's own files and database: good rows come in, broken rows come apart, and what cannot be read is one sentence."""

import gzip
import json
import sqlite3
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.core.clock import instant
from pipelines.core.errors import ShelflifeError
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.readers import folder, query

RATING, VIEW = CONTRACTS["rating"], CONTRACTS["view_item"]
NOON = "2025-03-01T12:00:00Z"
ROWS = [
    {"id": "a", "ts": NOON, "review_id": "r1", "stars": 5},
    {"id": "b", "ts": "2025-03-01T13:00:00+01:00", "review_id": "r2", "stars": 1},
]


def csv(path, rows):
    names = list(rows[0])
    path.write_text(
        "\n".join([",".join(names)] + [",".join("" if r[n] is None else str(r[n]) for n in names) for r in rows]) + "\n"
    )
    return path


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


FORMS = [(csv, "r.csv"), (lines, "r.jsonl"), (parquet, "r.parquet")]


@pytest.mark.parametrize(("write", "name"), FORMS)
def test_the_same_rows_mean_the_same_in_every_format(tmp_path, write, name):
    reading = folder.read(write(tmp_path / name, ROWS), RATING)
    assert reading.broken == ()
    assert reading.tables["rating"].to_pylist() == [
        {
            "id": i,
            "ts": instant(NOON),
            "arrived": instant(NOON),
            "offset": None,
            "review_id": r,
            "item": None,
            "stars": s,
            "recommended": None,
        }
        for i, r, s in (("a", "r1", 5), ("b", "r2", 1))
    ]


@pytest.mark.parametrize(("write", "name"), FORMS)
def test_a_row_that_breaks_the_contract_comes_apart_with_the_reason(tmp_path, write, name):
    reading = folder.read(
        write(tmp_path / name, [*ROWS, {**ROWS[0], "id": "c", "stars": 6}, {**ROWS[0], "id": "d", "review_id": None}]), RATING
    )
    assert reading.tables["rating"]["id"].to_pylist() == ["a", "b"]
    assert [(row.raw["id"], row.problems) for row in reading.broken] == [
        ("c", ("stars: wanted integer 1..5 in stars, got 6",)),
        ("d", ("review_id: wanted string length 1..128, got nothing",)),
    ]


def test_a_text_that_is_no_number_or_no_time_breaks_its_row_only(tmp_path):
    reading = folder.read(
        csv(tmp_path / "r.csv", [*ROWS, {**ROWS[0], "id": "c", "stars": "five"}, {**ROWS[0], "id": "d", "ts": "noon"}]), RATING
    )
    assert reading.tables["rating"].num_rows == 2
    assert {row.raw["id"]: row.problems[0][:30] for row in reading.broken} == {
        "c": "stars: wanted integer 1..5 in ", "d": "ts: wanted an ISO 8601 time su",
    }  # fmt: skip


def test_an_event_from_the_future_is_broken(tmp_path):
    reading = folder.read(csv(tmp_path / "r.csv", ROWS), RATING, now=instant("2025-02-01"))
    assert len(reading.broken) == 2
    assert "a time that has happened" in reading.broken[0].problems[0]


def test_columns_may_have_other_names_and_lists_may_be_texts(tmp_path):
    rows = [{"event": "v1", "time": NOON, "visit": "s1", "sku": "i3", "before": "i1 i2", "colour": "red"}]
    names = {"id": "event", "ts": "time", "session": "visit", "item": "sku", "trail": "before"}
    assert folder.read(csv(tmp_path / "v.csv", rows), VIEW, names=names).tables["view_item"].to_pylist()[0]["trail"] == [
        "i1",
        "i2",
    ]


def test_a_folder_is_read_whole_and_repeated_rows_count_once(tmp_path):
    csv(tmp_path / "1.csv", ROWS)
    (tmp_path / "2.csv.gz").write_bytes(gzip.compress((tmp_path / "1.csv").read_bytes()))
    assert folder.read(tmp_path, RATING).tables["rating"]["id"].to_pylist() == ["a", "b"]


def test_zoned_timestamps_of_any_grain_are_instants(tmp_path):
    noon = datetime(2025, 3, 1, 12, tzinfo=UTC)
    for unit in ("s", "ms", "ns"):
        table = pa.table({"id": ["a"], "ts": pa.array([noon], pa.timestamp(unit, "UTC")), "review_id": ["r"], "stars": [5]})
        pq.write_table(table, tmp_path / "r.parquet")
        assert folder.read(tmp_path / "r.parquet", RATING).tables["rating"]["ts"].to_pylist() == [instant(noon)]


def damaged(tmp_path):
    (tmp_path / "r.parquet").write_bytes(b"PAR1 no parquet")
    return tmp_path / "r.parquet"


BAD = {
    "there is no such file or folder": lambda p: p / "none.csv",
    "the folder is empty": lambda p: p,
    "wanted a .csv, .parquet or .jsonl file": lambda p: csv(p / "r.xlsx", ROWS),
    "cannot be read as parquet": damaged,
    "cannot be read as csv": lambda p: (p / "e.csv").touch() or p / "e.csv",
    "got an empty table": lambda p: (
        lines(p / "r.csv", []) if (p / "r.csv").write_text("id,ts,review_id,stars\n") == 0 else p / "r.csv"
    ),
    "wanted the column review_id for rating, got id, ts, stars": lambda p: csv(
        p / "r.csv", [{"id": "a", "ts": NOON, "stars": 3}]
    ),
    "rating has no field colour; drop the column": lambda p: csv(p / "r.csv", [{**ROWS[0], "colour": "red"}]),
    "row 2: ts: wanted a time with a zone": lambda p: csv(p / "r.csv", [ROWS[0], {**ROWS[1], "ts": "2025-03-01T12:00:00"}]),
    "ts has times without a zone": lambda p: parquet(p / "r.parquet", [{**ROWS[0], "ts": datetime(2025, 3, 1)}]),
    "stars: wanted integer, got a column of double": lambda p: parquet(p / "r.parquet", [{**ROWS[0], "stars": 4.5}]),
    "the id 'a' stands for two different events": lambda p: csv(p / "r.csv", [ROWS[0], {**ROWS[0], "stars": 2}]),
    "line 2 is no JSON object": lambda p: (p / "r.jsonl").write_text(json.dumps(ROWS[0]) + '\n{"id": "b",') and p / "r.jsonl",
    "'stars' has values of different types": lambda p: lines(p / "r.jsonl", [ROWS[0], {**ROWS[1], "stars": "one"}]),
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_one_sentence_that_says_what_to_do(tmp_path, sentence):
    with pytest.raises(ShelflifeError) as caught:
        folder.read(BAD[sentence](tmp_path), RATING)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table stars (no text, at text, review text, stars integer)")
        connection.executemany("insert into stars values (?, ?, ?, ?)", [("a", NOON, "r1", 5), ("b", NOON, "r2", 9)])
    connection.close()
    return f"sqlite:///{path}"


GOOD = "select no as id, at as ts, review as review_id, stars from stars"


def test_a_query_gives_events_and_broken_rows(shop):
    reading = query.read(shop, GOOD, RATING)
    assert reading.tables["rating"]["stars"].to_pylist() == [5]
    assert len(reading.broken) == 1


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        (GOOD + " where stars > 9", "the query gives no rows"),
        ("select * from reviews", "the query failed: no such table: reviews"),
        ("select no as id, no as id from stars", "gives the column id twice"),
        ("select no as id from stars", "wanted the column ts, review_id, stars for rating, got id"),
        ("drop table stars", "wanted a query that starts with SELECT or WITH"),
    ],
)
def test_a_bad_query_is_one_sentence_and_changes_nothing(shop, sql, sentence):
    with pytest.raises(ShelflifeError) as caught:
        query.read(shop, sql, RATING)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert query.read(shop, GOOD, RATING).tables["rating"].num_rows == 1


def test_a_database_that_is_not_there_is_one_sentence_without_the_password():
    for url in ("nonsense", "oracle9://x", "sqlite:////nowhere/at/all.db"):
        with pytest.raises(ShelflifeError):
            query.read(url, "select 1 as id", RATING)

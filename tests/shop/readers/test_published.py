"""Public datasets: nothing is parsed before its checksum was right, and what is read is what was published."""

import hashlib
import io
import os
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from pipelines.core.clock import days, micros
from pipelines.core.errors import ShelflifeError
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.readers import PUBLISHED, download, read
from pipelines.shop.readers import published as publishing
from pipelines.shop.tables import schema

DATASETS = Path(os.environ.get("SHELFLIFE_DATASETS", Path(__file__).resolve().parents[4] / "shared" / "datasets"))


@cache
def public(name):
    folder = DATASETS / name
    if not folder.is_dir():
        pytest.skip(f"the public dataset {name} is not in {DATASETS}; set SHELFLIFE_DATASETS")
    reading = read(name, folder)
    for kind, table in reading:
        assert table.schema == schema(CONTRACTS[kind])
        assert len(set(table["id"].to_pylist())) == table.num_rows
    return reading


def test_the_handbooks_payments_are_all_there_and_chargebacks_are_seen_a_week_later():
    reading = public("fraud_handbook_transactions")
    assert {kind: table.num_rows for kind, table in reading} == {"payment": 1_754_155, "chargeback": 14_681}
    assert reading.broken == ()
    assert reading.splits == {}
    told = reading.tables["chargeback"]
    assert set((told["arrived"].to_numpy() - told["ts"].to_numpy()).tolist()) == {micros(days(7))}


def test_every_line_of_online_retail_is_a_purchase_a_refund_or_broken():
    reading = public("online_retail")
    broken = [row for row in reading.broken if row.kind in ("purchase", "refund")]
    assert reading.tables["purchase"].num_rows + reading.tables["refund"].num_rows + len(broken) == 541_909
    assert len(broken) == len(reading.broken) == 1_348
    assert all(row.problems for row in broken)
    assert reading.tables["purchase"]["customer"].null_count > 130_000, "guests are kept"


def test_a_listing_of_online_retail_knows_nothing_of_its_own_week():
    sales, listing = (public("online_retail").tables[kind].to_pandas() for kind in ("purchase", "listing"))
    one = listing[listing["item"] == "85123A"].iloc[10]
    before = sales[(sales["item"] == "85123A") & (sales["ts"] < one["ts"]) & (sales["price_cents"] > 0)]
    assert one["price_cents"] == before.sort_values("ts", kind="stable")["price_cents"].iloc[-1]


def test_the_tmall_sessions_come_with_the_papers_split():
    reading = public("sessions_tmall")
    views = reading.tables["view_item"]
    assert views.num_rows == 416_554 + 26_925
    assert [sum(part == name for part in reading.splits.values()) for name in ("train", "valid", "test")] == [
        52_229,
        13_057,
        1_027,
    ]
    asks = sum(
        len(trail) > 0
        for session, trail in zip(views["session"].to_pylist(), views["trail"].to_pylist(), strict=True)
        if session[:4] == "test"
    )
    assert asks == 25_898, "the papers' number of test cases"


def test_english_reviews_without_words_are_broken_and_their_stars_kept():
    reading = public("womens_clothing_reviews")
    assert reading.tables["rating"].num_rows == 23_486
    assert reading.tables["review"].num_rows + len(reading.broken) == 23_486
    assert sum(stars == 5 for stars in reading.tables["rating"]["stars"].to_pylist()) == 13_131


def test_chinese_reviews_are_split_so_that_equal_texts_stay_together():
    reading = public("online_shopping_10_cats")
    assert reading.tables["review"].num_rows == 62_773
    assert len(reading.broken) == 1
    stars = reading.tables["rating"]["stars"].to_pylist()
    assert (stars.count(5), stars.count(1)) == (31_728, 31_046)
    part = {}
    for id_, text in zip(*(reading.tables["review"][c].to_pylist() for c in ("id", "text")), strict=True):
        assert part.setdefault(" ".join(text.split()), reading.splits[id_]) == reading.splits[id_]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_changed_file_is_refused_before_it_is_parsed(name, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda *_: pytest.fail("a parser was opened"))
    for file in PUBLISHED[name].files:
        (tmp_path / file).write_bytes(b"not what was published")
    with pytest.raises(ShelflifeError, match="is not the published file: wanted sha256"):
        read(name, tmp_path)


def test_a_missing_file_an_unknown_name_and_a_negative_delay_are_one_sentence(tmp_path):
    with pytest.raises(ShelflifeError, match=r"wanted the file .*transactions.parquet, it is not there; get it from https"):
        read("fraud_handbook_transactions", tmp_path)
    with pytest.raises(ShelflifeError, match="there is no reader for 'movielens'; there are readers for"):
        read("movielens", tmp_path)
    with pytest.raises(ShelflifeError, match="delay of zero or more"):
        read("online_retail", tmp_path, delay=days(-1))


def archive(text):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as made:
        made.writestr("reviews.csv", text)
    return sink.getvalue()


def test_a_download_is_checked_and_then_readable(tmp_path, monkeypatch):
    text = ",Clothing ID,Age,Title,Review Text,Rating,Recommended IND,Positive Feedback Count,Division Name,Department Name,Class Name\n0,7,33,,Fine,4,1,0,a,b,c\n"
    source = PUBLISHED["womens_clothing_reviews"]
    changed = replace(source, content=hashlib.sha256(text.encode()).hexdigest())
    monkeypatch.setitem(publishing.PUBLISHED, source.name, changed)
    asked = []
    download(source.name, tmp_path, fetch=lambda address: asked.append(address) or archive(text))
    assert asked == list(source.parts)
    assert asked[0].startswith("https://")
    assert read(source.name, tmp_path).tables["review"]["text"].to_pylist() == ["Fine"]
    assert [file.suffix for file in tmp_path.iterdir()] == [".csv"], "nothing unfinished is left"


def test_a_shop_year_that_comes_as_a_file_a_day_reads_like_the_one_file(tmp_path):
    import pandas as pd

    public("online_retail")
    rows = pd.read_parquet(DATASETS / "online_retail" / "online_retail.parquet")
    rows = rows.astype({"CustomerID": "float64"})
    days_of = {str(day): part for day, part in rows.groupby(rows["InvoiceDate"].dt.date, sort=False)}
    told = []

    def fetch(address):
        part = days_of.pop(address.rsplit("/", 1)[1].removesuffix(".csv"))
        return part.to_csv(index=False).encode()

    download("online_retail", tmp_path, fetch=fetch, progress=lambda *said: told.append(said))
    assert days_of == {}, "every day of the year is asked for"
    assert told[-1] == ("online_retail", 305, 305)
    kept, downloaded = public("online_retail"), read("online_retail", tmp_path)
    assert downloaded.broken == kept.broken
    assert all(downloaded.tables[kind].equals(table) for kind, table in kept)


@pytest.mark.parametrize(("data", "word"), [(archive("another text"), "another content"), (b"<html>", "no zip archive")])
def test_a_wrong_download_leaves_nothing_behind(tmp_path, data, word):
    with pytest.raises(ShelflifeError, match=word):
        download("womens_clothing_reviews", tmp_path, fetch=lambda _: data)
    assert list(tmp_path.iterdir()) == []


def test_what_may_not_be_downloaded_says_why_and_where(tmp_path):
    with pytest.raises(ShelflifeError, match=r"non-commercial use; get it from https://tianchi"):
        download("sessions_tmall", tmp_path, fetch=lambda _: pytest.fail("it was downloaded"))


def test_without_a_network_a_download_says_so(tmp_path, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(ShelflifeError, match="cannot be reached: no route to host; download it elsewhere"):
        download("womens_clothing_reviews", tmp_path)

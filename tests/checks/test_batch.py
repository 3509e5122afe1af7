"""Great Expectations takes seconds to import: once in this process."""

import json

import numpy as np
import pyarrow as pa
import pytest

from pipelines.checks import batch, suite
from pipelines.core.clock import DAY
from pipelines.core.digest import digest
from pipelines.core.errors import ShelflifeError
from pipelines.core.verdict import Verdict

pytest.importorskip("great_expectations")


@pytest.fixture
def validate(feed, contract):
    def run(table, *, suites=feed.SUITES, docs=None, now=None):
        return batch.validate("payment", table, contract, suites, docs, as_of=now or feed.as_of())

    return run


def failed(verdict):
    return {f.name for f in verdict.findings if f.status == "fail"}


@pytest.fixture
def own(tmp_path):
    """A folder with one suite of our own making."""

    def write(*expectations, **history):
        (tmp_path / "expectations").mkdir(exist_ok=True)
        data = {"name": "payment", "expectations": list(expectations), "meta": {"history": history}}
        (tmp_path / "expectations" / "payment.json").write_text(json.dumps(data))
        return tmp_path

    return write


def test_a_good_snapshot_passes_with_exactly_the_findings_that_were_asked_for(validate, table, contract, feed):
    verdict = validate(table)
    assert verdict.status == "pass", verdict.why()
    assert verdict.required == batch.required(suite.read(feed.SUITES, contract))
    assert verdict.facts == {"payment rows": table.num_rows, "payment warnings": []}


def test_the_same_snapshot_gives_the_same_bytes_wherever_the_data_docs_go(validate, table, tmp_path):
    first, second = validate(table, docs=tmp_path / "a"), validate(table, docs=tmp_path / "b")
    assert digest(first.to_dict()) == digest(second.to_dict())
    assert Verdict.from_dict(json.loads(json.dumps(first.to_dict()))) == first
    assert (tmp_path / "a" / "index.html").is_file()


def test_the_folder_that_people_edit_is_only_read(validate, table, feed):
    def files():
        return {str(p): p.read_bytes() for p in feed.SUITES.rglob("*") if p.is_file()}

    before = files()
    validate(table)
    assert files() == before


def test_an_empty_day_fails_and_nothing_passes_by_silence(validate, table):
    verdict = validate(table.slice(0, 0))
    assert {"payment: fresh", "payment: row count"} <= failed(verdict)
    silent = [f for f in verdict.findings if f.status == "pass" and f.observed != "no values, none required"]
    assert {f.name for f in silent} <= {"payment: columns", "payment: finite"}


def test_a_missing_column_fails_and_is_named(validate, table):
    verdict = validate(table.drop_columns(["amount_cents"]))
    assert verdict.status == "fail"
    assert "missing: amount_cents" in verdict.why()
    assert next(f for f in verdict.findings if f.name == "payment.amount_cents: in range").status == "unsure"


def test_a_column_of_another_type_fails_and_is_named(validate, table, feed):
    verdict = validate(feed.put(table, "amount_cents", table["amount_cents"].to_numpy().astype(float)))
    assert "payment: columns" in failed(verdict)
    assert "amount_cents is double" in verdict.why()


@pytest.mark.parametrize("share", [1.0, 0.9, 0.01])
def test_a_required_column_with_nulls_fails(validate, table, feed, share):
    country = np.array(table["country"].to_pylist(), object)
    country[: int(len(country) * share)] = None
    assert "payment.country: filled" in failed(validate(feed.put(table, "country", country.tolist())))


def test_a_rule_about_values_does_not_pass_where_a_required_column_has_none(validate, table, feed):
    verdict = validate(feed.put(table, "country", pa.nulls(table.num_rows, pa.string())))
    assert next(f for f in verdict.findings if f.name == "payment.country: length").status == "unsure"


def test_a_stale_feed_fails(validate, table, feed):
    assert "payment: fresh" in failed(validate(table, now=feed.as_of() + 2 * DAY))


def test_an_infinite_number_fails(feed, table):
    from pipelines.core.clock import days
    from pipelines.core.contract import Contract, Field

    contract = Contract("tank", "A level.", (Field("level", "number"),), days(1))
    levels = np.where(np.arange(table.num_rows) == 5, np.inf, 1.0)
    tank = table.select(["id", "ts", "arrived"]).append_column("level", pa.array(levels))
    verdict = batch.validate("tank", tank, contract, feed.SUITES, as_of=feed.as_of())
    assert failed(verdict) == {"tank: finite"}


def test_a_broken_critical_rule_of_the_suite_fails(validate, table, own):
    rule = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "amount_cents", "max_value": 10}}
    verdict = validate(table, suites=own(rule))
    assert failed(verdict) == {"payment.amount_cents: mean"}


def test_a_broken_warning_of_the_suite_is_listed_and_stops_nothing(validate, table, own):
    rule = {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "country", "value_set": ["DE"]},
        "severity": "warning",
    }
    verdict = validate(table, suites=own(rule))
    assert verdict.status == "pass"
    (said,) = verdict.facts["payment warnings"]
    assert said.startswith("payment.country: known values: wanted one of DE")
    assert "'FR'" in said


def test_an_expectation_that_does_not_exist_or_lacks_its_kwargs_is_an_error_that_names_it(validate, table, own):
    with pytest.raises(ShelflifeError, match="expect_wonders"):
        validate(table, suites=own({"type": "expect_wonders", "kwargs": {}}))
    with pytest.raises(ShelflifeError, match="mend its kwargs"):
        validate(
            table, suites=own({"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "country", "value_sets": 1}})
        )


def test_lists_are_looked_at_by_their_length(feed, table):
    from pipelines.shop.contracts import CONTRACTS

    rows = table.num_rows
    words = pa.array([f"s{i}" for i in range(rows)])
    trail = pa.array([["a"] * (i % 4) for i in range(rows)], pa.list_(pa.string()))
    views = table.select(["id", "ts", "arrived", "offset"])
    for name, column in {"session": words, "customer": words, "item": words, "trail": trail}.items():
        views = views.append_column(name, column)
    verdict = batch.validate("view_item", views, CONTRACTS["view_item"], feed.SUITES, as_of=feed.as_of())
    assert verdict.status == "pass", verdict.why()
    long = views.set_column(7, "trail", pa.array([["a"] * 51] * rows, pa.list_(pa.string())))
    verdict = batch.validate("view_item", long, CONTRACTS["view_item"], feed.SUITES, as_of=feed.as_of())
    assert failed(verdict) == {"view_item.trail: in range"}


def test_markup_in_the_data_is_no_markup_in_the_data_docs(validate, table, feed, own, tmp_path):
    from html.parser import HTMLParser

    payload = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    rule = {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "country", "value_set": ["DE"]},
        "severity": "warning",
    }
    verdict = validate(feed.put(table, "country", [payload] * table.num_rows), suites=own(rule), docs=tmp_path / "docs")
    assert "'</script><script>al" in verdict.facts["payment warnings"][0]

    class Executable(HTMLParser):
        found = ()

        def handle_starttag(self, tag, attrs):
            self.found += ((tag, attrs),) if tag == "img" and ("onerror", "alert(1)") in attrs else ()

        def handle_data(self, data):
            self.found += ((self.lasttag, data),) if self.lasttag == "script" and data.strip() == "alert(1)" else ()

    for path in (tmp_path / "docs").rglob("*.html"):
        parser = Executable()
        parser.feed(path.read_text())
        assert not parser.found, path
        assert "Content-Security-Policy" in path.read_text().split("<link")[0]


def test_a_browser_leads_from_the_index_of_the_data_docs_to_what_was_found_and_asks_no_other_host(
    validate, table, page, tmp_path
):
    validate(table, docs=tmp_path / "docs")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "docs" / "index.html").as_uri())
    page.get_by_role("link", name="snapshot-payment").click()
    page.get_by_text("Succeeded").wait_for()
    assert page.locator("td:has-text('values must never be null')").first.is_visible()
    assert all(url.startswith("file:") for url in asked), asked

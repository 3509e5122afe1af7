import json

import pytest

from pipelines.checks import history, suite
from pipelines.core.errors import ShelflifeError
from pipelines.shop.contracts import CONTRACTS


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "expectations").mkdir()
    return tmp_path


def write(folder, **data):
    (folder / "expectations" / "payment.json").write_text(json.dumps({"name": "payment", **data}))


def test_the_schema_half_follows_from_the_contract(folder, contract):
    rules = {(e.type, e.column): e.kwargs for e in suite.read(folder, contract).expectations}
    assert rules[("expect_table_row_count_to_be_between", None)] == {"min_value": 1}
    assert ("expect_column_values_to_not_be_null", "card") in rules
    assert ("expect_column_values_to_not_be_null", "device") not in rules
    assert rules[("expect_column_values_to_be_between", "amount_cents")]["max_value"] == 500_000
    assert rules[("expect_column_value_lengths_to_be_between", "country")]["min_value"] == 2


@pytest.mark.parametrize("kind", sorted(CONTRACTS))
def test_every_kind_has_a_suite_that_asks_for_rows_and_for_every_required_field(kind, feed):
    made = suite.read(feed.SUITES, CONTRACTS[kind])
    filled = {
        e.column for e in made.expectations if e.type == "expect_column_values_to_not_be_null" and "mostly" not in e.kwargs
    }
    assert made.expectations[0].type == "expect_table_row_count_to_be_between"
    assert {"id", "ts", *(f.name for f in CONTRACTS[kind].fields if f.required)} <= filled


def test_no_two_findings_of_a_suite_share_a_name(folder, contract):
    again = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "amount_cents", "max_value": 9}}
    write(folder, expectations=[again, again])
    made = suite.read(folder, contract)
    names = [e.name for e in made.expectations] + history.names("payment", made.history)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"expectations": [{"type": "expect_column_mean_to_be_between", "kwargs": {"column": "amount"}}]}, "amount"),
        ({"expectations": [{"type": "expect_column_mean_to_be_between", "kwargs": {}, "severity": "mild"}]}, "mild"),
        ({"expectations": ["filled"]}, "kwargs"),
        ({"expectations": {}}, "list"),
        ({"meta": {"history": {"volumes": 2}}}, "volumes"),
        ({"meta": {"history": {"volume": 0.5}}}, "above 1"),
        ({"meta": {"history": {"median": {"amounts": 3}}}}, "amounts"),
        ({"meta": {"history": {"mean": {"amount_cents": "x"}}}}, "mean.amount_cents"),
    ],
)
def test_a_mistake_in_a_suite_is_one_sentence_that_names_it(folder, contract, data, word):
    write(folder, **data)
    with pytest.raises(ShelflifeError, match=word):
        suite.read(folder, contract)


def test_a_suite_that_is_no_json_is_said_to_be_none(folder, contract):
    (folder / "expectations" / "payment.json").write_text("{")
    with pytest.raises(ShelflifeError, match=r"payment\.json is no suite"):
        suite.read(folder, contract)


def test_the_committed_suites_carry_no_ids_and_load_in_great_expectations_itself(feed, tmp_path):
    import shutil

    gx = pytest.importorskip("great_expectations")
    shutil.copytree(feed.SUITES, tmp_path / "great_expectations")
    context = gx.get_context(mode="file", context_root_dir=tmp_path / "great_expectations")
    for path in sorted((feed.SUITES / "expectations").glob("*.json")):
        data = json.loads(path.read_text())
        assert "id" not in data
        assert not any("id" in row for row in data["expectations"])
        assert len(context.suites.get(path.stem).expectations) == len(data["expectations"])
        assert (tmp_path / "great_expectations" / "expectations" / path.name).read_bytes() == path.read_bytes()
    assert not (feed.SUITES / "__init__.py").exists()

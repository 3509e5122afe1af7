import subprocess
import sys

import pytest

from pipelines import usecases
from pipelines.core.decision import Ranking
from pipelines.core.errors import ShelflifeError
from pipelines.shop.contracts import CONTRACTS

NUMBERS = {"integer", "cents", "number", "boolean"}
CASES = usecases.names()
HEAVY = ("numpy", "pandas", "sklearn", "scipy", "lightgbm", "tensorflow", "keras", "onnx", "onnxruntime", "duckdb", "pyarrow")


@pytest.fixture(params=CASES)
def case(request):
    return usecases.get(request.param)


def test_use_cases_are_found_by_their_folders():
    assert set(CASES) >= {"demand", "fraud", "recommend", "sentiment"}
    assert list(usecases.load()) == list(CASES)


@pytest.mark.parametrize("name", ["pricing", "", "../fraud", "fraud.models", "__pycache__"])
def test_an_unknown_use_case_is_refused_and_those_there_are_named(name):
    with pytest.raises(ShelflifeError, match=r"there are demand, fraud, recommend, sentiment"):
        usecases.get(name)


def test_declaring_imports_no_heavy_library():
    code = f"from pipelines import usecases; import sys; usecases.load(); print([m for m in {HEAVY} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_what_is_counted_is_in_the_contracts(case):
    for counted in case.features.counted:
        contract = CONTRACTS[counted.of]
        for by in counted.keys:
            assert contract.field(by).key, f"{counted.name} counts by {by}, which is no key of {counted.of}"
        if counted.how.field and counted.how.how in ("sum", "mean", "min", "max"):
            assert contract.field(counted.how.field).type in NUMBERS, counted.name
        elif counted.how.field:
            assert contract.field(counted.how.field), counted.name
        for name in counted.fields:
            assert contract.field(name), counted.name


def test_what_is_counted_is_looked_up_by_what_the_ask_knows(case):
    asked = {field.name for field in case.asks.fields} | ({"candidate"} if isinstance(case.answers, Ranking) else set())
    assert {name for counted in case.features.counted for name in counted.asked} <= asked


def test_the_label_is_in_the_contracts(case):
    contract = CONTRACTS[case.label.of]
    assert all(contract.field(name) for name in case.label.fields)


def test_a_model_looks_at_numbers_categories_and_texts_only(case):
    assert {case.features.kind(name) for name in case.features.names} <= {"number", "category", "text"}
    assert not [
        c.name
        for c in case.features.counted
        if c.how.how in ("first", "last") and CONTRACTS[c.of].field(c.how.field).type not in NUMBERS
    ]


def test_every_derived_feature_says_in_a_sentence_what_it_is(case):
    for derived in case.features.derived:
        assert derived.doc.endswith("."), f"{derived.name} has no sentence"


def test_every_counted_feature_is_named_after_its_window(case):
    from pipelines.core.clock import spell

    for counted in case.features.counted:
        assert spell(counted.over) in counted.name.split("_"), f"{counted.name} looks over {spell(counted.over)}"


def test_slices_are_features_or_fields_of_the_ask(case):
    assert set(case.slices) <= set(case.features.names) | {field.name for field in case.asks.fields}

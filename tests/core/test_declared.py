"""Bad input is found at declaration, in one sentence."""

from dataclasses import replace

import pytest

from pipelines import usecases
from pipelines.core.clock import days, minutes
from pipelines.core.contract import Contract, Field
from pipelines.core.declared import completed, problems
from pipelines.core.feature import Count, Counted, Distinct, Label, Last, Max, Mean, Rate, Ratio, Std, Sum, Top, features, field
from pipelines.shop.contracts import CONTRACTS

BUY = Contract(
    "buy",
    "Somebody bought.",
    (
        Field("customer", "string", key=True),
        Field("item", "string", key=True),
        Field("cents", "cents"),
        Field("weight", "number"),
        Field("country", "string"),
        Field("tags", "strings"),
    ),
    days(1),
)
ALL = {"buy": BUY}
LABEL = Label("buy", "item", Count(), days(2))


def case(*counted, label=LABEL):
    return replace(usecases.get("fraud"), asks=BUY, label=label, features=features(counted=counted), unit="customer", slices=(),
                   answers=replace(usecases.get("fraud").answers, cost=replace(usecases.get("fraud").answers.cost, missed="cents")))  # fmt: skip


@pytest.mark.parametrize(("broken", "says"), [
    ({"of": "visit"}, "there are no visit events; there are buy"),
    ({"by": "country"}, "country is no key of buy; its keys are customer, item"),
    ({"by": ("customer", "weight")}, "weight is no key"),
    ({"how": Sum("weight")}, "wanted an integer"),
    ({"how": Std("weight")}, "wanted an integer"),
    ({"how": Max("country")}, "wanted a number"),
    ({"how": Distinct("tags")}, "wanted a value, got a strings"),
    ({"how": Mean("price")}, "buy has no field price"),
    ({"how": Ratio(Sum("cents"), Distinct("shop"))}, "buy has no field shop"),
    ({"how": Rate(field("country") > 3)}, "country is a string"),
    ({"where": field("cents") == "DE"}, "wanted a number"),
    ({"where": field("city") == "Rome"}, "no field city"),
])  # fmt: skip
def test_a_feature_that_cannot_be_computed_says_why(broken, says):
    made = Counted(**({"name": "n_1d", "of": "buy", "by": "customer", "how": Count(), "over": days(1)} | broken))
    found = problems(case(made), ALL)
    assert len(found) == 1
    assert says in found[0]
    assert found[0].startswith("feature n_1d: ")


@pytest.mark.parametrize(("label", "says"), [
    (Label("visit", "item", Count(), days(1)), "no visit events"),
    (Label("buy", "item", Sum("weight"), days(1)), "wanted an integer"),
    (Label("buy", "item", Count(), days(1), where=field("tags") == "x"), "not be filtered by"),
])  # fmt: skip
def test_a_label_that_cannot_be_computed_says_why(label, says):
    assert says in problems(case(label=label), ALL)[0]
    with pytest.raises(ValueError, match="the label"):
        completed(case(label=label), ALL)


def test_the_last_and_the_top_of_a_text_are_categories_and_of_a_number_are_not():
    made = completed(case(
        Counted("land_1d", "buy", "customer", Last("country"), days(1)),
        Counted("usual_1d", "buy", "customer", Top("country"), days(1)),
        Counted("cents_1d", "buy", "customer", Last("cents"), days(1)),
    ), ALL)  # fmt: skip
    assert [made.features.kind(name) for name in made.features.names] == ["category", "category", "number"]


def test_the_declared_use_cases_have_no_problems():
    for made in usecases.load().values():
        assert problems(made, CONTRACTS) == []
        assert completed(made, CONTRACTS) == made


def test_a_window_smaller_than_its_tile_and_a_keyword_are_refused_even_earlier():
    with pytest.raises(ValueError, match="smaller than its tile"):
        Counted("n_30s", "buy", "customer", Count(), minutes(0.5))
    with pytest.raises(ValueError, match="SQL keyword"):
        Counted("order", "buy", "customer", Count(), days(1))

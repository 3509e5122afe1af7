import json
from datetime import timedelta

import pytest

from pipelines.core.clock import EVER, days, hours, minutes
from pipelines.core.feature import (
    EVERY,
    TILES,
    Aggregation,
    Count,
    Counted,
    Distinct,
    FeatureSet,
    Label,
    Last,
    Rate,
    Ratio,
    Since,
    Std,
    Sum,
    Top,
    Until,
    features,
    field,
    tile,
)  # fmt: skip

VIEWS = Counted("views_7d", of="view_item", by="customer", how=Count(), over=days(7))


def share(views_7d, price_cents):
    """Views per price."""
    return views_7d / price_cents


SET = features(given=("price_cents",), counted=(VIEWS,), derived=(share,))


def test_a_feature_set_survives_its_json_with_the_same_digest():
    assert FeatureSet.from_dict(SET.to_dict()).digest == SET.digest
    assert SET.names == ("price_cents", "views_7d", "share")
    assert SET.sources == ("view_item",)


def test_a_changed_definition_has_another_digest():
    other = features(
        given=("price_cents",),
        counted=(Counted("views_7d", of="view_item", by="customer", how=Count(), over=days(8)),),
        derived=(share,),
    )
    assert other.digest != SET.digest


def test_a_definition_says_itself_as_a_sentence():
    fraud = Counted(
        "frauds_30d", of="chargeback", by="terminal", how=Count(), over=days(30), delay=days(7), where=(("country", "DE"),)
    )
    assert (
        fraud.sentence()
        == "number of chargeback events with country DE of the same terminal in the last 30 days, as known 7 days earlier"
    )
    assert Label("chargeback", "payment_id", Count(), days(5), at_least=1).sentence().endswith("in the next 5 days, at least 1")


@pytest.mark.parametrize("over", [minutes(5), hours(1), days(1), days(7), days(30), EVER])
def test_the_far_edge_is_rounded_to_about_a_24th_of_the_window(over):
    grain = tile(over)
    assert grain in {g for _, g in TILES}
    assert over == EVER or over / grain >= 5


@pytest.mark.parametrize(
    "broken",
    [
        {"over": timedelta(0)},
        {"over": timedelta(seconds=30)},
        {"delay": timedelta(-1)},
        {"how": Aggregation("median", "x")},
        {"how": Aggregation("sum")},
        {"how": Aggregation("count", "x")},
        {"name": "select"},
        {"name": "Views"},
    ],
)
def test_a_broken_definition_is_found_at_declaration(broken):
    with pytest.raises(ValueError):
        Counted(**({"name": "views", "of": "view_item", "by": "customer", "how": Sum("x"), "over": days(1)} | broken))


def test_two_definitions_with_one_name_are_refused():
    with pytest.raises(ValueError, match="views_7d"):
        features(given=("views_7d",), counted=(VIEWS,))


def test_a_derived_feature_of_something_unknown_is_refused():
    with pytest.raises(ValueError, match="price_cents"):
        features(counted=(VIEWS,), derived=(share,))


def test_a_label_is_mature_when_its_window_has_closed_and_settled():
    assert Label("rating", "review_id", Last("stars"), days(2), ahead=days(1), settles=hours(6)).matures == timedelta(
        days=3, hours=6
    )


def test_a_definition_without_a_name_derives_it():
    made = [
        Counted(of="payment", by="card", over=hours(1)),
        Counted(of="payment", by=("card", "till"), how=Sum("cents"), over=days(7), delay=days(7)),
        Counted(of="payment", by="till", how=Ratio(Sum("cents"), Count()), over=EVER, where=field("land") == "DE"),
    ]
    names = ["card_payments_1h", "card_till_payment_sum_cents_7d_7d_ago", "till_payment_sum_cents_per_count_land_de_ever"]
    assert [feature.name for feature in made] == names


@pytest.mark.parametrize("how", [
    Count(), Std("cents"), Distinct("land", cap=3), Top("land"), Since(), Rate(field("cents") > 3), Ratio(Sum("a"), Distinct("b"))
])  # fmt: skip
def test_every_definition_survives_its_json_and_says_itself(how):
    made = Counted(of="payment", by=("card", "till"), how=how, over=days(1), where=~(field("land") == "DE"), key=("card", "x"))
    assert Counted.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert made.sentence().startswith("number of payment events" if how == Count() else str(how))
    assert "same card and till in the last day" in made.sentence()


def test_definitions_of_releases_that_were_made_before_are_read_with_the_digest_they_had():
    old = {"name": "n_1d", "of": "buy", "by": "item", "how": ["distinct", "land"], "over_us": 86_400_000_000, "delay_us": 0,
           "where": [["gift", True]], "key": None}  # fmt: skip
    assert Counted.from_dict(old).to_dict() == old


@pytest.mark.parametrize(("how", "says"), [
    (Distinct("x", cap=0), "cap"),
    (Until(), "looks ahead"),
    (Rate(EVERY), "filter"),
    (Ratio(Last("x"), Count()), "one number over another"),
    (Ratio(Ratio(Count(), Count()), Count()), "one number over another"),
    (Ratio(Sum(None), Count()), "reads a field"),
])  # fmt: skip
def test_an_aggregation_that_makes_no_sense_is_refused_in_a_sentence(how, says):
    with pytest.raises(ValueError, match=says):
        Counted("n_1d", "buy", "item", how, days(1))


@pytest.mark.parametrize("broken", [{"of": ""}, {"by": ()}, {"by": ("item", "item")}, {"key": ("a", "b")}])
def test_a_definition_of_nothing_or_of_nobody_is_refused(broken):
    with pytest.raises(ValueError, match="wanted"):
        Counted(**({"name": "n_1d", "of": "buy", "by": "item"} | broken))


@pytest.mark.parametrize("broken", [{"how": Since()}, {"within": EVER}, {"within": timedelta(0)}, {"ahead": timedelta(-1)}])
def test_a_label_that_looks_back_or_never_ends_is_refused(broken):
    with pytest.raises(ValueError, match="label"):
        Label(**({"of": "back", "by": "item", "how": Count(), "within": days(1)} | broken))

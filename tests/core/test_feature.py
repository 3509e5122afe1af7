from datetime import timedelta

import pytest

from pipelines.core.clock import EVER, days, hours, minutes
from pipelines.core.feature import TILES, Aggregation, Count, Counted, FeatureSet, Label, Last, Sum, features, tile

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
        == "count over the chargeback events with country DE of the same terminal in the last 30d, as known 7d earlier"
    )
    assert (
        Label("chargeback", "payment_id", Count(), days(5), at_least=1)
        .sentence()
        .startswith("count, at least 1 over the chargeback")
    )


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

"""The features that are measured: an ordinary shop's, over what its customers do and what happens to its items."""

from __future__ import annotations

from pipelines.core.clock import days, hours
from pipelines.core.contract import Contract, Field
from pipelines.core.feature import Count, Counted, Distinct, FeatureSet, Last, Max, Mean, Min, Sum, features

VIEWED, BOUGHT = (("what", "view"),), (("what", "purchase"),)
FIELDS = ("customer", "item", "what", "price_cents")


def _counted(name: str, by: str, how: object, over: object, where: tuple[tuple[str, str], ...] = ()) -> Counted:
    return Counted(name, of="activity", by=by, how=how, over=over, where=where)  # type: ignore[arg-type]


TRAINING = features(
    counted=(
        _counted("views_1h", "customer", Count(), hours(1), VIEWED),
        _counted("actions_1d", "customer", Count(), days(1)),
        _counted("purchases_30d", "customer", Count(), days(30), BOUGHT),
        _counted("spend_7d", "customer", Sum("price_cents"), days(7), BOUGHT),
        _counted("spend_30d", "customer", Sum("price_cents"), days(30), BOUGHT),
        _counted("price_mean_7d", "customer", Mean("price_cents"), days(7)),
        _counted("price_min_7d", "customer", Min("price_cents"), days(7)),
        _counted("price_max_30d", "customer", Max("price_cents"), days(30)),
        _counted("items_7d", "customer", Distinct("item"), days(7)),
        _counted("price_last_30d", "customer", Last("price_cents"), days(30)),
        _counted("item_views_1d", "item", Count(), days(1), VIEWED),
        _counted("item_revenue_7d", "item", Sum("price_cents"), days(7), BOUGHT),
    )
)
"""Twelve: four counts, three sums, mean, smallest, largest, distinct and last, over 1h, 1d, 7d and 30d, by two keys, filtered."""

ASK = Contract(
    "ask",
    "A moment at which the features are wanted.",
    (Field("customer", "integer", key=True), Field("item", "integer", key=True)),
    days(1),
)


def chosen(*names: str) -> FeatureSet:
    """Some of them."""
    return features(counted=tuple(c for c in TRAINING.counted if c.name in names))


STREAM = chosen(
    "views_1h", "actions_1d", "purchases_30d", "spend_7d", "spend_30d", "price_mean_7d", "item_views_1d", "item_revenue_7d"
)  # fmt: skip
"""Eight that every peer of the stream can say: counts, sums and a mean."""

CUSTOMER = chosen(*(c.name for c in TRAINING.counted if c.by == "customer" and c.name != "purchases_30d"))
ITEM = chosen("item_views_1d", "item_revenue_7d")
"""What is read at a moment: nine of a customer, smallest, largest, distinct and last among them, and two of an item."""

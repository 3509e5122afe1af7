"""What we look at before we say that a review is a good one: its words, and what others said of the item."""

from pipelines.core.clock import days
from pipelines.core.feature import Count, Counted, Mean
from pipelines.core.feature import features as feature_set

given = ("language", "category", "text")

counted = (
    Counted("reviews_90d", of="review", by="item", how=Count(), over=days(90)),
    Counted("ratings_90d", of="rating", by="item", how=Count(), over=days(90)),
    Counted("stars_90d", of="rating", by="item", how=Mean("stars"), over=days(90)),
    Counted("refunds_28d", of="refund", by="item", how=Count(), over=days(28)),
)

features = feature_set(given=given, counted=counted)

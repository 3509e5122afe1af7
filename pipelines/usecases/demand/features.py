"""What we look at before we say how many will sell."""

from pipelines.core.clock import days
from pipelines.core.expression import maximum
from pipelines.core.feature import Count, Counted, Max, Mean, Sum
from pipelines.core.feature import features as feature_set

given = ("category", "price_cents", "on_hand", "promoted")

counted = (
    # What sold.
    Counted("units_1d", of="purchase", by="item", how=Sum("quantity"), over=days(1)),
    Counted("units_3d", of="purchase", by="item", how=Sum("quantity"), over=days(3)),
    Counted("units_7d", of="purchase", by="item", how=Sum("quantity"), over=days(7)),
    Counted("units_7d_week_ago", of="purchase", by="item", how=Sum("quantity"), over=days(7), delay=days(7)),
    Counted("units_7d_two_weeks_ago", of="purchase", by="item", how=Sum("quantity"), over=days(7), delay=days(14)),
    Counted("units_28d", of="purchase", by="item", how=Sum("quantity"), over=days(28)),
    Counted("units_56d", of="purchase", by="item", how=Sum("quantity"), over=days(56)),
    Counted("orders_28d", of="purchase", by="item", how=Count(), over=days(28)),
    Counted("largest_order_28d", of="purchase", by="item", how=Max("quantity"), over=days(28)),
    Counted("refunded_28d", of="refund", by="item", how=Sum("quantity"), over=days(28)),
    # How it stood on the shelf.
    Counted("usual_price_28d", of="listing", by="item", how=Mean("price_cents"), over=days(28)),
    Counted("promoted_days_7d", of="listing", by="item", how=Sum("promoted"), over=days(7)),
    Counted("promoted_days_28d", of="listing", by="item", how=Sum("promoted"), over=days(28)),
    Counted("empty_days_7d", of="listing", by="item", how=Count(), over=days(7), where=(("on_hand", 0),)),
    Counted("listed_days_28d", of="listing", by="item", how=Count(), over=days(28)),
    # Who was looking.
    Counted("views_1d", of="view_item", by="item", how=Count(), over=days(1)),
    Counted("views_7d", of="view_item", by="item", how=Count(), over=days(7)),
    Counted("carts_7d", of="add_to_cart", by="item", how=Sum("quantity"), over=days(7)),
)


def price_change(price_cents, usual_price_28d):
    """Today's price against the month's: 1 is as usual, below 1 is cheaper."""
    return price_cents / usual_price_28d


def weekly_units(units_28d, listed_days_28d):
    """Units in a usual week of the last month, for an item that is new as for one that is not."""
    return 7 * units_28d / maximum(listed_days_28d, 7)


def trend(units_7d, weekly_units):
    """The last week against a usual one."""
    return (units_7d + 1) / (weekly_units + 1)


def stock_weeks(on_hand, weekly_units):
    """For how many usual weeks the stock lasts."""
    return on_hand / (weekly_units + 1)


features = feature_set(given=given, counted=counted, derived=(price_change, weekly_units, trend, stock_weeks))

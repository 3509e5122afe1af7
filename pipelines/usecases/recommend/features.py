"""What we look at before we show an item, beside what retrieval says of it (how often it was seen, and after what)."""

from pipelines.core.clock import days, hours
from pipelines.core.feature import Count, Counted, Distinct
from pipelines.core.feature import features as feature_set

counted = (
    # How the candidate is doing.
    Counted("views_1d", of="view_item", by="item", key="candidate", how=Count(), over=days(1)),
    Counted("views_7d", of="view_item", by="item", key="candidate", how=Count(), over=days(7)),
    Counted("sessions_7d", of="view_item", by="item", key="candidate", how=Distinct("session"), over=days(7)),
    Counted("carts_7d", of="add_to_cart", by="item", key="candidate", how=Count(), over=days(7)),
    Counted("purchases_28d", of="purchase", by="item", key="candidate", how=Count(), over=days(28)),
    # How far this visit has come.
    Counted("session_views_1h", of="view_item", by="session", how=Count(), over=hours(1)),
    Counted("session_carts_1h", of="add_to_cart", by="session", how=Count(), over=hours(1)),
)


def first_view(session_views_1h):
    """Whether the visit has just begun."""
    return session_views_1h == 0


def rising(views_1d, views_7d):
    """The candidate's last day against its week: above 1, more and more look at it."""
    return 7 * (views_1d + 1) / (views_7d + 7)


def cart_rate(carts_7d, views_7d):
    """Carts per view of the candidate."""
    return carts_7d / (views_7d + 1)


features = feature_set(counted=counted, derived=(first_view, rising, cart_rate))

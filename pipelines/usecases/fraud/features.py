"""What we look at before we trust a payment."""

from pipelines.core.clock import DAY, days, hours
from pipelines.core.expression import maximum
from pipelines.core.feature import Count, Counted, Distinct, Max, Mean, Sum
from pipelines.core.feature import features as feature_set

given = ("amount_cents", "country", "device")

counted = (
    # How this card is used.
    Counted("payments_1h", of="payment", by="card", how=Count(), over=hours(1)),
    Counted("payments_6h", of="payment", by="card", how=Count(), over=hours(6)),
    Counted("payments_1d", of="payment", by="card", how=Count(), over=days(1)),
    Counted("payments_7d", of="payment", by="card", how=Count(), over=days(7)),
    Counted("payments_30d", of="payment", by="card", how=Count(), over=days(30)),
    Counted("spend_1d", of="payment", by="card", how=Sum("amount_cents"), over=days(1)),
    Counted("spend_7d", of="payment", by="card", how=Sum("amount_cents"), over=days(7)),
    Counted("usual_amount_7d", of="payment", by="card", how=Mean("amount_cents"), over=days(7)),
    Counted("usual_amount_30d", of="payment", by="card", how=Mean("amount_cents"), over=days(30)),
    Counted("largest_amount_30d", of="payment", by="card", how=Max("amount_cents"), over=days(30)),
    Counted("countries_1d", of="payment", by="card", how=Distinct("country"), over=days(1)),
    Counted("countries_30d", of="payment", by="card", how=Distinct("country"), over=days(30)),
    Counted("tills_1d", of="payment", by="card", how=Distinct("terminal"), over=days(1)),
    Counted("chargebacks_7d", of="chargeback", by="card", how=Count(), over=days(7)),
    Counted("chargebacks_30d", of="chargeback", by="card", how=Count(), over=days(30)),
    # What happens at this till.
    Counted("till_payments_1d", of="payment", by="terminal", how=Count(), over=days(1)),
    Counted("till_payments_7d", of="payment", by="terminal", how=Count(), over=days(7)),
    Counted("till_payments_30d", of="payment", by="terminal", how=Count(), over=days(30)),
    Counted("till_payments_7d_week_ago", of="payment", by="terminal", how=Count(), over=days(7), delay=days(7)),
    Counted("till_payments_30d_week_ago", of="payment", by="terminal", how=Count(), over=days(30), delay=days(7)),
    Counted("till_amount_30d", of="payment", by="terminal", how=Mean("amount_cents"), over=days(30)),
    Counted("till_chargebacks_1d", of="chargeback", by="terminal", how=Count(), over=days(1)),
    Counted("till_chargebacks_7d", of="chargeback", by="terminal", how=Count(), over=days(7)),
    Counted("till_chargebacks_30d", of="chargeback", by="terminal", how=Count(), over=days(30)),
    Counted("till_chargebacks_7d_week_ago", of="chargeback", by="terminal", how=Count(), over=days(7), delay=days(7)),
    Counted("till_chargebacks_30d_week_ago", of="chargeback", by="terminal", how=Count(), over=days(30), delay=days(7)),
)


def hour(ts):
    """The hour of the day, in UTC."""
    return ts % DAY // (DAY // 24)


def night(hour):
    """Whether it is before six in the morning."""
    return hour < 6


def weekend(ts):
    """Whether it is Saturday or Sunday; 1970 began on a Thursday."""
    return (ts // DAY + 3) % 7 >= 5


def new_card(payments_30d):
    """Whether the card has not paid here for a month."""
    return payments_30d == 0


def spend_share(amount_cents, spend_7d):
    """This payment's share of the card's week, it included."""
    return amount_cents / (spend_7d + amount_cents)


def times_usual(amount_cents, usual_amount_30d):
    """How many times the card's usual amount this is."""
    return amount_cents / usual_amount_30d


def over_largest(amount_cents, largest_amount_30d):
    """How far this is above the most that the card paid at once."""
    return amount_cents - largest_amount_30d


def till_risk_7d(till_chargebacks_7d, till_payments_7d):
    """Chargebacks per payment at this till in a week; those of other weeks are among them, so it may pass 1."""
    return till_chargebacks_7d / maximum(till_payments_7d, 1)


def till_risk_30d(till_chargebacks_30d, till_payments_30d):
    """Chargebacks per payment at this till in a month."""
    return till_chargebacks_30d / maximum(till_payments_30d, 1)


def till_risk_7d_week_ago(till_chargebacks_7d_week_ago, till_payments_7d_week_ago):
    """The same for the week before the last: where a chargeback bears its payment's time, the last is not known yet."""
    return till_chargebacks_7d_week_ago / maximum(till_payments_7d_week_ago, 1)


def till_risk_30d_week_ago(till_chargebacks_30d_week_ago, till_payments_30d_week_ago):
    """The same for the month that ended a week ago."""
    return till_chargebacks_30d_week_ago / maximum(till_payments_30d_week_ago, 1)


features = feature_set(
    given=given,
    counted=counted,
    derived=(
        hour,
        night,
        weekend,
        new_card,
        spend_share,
        times_usual,
        over_largest,
        till_risk_7d,
        till_risk_30d,
        till_risk_7d_week_ago,
        till_risk_30d_week_ago,
    ),
)

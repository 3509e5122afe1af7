"""Small worlds for the tests of this room: two kinds of events, a use case over them, and histories that go wrong in every way."""

import math

from hypothesis import strategies as st

from pipelines.core.clock import EVER, days, hours, minutes
from pipelines.core.contract import Contract, Field
from pipelines.core.decision import CostMatrix, Probability
from pipelines.core.event import Event
from pipelines.core.feature import (
    Count,
    Counted,
    Distinct,
    First,
    Label,
    Last,
    Max,
    Mean,
    Min,
    Rate,
    Ratio,
    Since,
    Std,
    Sum,
    Top,
    features,
    field,
)  # fmt: skip
from pipelines.core.usecase import Model, UseCase
from pipelines.features import plan
from pipelines.shop.tables import schema

BUY = Contract(
    "buy",
    "Somebody bought.",
    (
        Field("customer", "string", key=True, required=False),
        Field("item", "string", key=True, required=False),
        Field("cents", "cents", required=False),
        Field("weight", "number", required=False),
        Field("gift", "boolean", required=False),
        Field("country", "string", required=False),
    ),
    days(1),
)
BACK = Contract(
    "back",
    "Something came back.",
    (Field("item", "string", key=True, required=False), Field("cents", "cents", required=False)),
    days(1),
)
CONTRACTS = {"buy": BUY, "back": BACK}

COUNTED = (
    Counted("buys_30min", "buy", "customer", Count(), minutes(30)),
    Counted("buys_1d", "buy", "customer", Count(), days(1)),
    Counted("cents_1d", "buy", "customer", Sum("cents"), days(1)),
    Counted("mean_7d", "buy", "customer", Mean("cents"), days(7)),
    Counted("weight_7d", "buy", "customer", Mean("weight"), days(7)),
    Counted("low_1d", "buy", "customer", Min("cents"), days(1)),
    Counted("high_7d", "buy", "item", Max("weight"), days(7)),
    Counted("first_7d", "buy", "customer", First("country"), days(7)),
    Counted("last_ever", "buy", "customer", Last("cents"), EVER),
    Counted("lands_1d", "buy", "customer", Distinct("country"), days(1)),
    Counted("gifts_1d", "buy", "item", Count(), days(1), where=(("gift", True),)),
    Counted("plain_1d", "buy", "item", Sum("cents"), days(1), where=(("gift", None), ("country", "中国"))),
    Counted("backs_7d", "back", "item", Count(), days(7), delay=days(1)),
    Counted("backs_1h", "back", "item", Sum("cents"), hours(1), delay=minutes(7)),
    Counted("ever_cents", "buy", "customer", Sum("cents"), EVER),
    Counted("ever_low", "buy", "customer", Min("cents"), EVER, delay=hours(2)),
    Counted("gift_share", "buy", "customer", Mean("gift"), EVER),
    Counted("country_buys", "buy", "country", Count(), days(7)),
    Counted("both_7d", "buy", ("customer", "item"), Sum("cents"), days(7)),
    Counted("both_ever", "buy", ("item", "customer"), Last("country"), EVER, delay=days(1), key=("item", "customer")),
    Counted("spread_7d", "buy", "customer", Std("cents"), days(7)),
    Counted("spread_ever", "buy", "item", Std("gift"), EVER),
    Counted("usual_7d", "buy", "customer", Top("country"), days(7)),
    Counted("usual_cents_ever", "buy", ("customer", "country"), Top("cents"), EVER),
    Counted("usual_gift_1d", "buy", "item", Top("gift"), days(1), delay=hours(1)),
    Counted("since_1d", "buy", "customer", Since(), days(1)),
    Counted("since_back_ever", "back", "item", Since(), EVER, delay=days(1)),
    Counted("gift_rate_7d", "buy", "customer", Rate(field("gift") == True), days(7)),  # noqa: E712
    Counted("dear_rate_ever", "buy", "item", Rate((field("cents") > 10) | ~field("country").among("DE", None)), EVER),
    Counted("each_7d", "buy", "customer", Ratio(Sum("cents"), Count()), days(7)),
    Counted("gap_1d", "buy", "item", Ratio(Max("cents"), Distinct("country")), days(1)),
    Counted("heavy_1d", "buy", "customer", Count(), days(1), where=(field("weight") >= 0.5) & ~(field("gift") == None)),  # noqa: E711
    Counted("light_7d", "buy", "item", Max("cents"), days(7), where=(field("weight") < 0) | (field("cents") <= -5)),
)

STREAMED = tuple(c for c in COUNTED if plan.refusal(c) is None)
"""What the online store keeps; it refuses the others by name."""


def cents_share(cents, cents_1d, ts):
    """This purchase's share of the day, it included."""
    return cents / (cents_1d + cents) + ts * 0


def case(label=None, counted=COUNTED):
    return UseCase(
        name="returns",
        question="Will it come back?",
        asks=BUY,
        label=label or Label("back", "item", Count(), days(2), at_least=1),
        answers=Probability(CostMatrix(missed=100, wrong_block=10)),
        features=features(given=("cents", "country", "gift"), counted=counted, derived=(cents_share,)),
        models=(Model("dummy", None, "dummy"), Model("baseline", None, "baseline")),
        metrics=("average_precision",),
        unit="customer",
    )


MINUTE = 60_000_000
times = st.one_of(
    st.integers(0, 12 * 24 * 60).map(lambda n: n * MINUTE),
    st.integers(0, 6).map(lambda n: n * 24 * 60 * MINUTE),
    st.integers(0, 12 * 24 * 60 * MINUTE),
)
lags = st.one_of(
    st.just(0), st.just(0), st.integers(0, 3 * MINUTE), st.integers(0, 3 * 24 * 60 * MINUTE), st.integers(-5 * MINUTE, 0)
)
keys = st.sampled_from(["a", "b", "客户", "ñ'\"", None])
fields = {
    "buy": st.fixed_dictionaries(
        {
            "customer": keys,
            "item": keys,
            "cents": st.one_of(st.none(), st.integers(-(10**9), 10**9)),
            "weight": st.one_of(st.none(), st.floats(-1e3, 1e3).map(lambda x: round(x, 3))),
            "gift": st.sampled_from([True, False, None]),
            "country": st.sampled_from(["DE", "中国", None]),
        }
    ),
    "back": st.fixed_dictionaries({"item": keys, "cents": st.one_of(st.none(), st.integers(-(10**9), 10**9))}),
}


@st.composite
def histories(draw, most=25, corrections=True):
    """A log: events in the order they arrived, with offsets. Ids repeat where corrections and deletions (no
    content) come; equal times are common."""
    sent = []
    for n in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from(["buy", "buy", "back"]))
        name = f"e{draw(st.integers(0, n))}" if corrections and draw(st.integers(0, 5)) == 0 else f"e{n}"
        ts = draw(times)
        deleted = name != f"e{n}" and draw(st.integers(0, 2)) == 0
        sent.append((max(ts + draw(lags), 0), Event(kind, name, ts, {} if deleted else draw(fields[kind]))))
    return logged(sent)


def logged(sent):
    """What a log makes of (arrived, event) pairs: offsets in order of arrival, the same content only once."""
    log, known = [], set()
    for arrived, event in sorted(sent, key=lambda pair: pair[0]):
        if (event.kind, event.id, event.digest) not in known:
            known.add((event.kind, event.id, event.digest))
            log.append(Event(event.kind, event.id, event.ts, event.body, arrived, len(log) + 1))
    return log


def tables(log, again=()):
    """Event tables of the log; `again` holds events that a table has twice."""
    import pyarrow as pa

    made = {}
    for kind, contract in CONTRACTS.items():
        rows = [e for e in [*log, *again] if e.kind == kind]
        columns = {name: [getattr(e, name) for e in rows] for name in ("id", "ts", "arrived", "offset")}
        columns |= {f.name: [e.body.get(f.name) for e in rows] for f in contract.fields}
        made[kind] = pa.table(columns, schema=schema(contract))
    return made


def asks_of(log):
    """The asks: the first version of each purchase."""
    first = {}
    for event in log:
        if event.kind == "buy":
            first.setdefault(event.id, event)
    return sorted(first.values(), key=lambda e: (e.ts, e.id))


def same(a, b):
    """Equal to the last bit for integers and texts, to 1e-9 for fractions; null equals null."""
    null = [x is None or (isinstance(x, float) and math.isnan(x)) for x in (a, b)]
    if any(null) or isinstance(a, str) or isinstance(b, str):
        return all(null) or a == b
    return a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b), 1e-3)

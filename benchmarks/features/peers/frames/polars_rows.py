"""The twelve features by hand, in Polars: running sums looked up as of a moment, and, for the rest, each window's events laid out.

Windows and visibility as in the definition. An event is inside at the moments [enter, leave): from the microsecond after its
time, or from its arrival, until the window's far edge, rounded down to a tile, has passed it.
"""

import polars as pl

MINUTE = 60_000_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
GRAIN = {HOUR: 5 * MINUTE, DAY: HOUR, 7 * DAY: 6 * HOUR, 30 * DAY: DAY}
PARTS = 8
"""The customers are taken in so many parts where each window's events are laid out: bounds the memory."""
VIEWED, BOUGHT = pl.col("what") == "view", pl.col("what") == "purchase"
price = pl.col("price_cents")


def run(folder):
    events = pl.read_parquet(folder / "activity.parquet", columns=["ts", "arrived", "customer", "item", "what", "price_cents"])
    asks = pl.read_parquet(folder / "ask.parquet", columns=["ts", "customer", "item"]).with_row_index("place")
    asks = asks.with_columns(pl.col("place").cast(pl.Int64)).sort("ts")
    result = asks.select("place")
    for by, over, kept, names in (
        ("customer", HOUR, VIEWED, {"views_1h": "n"}),
        ("customer", DAY, pl.lit(value=True), {"actions_1d": "n"}),
        ("customer", 30 * DAY, BOUGHT, {"purchases_30d": "n", "spend_30d": "total"}),
        ("customer", 7 * DAY, BOUGHT, {"spend_7d": "total"}),
        ("customer", 7 * DAY, pl.lit(value=True), {"price_mean_7d": "mean"}),
        ("item", DAY, VIEWED, {"item_views_1d": "n"}),
        ("item", 7 * DAY, BOUGHT, {"item_revenue_7d": "total"}),
    ):
        found = looked_up(steps(events.filter(kept), by, over), asks, by)
        result = result.with_columns(found[source].alias(name) for name, source in names.items())
    laid = pl.concat([laid_out(events, asks, part) for part in range(PARTS)])
    result = result.join(laid, on="place", how="left").with_columns(pl.col("items_7d").fill_null(0))
    return result.sort("place").drop("place").to_arrow()


def steps(events, by, over):
    """The running count and sum after each moment at which an event enters or leaves the window."""
    leave = pl.col("ts") - pl.col("ts") % GRAIN[over] + GRAIN[over] + over
    enter = pl.max_horizontal(pl.col("ts") + 1, "arrived")
    inside = (
        events.lazy()
        .select(by, enter.alias("enter"), leave.alias("leave"), "price_cents")
        .filter(pl.col("enter") < pl.col("leave"))
    )
    changes = [
        inside.select(by, pl.col(edge).alias("moment"), pl.lit(sign).alias("n"), price * sign)
        for edge, sign in (("enter", 1), ("leave", -1))
    ]
    summed = pl.concat(changes).group_by(by, "moment").agg(pl.col("n").sum(), price.sum()).sort("moment")
    running = summed.select(by, "moment", pl.col("n").cum_sum().over(by), price.cum_sum().over(by).alias("total"))
    return running.collect()


def looked_up(steps, asks, by):
    """The count, sum and mean of each ask."""
    found = asks.join_asof(steps, left_on="ts", right_on="moment", by=by, check_sortedness=False)
    n, total = pl.col("n").fill_null(0), pl.col("total").fill_null(0)
    mean = pl.when(n > 0).then(total.cast(pl.Float64) / n)
    return found.select(n.cast(pl.Float64).alias("n"), total.cast(pl.Float64).alias("total"), mean.alias("mean"))


def laid_out(events, asks, part):
    """Smallest, largest, distinct and last, out of every event in each window, for some of the customers."""
    mine = events.filter(pl.col("customer") % PARTS == part).sort("customer", "ts").with_row_index("at")
    asked = asks.filter(pl.col("customer") % PARTS == part).select("place", "customer", asked="ts")
    far = ((pl.col("asked") - 30 * DAY) // DAY * DAY).alias("far")
    asked = asked.with_columns(far, week=(pl.col("asked") - 7 * DAY) // (6 * HOUR) * (6 * HOUR))
    for edge in ("far", "asked"):
        first = mine.select("customer", moment=pl.col("ts") + 1, **{f"to_{edge}": pl.col("at").cast(pl.Int64) + 1}).sort(
            "moment"
        )
        asked = (
            asked.sort(edge)
            .join_asof(first, left_on=edge, right_on="moment", by="customer", check_sortedness=False)
            .drop("moment")
        )
    begin = mine.group_by("customer").agg(pl.col("at").min().cast(pl.Int64).alias("begin"))
    asked = asked.join(begin, on="customer", how="inner").with_columns(pl.col("to_far", "to_asked").fill_null(pl.col("begin")))
    wide = (
        asked.with_columns(at=pl.int_ranges("to_far", "to_asked"))
        .drop("begin", "to_far", "to_asked", "far")
        .explode("at")
        .drop_nulls("at")
    )
    seen = wide.with_columns(mine["arrived", "ts", "item", "price_cents"][wide["at"]]).filter(
        pl.col("arrived") <= pl.col("asked")
    )
    week = pl.col("ts") >= pl.col("week")
    return seen.group_by("place").agg(
        price.filter(week).min().alias("price_min_7d"),
        price.max().alias("price_max_30d"),
        pl.col("item").filter(week).n_unique().alias("items_7d"),
        price.sort_by("at").last().alias("price_last_30d"),
    )


def keep(result, path):
    import pyarrow.parquet as pq

    pq.write_table(result, path)

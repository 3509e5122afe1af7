"""The twelve features by hand, in DuckDB: one range join per key, each aggregation filtered to its window."""

import duckdb
import pyarrow.parquet as pq

MINUTE = 60_000_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE


def inside(over, grain, what=None):
    """The filter of a window, tile-aligned at its far edge."""
    only = f" AND e.what = '{what}'" if what else ""
    return f"FILTER (WHERE e.ts >= (a.ts - {over}) - (a.ts - {over}) % {grain}{only})"


HOUR_VIEWS, DAY_ALL, DAY_VIEWS = inside(HOUR, 5 * MINUTE, "view"), inside(DAY, HOUR), inside(DAY, HOUR, "view")
WEEK, WEEK_BOUGHT = inside(7 * DAY, 6 * HOUR), inside(7 * DAY, 6 * HOUR, "purchase")
MONTH, MONTH_BOUGHT = inside(30 * DAY, DAY), inside(30 * DAY, DAY, "purchase")
QUERY = f"""WITH asks AS (SELECT *, file_row_number AS place FROM read_parquet('{{folder}}/ask.parquet', file_row_number = true)),
events AS (SELECT ts, arrived, customer, item, what, price_cents FROM read_parquet('{{folder}}/activity.parquet')),
by_customer AS (SELECT a.place, count(e.ts) {HOUR_VIEWS} AS views_1h, count(e.ts) {DAY_ALL} AS actions_1d,
  count(e.ts) {MONTH_BOUGHT} AS purchases_30d, coalesce(sum(price_cents) {WEEK_BOUGHT}, 0) AS spend_7d,
  coalesce(sum(price_cents) {MONTH_BOUGHT}, 0) AS spend_30d,
  (sum(price_cents) {WEEK})::DOUBLE / (count(e.ts) {WEEK})::DOUBLE AS price_mean_7d,
  min(price_cents) {WEEK} AS price_min_7d, max(price_cents) {MONTH} AS price_max_30d,
  count(DISTINCT e.item) {WEEK} AS items_7d, arg_max(price_cents, e.ts) {MONTH} AS price_last_30d
  FROM asks a LEFT JOIN events e ON a.customer = e.customer AND e.ts < a.ts AND e.ts >= a.ts - {31 * DAY} AND e.arrived <= a.ts
  GROUP BY a.place),
by_item AS (SELECT a.place, count(e.ts) {DAY_VIEWS} AS item_views_1d, coalesce(sum(price_cents) {WEEK_BOUGHT}, 0) AS item_revenue_7d
  FROM asks a LEFT JOIN events e ON a.item = e.item AND e.ts < a.ts AND e.ts >= a.ts - {8 * DAY} AND e.arrived <= a.ts
  GROUP BY a.place)
SELECT * EXCLUDE (place) FROM by_customer JOIN by_item USING (place) ORDER BY place"""


def run(folder):
    with duckdb.connect(config={"threads": 2}) as connection:
        return connection.sql(QUERY.format(folder=folder)).to_arrow_table()


def keep(result, path):
    pq.write_table(result, path)

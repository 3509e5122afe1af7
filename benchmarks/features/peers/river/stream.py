"""River's rolling aggregations over the same events: in memory, lost with the process, windows as of each key's newest event.

`TimeRolling` refuses Count, Max and Distinct (they cannot take an event back), so a count is a sum of ones.
"""

import json
from collections import Counter
from datetime import datetime, timedelta

from river import feature_extraction, stats, utils

DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1)
WANTED = (
    ("views_1h", "one", "customer", timedelta(hours=1), "view"),
    ("actions_1d", "one", "customer", DAY, None),
    ("purchases_30d", "one", "customer", 30 * DAY, "purchase"),
    ("spend_30d", "price_cents", "customer", 30 * DAY, "purchase"),
    ("spend_7d", "price_cents", "customer", 7 * DAY, "purchase"),
    ("price_mean_7d", "price_cents", "customer", 7 * DAY, None),
    ("item_views_1d", "one", "item", DAY, "view"),
    ("item_revenue_7d", "price_cents", "item", 7 * DAY, "purchase"),
)


def prepare(folder, events):
    lines = (folder / "events.jsonl").read_text().splitlines()[: int(events)]
    return sorted(lines, key=lambda line: json.loads(line)["ts"])


def run(lines):
    kinds = {"price_mean_7d": stats.Mean}
    made = {
        name: (feature_extraction.Agg(on=on, by=by, how=utils.TimeRolling(kinds.get(name, stats.Sum), period=over)), what)
        for name, on, by, over, what in WANTED
    }
    for line in lines:
        event = json.loads(line)
        event["one"] = 1
        moment = EPOCH + timedelta(microseconds=event["ts"])
        for agg, what in made.values():
            if what is None or event["what"] == what:
                agg.learn_one(event, t=moment)
    return lines, made


def facts(result):
    """How many of the first hundred customers' sums over 30 days are what they should be by River's own rule."""
    lines, made = result
    events = [json.loads(line) for line in lines]
    bought = [event for event in events if event["what"] == "purchase"]
    spend = made["spend_30d"][0]
    wrong = 0
    for key in [key for key, _ in Counter(event["customer"] for event in bought).most_common(100)]:
        mine = [event for event in bought if event["customer"] == key]
        since = mine[-1]["ts"] - int(timedelta(days=30).total_seconds() * 1e6)
        wrong += sum(event["price_cents"] for event in mine if event["ts"] > since) != next(iter(spend.transform_one({"customer": key}).values()))
    return {"events": len(lines), "wrong": int(wrong)}

"""The twelve features by hand, in numpy: sorted columns, binary search, running sums. Windows and visibility as in the definition.

An event is inside at the moments [enter, leave): from the microsecond after its time, or from its arrival, until the window's far
edge, rounded down to a tile, has passed it. So a count is a difference of two positions and a sum of two running sums. Smallest,
largest, distinct and last read the slice of the key's events by time, and again, one by one, where one of them had not arrived.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MINUTE = 60_000_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
GRAIN = {HOUR: 5 * MINUTE, DAY: HOUR, 7 * DAY: 6 * HOUR, 30 * DAY: DAY}
COLUMNS = ["ts", "arrived", "customer", "item", "what", "price_cents"]
TAKEN = 4_000_000
"""Events that are laid out one by one at once: bounds the memory."""


def run(folder):
    events, asks = read(folder)
    columns = customer(events, asks["customer"], asks["ts"])
    columns |= item(events, asks["item"], asks["ts"])
    return pa.table(columns)


def read(folder):
    table = pq.read_table(folder / "activity.parquet", columns=COLUMNS)
    words = table["what"].combine_chunks().dictionary_encode()
    events = {name: table[name].to_numpy() for name in COLUMNS if name != "what"}
    events["what"] = np.array(words.dictionary.to_pylist())[:, None] == np.array(["view", "purchase"])
    events["what"] = events["what"][words.indices.to_numpy()]
    asks = pq.read_table(folder / "ask.parquet", columns=["ts", "customer", "item"])
    return events, {name: asks[name].to_numpy() for name in asks.column_names}


def customer(events, key, ts):
    """Ten features of the customers at the moments ts."""
    viewed, bought = events["what"].T
    found = {}
    found["views_1h"] = counts(events, "customer", viewed, HOUR, key, ts)[0]
    found["actions_1d"] = counts(events, "customer", None, DAY, key, ts)[0]
    found["purchases_30d"], found["spend_30d"] = counts(events, "customer", bought, 30 * DAY, key, ts)
    found["spend_7d"] = counts(events, "customer", bought, 7 * DAY, key, ts)[1]
    n, total = counts(events, "customer", None, 7 * DAY, key, ts)
    found["price_mean_7d"] = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
    history = History(events, "customer")
    found |= history.week(*history.slices(key, ts, 7 * DAY), ts)
    return found | history.month(*history.slices(key, ts, 30 * DAY), ts)


def item(events, key, ts):
    """Two features of the items."""
    viewed, bought = events["what"].T
    views = counts(events, "item", viewed, DAY, key, ts)[0]
    return {"item_views_1d": views, "item_revenue_7d": counts(events, "item", bought, 7 * DAY, key, ts)[1]}


def counts(events, by, kept, over, key, ts):
    """How many events are inside, and the sum of their price."""
    at = slice(None) if kept is None else np.flatnonzero(kept)
    keys, when, price = events[by][at], events["ts"][at], events["price_cents"][at]
    leave = when - when % GRAIN[over] + GRAIN[over] + over
    enter = np.minimum(np.maximum(when + 1, events["arrived"][at]), leave)
    wanted = packed(key, ts)
    (n, total), (gone, spent) = (passed(packed(keys, moment), price, wanted) for moment in (enter, leave))
    return (n - gone).astype(float), (total - spent).astype(float)


def passed(moments, price, wanted):
    """How many of the moments have come by then, and the running sum of the price."""
    order = np.argsort(moments, kind="stable")
    n = np.searchsorted(moments[order], wanted, "right")
    return n, np.concatenate([[0], np.cumsum(price[order])])[n]


def packed(key, ts):
    """Key and time in one number that sorts like the two: 60 days of microseconds take 43 bits."""
    return (key << 44) + (ts - 20_000 * DAY)


class History:
    """The events of each key by time."""

    def __init__(self, events, by):
        order = np.argsort(packed(events[by], events["ts"]), kind="stable")
        self.key, self.ts, self.arrived = (events[name][order] for name in (by, "ts", "arrived"))
        self.price, self.thing = events["price_cents"][order], events["item"][order]
        self.place = packed(self.key, self.ts)
        self.complete = np.maximum.accumulate(packed(self.key, self.arrived))
        self.before = previous((self.key << 20) + self.thing)

    def slices(self, key, ts, over):
        """Where each window begins and ends, and the rows in whose window something had not arrived."""
        far = (ts - over) // GRAIN[over] * GRAIN[over]
        start, end = (np.searchsorted(self.place, packed(key, moment), "left") for moment in (far, ts))
        return start, end, np.flatnonzero(np.searchsorted(self.complete, packed(key, ts), "right") < end)

    def week(self, start, end, odd, ts):
        """The smallest price and the number of different items."""
        smallest, different = np.full(len(ts), np.nan), np.zeros(len(ts))
        for rows, row, at in self.events(np.arange(len(ts)), start, end):
            different[rows] = np.bincount(row[self.before[at] < start[rows][row]], minlength=len(rows))
        extreme(smallest, np.minimum, self.price, start, end)
        for rows, row, at in self.arrived_events(odd, start, end, ts):
            smallest[rows], different[rows] = np.nan, 0
            np.fmin.at(smallest, rows[row], self.price[at].astype(float))
            pairs = np.unique((row << 20) + self.thing[at])
            different[rows] = np.bincount(pairs >> 20, minlength=len(rows))
        return {"price_min_7d": smallest, "items_7d": different}

    def month(self, start, end, odd, ts):
        """The largest and the last price."""
        largest, last = np.full(len(ts), np.nan), np.full(len(ts), np.nan)
        extreme(largest, np.maximum, self.price, start, end)
        some = end > start
        last[some] = self.price[end[some] - 1]
        for rows, row, at in self.arrived_events(odd, start, end, ts):
            largest[rows], last[rows] = np.nan, np.nan
            np.fmax.at(largest, rows[row], self.price[at].astype(float))
            last[rows[row]] = self.price[at]
        return {"price_max_30d": largest, "price_last_30d": last}

    def events(self, rows, start, end):
        """The rows in parts, and of each part the events one by one: their row in the part and their position, by time."""
        lengths = (end - start)[rows]
        parts = np.searchsorted(np.cumsum(lengths), np.arange(TAKEN, max(lengths.sum(), 1), TAKEN))
        for part in np.split(np.arange(len(rows)), parts):
            size = lengths[part]
            row = np.repeat(np.arange(len(part)), size)
            first = np.repeat(start[rows[part]] - np.concatenate([[0], np.cumsum(size)[:-1]]), size) if len(part) else row
            yield rows[part], row, first + np.arange(len(row))

    def arrived_events(self, rows, start, end, ts):
        for some, row, at in self.events(rows, start, end):
            there = self.arrived[at] <= ts[some][row]
            yield some, row[there], at[there]


def extreme(into, ufunc, values, start, end):
    """The smallest or largest of each slice that has any; slices in the order of their start overlap and so cost what they hold."""
    rows = np.flatnonzero(end > start)
    rows = rows[np.argsort(start[rows], kind="stable")]
    edges = np.column_stack([start[rows], end[rows]]).ravel()
    into[rows] = ufunc.reduceat(np.append(values, values[-1:]), edges)[::2]


def previous(label):
    """For each position the last one before it with the same label, -1 where there is none."""
    order = np.argsort(label, kind="stable")
    same = label[order[1:]] == label[order[:-1]]
    before = np.full(len(label), -1)
    before[order[1:][same]] = order[:-1][same]
    return before


def keep(result, path):
    pq.write_table(result, path)

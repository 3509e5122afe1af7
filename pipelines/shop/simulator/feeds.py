"""What the shop sends of a day: events with their ids and times, as each feed would deliver them on an ordinary day."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.core.clock import DAY, SECOND
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.incidents import Incident
from pipelines.shop.simulator.history import Day
from pipelines.shop.simulator.orders import DEVICES, HOUR
from pipelines.shop.simulator.sessions import TRAIL
from pipelines.shop.simulator.world import CATEGORIES, COUNTRIES, NEW_CATEGORY, World
from pipelines.shop.tables import table

REPORTED = 0.96
"""Of the frauds that end in a chargeback; of the honest payments, FRIENDLY do."""
FRIENDLY = 0.0004
RETURNED = 0.04
CARTED = 0.08
SEARCHED = 0.25
LATEST = 8
"""Days after which everything that a day gave rise to has arrived, incidents aside."""
REASONS = ("too small", "broken", "not as shown", "changed my mind")

Feeds = dict[str, pa.Table]


def feeds(world: World, today: Day, incidents: tuple[Incident, ...]) -> Feeds:
    """Every feed's events that the day gave rise to, those of later days (chargebacks, stars) included; by (arrived, ts, id)."""
    random = world.random("after", today.day)
    made = _selling(world, today, random) | _browsing(world, today) | _speaking(world, today)
    made |= {"listing": _listings(world, today), "campaign": _campaigns(world, today, incidents)}
    return made


def order_ids(world: World, today: Day) -> pa.Array:
    return _numbered("o", world.date(today.day), today.orders.n)


def payment_ids(world: World, today: Day) -> pa.Array:
    return _numbered("p", world.date(today.day), today.orders.n)


def review_ids(world: World, today: Day) -> pa.Array:
    return _numbered("r", world.date(today.day), len(today.reviews.order))


def amounts(today: Day) -> np.ndarray:
    """Cents of each order."""
    orders = today.orders
    cents = today.shelf.price[orders.item] * orders.quantity
    return np.bincount(orders.of, cents, orders.n).astype(np.int64)


def _selling(world: World, today: Day, random: np.random.Generator) -> Feeds:
    orders, date = today.orders, world.date(today.day)
    names = _people(world, orders.customer, orders.terminal, orders.country, orders.device)
    ids, payments, cents = order_ids(world, today), payment_ids(world, today), amounts(today)
    lines = {
        "order_id": ids.take(orders.of), "customer": names["customer"].take(orders.of), "item": world.item_names.take(orders.item),
        "quantity": orders.quantity, "price_cents": today.shelf.price[orders.item], "country": names["country"].take(orders.of),
    }  # fmt: skip
    paid = {"payment_id": payments, "order_id": ids, "amount_cents": np.minimum(cents, 500_000), **names}
    bought = orders.ts[orders.of]
    line_ids = _numbered("l", date, len(orders.of))
    refunds = np.flatnonzero((random.random(len(orders.of)) < RETURNED) & (orders.scenario[orders.of] == 0))
    back = bought[refunds] + (random.uniform(24, 140, len(refunds)) * HOUR).astype(np.int64)
    reason = pa.array(REASONS).take(random.integers(0, len(REASONS), len(refunds)))
    given = {name: _take(lines[name], refunds) for name in ("order_id", "customer", "item", "quantity", "price_cents")}
    return {
        "purchase": _event("purchase", line_ids, bought, random, lines),
        "payment": _event("payment", payments, orders.ts, random, paid),
        "refund": _event("refund", _numbered("b", date, len(refunds)), back, random, given | {"reason": reason}),
        "chargeback": _chargebacks(world, today, random, paid),
    }


def _chargebacks(world: World, today: Day, random: np.random.Generator, paid: dict[str, Any]) -> pa.Table:
    """Most frauds and a few honest payments, one to five days later."""
    orders = today.orders
    likely = np.where(orders.scenario > 0, REPORTED, FRIENDLY)
    told = np.flatnonzero(random.random(orders.n) < likely)
    ts = orders.ts[told] + DAY + (random.beta(1.5, 2.5, len(told)) * 3.9 * DAY).astype(np.int64)
    columns = {name: _take(paid[name], told) for name in ("payment_id", "card", "customer", "terminal", "amount_cents")}
    return _event("chargeback", _numbered("k", world.date(today.day), len(told)), ts, random, columns)


def _browsing(world: World, today: Day) -> Feeds:
    """Views, carts and searches. Each has its own randomness, so that robots, who come last, leave people's as they are."""
    carting, asking, *sending = (world.random("after", today.day, feed) for feed in range(2, 7))
    seen, date = today.visits, world.date(today.day)
    of = np.repeat(np.arange(len(seen.length)), seen.length)
    step = np.arange(len(of)) - np.repeat(np.cumsum(seen.length) - seen.length, seen.length)
    item, ts = seen.items[of, step], seen.ts[of, step]
    session = _numbered("s", date, len(seen.length)).take(of)
    customer = world.customer_names.take(pa.array(seen.customer[of], mask=seen.customer[of] < 0))
    who = {"session": session, "customer": customer}
    views = who | {"item": world.item_names.take(item), "trail": _trails(world, item, step)}
    last = step == seen.length[of] - 1
    human = ~seen.robot[of]
    carts = np.flatnonzero(human & ((carting.random(len(of)) < CARTED) | (last & (seen.order[of] >= 0))))
    carted = {name: _take(values, carts) for name, values in (who | {"item": views["item"]}).items()}
    carted |= {"quantity": np.ones(len(carts), np.int64), "price_cents": today.shelf.price[item[carts]]}
    asked = np.flatnonzero(human & (step == 0) & (asking.random(len(of)) < SEARCHED))
    searches = {name: _take(values, asked) for name, values in who.items()}
    shelf = world.category[item[asked]]
    found = np.bincount(world.category[today.shelf.listed], minlength=len(CATEGORIES) + 1)
    searches |= {"query": world.category_names.take(item[asked]), "results": found[shelf]}
    return {
        "view_item": _event("view_item", _numbered("v", date, len(of)), ts, sending[0], views),
        "add_to_cart": _event("add_to_cart", _numbered("a", date, len(carts)), ts[carts] + 20 * SECOND, sending[1], carted),
        "search": _event("search", _numbered("q", date, len(asked)), ts[asked] - 15 * SECOND, sending[2], searches),
    }


def _trails(world: World, item: np.ndarray, step: np.ndarray) -> pa.Array:
    """For each view the items viewed before it in its visit; visits lie one after the other."""
    before = np.minimum(step, TRAIL)
    offsets = np.concatenate([[0], np.cumsum(before)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], before)
    at = np.repeat(np.arange(len(item)) - before, before) + within
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), world.item_names.take(item[at]))


def _speaking(world: World, today: Day) -> Feeds:
    told, random = today.reviews, world.random("after", today.day, 1)
    ids, item = review_ids(world, today), world.item_names.take(told.item)
    columns = {
        "review_id": ids, "item": item, "customer": world.customer_names.take(today.orders.customer[told.order]),
        "category": world.category_names.take(told.item), "language": pa.array(np.where(told.chinese, "zh", "en")), "text": told.text,
    }  # fmt: skip
    rated = np.flatnonzero(told.rated)
    stars = {"review_id": ids.take(rated), "item": item.take(rated), "stars": told.stars[rated]}
    return {
        "review": _event("review", ids, told.ts, random, columns),
        "rating": _event("rating", _numbered("g", world.date(today.day), len(rated)), told.rated[rated], random, stars),
    }


def _listings(world: World, today: Day) -> pa.Table:
    """Every listed item as the day begins; the feed is sent in one go, right after midnight."""
    listed = np.flatnonzero(today.shelf.listed)
    midnight = world.midnight(today.day)
    columns = {
        "item": world.item_names.take(listed), "category": world.category_names.take(listed), "price_cents": today.shelf.price[listed],
        "on_hand": today.on_hand[listed], "promoted": today.shelf.promoted[listed].astype(np.int64),
    }  # fmt: skip
    ids = pa.array([f"{name}-{world.date(today.day)}" for name in columns["item"].to_pylist()], pa.string())
    ts = np.full(len(listed), midnight)
    return table(CONTRACTS["listing"], ids, ts, ts + SECOND, columns)


def _campaigns(world: World, today: Day, incidents: tuple[Incident, ...]) -> pa.Table:
    """A promotion week is announced on its first morning."""
    weeks = [i for i in incidents if i.name == "promotion_week" and i.first_day == today.day]
    ids = [f"campaign-{week.category or NEW_CATEGORY}-{world.date(today.day)}" for week in weeks]
    columns = {
        "campaign_id": ids, "category": [week.category for week in weeks], "discount": [week.size for week in weeks],
        "lasts_days": [week.days for week in weeks], "channel": ["mail"] * len(weeks),
    }  # fmt: skip
    ts = np.full(len(weeks), world.midnight(today.day))
    return table(CONTRACTS["campaign"], ids, ts, ts + SECOND, columns)


def _people(
    world: World, customer: np.ndarray, terminal: np.ndarray, country: np.ndarray, device: np.ndarray
) -> dict[str, pa.Array]:
    return {
        "card": world.card_names.take(customer), "customer": world.customer_names.take(customer),
        "terminal": world.terminal_names.take(terminal), "country": pa.array(COUNTRIES).take(country),
        "device": pa.array(DEVICES).take(device),
    }  # fmt: skip


def _event(kind: str, ids: pa.Array, ts: np.ndarray, random: np.random.Generator, columns: dict[str, Any]) -> pa.Table:
    """An event table; most events arrive within seconds, three in a thousand within half an hour."""
    n = len(ts)
    wait = random.exponential(1.5, n) + np.where(random.random(n) < 0.003, random.uniform(0, 1800, n), 0) + 0.05
    return table(CONTRACTS[kind], ids, ts, ts + (wait * SECOND).astype(np.int64), columns)


def _numbered(letter: str, date: str, n: int) -> pa.Array:
    return pa.array([f"{letter}{date}-{i:05d}" for i in range(n)], pa.string())


def _take(values: Any, rows: np.ndarray) -> Any:
    return values.take(rows) if isinstance(values, pa.Array) else values[rows]

"""The naive oracle: what a feature and a label mean, in two loops, as plainly as Python can say it. Slow on purpose."""

import math
from fractions import Fraction

from pipelines.core.clock import EVER, micros
from pipelines.core.feature import tile


def newest(log, known):
    """Events as `known` knew them: per id the version that came last; the same content again is a duplicate."""
    versions, seen = {}, set()
    for event in sorted(log, key=lambda e: (e.arrived, e.offset)):
        content = (event.kind, event.id, event.digest)
        if known(event) and content not in seen:
            seen.add(content)
            versions[event.kind, event.id] = event
    return versions.values()


def counted(feature, ask, log, *, seen=None, key=None):
    """One feature at one ask. `key` is the candidate, where that is looked up."""
    visible = (lambda e: e.offset <= seen) if seen is not None else (lambda e: e.arrived <= ask.ts)
    wanted = [key if name == "candidate" else ask.body.get(name) for name in listed(feature.key or feature.by)]
    end = ask.ts - micros(feature.delay)
    grain = micros(tile(feature.over))
    start = -math.inf if feature.over == EVER else (end - micros(feature.over)) // grain * grain
    inside = []
    for event in newest(log, visible):
        itself = event.kind == ask.kind and event.id == ask.id
        same = None not in wanted and [event.body.get(name) for name in listed(feature.by)] == wanted
        if event.kind == feature.of and not itself and same and kept(feature.where, event.body) and start <= event.ts < end:
            inside.append(event)
    return aggregate(feature.how, inside, end)


def label(definition, ask, log, as_of):
    """The label of one ask as known at as_of."""
    start = ask.ts + micros(definition.ahead)
    inside = []
    for event in newest(log, lambda e: e.arrived <= as_of):
        own = event.kind == ask.kind
        later = (event.ts, event.id) > (ask.ts, ask.id) and event.id != ask.id if own else True
        wanted = [ask.body.get(name) for name in listed(definition.by)]
        same = None not in wanted and [event.body.get(name) for name in listed(definition.by)] == wanted
        ahead = start <= event.ts < start + micros(definition.within)
        if event.kind == definition.of and same and later and ahead and kept(definition.where, event.body):
            inside.append(event)
    value = aggregate(definition.how, inside, start)
    if definition.at_least is None or value is None or (isinstance(value, float) and math.isnan(value)):
        return value
    return float(value >= definition.at_least)


def kept(where, body):
    """Whether the event meets the condition; a comparison with nothing is false."""
    if where.op == "not":
        return not kept(where.args[0], body)
    if where.op in ("and", "or"):
        return (all if where.op == "and" else any)([kept(part, body) for part in where.args])
    value, wanted = body.get(where.args[0]), where.args[1:]
    if where.op in ("is", "in"):
        return value in wanted
    return value is not None and {
        "lt": value < wanted[0], "le": value <= wanted[0], "gt": value > wanted[0], "ge": value >= wanted[0]
    }[where.op]  # fmt: skip


class Refused(Exception):
    """A set held more different values than its cap."""


def aggregate(how, events, end):
    if how.how == "ratio":
        above, below = (aggregate(half, events, end) for half in how.halves)
        return math.nan if math.isnan(above) or math.isnan(below) or below == 0 else above / below
    if how.field:
        return of_values(how, sorted((e for e in events if e.body.get(how.field) is not None), key=lambda e: (e.ts, e.id)))
    if how.how == "count":
        return float(len(events))
    if not events:
        return math.nan
    return {
        "rate": lambda: sum(kept(how.where, e.body) for e in events) / len(events),
        "since": lambda: (end - max(e.ts for e in events)) / 1e6,
        "until": lambda: (min(e.ts for e in events) - end) / 1e6,
    }[how.how]()


def of_values(how, events):
    """An aggregation of a field, over the events that have it, by (ts, id)."""
    values = [e.body[how.field] for e in events]
    if how.cap is not None and len(set(values)) > how.cap:
        raise Refused
    if not values:
        return 0.0 if how.how in ("sum", "distinct") else math.nan
    return plain({
        "sum": lambda: sum(values),
        "mean": lambda: sum(values) / len(values),
        "std": lambda: math.sqrt(sum((v - Fraction(sum(values), len(values))) ** 2 for v in values) / len(values)),
        "min": lambda: min(values),
        "max": lambda: max(values),
        "first": lambda: values[0],
        "last": lambda: values[-1],
        "distinct": lambda: len(set(values)),
        "top": lambda: min(v for v in values if values.count(v) == max(map(values.count, values))),
    }[how.how]())  # fmt: skip


def listed(names):
    return [names] if isinstance(names, str) else list(names)


def plain(value):
    return float(value) if isinstance(value, int | float) else value

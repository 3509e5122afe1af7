"""The naive oracle: what a feature and a label mean, in two loops, as plainly as Python can say it. Slow on purpose."""

import math

from pipelines.core.clock import EVER, micros
from pipelines.core.feature import tile

ORDER = {"first": min, "last": max}


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
    wanted = key if feature.key == "candidate" else ask.body.get(feature.key or feature.by)
    end = ask.ts - micros(feature.delay)
    grain = micros(tile(feature.over))
    start = -math.inf if feature.over == EVER else (end - micros(feature.over)) // grain * grain
    inside = []
    for event in newest(log, visible):
        itself = event.kind == ask.kind and event.id == ask.id
        same = wanted is not None and event.body.get(feature.by) == wanted
        kept = all(event.body.get(name) == value for name, value in feature.where)
        if event.kind == feature.of and not itself and same and kept and start <= event.ts < end:
            inside.append(event)
    return aggregate(feature.how, inside)


def label(definition, ask, log, as_of):
    """The label of one ask as known at as_of."""
    start = ask.ts + micros(definition.ahead)
    inside = []
    for event in newest(log, lambda e: e.arrived <= as_of):
        own = event.kind == ask.kind
        later = (event.ts, event.id) > (ask.ts, ask.id) and event.id != ask.id if own else True
        same = ask.body.get(definition.by) is not None and event.body.get(definition.by) == ask.body[definition.by]
        if event.kind == definition.of and same and later and start <= event.ts < start + micros(definition.within):
            inside.append(event)
    value = aggregate(definition.how, inside)
    if definition.at_least is None or value is None or (isinstance(value, float) and math.isnan(value)):
        return value
    return float(value >= definition.at_least)


def aggregate(how, events):
    values = [e.body.get(how.field) for e in events if how.field and e.body.get(how.field) is not None]
    if how.how == "count":
        return float(len(events))
    if how.how == "sum":
        return float(sum(values))
    if how.how == "distinct":
        return float(len(set(values)))
    if how.how in ORDER:
        valued = [e for e in events if e.body.get(how.field) is not None]
        return plain(ORDER[how.how](valued, key=lambda e: (e.ts, e.id)).body[how.field]) if valued else math.nan
    if not values:
        return math.nan
    return {"mean": lambda: sum(values) / len(values), "min": lambda: float(min(values)), "max": lambda: float(max(values))}[
        how.how
    ]()


def plain(value):
    return float(value) if isinstance(value, int | float) else value

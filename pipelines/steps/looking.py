"""What the monitor sees of a use case: its feeds, features, answers and matured labels, against the same weekdays before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.clock import DAY, day_of, days, micros
from pipelines.core.decision import Ranking
from pipelines.core.errors import NotDecidable
from pipelines.core.verdict import Finding
from pipelines.steps import bundle, journal
from pipelines.steps.importance import importance
from pipelines.steps.outcomes import Money, Outcomes
from pipelines.steps.rows import Rows, from_arrow
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.core.params import Block, Monitor
    from pipelines.core.release import Bundle
    from pipelines.core.usecase import UseCase
    from pipelines.store.home import Home

Refused = Mapping[str, np.ndarray]
FEED_KINDS = {"string": "category", "text": "text", "strings": "text"}
FEWEST_DAILY = 50
"""Rows that a day must have to be looked at by itself."""
MOST_REFUSED = 0.05
FEWEST_REFUSED = 10
"""A feed is broken on a day when more of its rows than this share, and more than so few, broke their contract."""
MOST_DAYS = 28
"""Days since the last look that are looked at by themselves at most."""
MOST_ROWS = 40_000
"""Rows a look scores at most; of a larger window it takes a sample of units, the same one each time."""


@dataclass(frozen=True)
class Seen:
    """One look. `before` holds what the labels said of earlier windows, oldest first, where the newest window's says that quality
    fell. `labels` and `positives` matured since the last retraining; `broken_days` are partitions that fail by themselves;
    `money` is what the answers cost more than before; `former` what releases before the champion would do, where
    quality fell: the nearest first.
    """

    as_of: int
    findings: list[Finding]
    before: list[list[Finding]] = field(default_factory=list)
    money: Money | None = None
    labels: int = 0
    positives: int = 0
    broken_days: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rows: Rows | None = None
    scores: Any = None
    former: Mapping[str, Finding] = field(default_factory=dict)


def see(workspace: Workspace, home: Home, case: str, as_of: int) -> Seen:
    """Look at the window that ends at `as_of`. Broken feeds are seen first: nothing else is computed on top of them.

    Raises NotDecidable when nothing answers yet, ShelflifeError when the data cannot be read.
    """
    usecase, block = workspace.case(case), workspace.params.block(case)
    champion = home.releases.answering(case)
    if champion is None:
        raise NotDecidable(f"{case}: nothing answers yet, so there is nothing to watch")
    held = home.quarantine.held(usecase.kinds)
    tables = {kind: home.landing.table(kind, as_of, held) for kind in usecase.kinds}
    since = _last_look(home, case, as_of)
    refused = home.quarantine.arrivals(usecase.kinds, as_of - MOST_DAYS * DAY)
    findings, broken = feeds(usecase, block, tables, as_of, refused, since=since, held=held)
    if any(f.status == "fail" for f in findings):
        return Seen(as_of, findings, broken_days=broken)
    _, _, released = champion
    told = home.landing.table("prediction", as_of) if usecase.hidden_by else None
    holdout = holdout_of(block, released.manifest)
    rows = watched_rows(usecase, block, tables, as_of, released.files, holdout, told)
    scorer = bundle.open_scorer(released.files)
    scores = scorer.score({name: rows[name] for name in bundle.model_columns(usecase)})
    findings += shifts(usecase, block, rows, scores, as_of, importance(usecase, released.files, scorer))
    outcomes = Outcomes.at(usecase, block, rows, scores, as_of, holdout)
    found = outcomes.performance()
    findings += [outcomes.estimated(as_of), found]
    fell = found.status == "fail"
    labels, positives = outcomes.fresh(_last_learnt(home, case, as_of))
    former = outcomes.recall(_formers(home, usecase, rows))
    return Seen(
        as_of, findings, outcomes.lasting() if fell else [], outcomes.money() if fell else None, labels, positives, {}, rows, scores,
        former,
    )  # fmt: skip


def _formers(home: Home, usecase: UseCase, rows: Rows) -> dict[str, np.ndarray]:
    """The scores of the releases before the champion, the nearest first, by how many rollbacks lead there. Left out is what reads
    other features than these rows hold, and what retention has removed."""
    from pipelines.core.feature import FeatureSet
    from pipelines.evaluation.recall import MOST

    columns = {name: rows[name] for name in bundle.model_columns(usecase)}
    found = {}
    for back, name in enumerate(home.releases.formers(usecase.name)[:MOST], 1):
        files = home.releases.read(name).files
        features = FeatureSet.from_json(files["features.json"])
        if features.digest == usecase.features.digest and "index.npz" not in files:
            found[f"{back} release{'s' * (back > 1)} back"] = bundle.open_scorer(files).score(columns)
    return found


def feeds(
    usecase: UseCase,
    block: Block,
    tables: Mapping[str, Any],
    as_of: int,
    refused: Refused = MappingProxyType({}),
    *,
    since: int | None = None,
    held: Collection[tuple[str, str]] = (),
) -> tuple[list[Finding], dict[str, tuple[str, ...]]]:
    """Data quality of each feed over the week and of each day since the last look (`since`; a week where that is not said), and
    the days that are broken.

    A day that fails is named in the week's finding: a fault of one day drowns in a week. Days that are held are known.
    """
    from pipelines.shop.backlog import due

    findings: list[Finding] = []
    broken: dict[str, tuple[str, ...]] = {}
    for kind, table in tables.items():
        columns = from_arrow(_recent(table, block, as_of))
        columns["due"] = due(columns["ts"], columns["arrived"])
        odd = _odd(kind, columns)
        week = {f.name: f for f in _feed_quality(usecase, kind, columns, _weekly(usecase, kind, block), as_of, odd)}
        ends = [end for end in _ends(as_of, since) if (kind, day_of(end - 1)) not in held]
        days_found = broken_days(usecase, kind, columns, block, ends, refused.get(kind, np.zeros(0, np.int64)), odd)
        week |= {f.name: replace(f, advice=f"on {day}: {f.advice}") for day, found in days_found.items() for f in found}
        findings += [*week.values(), *_backlog(kind, columns, ends[0] - DAY if ends else as_of, as_of)]
        if days_found:
            broken[kind] = tuple(days_found)
    return findings, broken


def _recent(table: pa.Table, block: Block, as_of: int) -> pa.Table:
    """The rows that a look at the feeds reads: a shop of many years costs no more than one of some months."""
    import pyarrow.compute as pc

    from pipelines.evaluation.windows import history_needed
    from pipelines.shop.backlog import WEEKS

    watched = max(
        history_needed(replace(block.monitor, window=days(long))) + back * DAY for long, back in ((7, 0), (1, MOST_DAYS))
    )
    return table.filter(pc.greater_equal(table["arrived"], as_of - watched - 7 * WEEKS * DAY))


def _ends(as_of: int, since: int | None) -> range:
    """When each day since the last look ended, at least the last one and at most four weeks of them."""
    many = 7 if since is None else min(max(-(-(as_of - since) // DAY), 1), MOST_DAYS)
    return range(as_of - (many - 1) * DAY, as_of + DAY, DAY)


def _weekly(usecase: UseCase, kind: str, block: Block) -> Monitor:
    """The watch over a whole week: feeds beside the asks are thinner."""
    week = replace(block.monitor, window=days(7))
    return week if kind == usecase.asks.kind else replace(week, min_rows=max(20, week.min_rows // 20))


def _odd(kind: str, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The odd rows of a feed."""
    from pipelines.evaluation.oddities import oddities
    from pipelines.shop.contracts import CONTRACTS

    contract = CONTRACTS[kind]
    kinds = {f.name: FEED_KINDS.get(f.type, "number") for f in contract.fields}
    fields = {name: columns[name] for name in kinds if name in columns and kinds[name] != "text"}
    return oddities(fields, kinds, contract.keys, columns["ts"].astype(np.int64), columns["due"])


def _backlog(kind: str, columns: Mapping[str, np.ndarray], first: int, as_of: int) -> list[Finding]:
    """What came at once after the feed had been silent: noted, for it is late and not broken."""
    arrived = columns["arrived"].astype(np.int64)
    late = int(((arrived >= first) & (arrived < as_of) & (arrived != columns["due"])).sum())
    words = f"{late:,} rows came after the feed had been silent; each counts for the day on which it happened"
    return [Finding(f"quality: {kind} backlog", "pass", float(late), "no row held back", advice=words)] if late else []


def _feed_quality(
    usecase: UseCase, kind: str, columns: Mapping[str, np.ndarray], watch: Monitor, as_of: int, odd: Mapping[str, np.ndarray]
) -> list[Finding]:
    from pipelines.evaluation import quality
    from pipelines.evaluation.windows import windows
    from pipelines.shop.contracts import CONTRACTS

    contract = CONTRACTS[kind]
    kinds = {f.name: FEED_KINDS.get(f.type, "number") for f in contract.fields}
    fields = {name: columns[name] for name in kinds if name not in contract.keys and kinds[name] != "text"}
    when = columns["arrived"].astype(np.int64)
    seen = windows(when, watch, as_of, columns.get(usecase.unit))
    fresh, most = micros(contract.freshness), {f.name: f.maximum for f in contract.fields if f.maximum is not None}
    due = windows(columns["due"], watch, as_of)
    found = quality.quality(fields, kinds, when, seen, watch, now=as_of, freshness_us=fresh, odd=odd, most=most, due=due)
    named = [replace(f, name=f.name.replace("quality: ", f"quality: {kind} ")) for f in found]
    return [f for f in named if kind == usecase.asks.kind or f.status != "unsure"]


def broken_days(
    usecase: UseCase,
    kind: str,
    columns: Mapping[str, np.ndarray],
    block: Block,
    ends: Sequence[int],
    refused: np.ndarray,
    odd: Mapping[str, np.ndarray],
) -> dict[str, list[Finding]]:
    """The days, by when they end, whose own data fails, each against the same weekday before, with what failed.

    `refused` holds when each row came that broke its contract and waits in quarantine (microseconds UTC).
    """
    daily = replace(block.monitor, window=days(1), min_rows=FEWEST_DAILY)
    found = {}
    for end in ends:
        seen = [*_feed_quality(usecase, kind, columns, daily, end, odd), _refused(kind, columns, refused, end)]
        failing = [f for f in seen if f.status == "fail"]
        if failing:
            found[day_of(end - 1)] = failing
    return found


def _refused(kind: str, columns: Mapping[str, np.ndarray], refused: np.ndarray, end: int) -> Finding:
    """How large a share of the day's rows broke their contract: the feed is broken when many did, whatever the others look like."""
    bad = int(((refused > end - DAY) & (refused <= end)).sum())
    good = int(((columns["arrived"] >= end - DAY) & (columns["arrived"] < end)).sum())
    share = bad / max(bad + good, 1)
    name, wanted = f"quality: {kind} refused", f"at most {MOST_REFUSED:.0%} of a day's rows break their contract"
    return Finding(
        name,
        "fail" if share > MOST_REFUSED and bad > FEWEST_REFUSED else "pass",
        share,
        wanted,
        advice=f"{bad:,} of {bad + good:,} rows",
    )


def watched_rows(
    usecase: UseCase,
    block: Block,
    tables: Mapping[str, Any],
    as_of: int,
    files: Mapping[str, bytes],
    holdout: tuple[int, int],
    told: Any = None,
) -> Rows:
    """Rows of the window, its reference, of the asks whose labels matured meanwhile, and of the champion's holdout, however long
    ago that was; as they were known at each ask. `told` are our answers, where one of them may have hidden a label."""
    from pipelines.evaluation.windows import history_needed
    from pipelines.features import batch, seen

    first = as_of - history_needed(block.monitor) - micros(usecase.label.matures)
    index = None
    if isinstance(usecase.answers, Ranking):
        from pipelines.features.candidates import Index

        # The champion's own index was fitted before its holdout; what lies before it cannot be watched with it.
        index = replace(Index.from_npz(files["index.npz"]), until=0)
    share = _share(usecase, block, tables, first, as_of)
    keep = _kept(usecase.unit, share, ((first, as_of), holdout))
    span = min(first, holdout[0]), as_of
    table = batch.rows(usecase, tables, span, as_of=as_of, index=index, keep=keep, threads=block.train.threads)
    if told is not None:
        table = seen.weighed(table, told, usecase.name, usecase.hidden_by, block.label.heaviest)
    return Rows(from_arrow(table))


def _kept(unit: str, share: float, spans: Sequence[tuple[int, int]]) -> Callable[[Any], np.ndarray]:
    """The mask of the asks of these spans, and of that share of the units."""
    from pipelines.features import split

    def keep(asks: Any) -> np.ndarray:
        ts = asks["ts"].to_numpy()
        within = np.logical_or.reduce([(ts >= first) & (ts < last) for first, last in spans])
        return within if share >= 1 else within & split.sampled(asks[unit].to_pylist(), share)

    return keep


def _share(usecase: UseCase, block: Block, tables: Mapping[str, Any], first: int, as_of: int) -> float:
    ts = tables[usecase.asks.kind]["ts"].to_numpy()
    each = usecase.answers.neighbours + usecase.answers.popular if isinstance(usecase.answers, Ranking) else 1
    rows = int(((ts >= first) & (ts < as_of)).sum()) * each
    most = MOST_ROWS * (10 if each > 1 else 5)
    return min(1.0, block.split.sample, most / max(rows, 1))


def shifts(
    usecase: UseCase, block: Block, rows: Rows, scores: np.ndarray, as_of: int, weigh: Mapping[str, float] | None = None
) -> list[Finding]:
    """Drift of the features, weighed by how much each matters, and of what the champion says."""
    from pipelines.evaluation import drift
    from pipelines.evaluation.windows import windows

    seen = windows(rows["ts"].astype(np.int64), block.monitor, as_of, rows[usecase.unit])
    kinds = {name: usecase.features.kind(name) for name in usecase.features.names}
    columns = {name: rows[name] for name in usecase.features.names}
    return drift.shifts(columns, kinds, scores, seen, block.monitor, weigh)


def holdout_of(block: Block, manifest: Bundle) -> tuple[int, int]:
    """The span of asks that the champion was judged on before it was released: it had learnt from no label of it, nor of later.

    The bundle says it: today's parameters may split otherwise than those of its day. One that was packed before bundles said it
    is held against as many days after its making, of which it can have learnt nothing whatever the parameters were.
    """
    if "holdout" in manifest.made_from:
        first, last = manifest.made_from["holdout"]
        return int(first), int(last)
    made = int(manifest.made_from["as_of"])
    return made, made + micros(block.split.holdout)


def _last_learnt(home: Home, case: str, as_of: int) -> int:
    """When the last learning run of the use case began: labels that matured before it are not new."""
    begun = [entry.at for entry in journal.entries(home, case) if entry.name == "started" and entry.at < as_of]
    return max(begun, default=0)


def _last_look(home: Home, case: str, as_of: int) -> int | None:
    looks = home.decisions.last(case, "look", 1, before=as_of)
    return looks[0].at if looks else None

"""What people turn: the schema of params.yaml. A parameter that does not exist or has the wrong type is one clear sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import timedelta
from typing import Any, get_args, get_origin, get_type_hints

from pipelines.core.clock import DAY, duration, instant, micros
from pipelines.core.errors import ShelflifeError


@dataclass(frozen=True)
class Simulate:
    """The simulated shop: its first day, how many days of history, and its size."""

    start: str
    days: int
    customers: int
    items: int
    sessions_per_day: int


@dataclass(frozen=True)
class Mail:
    """Who is written to, and the server that takes the mail."""

    sender: str
    to: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 25
    starttls: bool = False


@dataclass(frozen=True)
class Learn:
    """When learning is due without any drift: a cron line in UTC."""

    cron: str


@dataclass(frozen=True)
class Shop:
    """The shop as a whole. `seed` is the root of all randomness; `engine` says who computes features in batch: duckdb or spark."""

    seed: int
    currency: str
    simulate: Simulate
    mail: Mail
    calendar: Learn
    watch: Learn
    engine: str = "duckdb"

    def __post_init__(self) -> None:
        if self.engine not in ("duckdb", "spark"):
            raise ShelflifeError(f"shop.engine: wanted duckdb or spark, got {self.engine!a}")


@dataclass(frozen=True)
class LabelWindow:
    """How long after an ask its label may still come, and which actions keep it from ever coming.

    `hidden_by`: after these actions there is no label (a blocked payment is never charged back). So that learning stays honest a
    share `explore` of such asks is let pass all the same, at most `per_day` of them and `amount_per_day` cents at stake; those
    stand for the others, a row for at most `heaviest`.
    """

    within: timedelta
    hidden_by: tuple[str, ...] = ()
    explore: float = 0.0
    per_day: int = 0
    amount_per_day: int = 0
    heaviest: float = 50.0


@dataclass(frozen=True)
class Split:
    """How much history trains, validates and judges, back from the last mature label; a gap of the label's delay lies between.

    `sample` keeps this share of the units (customers, sessions; by hash) in every part, for a large shop on a small machine.
    """

    train: timedelta
    valid: timedelta
    holdout: timedelta
    sample: float = 1.0


@dataclass(frozen=True)
class Train:
    """What is trained. `use` names the candidates of the use case; `settings` holds a block of options per candidate."""

    seed: int
    use: tuple[str, ...]
    threads: int = 1
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Gate:
    """What a challenger must show. Margins and floors are in units of the primary metric, oriented so that more is better.

    `margin`: the lower bound of the paired difference must exceed it. `reasons`: why a challenger that is no better may replace
    the champion (fresher, cheaper, smaller, faster); none by default. `inferior`: how much worse it may then be. `floor`: the
    least primary metric. `slice_harm`: the largest harm whose upper bound a slice of at least `slice_rows` rows may show.
    `calibration`: the largest expected calibration error (probabilities) or distance of quantile coverage. `churn`: the largest
    share of answers that may change without a gain. `memory_mb`: the most that a process may hold that loads it and nothing
    else. `looks`: a holdout that was opened so often is retired. `shadow`: so many requests since its run began the challenger
    answers again, deciding nothing, before it may replace a champion. `together`: the length of time that all live through
    alike, whoever they are (a promotion, a campaign, a label that adds up the same days): a gain must show in more of such
    blocks than chance explains; 0s where there is no such thing. `back`: how sure one must be that a release that answered before
    would answer better, to go back to it.
    """

    margin: float
    inferior: float
    floor: float
    slice_harm: float
    calibration: float
    churn: float
    latency_ms: float
    size_mb: float
    min_rows: int
    memory_mb: float = 1024.0
    reasons: tuple[str, ...] = ()
    min_positives: int = 0
    slice_rows: int = 200
    confidence: float = 0.95
    resamples: int = 1000
    looks: int = 5
    shadow: int = 0
    together: timedelta = timedelta(days=1)
    back: float = 0.8

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data; durations are microseconds."""
        return {**vars(self), "together": micros(self.together)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Gate:
        """The gate that `to_dict` wrote down; one from before time was looked at looks at units alone."""
        return Gate(**{**data, "together": timedelta(microseconds=data.get("together", 0))})


@dataclass(frozen=True)
class Monitor:
    """The watch: windows of `window`, against the same weekdays of `reference` before them. `persist` of the last `of` windows
    must agree before anybody is called. `drop` is the harmful fall of the primary metric, judged on `labels` of matured labels;
    `drift` is the least effect size that counts, however quiet the past was."""

    window: timedelta
    reference: timedelta
    min_rows: int
    drop: float
    drift: float
    persist: int = 2
    of: int = 3
    labels: timedelta = timedelta(days=7)


@dataclass(frozen=True)
class Retrain:
    """The controller: how soon after the last retraining, with how many newly matured labels and positives, and after how many
    rejected challengers in a row a person is asked instead. `max_age`: retrain at the latest when the champion is this old.
    `budget` is the CPU time that learning may take in a week. On `holidays`, days or spans of days (UTC) such as 2025-12-24 or
    2025-12-22..2026-01-01, nothing starts."""

    cooldown: timedelta
    min_labels: int
    max_age: timedelta
    min_positives: int = 0
    breaker: int = 3
    budget: timedelta = timedelta(hours=12)
    holidays: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for text in self.holidays:
            _span_of_days(text)

    def holiday(self, ts: int) -> str:
        """The holiday that the instant lies in, or nothing."""
        return next((text for text in self.holidays if _span_of_days(text)[0] <= ts < _span_of_days(text)[1]), "")


def _span_of_days(text: str) -> tuple[int, int]:
    """The instants at which a day, or a span of days, begins and is over."""
    match = re.fullmatch(r"(\d{4}-\d{2}-\d{2})(?:\.\.(\d{4}-\d{2}-\d{2}))?", text)
    try:
        span = (instant(match[1]), instant(match[2] or match[1]) + DAY) if match else None
    except ValueError:
        span = None
    if span is None:
        wanted = "a day such as 2025-12-24 or days such as 2025-12-22..2026-01-01"
        raise ShelflifeError(f"retrain.holidays: wanted {wanted}, got {text!a}")
    if span[0] >= span[1]:
        raise ShelflifeError(f"retrain.holidays: {text} ends before it begins")
    return span


@dataclass(frozen=True)
class Block:
    """One use case."""

    label: LabelWindow
    split: Split
    train: Train
    gate: Gate
    monitor: Monitor
    retrain: Retrain


@dataclass(frozen=True)
class Params:
    """All of params.yaml."""

    cases: tuple[str, ...]
    shop: Shop
    blocks: Mapping[str, Block]

    def block(self, case: str) -> Block:
        """The block of one use case. Raises ShelflifeError, naming those there are."""
        if case not in self.blocks:
            raise ShelflifeError(f"there is no use case {case!a}; params.yaml has {', '.join(self.cases)}")
        return self.blocks[case]


def parse(data: Any) -> Params:
    """Params from the parsed YAML. Raises ShelflifeError, naming the parameter, what was wanted and what came."""
    if not isinstance(data, Mapping):
        raise ShelflifeError("params.yaml: wanted a mapping with cases, shop and a block per use case")
    cases = _convert(data.get("cases"), tuple[str, ...], "cases")
    if unknown := sorted(set(data) - {"cases", "shop", *cases}):
        raise ShelflifeError(
            f"params.yaml has no parameter {', '.join(unknown)}; wanted cases, shop and a block for each of {', '.join(cases)}"
        )
    if missing := [name for name in ("shop", *cases) if name not in data]:
        raise ShelflifeError(f"params.yaml: the block {', '.join(missing)} is missing")
    blocks = {case: _convert(data[case], Block, case) for case in cases}
    return Params(cases, _convert(data["shop"], Shop, "shop"), blocks)


def _convert(value: Any, wanted: Any, path: str) -> Any:
    """The value as the wanted type, all the way down."""
    if is_dataclass(wanted):
        return _convert_block(value, wanted, path)
    if get_origin(wanted) is not None:
        return _convert_many(value, wanted, path)
    if wanted is timedelta:
        return _convert_duration(value, path)
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is not Any and type(value) is not wanted:
        raise ShelflifeError(f"{path}: wanted {wanted.__name__}, got {value!r}")
    return value


def _convert_many(value: Any, wanted: Any, path: str) -> Any:
    """A list as a tuple, or a mapping by name."""
    if get_origin(wanted) is tuple:
        if not isinstance(value, list | tuple) or not value:
            raise ShelflifeError(f"{path}: wanted a list, got {value!r}")
        return tuple(_convert(item, get_args(wanted)[0], f"{path}[{i}]") for i, item in enumerate(value))
    if not isinstance(value, Mapping):
        raise ShelflifeError(f"{path}: wanted a mapping, got {value!r}")
    return {name: _convert(item, get_args(wanted)[1], f"{path}.{name}") for name, item in value.items()}


def _convert_duration(value: Any, path: str) -> timedelta:
    try:
        return duration(value)
    except ValueError as error:
        raise ShelflifeError(f"{path}: {error}") from None


def _convert_block(value: Any, wanted: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        raise ShelflifeError(f"{path}: wanted a block with {', '.join(f.name for f in fields(wanted))}, got {value!r}")
    names = {f.name for f in fields(wanted)}
    if unknown := sorted(str(name) for name in set(value) - names):
        raise ShelflifeError(f"{path} has no parameter {', '.join(unknown)}; it has {', '.join(sorted(names))}")
    needed = {f.name for f in fields(wanted) if f.default is MISSING and f.default_factory is MISSING}
    if missing := sorted(needed - set(value)):
        raise ShelflifeError(f"{path}: the parameter {', '.join(missing)} is missing")
    hints = get_type_hints(wanted)
    return wanted(**{name: _convert(item, hints[name], f"{path}.{name}") for name, item in value.items()})

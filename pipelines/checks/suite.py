"""What is expected of a kind's snapshot: the schema half that its contract writes, and the half that people edit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.core.contract import TYPES, Contract, Field
from pipelines.core.errors import ShelflifeError

if TYPE_CHECKING:
    from pathlib import Path

SEVERITIES = ("critical", "warning")
WORDS = {
    "expect_table_row_count_to_be_between": "row count",
    "expect_column_values_to_not_be_null": "filled",
    "expect_column_values_to_be_between": "in range",
    "expect_column_values_to_be_in_set": "known values",
    "expect_column_value_lengths_to_be_between": "length",
    "expect_column_mean_to_be_between": "mean",
    "expect_column_median_to_be_between": "median",
    "expect_column_proportion_of_unique_values_to_be_between": "share of different values",
    "expect_column_values_to_match_regex": "form",
}


@dataclass(frozen=True)
class History:
    """What the newest `days` days are compared with their past by; the block `meta.history` of a suite file.

    `volume`: times more or fewer rows than the same weekdays before. `nulls`: how far, as a share, a column's nulls may rise.
    `median` and `mean`: by column, times larger or smaller than before (a change of unit). `warnings` names those of the four
    that do not stop anything.
    """

    days: int = 7
    volume: float = 3.0
    nulls: float = 0.05
    median: Mapping[str, float] = field(default_factory=dict)
    mean: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expectation:
    """One expectation in Great Expectations' own words, under the name that its finding has."""

    name: str
    type: str
    kwargs: Mapping[str, Any]
    severity: str = "critical"

    @property
    def column(self) -> str | None:
        return self.kwargs.get("column")

    def wanted(self) -> str:
        """The rule in words."""
        low, high = self.kwargs.get("min_value"), self.kwargs.get("max_value")
        parts = [] if low is None and high is None else [f"between {_figure(low, 'anything')} and {_figure(high, 'anything')}"]
        if "value_set" in self.kwargs:
            parts.append("one of " + ", ".join(map(str, self.kwargs["value_set"])))
        if self.type == "expect_column_values_to_not_be_null":
            parts.append("a value")
        if "mostly" in self.kwargs:
            parts.append(f"in at least {self.kwargs['mostly']:.1%} of the rows")
        return " ".join(parts) or self.type.removeprefix("expect_").replace("_", " ")


@dataclass(frozen=True)
class Suite:
    """Everything that is expected of a kind's snapshot."""

    kind: str
    expectations: tuple[Expectation, ...]
    history: History


def read(folder: Path, contract: Contract) -> Suite:
    """The contract's schema half and `expectations/<kind>.json` under the folder, if people wrote one.

    Raises ShelflifeError where the file is no suite: bad JSON, an unknown severity, a column that the contract does not have.
    """
    path = folder / "expectations" / f"{contract.kind}.json"
    data = _load(path) if path.is_file() else {"expectations": [], "meta": {}}
    rows = [*schema(contract), *(_checked(row, contract, path) for row in data.get("expectations", []))]
    return Suite(contract.kind, tuple(_named(contract.kind, rows)), _history(data.get("meta") or {}, contract, path))


def schema(contract: Contract) -> list[dict[str, Any]]:
    """The half that follows from the contract: rows are there, required fields are filled, values keep their rules."""
    rows: list[dict[str, Any]] = [{"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}]
    required = ["id", "ts", *(f.name for f in contract.fields if f.required)]
    rows += [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": name}} for name in required]
    return rows + [row for f in contract.fields for row in _values(f)]


def _values(f: Field) -> list[dict[str, Any]]:
    """The field's choices and bounds; a list is looked at by its length."""
    rows = []
    if f.choices:
        rows.append({"type": "expect_column_values_to_be_in_set", "kwargs": {"column": f.name, "value_set": list(f.choices)}})
    bounds = {key: value for key, value in (("min_value", f.minimum), ("max_value", f.maximum)) if value is not None}
    if bounds:
        what = "value_lengths" if TYPES[f.type] is str else "values"
        rows.append({"type": f"expect_column_{what}_to_be_between", "kwargs": {"column": f.name, **bounds}})
    return rows


def _load(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ShelflifeError(f"{path.name} is no suite: {error}; mend it or take it back with git checkout") from None
    if not isinstance(data, Mapping) or not isinstance(data.get("expectations", []), list):
        raise ShelflifeError(f"{path.name} is no suite: wanted an object with a list of expectations")
    return data


def _checked(row: Any, contract: Contract, path: Path) -> dict[str, Any]:
    """The expectation as people wrote it; `severity` may be left out (critical)."""
    if (
        not isinstance(row, Mapping)
        or not str(row.get("type", "")).startswith("expect_")
        or not isinstance(row.get("kwargs"), Mapping)
    ):
        raise ShelflifeError(
            f"{path.name}: wanted expectations with a type such as expect_column_mean_to_be_between and kwargs"
        )
    if (severity := row.get("severity", "critical")) not in SEVERITIES:
        raise ShelflifeError(f"{path.name}: wanted a severity of {' or '.join(SEVERITIES)}, got {ascii(severity)[:40]}")
    if "column" in row["kwargs"]:
        _known(row["kwargs"]["column"], contract, path)
    return {"type": row["type"], "kwargs": dict(row["kwargs"]), "severity": severity}


def _known(column: Any, contract: Contract, path: Path) -> None:
    names = ("id", "ts", "arrived", *(f.name for f in contract.fields))
    if column not in names:
        raise ShelflifeError(f"{path.name}: {contract.kind} has no field {ascii(column)[:60]}; it has {', '.join(names)}")


def _named(kind: str, rows: Sequence[Mapping[str, Any]]) -> list[Expectation]:
    """Each under a name of its own: the kind, the column, and what is looked at; a number where two look at the same."""
    made: list[Expectation] = []
    taken: dict[str, int] = {}
    for row in rows:
        column = row["kwargs"].get("column")
        words = WORDS.get(row["type"]) or row["type"].removeprefix("expect_").replace("_", " ")
        name = f"{kind}.{column}: {words}" if column else f"{kind}: {words}"
        taken[name] = taken.get(name, 0) + 1
        name += f" {taken[name]}" if taken[name] > 1 else ""
        made.append(Expectation(name, row["type"], row["kwargs"], row.get("severity", "critical")))
    return made


def _history(meta: Mapping[str, Any], contract: Contract, path: Path) -> History:
    """The block meta.history; what it leaves out has History's default."""
    block = meta.get("history", {})
    if not isinstance(block, Mapping) or (unknown := sorted(set(block) - set(History.__dataclass_fields__))):
        raise ShelflifeError(
            f"{path.name}: meta.history has no {', '.join(map(str, unknown))}; it has {', '.join(History.__dataclass_fields__)}"
        )
    for how in ("median", "mean"):
        for column, times in block.get(how, {}).items():
            _known(column, contract, path)
            _above_one(times, f"meta.history.{how}.{column}", path)
    _above_one(block.get("volume", 3.0), "meta.history.volume", path)
    return History(**{**block, "warnings": tuple(block.get("warnings", ()))})


def _above_one(times: Any, where: str, path: Path) -> None:
    if type(times) not in (int, float) or not 1 < times < float("inf"):
        raise ShelflifeError(f"{path.name}: {where}: wanted a factor above 1, got {ascii(times)[:40]}")


def _figure(value: Any, nothing: str) -> str:
    return nothing if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)

"""The feature catalogue: what every use case looks at, in a shopkeeper's words, and, where rows and models are, how it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.core.clock import EVER, micros, words
from pipelines.core.contract import Contract
from pipelines.core.feature import Counted, tile
from pipelines.core.usecase import UseCase

PAGE = "docs/feature-catalogue.md"

MEASURED = (
    "`shelflife catalogue` adds, where rows and models are, how often a feature is missing and how much the chosen model makes of it, "
    "and, where a stream runs, the bytes that a key keeps for it."
)


@dataclass(frozen=True)
class Entry:
    """One feature of one use case. `cost` is what a read of it merges, `kept` the bytes that a key keeps for it online; `missing`
    and `importance` are shares. What was not measured is None."""

    case: str
    name: str
    origin: str
    type: str
    definition: str
    cost: str
    missing: float | None = None
    importance: float | None = None
    kept: float | None = None


def entries(
    case: UseCase,
    missing: Mapping[str, float] | None = None,
    importance: Mapping[str, float] | None = None,
    kept: Mapping[str, float] | None = None,
) -> list[Entry]:
    """The features of a use case in the order of its columns, with what was measured of them."""
    missing, importance, kept = missing or {}, importance or {}, kept or {}
    features = case.features
    made = [("given", name, _field(case.asks, name), "the ask holds it") for name in features.given]
    made += [("counted", c.name, c.sentence(), _cost(c)) for c in features.counted]
    made += [("derived", d.name, f"{d.doc} `{d.expression}`", "computed from the others") for d in features.derived]
    return [
        Entry(case.name, name, origin, features.kind(name), text, cost, missing.get(name), importance.get(name), kept.get(name))
        for origin, name, text, cost in made
    ]


def page(cases: Mapping[str, UseCase]) -> str:
    """The catalogue's page: everything that follows from the declarations alone."""
    parts = [
        "# The feature catalogue",
        "Written by `shelflife catalogue --write` from the declarations; a test compares it with them. " + MEASURED,
    ]
    for name, case in cases.items():
        parts.append(f"## {name}: {case.question}")
        parts.append(f"Label: {case.label.sentence()}.")
        rows = [f"| `{e.name}` | {e.origin} | {e.type} | {_cell(e.definition)} | {e.cost} |" for e in entries(case)]
        parts.append("\n".join(["| feature | origin | type | definition | cost |", "|---|---|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def table(found: list[Entry]) -> str:
    """The measured part, as lines for a terminal."""
    width = max((len(e.name) for e in found), default=0)
    return "\n".join(
        f"{e.case:10} {e.name:{width}} {_share(e.missing)} missing {_share(e.importance)} of the model {_size(e.kept)}   {e.definition}"
        for e in found
    )


def _share(value: float | None) -> str:
    return "     ?" if value is None else f"{value:6.1%}"


def _size(value: float | None) -> str:
    return "               " if value is None else f"{value:7,.0f} B a key"


def _field(asks: Contract, name: str) -> str:
    found = asks.field(name)
    return f"{found.doc or name} ({found.wanted()})"


def _cost(feature: Counted) -> str:
    if feature.over == EVER:
        return "one tile, for ever"
    grain = tile(feature.over)
    return f"{micros(feature.over) // micros(grain) + 1} tiles of {words(grain)}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

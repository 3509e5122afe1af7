"""What a use case may say, against the contracts of the shop's events: every mistake is found when it is declared, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from pipelines.core.aggregation import AGGREGATIONS, TEXTS, Aggregation
from pipelines.core.contract import Contract
from pipelines.core.decision import Ranking
from pipelines.core.feature import Counted, Label
from pipelines.core.usecase import UseCase

READS = {
    "integer": ("integer", "cents", "boolean"),
    "number": ("integer", "cents", "boolean", "number"),
    "value": ("integer", "cents", "boolean", "number", "string", "text"),
}
"""The types of field that an aggregation can read, by what it wants: sums must be exact, so money is in cents."""


def problems(case: UseCase, contracts: Mapping[str, Contract]) -> list[str]:
    """All that is wrong with the case's features and label, a sentence each; empty when it can be computed."""
    asked = {field.name: field.type for field in case.asks.fields}
    asked |= {"candidate": "string"} if isinstance(case.answers, Ranking) else {}
    found = [f"feature {c.name}: {problem}" for c in case.features.counted for problem in _counted(c, contracts, asked)]
    return found + [f"the label: {problem}" for problem in _label(case.label, contracts, asked)]


def completed(case: UseCase, contracts: Mapping[str, Contract]) -> UseCase:
    """The case with the kinds of its counted features: the first, last or top of a text is a category. Raises ValueError with
    the first problem."""
    if wrong := problems(case, contracts):
        raise ValueError(f"{case.name}: {wrong[0]}")
    categories = tuple(
        (c.name, "category")
        for c in case.features.counted
        if c.how.how in TEXTS and contracts[c.of].field(str(c.how.field)).type in ("string", "text")
    )
    return replace(case, features=replace(case.features, kinds=case.features.kinds + categories)) if categories else case


def _counted(feature: Counted, contracts: Mapping[str, Contract], asked: Mapping[str, str]) -> Iterator[str]:
    if feature.of not in contracts:
        yield f"there are no {feature.of} events; there are {', '.join(sorted(contracts))}"
        return
    contract = contracts[feature.of]
    for by, key in zip(feature.keys, feature.asked, strict=True):
        if by not in contract.keys:
            yield f"{by} is no key of {feature.of}; its keys are {', '.join(contract.keys) or 'none'}"
        elif key not in asked and key != "id":
            yield f"the ask has no field {key} to look {feature.of} up by; it has {', '.join(sorted(asked))}"
    yield from _reads(feature.how, contract)
    if problem := feature.filter.problem(_types(contract)):
        yield f"its filter cannot be asked of {feature.of}: {problem}"


def _label(label: Label, contracts: Mapping[str, Contract], asked: Mapping[str, str]) -> Iterator[str]:
    if label.of not in contracts:
        yield f"there are no {label.of} events; there are {', '.join(sorted(contracts))}"
        return
    contract = contracts[label.of]
    for name in label.keys:
        if name not in _types(contract) or name not in asked:
            yield f"{name} is not a field of both the ask and {label.of}"
    yield from _reads(label.how, contract)
    if problem := label.filter.problem(_types(contract)):
        yield f"its filter cannot be asked of {label.of}: {problem}"


def _reads(how: Aggregation, contract: Contract) -> Iterator[str]:
    """What is wrong with the fields that an aggregation reads."""
    for half in how.halves:
        yield from _reads(half, contract)
    types = _types(contract)
    if how.where and (problem := how.where.problem(types)):
        yield f"its rate cannot be asked of {contract.kind}: {problem}"
    if how.field is None:
        return
    if how.field not in types:
        yield f"{contract.kind} has no field {how.field}; it has {', '.join(sorted(types))}"
    elif types[how.field] not in READS[AGGREGATIONS[how.how].wants]:
        wanted = (
            "an integer (money in cents)" if AGGREGATIONS[how.how].wants == "integer" else f"a {AGGREGATIONS[how.how].wants}"
        )
        yield f"{how.how} of {contract.kind}.{how.field}: wanted {wanted}, got a {types[how.field]}"


def _types(contract: Contract) -> dict[str, str]:
    return {field.name: field.type for field in contract.fields}

"""Great Expectations at work: a suite over a table in an ephemeral context, with Data Docs; nothing that people edit is rewritten."""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.checks import data_docs
from pipelines.core.errors import ShelflifeError
from pipelines.core.verdict import Finding

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

    from pipelines.checks.suite import Expectation, Suite

SHOWN = 3
"""So many of the unexpected values are shown."""

ALIKE = {"<": "\u2039", ">": "\u203a"}


def meet(suite: Suite, table: pa.Table, docs: Path | None = None) -> list[Finding]:
    """A finding per expectation, in the suite's order; Data Docs under `docs`.

    What Great Expectations could not compute is unsure, and so is what it passed without having seen a value. Raises
    ShelflifeError for an expectation that it does not know or whose kwargs it refuses.
    """
    required = {e.column for e in suite.expectations if e.type == "expect_column_values_to_not_be_null"}
    results = _run(suite, _frame(table, {e.column for e in suite.expectations}), docs)
    data_docs.seal(docs)
    return [_finding(e, result, e.column in required) for e, result in zip(suite.expectations, results, strict=True)]


def _frame(table: pa.Table, columns: set[str | None]) -> pd.DataFrame:
    """The columns that are looked at, each list as its length; numbers with gaps become floats.

    Angle brackets become look-alikes of the same length: Data Docs show values raw, and data is never markup.
    """
    import pyarrow.compute as pc
    from pyarrow import types

    table = table.select([name for name in table.column_names if name in columns or name == "id"])
    for number, field in enumerate(table.schema):
        column = table[field.name]
        if types.is_list(field.type) or types.is_large_list(field.type):
            table = table.set_column(number, field.name, pc.list_value_length(column))
        elif types.is_string(field.type) and pc.any(pc.match_substring_regex(column, "[<>]")).as_py():
            for bracket, alike in ALIKE.items():
                column = pc.replace_substring(column, bracket, alike)
            table = table.set_column(number, field.name, column)
    return table.to_pandas()


def _run(suite: Suite, frame: pd.DataFrame, docs: Path | None) -> list[Mapping[str, Any]]:
    """The results as plain data, one per expectation; they come back in another order, told apart by a number."""
    import great_expectations as gx

    made = [_configured(e, number) for number, e in enumerate(suite.expectations)]
    with _context() as context:
        batch = (
            context.data_sources.add_pandas("snapshot")
            .add_dataframe_asset(suite.kind)
            .add_batch_definition_whole_dataframe("all")
        )
        stored = context.suites.add(gx.ExpectationSuite(name=suite.kind, expectations=made))
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=suite.kind, data=batch, suite=stored))
        checkpoint = gx.Checkpoint(name=suite.kind, validation_definitions=[definition], actions=data_docs.site(context, docs))
        outcome = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": frame})
    (run,) = outcome.run_results.values()
    by_number = {result.expectation_config.meta["number"]: result.to_json_dict() for result in run.results}
    return [by_number[number] for number in range(len(made))]


@contextmanager
def _context() -> Iterator[Any]:
    """An ephemeral context that shows no progress bars and leaves no folder behind."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    from great_expectations.data_context.types.base import ProgressBarsConfig

    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    folders = [site["store_backend"]["base_directory"] for site in context.variables.data_docs_sites.values()]
    for name in list(context.variables.data_docs_sites):
        context.delete_data_docs_site(name)
    try:
        yield context
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _configured(expectation: Expectation, number: int) -> Any:
    """The expectation as Great Expectations' own object."""
    from great_expectations.exceptions import GreatExpectationsError

    import great_expectations as gx

    name = "".join(part.capitalize() for part in expectation.type.split("_"))
    made = getattr(gx.expectations, name, None)
    if made is None:
        raise ShelflifeError(f"Great Expectations has no {ascii(expectation.type)[:80]}; take one from its gallery")
    try:
        return made(**expectation.kwargs, severity=expectation.severity, meta={"number": number})
    except (TypeError, ValueError, GreatExpectationsError) as error:
        why = " ".join(str(error).split())[:200]
        raise ShelflifeError(f"{expectation.name}: {why}; mend its kwargs") from None


def _finding(expectation: Expectation, result: Mapping[str, Any], required: bool) -> Finding:
    """The result in our words: the share of rows that break the rule, or the number that was observed."""
    name, wanted = expectation.name, expectation.wanted()
    if error := _error(result.get("exception_info") or {}):
        return Finding(name, "unsure", None, wanted, advice=f"it could not be computed: {error}")
    details = result["result"]
    observed = details.get("observed_value", _share(details))
    if details.get("element_count", 1) - details.get("missing_count", 0) <= 0:
        return _unseen(name, wanted, required)
    if not isinstance(observed, str | int | float) or (isinstance(observed, float) and math.isnan(observed)):
        return Finding(name, "unsure", None, wanted, advice="nothing was observed")
    shown = _examples(details)
    if result["success"]:
        return Finding(name, "pass", observed, wanted)
    if expectation.severity == "warning":
        seen = observed if isinstance(observed, str) else f"{observed:.6g}"
        return Finding(name, "pass", observed, wanted, advice=f"warning: wanted {wanted}, got {seen}{shown}")
    return Finding(name, "fail", observed, wanted, advice=shown.removeprefix(", "))


def _unseen(name: str, wanted: str, required: bool) -> Finding:
    """A rule about values of a column that has none: no evidence where the column is required, nothing to break where it is not."""
    if required:
        return Finding(name, "unsure", None, wanted, advice="there is no value to look at")
    return Finding(name, "pass", "no values, none required", wanted)


def _share(details: Mapping[str, Any]) -> float | None:
    percent = details.get("unexpected_percent")
    return None if percent is None else round(percent / 100, 9)


def _examples(details: Mapping[str, Any]) -> str:
    """The first few unexpected values, quoted and cut: what came from outside is never echoed whole."""
    values = [value for value in details.get("partial_unexpected_list", []) if value is not None]
    return ", such as " + ", ".join(_quoted(value) for value in values[:SHOWN]) if values else ""


def _quoted(value: Any) -> str:
    text = value
    for bracket, alike in ALIKE.items():
        text = text.replace(alike, bracket) if isinstance(text, str) else text
    return ascii(text)[:40]


def _error(info: Mapping[str, Any]) -> str:
    """Why it could not be computed; one error lies flat, several lie under the metrics they belong to."""
    flat = [info] if "raised_exception" in info else [part for part in info.values() if isinstance(part, Mapping)]
    words = [str(part.get("exception_message") or "an error") for part in flat if part.get("raised_exception")]
    return " ".join(words[0].split())[:200] if words else ""

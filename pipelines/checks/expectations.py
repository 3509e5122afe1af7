"""Great Expectations at work: a suite over a table in an ephemeral context, with Data Docs; nothing that people edit is rewritten."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ShelflifeError
from pipelines.core.verdict import Finding

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

    from pipelines.checks.suite import Expectation, Suite

ROWS_SHOWN = 3
"""So many of the unexpected values are shown."""


def meet(suite: Suite, table: pa.Table, docs: Path | None = None) -> list[Finding]:
    """A finding per expectation, in the suite's order. What Great Expectations could not compute, or computed on no value at
    all, is unsure. Raises ShelflifeError for an expectation that it does not know."""
    frame = _frame(table)
    with _quiet():
        results = _run(suite, frame, docs)
    return [_finding(expectation, result, frame) for expectation, result in zip(suite.expectations, results, strict=True)]


def _frame(table: pa.Table) -> pd.DataFrame:
    """The table without its lists, of which suites can say nothing."""
    import pyarrow as pa

    kept = [name for name in table.column_names if not pa.types.is_list(table[name].type) and not pa.types.is_large_list(table[name].type)]
    return table.select(kept).to_pandas()


def _run(suite: Suite, frame: pd.DataFrame, docs: Path | None) -> Sequence[Mapping[str, Any]]:
    """The results as plain data, one per expectation."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    batch = context.data_sources.add_pandas("snapshot").add_dataframe_asset(suite.kind).add_batch_definition_whole_dataframe("all")
    made = context.suites.add(gx.ExpectationSuite(name=suite.kind, expectations=[_configured(e) for e in suite.expectations]))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=suite.kind, data=batch, suite=made))
    checkpoint = context.checkpoints.add(gx.Checkpoint(name=suite.kind, validation_definitions=[definition], actions=_actions(context, docs)))
    outcome = checkpoint.run(batch_parameters={"dataframe": frame})
    (result,) = outcome.run_results.values()
    by_number = {r.expectation_config.meta["number"]: r.to_json_dict() for r in result.results}
    return [by_number[number] for number in range(len(suite.expectations))]


def _configured(expectation: Expectation) -> Any:
    """The expectation as Great Expectations' own object; its number tells the result to whom it belongs."""
    import great_expectations as gx

    name = "".join(part.capitalize() for part in expectation.type.split("_"))
    made = getattr(gx.expectations, name, None)
    if made is None:
        raise ShelflifeError(f"Great Expectations has no {ascii(expectation.type)[:80]}; look it up in its gallery")
    try:
        return made(**expectation.kwargs, severity=expectation.severity, meta={"number": _numbers(expectation)})
    except (TypeError, ValueError) as error:
        raise ShelflifeError(f"{expectation.name}: {str(error).splitlines()[-1][:200]}; mend its kwargs") from None

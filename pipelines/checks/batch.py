"""A kind's whole snapshot against its suite, through Great Expectations, and against its own past; never a pass by silence."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.checks import expectations, history, suite
from pipelines.core.clock import iso, micros, spell
from pipelines.core.verdict import Finding, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from pipelines.checks.suite import Suite
    from pipelines.core.contract import Contract

ARROW = {
    "string": ("string", "large_string"), "text": ("string", "large_string"), "integer": ("int64",), "cents": ("int64",),
    "number": ("double",), "boolean": ("bool",), "strings": ("list<item: string>", "list<element: string>", "large_list<item: string>"),
}  # fmt: skip
"""How each type of a contract lies in an event table."""


def validate(
    kind: str,
    table: pa.Table,
    contract: Contract,
    suites: Path,
    docs: Path | None = None,
    *,
    as_of: int,
    held: Collection[str] = (),
) -> Verdict:
    """The verdict on a kind's snapshot as of a moment (microseconds UTC); its own earlier days are the past it is compared with.
    Days that are `held` (YYYY-MM-DD) were left out of the snapshot on purpose: that they are empty is no fault.

    `suites` is the folder of great_expectations.yml, which is only read; Data Docs are built under `docs`. Every call with the
    same table, suite and moment gives the same verdict. Raises ShelflifeError where the suite's file is wrong.
    """
    expected = suite.read(suites, contract)
    lines = [_columns(kind, table, contract), _finite(kind, table, contract), _fresh(kind, table, contract, as_of)]
    past = history.compare(kind, table, expected.history, as_of=as_of, held=held)
    met = expectations.meet(expected, table, docs)
    findings = (*lines, *past, *met)
    warnings = [f"{f.name}: {f.advice.removeprefix('warning: ')}" for f in findings if f.advice.startswith("warning: ")]
    return Verdict(
        f"{kind} as of {iso(as_of)}",
        findings,
        required(expected),
        {f"{kind} rows": table.num_rows, f"{kind} warnings": warnings},
    )


def required(expected: Suite) -> tuple[str, ...]:
    """The findings that must be there: from the suite alone, never from the data."""
    kind = expected.kind
    own = (f"{kind}: columns", f"{kind}: finite", f"{kind}: fresh")
    return (*own, *history.names(kind, expected.history), *(e.name for e in expected.expectations))


def _columns(kind: str, table: pa.Table, contract: Contract) -> Finding:
    """Every field is there, with its type; columns that nobody declared are no harm."""
    wanted = f"the columns of the contract {contract.kind}"
    types = {"id": ARROW["string"], "ts": ("int64",), **{f.name: ARROW[f.type] for f in contract.fields}}
    found = {name: str(table[name].type) for name in table.column_names}
    missing = [name for name in types if name not in found]
    wrong = [f"{name} is {found[name]}" for name, known in types.items() if name in found and found[name] not in known]
    advice = "; ".join(([f"missing: {', '.join(missing)}"] if missing else []) + wrong)
    return Finding(f"{kind}: columns", "fail" if advice else "pass", float(len(missing) + len(wrong)), wanted, advice=advice)


def _finite(kind: str, table: pa.Table, contract: Contract) -> Finding:
    """No number is infinite."""
    numbers = [f.name for f in contract.fields if f.type == "number" and f.name in table.column_names]
    bad = {name: count for name in numbers if (count := int(np.isinf(table[name].to_numpy()).sum()))}
    advice = "; ".join(f"{name}: {count:,} infinite values" for name, count in bad.items())
    return Finding(f"{kind}: finite", "fail" if bad else "pass", float(sum(bad.values())), "no infinite number", advice=advice)


def _fresh(kind: str, table: pa.Table, contract: Contract, as_of: int) -> Finding:
    """The newest event is young enough; events after the moment do not count."""
    name, wanted = f"{kind}: fresh", f"an event less than {spell(contract.freshness)} old"
    ts = _known(table, "ts")
    ts = ts[ts < as_of]
    if not len(ts):
        return Finding(name, "fail", "no event", wanted, advice="nothing arrived; look at the feed")
    newest = int(ts.max())
    stale = as_of - newest >= micros(contract.freshness)
    return Finding(name, "fail" if stale else "pass", iso(newest), wanted, advice="the feed has stopped" if stale else "")


def _known(table: pa.Table, column: str) -> Any:
    return table[column].drop_null().to_numpy() if column in table.column_names else np.zeros(0, np.int64)

"""What is odd about a row, seen beside the rows before it: faults that leave every column's own values as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.evaluation.statistic import Array, codes, nulls
from pipelines.shop.backlog import LATE

COARSE = 100.0
"""Whole numbers that are multiples of this have lost their last digits; of fractional ones, those that are whole."""
SHARED = 0.5
"""A key names somebody who comes again when it has at most so many values for a row."""


def oddities(
    columns: Mapping[str, Array], kinds: Mapping[str, str], keys: Sequence[str], ts: Array, due: Array
) -> dict[str, Array]:
    """Masks of odd rows by what is odd about them; the rows are in the order of arrival. What cannot be looked at is left out.

    `repeated`: the same content came before (a day that is sent twice under new ids). `late`: it was `due` long after it
    happened (another time zone). `... below zero` (a sign), `... rounded` (lost digits), and `... unlike its ...`: another value than the
    same customer or item had last (a column that was shuffled, or moved by a row).
    """
    found = {"late": due - ts > LATE}
    found |= {f"{name} below zero": values < 0 for name, values in columns.items() if _number(kinds, name)}
    found |= {f"{name} rounded": _rounded(values) for name, values in columns.items() if _number(kinds, name)}
    known = [name for name in keys if name in columns]
    if len(known) == len(keys):
        found["repeated"] = _repeated([values for name, values in columns.items() if kinds.get(name) != "text"])
    who = next((name for name in known if _comes_again(columns[name])), None)
    if who is not None:
        named = [name for name in columns if name not in keys and kinds.get(name) == "category"]
        found |= {f"{name} unlike its {who}": _unlike(columns[name], columns[who]) for name in named}
    return found


def _number(kinds: Mapping[str, str], name: str) -> bool:
    return kinds.get(name, "number") == "number"


def _rounded(values: Array) -> Array:
    known = values[np.isfinite(values)]
    grain = COARSE if np.array_equal(known, np.round(known)) else 1.0
    return np.isfinite(values) & (values != 0) & (values % grain == 0)


def _comes_again(values: Array) -> bool:
    import pandas as pd

    known = values[~nulls(values)]
    return bool(len(known)) and pd.Series(known).nunique() <= SHARED * len(known)


def _repeated(columns: Sequence[Array]) -> Array:
    """Which rows have the content of an earlier one; nulls are alike."""
    import pandas as pd

    return pd.DataFrame(dict(enumerate(columns))).duplicated().to_numpy() if columns else np.zeros(0, bool)


def _unlike(values: Array, who: Array) -> Array:
    """Which rows have another value than the same key's row before; a key's first row and nulls are like anything."""
    key, value = codes(who)[0], codes(values)[0]
    order = np.argsort(key, kind="stable")
    other = np.r_[False, (np.diff(key[order]) == 0) & (np.diff(value[order]) != 0)]
    known = ~nulls(values[order])
    found = np.zeros(len(key), bool)
    found[order] = other & known & np.r_[False, known[:-1]]
    return found

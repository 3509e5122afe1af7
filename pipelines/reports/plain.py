"""Words from outside made harmless before Evidently, a page or a mail shows them: data is never markup."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

LONGEST = 300
OPEN = "\u2039"
"""What stands for an angle bracket that may have opened a tag."""

MARKUP = str.maketrans({"<": OPEN, ">": "\u203a", "&": "\uff06"})
OWN = re.compile(r"<(?!/?(?:b|br|i|sub|sup|extra)>)")
"""The start of any tag but those that Evidently and plotly write into labels themselves."""


def plain(text: Any, longest: int = LONGEST) -> str:
    """The text on one line, without anything that is markup, a control or a change of writing direction; cut when very long.

    Angle brackets and the ampersand become look-alikes, so that no parser further on can take them for more.
    """
    line = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in str(text)[: 4 * longest])
    line = line.translate(MARKUP)
    return line if len(line) <= longest else line[: longest - 1] + "…"


def plain_data(value: Any) -> Any:
    """JSON data with every text in it made plain, and NaN and infinities as null."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {plain(key): plain_data(item) for key, item in value.items()}
    return [plain_data(item) for item in value] if isinstance(value, list | tuple) else value


def defused(value: Any) -> Any:
    """Evidently's own JSON with every tag that is not its own taken the edge off, and NaN and infinities as null.

    The second lock: labels were made plain before Evidently saw them.
    """
    if isinstance(value, str):
        return OWN.sub(OPEN, value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {OWN.sub(OPEN, str(key)): defused(item) for key, item in value.items()}
    return [defused(item) for item in value] if isinstance(value, list | tuple) else value

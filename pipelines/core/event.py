"""Something happened: the one record that orders, clicks, predictions, labels and alarms all are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipelines.core.digest import digest


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    `id` is unique within a kind. The same id with the same content again is a duplicate and counts once; the same id with
    new content is a new version with its own `arrived`. `ts` and `arrived` are microseconds UTC; `arrived` and `offset`
    are None until the log has assigned them. `body` holds the contract's fields, entity keys (customer, item) among them.
    """

    kind: str
    id: str
    ts: int
    body: Mapping[str, Any]
    arrived: int | None = None
    offset: int | None = None

    @cached_property
    def digest(self) -> str:
        """The identity of the content: kind, id, ts and body; not when or where it landed."""
        return digest({"kind": self.kind, "id": self.id, "ts": self.ts, "body": dict(self.body)})

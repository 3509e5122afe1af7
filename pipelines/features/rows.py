"""What the online store keeps of an event: its time, its id and the fields that features read, out of a body or out of JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import msgspec

from pipelines.core.errors import ShelflifeError
from pipelines.features.plan import plain
from pipelines.features.state import Row

ONE = int | float | str | bool | None
"""What a field may hold that features read."""


class Rows:
    """Rows of the events of some kinds. `fields` names, per kind, what is kept of a body. Raises ShelflifeError for a list."""

    def __init__(self, fields: Mapping[str, tuple[str, ...]]) -> None:
        self._fields = fields

    def from_body(self, kind: str, ts: int, said: tuple[str, Mapping[str, Any]]) -> Row:
        return (ts, said[0], *(plain(said[1].get(name)) for name in self._fields[kind]))

    def from_json(self, kind: str, ts: int, said: tuple[str, bytes]) -> Row:
        try:
            return (ts, said[0], *msgspec.structs.astuple(self._decoders[kind](said[1])))
        except msgspec.ValidationError as error:
            raise ShelflifeError(
                f"{kind} {said[0]!a}: wanted one value in a field that features read: {error}; count another field"
            ) from None

    @cached_property
    def _decoders(self) -> dict[str, Callable[[bytes], Any]]:
        """Per kind, the function from JSON to a struct of nothing but the fields."""
        made: dict[str, Callable[[bytes], Any]] = {}
        for kind, names in self._fields.items():
            fields = [(f"f{n}", ONE, None) for n in range(len(names))]
            said = {f"f{n}": name for n, name in enumerate(names)}
            made[kind] = msgspec.json.Decoder(msgspec.defstruct("Body", fields, gc=False, rename=said)).decode
        return made

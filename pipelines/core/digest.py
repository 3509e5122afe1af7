"""Canonical bytes and their digest: the same value has the same name on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(value: Any) -> bytes:
    """The value as JSON with sorted keys, no spaces, UTF-8. Raises ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """SHA-256 of the bytes, or of the canonical JSON of any other value, as 64 hex digits."""
    data = value if isinstance(value, bytes | bytearray | memoryview) else canonical(value)
    return hashlib.sha256(data).hexdigest()

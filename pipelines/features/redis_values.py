"""The online features in Redis: the same packed values, read by one MGET and changed by one MULTI that watches the head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.core.errors import ShelflifeError
from pipelines.features.keyvalue import HEAD, PAGE, Addition, Change, Moved


class RedisValues:
    """Values under a prefix of their own in a Redis server, for servers on several machines.

    A change is one transaction, so it is whole or nothing; how much of what was acknowledged survives the server's own crash is
    its appendonly setting's to say. Nothing is lost either way: the head says which offset the values had seen, and the stream
    goes on from there. Raises ShelflifeError where the library redis is missing.
    """

    def __init__(self, url: str, name: str) -> None:
        try:
            import redis
        except ImportError:
            raise ShelflifeError("wanted the library redis for an online store in Redis; install shelflife[redis]") from None
        self._redis: Any = redis.Redis.from_url(url, socket_timeout=10, socket_connect_timeout=2)
        self._watched: Any = redis.WatchError
        self._prefix = f"shelflife:{name}:".encode()

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        found = self._redis.mget([self._prefix + key for key in keys]) if keys else []
        return {key: value for key, value in zip(keys, found, strict=True) if value is not None}

    def put(self, changes: Iterable[Change], added: Iterable[Addition] = (), *, on: bytes | None) -> None:
        kept, gone = {}, []
        for key, value in changes:
            if value is None:
                gone.append(self._prefix + key)
            else:
                kept[self._prefix + key] = value
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.watch(self._prefix + HEAD)
            if pipe.get(self._prefix + HEAD) != on:
                raise Moved
            pipe.multi()
            for key, more in added:
                pipe.append(self._prefix + key, more)
            if kept:
                pipe.mset(kept)
            if gone:
                pipe.delete(*gone)
            try:
                pipe.execute()
            except self._watched:
                raise Moved from None

    def scan(self, prefix: bytes) -> Iterator[Sequence[tuple[bytes, bytes]]]:
        start, cursor = self._prefix + prefix, 0
        pattern = _escaped(start) + b"*"
        while True:
            cursor, keys = self._redis.scan(cursor, match=pattern, count=PAGE)
            values = self._redis.mget(keys) if keys else []
            yield [(k[len(self._prefix) :], v) for k, v in zip(keys, values, strict=True) if v is not None]
            if not cursor:
                return

    def compact(self) -> None:
        """What the server's own files still hold is the server's to rewrite (BGREWRITEAOF, BGSAVE)."""

    def close(self) -> None:
        self._redis.close()


def _escaped(key: bytes) -> bytes:
    """The key as a pattern that only it begins."""
    return b"".join(b"\\" + bytes([c]) if c in b"*?[]\\^-" else bytes([c]) for c in key)

"""Damaged bytes of every format in a bundle, of its manifest and of the signed release: refused before any parser sees them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from unittest import mock

import sqlalchemy as sa

from benchmarks.fire.shop import CASE, NOW, Conduct, bundle, home, promote
from pipelines.core.digest import digest
from pipelines.core.errors import ShelflifeError
from pipelines.core.release import Bundle
from pipelines.serving.loaded import Parts, load
from pipelines.steps import serve
from pipelines.store.home import Home
from pipelines.store.state import ENVELOPES

PARSERS = ("json.loads", "onnxruntime.InferenceSession", "numpy.load", "pyarrow.parquet.read_table")
BLOCK = 4096


@dataclass(frozen=True)
class Damage:
    """How many damaged bundles and releases there were, and of them: accepted, and seen by a parser before they were refused."""

    cases: int
    accepted: int
    parsed: int
    formats: int


def damage(folder: Path, truncations: int = 100, flips: int = 200, zeroed: int = 50) -> Damage:
    """Damage each file of a promoted bundle in every way, and each byte range of its signed release, one at a time."""
    made = home(folder / "home")
    name = bundle(made, Conduct(1e-5))
    promote(made, name, NOW)
    place, whole = made.path / "releases" / name, folder / "whole"
    shutil.copytree(place, whole)
    files, dice = sorted(path.name for path in whole.iterdir()), Random(7)
    told = [_refused(made, name) for file in files for _ in _damaged(place, whole, file, dice, truncations, flips, zeroed)]
    signed = [_disbelieved(made) for _ in _forged(made, dice, flips)]
    assert not _refused(made, name)[0], "the undamaged bundle must load, or nothing was shown"
    assert not _disbelieved(made)
    accepted = sum(not refused for refused, _ in told) + sum(not refused for refused in signed)
    return Damage(len(told) + len(signed), accepted, sum(parsed for _, parsed in told), len(files) + 1)


def _refused(made: Home, name: str) -> tuple[bool, bool]:
    """Whether the server's own loader refuses the bundle, and whether any parser was called before it did."""
    called: list[str] = []
    with ExitStack() as stack:
        for parser in PARSERS:
            keep = _named(parser)
            stack.enter_context(mock.patch(parser, side_effect=_counting(called, parser, keep, name)))
        try:
            load(CASE, name, _parts(made))
        except ShelflifeError:
            return True, bool(called)
    return False, bool(called)


def _named(path: str) -> Callable[..., object]:
    import importlib

    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _counting(called: list[str], parser: str, keep: Callable[..., object], name: str) -> Callable[..., object]:
    """The parser, counted; the manifest whose digest is the bundle's name is the one thing that may be parsed to go on."""

    def act(*args: object, **words: object) -> object:
        if not (args and isinstance(args[0], bytes) and digest(args[0]) == name):
            called.append(parser)
        return keep(*args, **words)

    return act


def _parts(made: Home) -> Parts:
    """The parts that the server loads with."""
    return Parts(
        lambda name: serve._open_bundle(made, name),  # noqa: SLF001  # the very loader that serves
        serve._encoder,  # noqa: SLF001
        serve._calibration,  # noqa: SLF001
        lambda files: serve.StoreReader(made.path / "online", files),
        lambda champion: serve.believe(made, champion),
    )


def _damaged(place: Path, whole: Path, file: str, dice: Random, truncations: int, flips: int, zeroed: int) -> Iterator[str]:
    """Damage one file in every way, one after another; it is whole again after each."""
    data = (whole / file).read_bytes()
    places = [dice.randrange(len(data)) for _ in range(truncations + flips + zeroed)]
    cut, flipped, blank = places[:truncations], places[truncations : truncations + flips], places[truncations + flips :]
    bad = [
        *(data[:at] for at in cut),
        *(_flipped(data, at, dice.randrange(8)) for at in flipped),
        *(_zeroed(data, at) for at in blank),
    ]
    for harmed in (*bad, b"", data + b"\0", b"\0" * len(data)):
        if harmed != data:
            _write(place / file, harmed)
            yield file
    _write(place / file, data)
    for harm in (_swap, _extra, _rename, _remove, _symlink, _hardlink, _folder):
        harm(place, file)
        yield file
        shutil.rmtree(place)
        shutil.copytree(whole, place)


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def _flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def _zeroed(data: bytes, at: int) -> bytes:
    start = at - at % BLOCK
    return data[:start] + b"\0" * len(data[start : start + BLOCK]) + data[start + BLOCK :]


def _swap(place: Path, file: str) -> None:
    other = next(path for path in sorted(place.iterdir()) if path.name != file)
    (place / file).rename(place / "aside")
    other.rename(place / file)
    (place / "aside").rename(other)


def _extra(place: Path, file: str) -> None:
    shutil.copy(place / file, place / f"more_{file}")


def _rename(place: Path, file: str) -> None:
    (place / file).rename(place / f"new_{file}")


def _remove(place: Path, file: str) -> None:
    (place / file).unlink()


def _symlink(place: Path, file: str) -> None:
    (place / file).rename(place.parent / "elsewhere")
    (place / file).symlink_to(place.parent / "elsewhere")


def _hardlink(place: Path, file: str) -> None:
    (place.parent / "elsewhere").unlink(missing_ok=True)
    os.link(place / file, place.parent / "elsewhere")


def _folder(place: Path, file: str) -> None:
    (place / file).unlink()
    (place / file).mkdir()


def _forged(made: Home, dice: Random, flips: int) -> Iterator[str]:
    """Change the signed release in the database: bits of its body and signature, each field, and another's signature."""
    with made.state.read() as connection:
        row = connection.execute(sa.select(ENVELOPES)).mappings().one()
    for column in ("body", "signature"):
        text = row[column]
        for _ in range(flips):
            at = dice.randrange(len(text))
            bad = text[:at] + chr(ord(text[at]) ^ (1 << dice.randrange(7))) + text[at + 1 :]
            if "\0" not in bad:
                yield from _told(made, {column: bad}, column)
        for at in range(0, len(text), max(1, len(text) // 20)):
            yield from _told(made, {column: text[:at]}, column)
    body = json.loads(row["body"])
    for name in body:
        yield from _told(made, {"body": json.dumps(body | {name: "0" * 64}, separators=(",", ":"), sort_keys=True)}, name)
    with made.state.begin() as connection:
        connection.execute(ENVELOPES.update().values(**row))


def _told(made: Home, values: dict[str, str], what: str) -> Iterator[str]:
    with made.state.begin() as connection:
        keep = dict(connection.execute(sa.select(ENVELOPES)).mappings().one())
        connection.execute(ENVELOPES.update().values(**values))
    yield what
    with made.state.begin() as connection:
        connection.execute(ENVELOPES.update().values(**keep))


def _disbelieved(made: Home) -> bool:
    """Whether both the store and the server refuse the champion's release."""
    try:
        made.releases.answering(CASE)
    except ShelflifeError:
        champion = serve.champions(made)[CASE]
    else:
        return False
    try:
        serve.believe(made, champion)
    except ShelflifeError:
        return True
    return False


def swapped_after_it_was_verified(folder: Path) -> tuple[float, float, float]:
    """Put another bundle's files in place in the moment between verifying and parsing; the typical scores of the bundle, of what
    was loaded in that moment, and of the other.
    """
    made = home(folder / "home")
    first, second = bundle(made, Conduct(1e-5)), bundle(made, Conduct(2e-5))
    parts = _parts(made)

    def opening(name: str) -> tuple[Bundle, Mapping[str, bytes]]:
        found = parts.open_bundle(name)
        for path in (made.path / "releases" / second).iterdir():
            _write(made.path / "releases" / first / path.name, path.read_bytes())
        return found

    whole = load(CASE, first, parts)
    swapped, other = load(CASE, first, replace(parts, open_bundle=opening)), load(CASE, second, parts)
    return float(whole.typical), float(swapped.typical), float(other.typical)

"""What answers: a bundle is everything needed to answer, named by its digest; a release is the signed word that it may."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.core.digest import digest

FORMAT = 1
FILES = (
    "model.onnx",
    "encoder.json",
    "calibration.json",
    "features.json",
    "contract.json",
    "answers.json",
    "golden.json",
    "reference.parquet",
)
"""Files every bundle has; a ranking has `index.npz` too."""


@dataclass(frozen=True)
class Bundle:
    """The manifest of a bundle: `files` maps each name to its SHA-256; the exact set, no file more.

    `made_from` says what it was made from: model name, as_of, data, code commit, parameters, seed, library versions.
    """

    usecase: str
    files: Mapping[str, str]
    made_from: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name, sha in self.files.items():
            if (
                not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9]+)+", name)
                or name == "manifest.json"
                or not re.fullmatch(r"[0-9a-f]{64}", sha)
            ):
                raise ValueError(f"wanted a plain file name and a sha256, got {ascii(name)[:60]}: {ascii(sha)[:70]}")

    @property
    def digest(self) -> str:
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "usecase": self.usecase, "files": dict(self.files), "made_from": dict(self.made_from)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Bundle:
        """The manifest that `to_dict` wrote. Raises ValueError for another format or missing parts."""
        if data.get("format") != FORMAT or set(data) != {"format", "usecase", "files", "made_from"}:
            raise ValueError(
                f"wanted a bundle manifest of format {FORMAT}, got format {data.get('format')!r} with {sorted(data)}"
            )
        return Bundle(data["usecase"], dict(data["files"]), dict(data["made_from"]))


@dataclass(frozen=True)
class Release:
    """The envelope that is signed: this bundle may replace that champion, on the word of this verdict and this report.

    All by digest; `replaces` is the digest of the champion it was judged against (None for the first), `at` when it was signed.
    """

    usecase: str
    bundle: str
    verdict: str
    report: str
    replaces: str | None
    at: int

    @property
    def digest(self) -> str:
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "usecase": self.usecase, "bundle": self.bundle, "verdict": self.verdict,
            "report": self.report, "replaces": self.replaces, "at": self.at,
        }  # fmt: skip


REASONS = ("fresher", "cheaper", "smaller", "faster")
"""Why a challenger that is no better may still replace the champion."""


@dataclass(frozen=True)
class Moment:
    """What the world was when a run began: a small committed file, a dependency of ingest and evaluate.

    `as_of` and `log` (the digest of the closed partitions up to then) fix the data; `champion` is the digest of the bundle to
    judge against (None: there is none yet); `holdout` names the frozen holdout and `looks` how often it was opened before.
    `opens_holdout` is true only where `learn` runs: on a laptop evaluate judges on validation data. `reasons` are those that a
    person states for this run alone, why a challenger that is no better may replace the champion.
    """

    usecase: str
    as_of: int
    log: str
    champion: str | None
    holdout: str
    looks: int
    opens_holdout: bool
    reasons: tuple[str, ...] = ()

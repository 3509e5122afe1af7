"""Where a verb works: a checkout with its parameters, moments and stage outputs."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipelines.core.clock import instant, iso
from pipelines.core.errors import ShelflifeError
from pipelines.core.params import Params, parse
from pipelines.core.release import Moment

if TYPE_CHECKING:
    from pipelines.core.usecase import UseCase


KNOWN = "as_of.json"
"""Beside a snapshot and its rows: what they are as of, so that only ingest and evaluate depend on the moment."""
HELD = "held.json"
"""Beside a snapshot: the days of each kind that were held back from it."""


@dataclass(frozen=True)
class Workspace:
    """A checkout. The paths of a use case's stage outputs are the ones that dvc.yaml names."""

    root: Path

    @staticmethod
    def here() -> Workspace:
        """The checkout of the current folder. Raises ShelflifeError where there is none."""
        for folder in (Path.cwd(), *Path.cwd().parents):
            if (folder / "params.yaml").is_file() and (folder / "pipelines").is_dir():
                return Workspace(folder)
        raise ShelflifeError(
            f"wanted to run inside a checkout with a params.yaml, got {Path.cwd()}; change to the project's folder"
        )

    @cached_property
    def params(self) -> Params:
        return parse(read_yaml(self.root / "params.yaml"))

    def case(self, name: str) -> UseCase:
        """The use case with its label window from params.yaml. Raises ShelflifeError for a name that there is not."""
        from pipelines import usecases

        block = self.params.block(name)
        return usecases.get(name).known_within(block.label.within, block.label.hidden_by)

    def moment_path(self, case: str) -> Path:
        return self.root / "moments" / f"{case}.yaml"

    def moment(self, case: str) -> Moment:
        """The recorded moment of the use case. Raises ShelflifeError when there is none or it is malformed."""
        path = self.moment_path(case)
        if not path.is_file():
            raise ShelflifeError(f"{case} has no moment yet: write one with `shelflife learn moment {case} --as-of 2025-05-26`")
        try:
            data = dict(read_yaml(path))
            return Moment(**{**data, "as_of": instant(data["as_of"]), "reasons": tuple(data.get("reasons", ()))})
        except (TypeError, KeyError, ValueError) as error:
            raise ShelflifeError(
                f"{path.name} is no moment ({error}); write it anew with `shelflife learn moment {case}`"
            ) from None

    def write_moment(self, moment: Moment) -> Path:
        """The moment as a small file that people can read and git can keep."""
        path = self.moment_path(moment.usecase)
        path.parent.mkdir(exist_ok=True)
        plain = {**asdict(moment), "as_of": iso(moment.as_of), "reasons": list(moment.reasons)}
        text = yaml.safe_dump(plain, sort_keys=False)
        path.write_text(f"# What the world was when this run began.\n{text}")
        return path

    def events(self, case: str) -> Path:
        return self.root / "data" / case / "events"

    def rows(self, case: str) -> Path:
        return self.root / "data" / case / "rows"

    def models(self, case: str) -> Path:
        return self.root / "models" / case

    def reports(self, case: str) -> Path:
        return self.root / "reports" / case


def read_yaml(path: Path) -> Any:
    """The parsed YAML. Raises ShelflifeError, naming the line, when it cannot be read."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ShelflifeError(f"{path.name} is missing in {path.parent}; restore it with git checkout {path.name}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise ShelflifeError(f"{path.name} is no YAML{line}: {getattr(error, 'problem', None) or error}") from None


def known(folder: Path) -> tuple[int, str]:
    """What the data in the folder is as of (microseconds UTC), and the digest of the log it was taken from."""
    path = folder / KNOWN
    if not path.is_file():
        raise ShelflifeError(f"{path} is missing; run dvc repro, or the stages in their order")
    data = json.loads(path.read_text())
    return instant(data["as_of"]), str(data["log"])


def write_known(folder: Path, as_of: int, log: str) -> None:
    """Write down what the data in the folder is as of."""
    write_json(folder / KNOWN, {"as_of": iso(as_of), "log": log})


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """JSON that git and DVC compare line by line: sorted, indented, with a final newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """A table that `dvc plots` draws."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])

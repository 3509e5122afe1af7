"""From columns to the matrix a model takes: fitted once, stored with the model, and the only transform that ever runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipelines.core.errors import ShelflifeError
from pipelines.features.text import TextSettings, Vocabulary

FORMAT = 1
KINDS = ("number", "category", "text")
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Encoder:
    """The matrix' columns: `sources` are the features in order with their kinds; a text becomes a column per term.

    A number is as it is (NaN as null; what float32 cannot hold is null), a category its code (0.. by frequency; -1 for null and
    for what was not among the most frequent when it was fitted), a text its tf-idf weights.
    """

    sources: tuple[tuple[str, str], ...]
    categories: Mapping[str, tuple[str, ...]]
    texts: Mapping[str, Vocabulary]

    @staticmethod
    def fit(
        columns: Mapping[str, Any],
        kinds: Mapping[str, str],
        *,
        max_categories: int = 200,
        text: TextSettings | Mapping[str, Any] | None = None,
    ) -> Encoder:
        """Fitted on columns of equal length. `kinds` names the features to encode, in order, each a number, category or text; a
        number whose column holds texts (the last country, say) is a category. `text` are the settings of every text column.

        Raises ShelflifeError for a missing column, an unknown kind or setting.
        """
        settings = text if isinstance(text, TextSettings) else _settings(text or {})
        sources = tuple((name, _kind(name, kind, _column(columns, name))) for name, kind in kinds.items())
        categories = {name: _categories(columns[name], max_categories) for name, kind in sources if kind == "category"}
        texts = {name: Vocabulary.fit(_texts(columns[name]), settings) for name, kind in sources if kind == "text"}
        return Encoder(sources, categories, texts)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The matrix' column names: the feature's, and `feature: term` for a text."""
        return tuple(column for name, kind in self.sources for column in self._columns_of(name, kind))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """number, category or text of each column of the matrix."""
        return tuple(kind for name, kind in self.sources for _ in self._columns_of(name, kind))

    def _columns_of(self, name: str, kind: str) -> Sequence[str]:
        return [f"{name}: {term}" for term in self.texts[name].terms] if kind == "text" else [name]

    def transform(self, columns: Mapping[str, Any], *, sparse: bool = False) -> Any:
        """The matrix, float32 of shape (rows, len(self.columns)); with `sparse`, a scipy CSR array (for training on texts)."""
        rows = len(_column(columns, self.sources[0][0])) if self.sources else 0
        return self._sparse(columns, rows) if sparse else self._dense(columns, rows)

    def _dense(self, columns: Mapping[str, Any], rows: int) -> np.ndarray:
        matrix = np.zeros((rows, len(self.columns)), dtype=np.float32)
        at = 0
        for name, kind in self.sources:
            if kind == "text":
                row, column, weight = self.texts[name].weights(_texts(_column(columns, name)))
                matrix[row, at + column] = weight
            else:
                matrix[:, at] = self._plain(name, kind, _column(columns, name))
            at += len(self.texts[name].terms) if kind == "text" else 1
        return matrix

    def _sparse(self, columns: Mapping[str, Any], rows: int) -> Any:
        from scipy import sparse

        blocks = []
        for name, kind in self.sources:
            values = _column(columns, name)
            if kind == "text":
                row, column, weight = self.texts[name].weights(_texts(values))
                blocks.append(
                    sparse.csr_array((weight, (row, column)), shape=(rows, len(self.texts[name].terms)), dtype=np.float32)
                )
            else:
                blocks.append(sparse.csr_array(self._plain(name, kind, values).reshape(-1, 1)))
        return sparse.hstack(blocks, format="csr")

    def _plain(self, name: str, kind: str, values: Any) -> np.ndarray:
        return _numbers(name, values) if kind == "number" else self._codes(name, values)

    def _codes(self, name: str, values: Any) -> np.ndarray:
        places = self._places[name]
        return np.array([-1 if value is None else places.get(value, -1) for value in _texts(values)], dtype=np.float32)

    @cached_property
    def _places(self) -> dict[str, dict[str, int]]:
        return {name: {value: at for at, value in enumerate(values)} for name, values in self.categories.items()}

    def to_json(self) -> bytes:
        """The encoder as JSON."""
        data = {
            "format": FORMAT, "sources": [list(source) for source in self.sources],
            "categories": {name: list(values) for name, values in self.categories.items()},
            "texts": {name: vocabulary.to_dict() for name, vocabulary in self.texts.items()},
        }  # fmt: skip
        return json.dumps(data, ensure_ascii=False, sort_keys=True, allow_nan=False).encode()

    @staticmethod
    def from_json(data: bytes) -> Encoder:
        """The encoder that to_json wrote. Raises ShelflifeError for anything else."""
        try:
            parsed = json.loads(data)
            if parsed["format"] != FORMAT:
                raise ShelflifeError(
                    f"wanted an encoder of format {FORMAT}, got {parsed['format']!r}; train again with this version"
                )
            texts = {name: Vocabulary.from_dict(row) for name, row in parsed["texts"].items()}
            categories = {name: tuple(values) for name, values in parsed["categories"].items()}
            return Encoder(tuple((name, kind) for name, kind in parsed["sources"]), categories, texts)
        except (KeyError, TypeError, ValueError) as error:
            raise ShelflifeError(
                f"wanted an encoder as this program writes it, got something else ({error}); train again"
            ) from error


def _settings(text: Mapping[str, Any]) -> TextSettings:
    known = TextSettings.__dataclass_fields__
    if unknown := sorted(set(text) - set(known)):
        raise ShelflifeError(f"text has no setting {', '.join(unknown)}; it has {', '.join(known)}")
    chosen: dict[str, Any] = {name: tuple(value) if name == "ngrams" else value for name, value in text.items()}
    return TextSettings(**chosen)


def _column(columns: Mapping[str, Any], name: str) -> Any:
    if name not in columns:
        raise ShelflifeError(
            f"wanted a column {name}, got {', '.join(sorted(columns)) or 'none'}; compute the model's features first"
        )
    return columns[name]


def _kind(name: str, kind: str, values: Any) -> str:
    """The kind that was declared; a number that holds texts is a category."""
    if kind not in KINDS:
        raise ShelflifeError(f"{name}: wanted a kind of {', '.join(KINDS)}, got {kind!r}")
    holds_text = np.asarray(values).dtype.kind in "OU" and any(isinstance(value, str) for value in values)
    return "category" if kind == "number" and holds_text else kind


def _categories(values: Any, most: int) -> tuple[str, ...]:
    """The most frequent values, first the most frequent; equal ones in string order."""
    counts = Counter(value for value in _texts(values) if value is not None)
    return tuple(sorted(counts, key=lambda value: (-counts[value], value))[:most])


def _texts(values: Any) -> list[str | None]:
    """The values as texts, null as None (a column without any value may come as NaN)."""
    return [value if isinstance(value, str) else (None if value is None or value != value else str(value)) for value in values]  # noqa: PLR0124


def _numbers(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind == "O":
        try:
            array = np.array([np.nan if value is None else float(value) for value in array])
        except (TypeError, ValueError) as error:
            raise ShelflifeError(f"{name}: wanted numbers, got something else ({error})") from None
    array = array.astype(np.float64)
    return np.where(np.abs(array) <= LARGEST, array, np.nan).astype(np.float32)

"""Text as numbers: words and Chinese characters, their n-grams, a fitted vocabulary and its weights, declared and stored."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

CHARACTERS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
"""Scripts that write without spaces: each character is a token of its own."""

TOKEN = re.compile(rf"[{CHARACTERS}]|(?:(?![{CHARACTERS}])[^\W_])+(?:['\u2019](?:(?![{CHARACTERS}])[^\W_])+)*")


@dataclass(frozen=True)
class TextSettings:
    """What is declared: the lengths of n-grams, the most terms kept, and in how many texts a term must occur."""

    ngrams: tuple[int, ...] = (1, 2)
    terms: int = 20_000
    least: int = 2


@dataclass(frozen=True)
class Vocabulary:
    """What is fitted: the terms in column order and the inverse document frequency of each."""

    terms: tuple[str, ...]
    idf: tuple[float, ...]
    ngrams: tuple[int, ...]

    @cached_property
    def places(self) -> dict[str, int]:
        return {term: at for at, term in enumerate(self.terms)}

    @cached_property
    def _idf(self) -> np.ndarray:
        return np.array(self.idf, dtype=np.float64)

    @staticmethod
    def fit(texts: Iterable[str | None], settings: TextSettings) -> Vocabulary:
        """The terms that occur in the most texts, at least `settings.least`; equal ones in string order."""
        occurs: Counter[str] = Counter()
        count = 0
        for text in texts:
            count += 1
            occurs.update(set(grams(text, settings.ngrams)))
        kept = sorted((term for term, n in occurs.items() if n >= settings.least), key=lambda term: (-occurs[term], term))
        terms = tuple(sorted(kept[: settings.terms]))
        idf = tuple(float(np.log((1 + count) / (1 + occurs[term])) + 1) for term in terms)
        return Vocabulary(terms, idf, settings.ngrams)

    def weights(self, texts: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, column and tf-idf (1 + log of the count, times idf, each row of length 1) of every term found, by row and column."""
        places = self.places
        rows: list[int] = []
        columns: list[int] = []
        counts: list[int] = []
        for at, text in enumerate(texts):
            found = Counter([places[gram] for gram in grams(text, self.ngrams) if gram in places])
            ordered = sorted(found)
            rows += [at] * len(ordered)
            columns += ordered
            counts += [found[column] for column in ordered]
        row, column = np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)
        weight = (1 + np.log(np.array(counts, dtype=np.float64))) * self._idf[column]
        length = np.sqrt(np.bincount(row, weights=weight**2, minlength=len(texts)))
        return row, column, (weight / length[row]).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        return {"terms": list(self.terms), "idf": list(self.idf), "ngrams": list(self.ngrams)}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Vocabulary:
        return Vocabulary(tuple(data["terms"]), tuple(data["idf"]), tuple(data["ngrams"]))


def tokens(text: str | None) -> list[str]:
    """Words and single Chinese characters, in order: NFKC (so full-width forms are the plain ones), lower case."""
    return TOKEN.findall(unicodedata.normalize("NFKC", text).lower()) if text else []


def grams(text: str | None, lengths: Sequence[int]) -> list[str]:
    """The text's n-grams of tokens, of each length, joined by a space."""
    words = tokens(text)
    found = []
    for n in lengths:
        found += words if n == 1 else [" ".join(run) for run in zip(*(words[at:] for at in range(n)), strict=False)]
    return found

"""Fit a use case's candidates: members first, on the training rows; then the ensembles of them, on later rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ShelflifeError
from pipelines.models.makers import members

if TYPE_CHECKING:
    from pipelines.core.usecase import Model, Spec


Progress = Callable[[str, int, int], None]


def _silent(name: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Part:
    """Rows to learn from: the encoded matrix (dense or CSR), the labels, and for a ranking each row's ask."""

    matrix: Any
    labels: Any
    groups: Any = None


def fit(
    models: Sequence[Model],
    use: Sequence[str],
    settings: Mapping[str, Mapping[str, Any]],
    spec: Spec,
    train: Part,
    later: Part,
    progress: Progress = _silent,
) -> Iterator[tuple[str, Any]]:
    """Each candidate's name and fitted estimator, in the use case's order.

    `use` and `settings` are its block of params.yaml; `spec.settings` is not read. `later` are rows from after the training
    labels were mature: ensembles weigh their members on them. `progress(name, done, total)` is called while one is fitted.
    Raises ShelflifeError for a name, member or setting that there is not.
    """
    names = [model.name for model in models]
    if unknown := sorted({*use, *settings} - set(names)):
        raise ShelflifeError(f"there is no candidate {', '.join(unknown)}; the use case has {', '.join(names)}")
    fitted: dict[str, Any] = {}
    for model in sorted((m for m in models if m.name in use), key=lambda m: bool(m.of)):
        own = replace(spec, settings=settings.get(model.name, {}))
        estimator = model.make(own, members(model.of, fitted)) if model.of else model.make(own)
        fitted[model.name] = _fit(estimator, later if model.of else train, model.name, spec.threads, progress)
        yield model.name, fitted[model.name]


def _fit(estimator: Any, part: Part, name: str, threads: int, progress: Progress) -> Any:
    """The estimator, fitted with so many threads: sums that are split otherwise come out otherwise."""
    from threadpoolctl import threadpool_limits

    progress(name, 0, 1)
    if hasattr(estimator, "progress"):
        estimator.progress = lambda done, total: progress(name, done, total)
    rows = () if part.groups is None else (part.groups,)
    with threadpool_limits(threads):
        estimator.fit(part.matrix, part.labels, *rows)
    if hasattr(estimator, "progress"):
        del estimator.progress
    progress(name, 1, 1)
    return estimator

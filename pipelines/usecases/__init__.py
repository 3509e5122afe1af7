"""The menu: one folder per decision of the shop. Each declares, in three small files, and does nothing."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from pipelines.core.declared import completed
from pipelines.core.errors import ShelflifeError
from pipelines.core.usecase import UseCase
from pipelines.shop.contracts import CONTRACTS


def names() -> tuple[str, ...]:
    """The use cases there are: the folders beside this file."""
    return tuple(sorted(folder.parent.name for folder in Path(__file__).parent.glob("*/__init__.py")))


def get(name: str) -> UseCase:
    """The use case of that name. Raises ShelflifeError, naming those there are, when its folder declares another, or
    when what it declares cannot be computed from the shop's events."""
    if name not in names():
        raise ShelflifeError(f"there is no use case {ascii(name)[:60]}; there are {', '.join(names())}")
    case = getattr(import_module(f"{__name__}.{name}"), name, None)
    if not isinstance(case, UseCase) or case.name != name:
        raise ShelflifeError(
            f"wanted usecases/{name}/__init__.py to declare {name} = UseCase(name={name!r}, ...), got {type(case).__name__}"
        )
    try:
        return completed(case, CONTRACTS)
    except ValueError as error:
        raise ShelflifeError(f"usecases/{error}; correct the declaration") from None


def load() -> dict[str, UseCase]:
    """All use cases by name."""
    return {name: get(name) for name in names()}

"""The living state that a verb works on: SHELFLIFE_HOME, or .shelflife in the checkout."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.store.home import Home


def open_home(workspace: Workspace, *, create: bool = False) -> Home:
    """The home of this checkout. Raises ShelflifeError where there is none and it shall not be made."""
    from pipelines.store.home import Home

    return Home.open(Path(os.environ.get("SHELFLIFE_HOME") or workspace.root / ".shelflife"), create=create)

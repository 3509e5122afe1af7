"""A report's JSON as one HTML page: our first page, then all that Evidently drew; nothing is loaded, nothing foreign runs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.core.errors import ShelflifeError
from pipelines.reports import page

START = """
const data = JSON.parse(document.getElementById("data").textContent);
window.drawDashboard(data.dashboard, new Map(Object.entries(data.graphs)), "root_report");
"""
FONT = (
    "<style>@font-face{{font-family:'Material Icons';src:url(data:font/woff2;base64,{font}) format('woff2')}}"
    ".material-icons{{font-family:'Material Icons';font-style:normal;font-size:24px;line-height:1;display:inline-block;"
    "white-space:nowrap;direction:ltr}}</style>"
)


def render(report: Mapping[str, Any], first_page: str) -> str:
    """The page of the report. The same report gives the same bytes, wherever the same Evidently is installed."""
    library, font = _evidently()
    scripts = ["var global = globalThis", library, START]
    data = json.dumps({key: report["evidently"][key] for key in ("dashboard", "graphs")}, ensure_ascii=True, allow_nan=False)
    inert = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    after = f'<div id="root_report"></div><script type="application/json" id="data">{inert}</script>' + "".join(
        f"<script>{script}</script>" for script in scripts
    )
    rest = "<h2>All that was measured</h2><p class=small>Drawn by Evidently; it needs scripts to be allowed.</p>"
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    return page.document(report["subject"], first_page + rest, head=FONT.format(font=font), after=after, scripts=hashes)


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _evidently() -> tuple[str, str]:
    """Evidently's own library and its icons, from where it is installed; it is not imported."""
    found = find_spec("evidently")
    if found is None or not found.submodule_search_locations:
        raise ShelflifeError("wanted Evidently to draw the report, it is not installed; install shelflife with the extra learn")
    folder = Path(found.submodule_search_locations[0]) / "nbextension" / "static"
    library = (folder / "index.js").read_text(encoding="utf-8")
    return library, base64.b64encode((folder / "material-ui-icons.woff2").read_bytes()).decode()

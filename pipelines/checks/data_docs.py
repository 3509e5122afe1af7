"""Great Expectations' Data Docs as pages that stand alone: they load nothing from other hosts, run nothing, and look right offline."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'\">"
)
"""What Data Docs may do: be looked at. They run no script, neither their own nor any that came with the data."""
STYLE = """<style>
body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;margin:0}
nav.navbar.sticky-top{height:auto!important;padding:.5rem 1.5rem;border-bottom:1px solid #d9dee3}
.breadcrumb,.nav{list-style:none;display:flex;flex-wrap:wrap;gap:.6rem;padding:0;margin:0}.nav{display:block}
.container-fluid{padding:0 .75rem}.container-fluid>.row:has(.sticky){display:grid;grid-template-columns:15rem 1fr;gap:2rem;padding:1rem}
.sticky{position:sticky;top:1rem}.card{border:1px solid #d9dee3;border-radius:6px;margin-bottom:1rem}.card-header,.card-body{padding:.5rem .75rem}
a{color:#1a56a0;text-decoration:none}.lead{color:#52606d}h4,h5,h6{margin:.2rem 0;font-size:1rem}h4{font-size:1.25rem}
.alert{background:#eef1f4;border-radius:6px;padding:.5rem .75rem;margin:1rem 0 .25rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #e4e7eb;padding:.35rem .6rem;text-align:left;vertical-align:top}
.badge{background:#e4e7eb;border-radius:4px;padding:.05rem .35rem;font-family:ui-monospace,monospace;font-size:.9em}
.text-success::before{content:"\\2713";color:#1b7f3b;font-weight:700}.text-danger::before{content:"\\2717";color:#b42318;font-weight:700}
.text-warning::before{content:"!";color:#b54708;font-weight:700}.collapse{display:none}.collapse:target{display:block}
footer,.card:has([onclick]),thead[hidden]{display:none}
@media (max-width:800px){.container-fluid>.row:has(.sticky){display:block}}
@media (prefers-color-scheme:dark){body{background:#15191d;color:#e4e7eb}.alert,.badge{background:#242b32}a{color:#7cb3f0}.card,td,th{border-color:#37404a}}
</style>"""
FOREIGN = re.compile(r"<(?:link|img)\b[^>]*https?://[^>]*>|<script\b.*?</script>", re.DOTALL)
"""What a page of Great Expectations takes from other hosts, and its scripts. Values cannot look like these: they hold no angle brackets."""


def site(context: Any, docs: Path | None) -> list[Any]:
    """The action that writes Data Docs, where a folder is given."""
    from great_expectations.checkpoint import UpdateDataDocsAction

    if docs is None:
        return []
    docs.mkdir(parents=True, exist_ok=True)
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.absolute())}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    built = {"class_name": "SiteBuilder", "show_how_to_buttons": False, "store_backend": backend, "site_index_builder": index}
    context.add_data_docs_site("shelflife", built)
    return [UpdateDataDocsAction(name="docs", site_names=["shelflife"])]


def seal(docs: Path | None) -> None:
    """Make every page stand alone, under the policy; the index, which Great Expectations fills by script, lists the pages."""
    if docs is None:
        return
    pages = sorted(path.relative_to(docs) for path in docs.rglob("*.html") if path.parent != docs)
    for page in pages:
        text = (docs / page).read_text(encoding="utf-8")
        if POLICY not in text:
            (docs / page).write_text(FOREIGN.sub("", text).replace("<head>", f"<head>{POLICY}{STYLE}", 1), encoding="utf-8")
    (docs / "index.html").write_text(_index(pages), encoding="utf-8")


def _index(pages: list[Path]) -> str:
    """Links to all pages: what was found, then what is expected."""
    links = {
        part: "".join(
            f'<p><a href="{quote(page.as_posix())}">{escape(" / ".join(page.with_suffix("").parts[1:]))}</a></p>'
            for page in pages
            if page.parts[0] == part
        )
        for part in ("validations", "expectations")
    }
    inside = "".join(f'<h4 class="alert">{part.capitalize()}</h4>{found}' for part, found in links.items() if found)
    return (
        f'<!DOCTYPE html><html lang="en"><head>{POLICY}<meta charset="UTF-8"><title>Data Docs</title>{STYLE}</head>'
        f'<body><div class="container-fluid">{inside}</div></body></html>\n'
    )

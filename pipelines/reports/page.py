"""The page that a manager reads first: the answer in words, then the picture, then the rest; and the mail with the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlsplit

from pipelines.core.errors import ShelflifeError
from pipelines.core.verdict import Finding, Verdict
from pipelines.reports.plain import plain

MARKS = {"fail": "✗ failed", "unsure": "? unsure", "pass": "✓ ok"}
ORDER = {"fail": 0, "unsure": 1, "pass": 2}
STYLE = """
body{font:16px/1.55 system-ui,sans-serif;color:#1b1f24;background:#f3f4f1;margin:0}
main{max-width:60rem;margin:2rem auto;padding:1.6rem 2rem;background:#fff;border:1px solid #e1e4de;border-radius:10px}
h1{font-size:1.5rem;margin:0 0 .6em} h2{font-size:1.1rem;margin:1.8em 0 .4em}
.answer{font-size:1.35rem;font-weight:600;margin:0 0 .8em;padding:.6em .9em;border-left:8px solid;border-radius:6px}
.answer.pass{background:#e7f6ec;border-color:#2da44e} .answer.fail{background:#fdecec;border-color:#cf222e}
.answer.unsure{background:#fdf4e0;border-color:#bf8700} .pass{color:#116329} .fail{color:#a40e26} .unsure{color:#7d4e00}
.tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin:1.2rem 0} .tile{flex:1 1 12rem;border:1px solid #e1e4de;border-radius:8px;padding:.7em .9em}
.tile b{display:block;font-size:1.45rem;line-height:1.3} figure{margin:1.4rem 0}
table{border-collapse:collapse;width:100%;margin:.6rem 0} td,th{text-align:left;vertical-align:top;padding:.35em .6em;border-bottom:1px solid #e1e4de}
td:first-child{white-space:nowrap} .small{color:#57606a;font-size:.9rem} svg{max-width:100%;height:auto}
"""


@dataclass(frozen=True)
class Summary:
    """The same words for a browser or mail reader that shows HTML, and for one that shows text."""

    html: str
    text: str


@dataclass(frozen=True)
class Tile:
    """One number that a manager looks for: what it is, the number, and what it means."""

    what: str
    number: str
    meaning: str


def first_page(verdict: Verdict, words: Sequence[str], picture: str, caption: str, tiles: Sequence[Tile] = ()) -> str:
    """The inside of the page: `words` answer what a manager asks, `tiles` are the numbers that matter most, `picture` is SVG of
    ours under its `caption`."""
    status = verdict.status
    facts = "".join(f"<tr><th>{_safe(name)}</th><td>{_safe(_spell(value))}</td></tr>" for name, value in verdict.facts.items())
    figure = f"<figure>{picture}<figcaption class=small>{_safe(caption)}</figcaption></figure>" if picture else ""
    return (
        f"<h1>{_safe(verdict.subject)}</h1><p class='answer {status}'>{_safe(words[0])}</p>"
        + "".join(f"<p>{_safe(sentence)}</p>" for sentence in words[1:])
        + (f"<div class=tiles>{''.join(map(_tile, tiles))}</div>" if tiles else "")
        + figure
        + f"<h2>What was looked at</h2>{findings_table(verdict)}<h2>About</h2><table>{facts}</table>"
    )


def _tile(tile: Tile) -> str:
    number, meaning = f"<b>{_safe(tile.number)}</b>", f"<span class=small>{_safe(tile.meaning)}</span>"
    return f"<div class=tile><span class=small>{_safe(tile.what)}</span>{number}{meaning}</div>"


def findings_table(verdict: Verdict) -> str:
    """Every finding with what was seen and wanted, what did not pass first; what is missing or extra is a row too."""
    known = {finding.name for finding in verdict.findings}
    gone = [
        Finding(name, "unsure", None, "to be there", advice="this finding is missing")
        for name in verdict.required
        if name not in known
    ]
    rows = sorted([*gone, *verdict.findings], key=lambda f: ORDER[f.status])
    head = "<tr><th>result</th><th>what</th><th>seen</th><th>wanted</th></tr>"
    return f"<table>{head}{''.join(_row(finding) for finding in rows)}</table>"


def _row(finding: Finding) -> str:
    advice = f"<div class=small>{_safe(finding.advice)}</div>" if finding.advice else ""
    return (
        f"<tr><td class={finding.status}>{MARKS[finding.status]}</td><td>{_safe(finding.name)}</td>"
        f"<td>{_safe(seen(finding))}</td><td>{_safe(finding.wanted)}{advice}</td></tr>"
    )


def seen(finding: Finding) -> str:
    """What was observed, with its bounds where there are some."""
    text = "nothing" if finding.observed is None else _spell(finding.observed)
    if finding.low is None or finding.high is None:
        return text
    return f"{text} ({finding.low:.4g} to {finding.high:.4g})"


def answer(verdict: Verdict, *, passed: str, failed: str, unsure: str) -> list[str]:
    """The answer in words: what it means, then why in the findings' own sentences, at most five."""
    first = {"pass": passed, "fail": failed, "unsure": unsure}[verdict.status]
    missing = sorted(set(verdict.required) - {f.name for f in verdict.findings})
    why = [f.sentence() for f in sorted(verdict.findings, key=lambda f: ORDER[f.status]) if f.status != "pass"]
    count = f"{len(verdict.findings)} things were looked at, {len(why)} did not pass."
    more = [f"And {len(why) - 5} more."] if len(why) > 5 else []
    return [first, count, *(f"Missing: {name}." for name in missing[:5]), *why[:5], *more]


def summary(
    title: str, sections: Mapping[str, Sequence[str]], links: Mapping[str, str] | None = None, picture: str = ""
) -> Summary:
    """A short page or mail: a title, then under each heading (what moved, what it costs, what was done ...) its sentences.

    Links are of ours: http or https only. `picture` is SVG from picture.py. Raises ShelflifeError for any other link.
    """
    links = {name: _link(url) for name, url in (links or {}).items()}
    blocks = [
        f"<h2>{_safe(head)}</h2><ul>{''.join(f'<li>{_safe(s)}</li>' for s in rows)}</ul>"
        for head, rows in sections.items()
        if rows
    ]
    anchors = "".join(f'<p><a href="{escape(url)}">{_safe(name)}</a></p>' for name, url in links.items())
    html = document(title, f"<h1>{_safe(title)}</h1>{picture}{''.join(blocks)}{anchors}")
    lines = [plain(title), ""]
    for head, rows in sections.items():
        lines += [f"{plain(head)}:", *(f"- {plain(sentence, 1000)}" for sentence in rows), ""] if rows else []
    return Summary(html, "\n".join([*lines, *(f"{plain(name)}: {url}" for name, url in links.items())]).rstrip() + "\n")


def document(title: str, inside: str, *, head: str = "", after: str = "", scripts: str = "'none'") -> str:
    """A whole HTML page that may load nothing and run nothing but the scripts of the given hashes."""
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="UTF-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f"<title>{_safe(title)}</title><style>{STYLE}</style>{head}</head>\n<body><main>{inside}</main>{after}</body></html>\n"
    )


def _link(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(ord(c) <= 32 or c in "<>\"'`" for c in url):
        raise ShelflifeError(f"wanted a link with http or https, got {ascii(url)[:80]}")
    return url


def _safe(text: Any) -> str:
    return escape(plain(text, 1000))


def _spell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_spell(item)}" for name, item in value.items()) or "none"
    return (", ".join(map(_spell, value)) or "none") if isinstance(value, list | tuple) else str(value)

"""A page for people: what answers each use case, since when, why, and what was decided last. Read-only, no script."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipelines.serving.champion import Champion

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2rem 0 .2rem}section{border-top:1px solid #d5dae0}"
    "dl{display:grid;grid-template-columns:9rem 1fr;gap:.15rem 1rem;margin:.5rem 0}"
    "dt{color:#57606a}dd{margin:0;overflow-wrap:anywhere}"
    "code{font-size:.9em}table{border-collapse:collapse;margin:.5rem 0}"
    "td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}"
    ".away{color:#9a3412}pre{white-space:pre-wrap;background:#f6f8fa;padding:.6rem;margin:0}svg{display:block;margin:.5rem 0}"
)
POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: its own style, nothing else."""

WIDE, HIGH = 640, 90


@dataclass(frozen=True)
class Seen:
    """One answered request, for the picture: when, the last ask's score (None for a list), milliseconds, release."""

    ts: int
    score: float | None
    milliseconds: float
    release: str


@dataclass(frozen=True)
class Shown:
    """What the page tells of one use case; `newer` says why a newer release does not load, `story` is the registry's."""

    case: str
    question: str
    champion: Champion | None
    away: tuple[str, ...]
    newer: str
    story: Mapping[str, Any]
    recent: Sequence[Seen]


def page(now: int, cases: Iterable[Shown], watch: Mapping[str, Any]) -> str:
    """The page as of `now` (microseconds UTC); `watch` says whether the monitor has looked lately. All that comes from outside
    is escaped."""
    loud = "" if watch.get("watch") == "fresh" else ' class="away"'
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shelflife</title><style>{STYLE}</style></head>'
        f"<body><h1>Shelflife: what answers now</h1><p>{escape(iso(now))}</p>"
        f"<p{loud}>The watch: {escape(str(watch.get('text', 'not known')))}</p>{''.join(map(_case, cases))}</body></html>"
    )


def _case(told: Shown) -> str:
    champion, away, story = told.champion, told.away, told.story
    facts: dict[str, str] = {"answers now": "no release yet" if champion is None else f"release {champion.release}"}
    if champion is not None:
        facts |= {
            "bundle": champion.bundle,
            "since": iso(champion.since),
            "epoch": str(champion.epoch),
            "verdict": champion.verdict,
        }
    facts |= {name: str(value) for name, value in story.get("facts", {}).items()}
    facts["state"] = f"degraded: {', '.join(away)} away" if away else "all well"
    if told.newer:
        facts["a newer release"] = f"does not load: {told.newer}"
    return (
        f'<section id="{escape(told.case)}"><h2>{escape(told.case)}</h2><p>{escape(told.question)}</p>{_facts(facts, away=bool(away))}'
        f"{_why(story.get('why'))}{_decisions(story.get('decisions', ()))}{_picture(told.recent)}</section>"
    )


def _facts(facts: Mapping[str, str], *, away: bool) -> str:
    classes = {"state": "away"} if away else {}
    rows = (f'<dt>{escape(name)}</dt><dd class="{classes.get(name, "")}">{escape(value)}</dd>' for name, value in facts.items())
    return f"<dl>{''.join(rows)}</dl>"


def _why(text: str | None) -> str:
    return f"<h3>Why</h3><pre>{escape(text)}</pre>" if text else ""


def _decisions(decisions: Iterable[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(iso(row['at']))}</td><td>{escape(str(row['kind']))}</td><td>{escape(str(row['text']))}</td></tr>"
        for row in decisions
    )
    return f"<h3>Last decisions</h3><table><tr><th>when</th><th>what</th><th></th></tr>{rows}</table>" if rows else ""


def _picture(recent: Sequence[Seen]) -> str:
    """The last answers' scores and how long they took, in their order; a line where the release changed."""
    if not recent:
        return "<p>Nobody has asked since this server started.</p>"
    times = sorted(seen.milliseconds for seen in recent)
    middle, slow = times[len(times) // 2], times[min(len(times) - 1, int(0.99 * len(times)))]
    words = f"{len(recent)} last requests: half within {middle:.2f} ms, 99 of 100 within {slow:.2f} ms"
    scores = [seen.score for seen in recent if seen.score is not None]
    values = scores or [seen.milliseconds for seen in recent]
    what = "scores" if scores else "milliseconds"
    return f"<p>{escape(words)}</p>{_line(values, _changes(recent), f'{what} from {min(values):.3g} to {max(values):.3g}')}"


def _line(values: Sequence[float], changes: Sequence[float], title: str) -> str:
    low, span = min(values), (max(values) - min(values)) or 1.0
    step = WIDE / max(len(values) - 1, 1)
    points = " ".join(f"{i * step:.1f},{HIGH - 5 - (value - low) / span * (HIGH - 10):.1f}" for i, value in enumerate(values))
    marks = "".join(f'<line x1="{x * WIDE:.1f}" x2="{x * WIDE:.1f}" y1="0" y2="{HIGH}" stroke="#9a3412"/>' for x in changes)
    return (
        f'<svg role="img" width="{WIDE}" height="{HIGH}" viewBox="0 0 {WIDE} {HIGH}"><title>{escape(title)}</title>'
        f'<rect width="{WIDE}" height="{HIGH}" fill="#f6f8fa"/>{marks}'
        f'<polyline points="{points}" fill="none" stroke="#0969da" stroke-width="1.5"/></svg><p>{escape(title)}</p>'
    )


def _changes(recent: Sequence[Seen]) -> list[float]:
    """Where in the picture, from 0 to 1, another release began to answer."""
    last = max(len(recent) - 1, 1)
    return [i / last for i in range(1, len(recent)) if recent[i].release != recent[i - 1].release]

"""why: which release answers, since when, on whose word, and what it was made from."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import iso
from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.store.home import Home


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", help="the use case")
    parser.add_argument("--decisions", type=int, default=5, metavar="N", help="how many of the last decisions to list")


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    workspace.params.block(args.case)
    return why(open_home(workspace), args.case, args.decisions)


def why(home: Home, case: str, most: int = 5) -> dict[str, Any]:
    """The champion's story in a few lines, and the last decisions with the ids that `shelflife replay` takes."""
    decisions = home.decisions.list(case)[-most:] if most else []
    listed = [f"  {iso(d.at)}  {d.kind:<10} {d.id[:12]}  {_outcome(d.body)}" for d in reversed(decisions)]
    found = home.releases.answering(case)
    if found is None:
        return {"text": "\n".join([f"{case}: nothing answers yet; no release has passed its gate.", *listed]), "champion": None}
    champion, release, bundle = found
    made = bundle.manifest.made_from
    change = next(c for c in reversed(home.releases.history(case)) if c.epoch == champion.epoch)
    hold = home.releases.held(case)
    word = next((d for d in home.decisions.list(case) if d.body.get("release") == release.digest), None)
    lines = [
        f"{case}: bundle {champion.bundle[:12]} answers since {iso(champion.since)} (epoch {champion.epoch}, {change.action} by {change.actor})",
        f"  model {made['model']}, seed {made['seed']}, on data as of {iso(made['as_of'])} (log {made['log'][:12]})",
        f"  features {made['features'][:12]}, parameters {made['params'][:12]}, code {made['code'][:12]}",
        f"  release {release.digest[:12]}, verdict {release.verdict[:12]}, report {release.report[:12]}, replaced {(release.replaces or 'nobody')[:12]}",
        *([f"  held since {iso(hold.at)} by {hold.actor}: {hold.reason}"] if hold else []),
        *([f"  {line}" for line in _words(word.body)] if word else []),
        *(["decisions:", *listed] if listed else []),
    ]
    return {
        "text": "\n".join(lines),
        "champion": vars(champion),
        "made_from": dict(made),
        "decisions": [d.id for d in decisions],
    }


def _words(body: Any) -> list[str]:
    from pipelines.core.verdict import Verdict

    return Verdict.from_dict(body["verdict"]).why().splitlines() if "verdict" in body else []


def _outcome(body: Any) -> str:
    status = body.get("verdict", {}).get("status", "")
    said = f'"{body["because"]}"' if body.get("because") else ""
    return " ".join(str(part) for part in (body.get("subject", ""), status, body.get("actor", ""), said) if part)

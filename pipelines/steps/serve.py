"""serve: answer the shop over HTTP with the released bundles."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import SECOND
from pipelines.core.digest import canonical
from pipelines.core.errors import ShelflifeError
from pipelines.core.release import Bundle, Release
from pipelines.steps.pulse import pulse
from pipelines.steps.state import open_home
from pipelines.steps.stream import open_store
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    import argparse

    import numpy as np

    from pipelines.core.decision import Answers
    from pipelines.core.event import Event
    from pipelines.core.protocols import FeatureReader
    from pipelines.serving.app import Service
    from pipelines.serving.champion import Champion
    from pipelines.serving.explore import Explorer
    from pipelines.store.home import Home

Files = Mapping[str, bytes]

LAG = 60 * SECOND
"""How long an event may wait in the log, unseen by the online features, before answers say that they are behind."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on; any but a loopback one asks a token of everybody"
    )
    parser.add_argument("--port", type=int, default=8000, help="the port; 0 takes a free one")
    parser.add_argument("--home", type=Path, help="the living state; SHELFLIFE_HOME or .shelflife by default")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a further name that requests may come for"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pipelines.store.home import Home

    workspace = Workspace.here()
    home = Home.open(args.home) if args.home else open_home(workspace)
    serve(workspace, home, args.host, args.port, tuple(args.allow_host), as_json=args.json)
    return {"text": "stopped"}


def serve(
    workspace: Workspace, home: Home, host: str, port: int, hosts: tuple[str, ...] = (), *, as_json: bool = False
) -> None:
    """Answer until SIGTERM or Ctrl-C; the address is printed once the released bundles are loaded."""
    from pipelines.serving import server

    listening = server.listen(host, port)
    token = home.path / "token"

    def ready(address: str) -> None:
        told = {"address": address, "token": str(token)}
        print(
            json.dumps(told) if as_json else f"answering on {address} (page: {address}/console, token for events: {token})",
            flush=True,
        )
        sys.stdout.flush()

    server.run(service(workspace, home, private=server.is_private(host), hosts=(host, *hosts)).app(), listening, ready)


def service(workspace: Workspace, home: Home, *, private: bool = True, hosts: tuple[str, ...] = ()) -> Service:
    """The API of a home, its rooms wired together."""
    from pipelines.serving.app import Service
    from pipelines.serving.events import Intake
    from pipelines.serving.loaded import Parts
    from pipelines.serving.openapi import Declared
    from pipelines.serving.predictions import Predictions
    from pipelines.serving.steady import SteadyClock
    from pipelines.serving.swap import Champions
    from pipelines.serving.tokens import Token
    from pipelines.shop.contracts import CONTRACTS, SIMULATED

    clock = SteadyClock(lambda: _now(home))
    online = home.path / "online"

    def append(events: Sequence[Event]) -> list[int]:
        return home.log.append(events, arrived=clock.sure())

    def quarantine(row: Event | str, problems: Sequence[str]) -> None:
        home.quarantine.put(row, problems, clock())

    def condemned(champion: Champion, why: str) -> None:
        fall_back(home, champion, why, clock.sure())
        threading.Thread(target=home.outbox.deliver, args=(workspace.params.shop.mail, clock.sure()), daemon=True).start()

    parts = Parts(
        open_bundle=lambda name: _open_bundle(home, name), encoder_from=_encoder, calibration_from=_calibration,
        make_reader=lambda files: StoreReader(online, files), believe=lambda champion: believe(home, champion),
        make_fallback=lambda files: _reader(None, files), is_behind=Behind(home, clock),
        explorer=lambda case, answers: _explorer(workspace, online, case, answers),
    )  # fmt: skip
    cases = [workspace.case(name) for name in workspace.params.cases]
    return Service(
        declared={case.name: Declared(case.question, case.asks, case.answers) for case in cases},
        champions=Champions(lambda: champions(home), lambda: epoch(home), parts, online / "serving.json", condemned),
        predictions=Predictions(online / "spool", append),
        intake=Intake({kind: CONTRACTS[kind] for kind in SIMULATED}, append, quarantine),
        token=Token.at(home.path / "token"),
        clock=clock, private=private, hosts=hosts, story=lambda case: story(home, case),
        watch=lambda: pulse(workspace, home, clock()),
    )  # fmt: skip


def _explorer(workspace: Workspace, folder: Path, case: str, answers: Answers) -> Explorer | None:
    """What lets a share of the asks pass whose label an action would hide, as the parameters say."""
    from pipelines.core.decision import Probability
    from pipelines.serving.explore import Explorer

    label = workspace.params.block(case).label
    if not label.hidden_by or not isinstance(answers, Probability):
        return None
    kept = folder / f"explored-{case}.json"
    return Explorer(answers.cost, label.hidden_by, label.explore, label.per_day, label.amount_per_day, kept)


def _now(home: Home) -> int:
    return home.clock()()


def epoch(home: Home) -> int:
    """The count of changes: what the server looks at to learn of one. The state is opened here and not before, since it may be away."""
    return home.releases.epoch()


def champions(home: Home) -> dict[str, Champion]:
    """What the registry says answers now, each with its signed release; whether to believe it is for `believe` to say."""
    from pipelines.serving.champion import Champion

    found = {}
    for case, now in home.releases.champions().items():
        signed, verdict = "", ""
        try:
            release, signature = home.releases.envelope(now.release)
            signed, verdict = json.dumps({"release": asdict(release), "signature": signature}), release.verdict
        except ShelflifeError as error:
            signed = json.dumps({"problem": str(error)})
        found[case] = Champion(case, now.bundle, now.release, verdict, now.epoch, now.since, now.previous, signed)
    return found


def fall_back(home: Home, champion: Champion, why: str, now: int) -> None:
    """Step back in the registry from a release that is bad live, and hold the use case for a person to look; the mail says so.

    Where nothing answered before it, it is held only. Nothing happens where it does not answer any more, or is held already.
    """
    case, who = champion.case, {"at": now, "actor": "serve", "reason": f"bad live: {why}"}
    found = home.releases.champion(case)
    if found is None or found.bundle != champion.bundle:
        return
    if found.previous is not None:
        home.releases.fall_back(case, champion.bundle, **who)
    elif home.releases.held(case) is None:
        home.releases.hold(case, **who)


def believe(home: Home, champion: Champion) -> None:
    """Raises ShelflifeError unless a trusted key signed the release, and it lets this bundle answer this use case."""
    told = json.loads(champion.signed)
    if "problem" in told:
        raise ShelflifeError(told["problem"])
    release = Release(**told["release"])
    home.keys.verify(canonical(release.to_dict()), told["signature"])
    if (release.digest, release.usecase, release.bundle, release.verdict) != (
        champion.release,
        champion.case,
        champion.bundle,
        champion.verdict,
    ):
        raise ShelflifeError(
            f"{champion.case}: the signed release is not the champion's; restore a backup and find out who changed it"
        )


def story(home: Home, case: str) -> dict[str, Any]:
    """What the console tells of a use case: why its champion answers, what it was made from, and what was decided last."""
    from pipelines.steps.why import _outcome, _words

    decisions = home.decisions.list(case)
    champion = home.releases.champion(case)
    word = next((d for d in reversed(decisions) if champion and d.body.get("release") == champion.release), None)
    changes = [{"at": c.at, "kind": c.action, "text": f"by {c.actor}. {c.reason}"} for c in home.releases.history(case)]
    decided = [{"at": d.at, "kind": d.kind, "text": f"{_outcome(d.body)} ({d.id[:12]})"} for d in decisions]
    hold = home.releases.held(case)
    return {
        "why": "\n".join(_words(word.body)) if word else None,
        "decisions": sorted([*changes, *decided], key=lambda row: -row["at"])[:8],
        "facts": {"held": f"by {hold.actor}: {hold.reason}"} if hold else {},
    }


@dataclass
class StoreReader:
    """Features from the bundle's own definitions, out of the online store that the stream keeps.

    The store is opened at the first ask, and again after it has failed: one that is away takes no release along.
    """

    folder: Path
    files: Files
    _reader: FeatureReader | None = field(default=None, init=False)

    def read(self, asks: Sequence[Event]) -> tuple[Mapping[str, np.ndarray], int]:
        """The columns, and the offset of the log that they had seen."""
        self._reader = self._reader or _reader(self.folder, self.files)
        try:
            return self._reader.read(asks)
        except Exception:
            self._reader = None
            raise


@dataclass
class Behind:
    """Whether features at an offset lack events of these kinds that arrived more than `LAG` ago; looked at once a second."""

    home: Home
    clock: Any
    _known: dict[tuple[str, ...], tuple[float, bool]] = field(default_factory=dict, init=False)

    def __call__(self, kinds: tuple[str, ...], seen: int) -> bool:
        at, behind = self._known.get(kinds, (0.0, False))
        if time.monotonic() - at > 1:
            behind = bool(kinds) and self._look(kinds, seen)
            self._known[kinds] = (time.monotonic(), behind)
        return behind

    def _look(self, kinds: tuple[str, ...], seen: int) -> bool:
        try:
            waiting = self.home.log.read(after=seen, limit=1, kinds=kinds)
        except Exception:  # the log is away, which the predictions' spool says
            return False
        return bool(waiting) and (waiting[0].arrived or 0) < self.clock() - LAG


def _open_bundle(home: Home, name: str) -> tuple[Bundle, Files]:
    """The verified bytes, straight from the folder: they need no state to be believed."""
    from pipelines.store.bundles import load

    found = load(home.path / "releases" / name, name)
    return found.manifest, found.files


def _encoder(files: Files) -> Any:
    from pipelines.features.encoding import Encoder

    return Encoder.from_json(files["encoder.json"])


def _calibration(files: Files) -> Any:
    from pipelines.models.calibration import Calibration

    return Calibration.from_json(files["calibration.json"])


def _reader(folder: Path | None, files: Files) -> FeatureReader:
    """A reader by the bundle's own definitions; without a folder one that has seen no event at all."""
    from pipelines.core.contract import Contract
    from pipelines.core.decision import answers_from_dict
    from pipelines.core.feature import FeatureSet
    from pipelines.features.candidates import Index
    from pipelines.features.stream import OnlineStore, StreamReader

    definitions = FeatureSet.from_json(files["features.json"])
    store = open_store(folder, definitions) if folder else OnlineStore(Path(":memory:"), definitions)
    index = Index.from_npz(files["index.npz"]) if "index.npz" in files else None
    contract, answers = (
        Contract.from_dict(json.loads(files["contract.json"])),
        answers_from_dict(json.loads(files["answers.json"])),
    )
    return StreamReader(store, definitions, contract, answers=answers, index=index)

"""The epoch watcher: a promotion or a rollback is picked up within a second, without losing or mixing a request."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipelines.serving.champion import Champion
from pipelines.serving.loaded import Loaded, Parts, load
from pipelines.serving.vigil import Sample, Vigil, convict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

POLL = 0.2
"""Seconds between two looks at the epoch."""

STALE = 1.0
"""Seconds without a look that succeeded after which answers say that the state is away."""

RETRY = 5.0
"""Seconds until a release that could not be loaded is tried again."""

Pair = tuple[Champion, Loaded]


class Champions:
    """What answers now. The new bundle is loaded and has answered its golden requests before it takes over in one assignment;
    the bundle before it stays warm. Nothing that fails here takes an answer away: the last good release goes on.

    A release that is bad live is found in its own answers: the one before answers again at once, and `condemn` (champion, why)
    has the registry step back too, until which it is told again and again.
    """

    def __init__(
        self,
        champions: Callable[[], Mapping[str, Champion]],
        epoch: Callable[[], int],
        parts: Parts,
        remembered: Path | None = None,
        condemn: Callable[[Champion, str], object] | None = None,
    ) -> None:
        self._champions = champions
        self._epoch = epoch
        self._parts = parts
        self._remembered = remembered
        self._condemn = condemn
        self._vigils: dict[str, Vigil] = {}
        self._before: dict[str, Pair] = {}
        self._condemned: dict[str, tuple[Champion, str]] = {}
        self._told_at = -RETRY
        self._serving: dict[str, Pair] = {}
        self._warm: dict[str, Loaded] = {}
        self._seen: int | None = None
        self._looked = -STALE
        self._failed: dict[str, str] = {}
        self._missing: frozenset[str] = frozenset()
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def serving(self) -> Mapping[str, Pair]:
        """The champion and its loaded bundle by use case. Take it once a request: it is replaced, never changed."""
        return self._serving

    @property
    def warm(self) -> tuple[str, ...]:
        """The digests of the bundles that are loaded."""
        return tuple(self._warm)

    @property
    def unanswered(self) -> frozenset[str]:
        """Use cases that have a release, none of which could be loaded."""
        return frozenset(self._failed) - frozenset(self._serving)

    def troubles(self, case: str) -> tuple[str, ...]:
        """What is away: `state` (releases cannot be looked up, or lack this case), `release` (a newer one does not load)."""
        away = time.monotonic() - self._looked > STALE or case in self._missing
        return ("state",) * away + ("release",) * (case in self._failed)

    def why(self, case: str) -> str:
        """Why the newest release of the use case does not answer; empty when it does."""
        return self._failed.get(case, "")

    def start(self) -> None:
        """Load what answers now, or what answered last if that cannot be looked up, and begin to watch."""
        if not self.look():
            self._recall()
        self._thread = threading.Thread(target=self._run, name="champions", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(10)

    def note(self, champion: Champion, sample: Sample) -> None:
        """Let the watch see one request that this champion has answered."""
        vigil = self._vigils.get(champion.case)
        if vigil and vigil.bundle == champion.bundle:
            vigil.note(sample)

    def watch(self) -> None:
        """Look at what answers now, each beside the one before it; a bad one falls, and the registry is told."""
        if self._condemn is None:
            return
        for case, (champion, loaded) in self._serving.items():
            vigil = self._vigils[case]
            samples, suspected = vigil.suspicion()
            if not suspected or case in self._condemned:
                continue
            before = self._warm.get(champion.previous or "")
            absolute = {name: said for name, said in suspected.items() if name == "no number"}
            if guilty := convict(samples, suspected, loaded, before) if before else absolute:
                self._fall(champion, "; ".join(guilty.values()))
            else:
                vigil.acquit()
        self._tell()

    def _fall(self, champion: Champion, why: str) -> None:
        self._condemned[champion.case] = (champion, why)
        self._told_at = -RETRY
        pair = self._before.get(champion.case)
        if pair and pair[0].bundle == champion.previous:
            self._answer_by(*pair)
            self._failed = {**self._failed, champion.case: _fallen(why)}

    def _tell(self) -> None:
        """Have the registry step back from what was condemned; while it cannot, it is told again after a pause."""
        if not self._condemned or self._condemn is None or time.monotonic() < self._told_at + RETRY:
            return
        self._told_at = time.monotonic()
        for champion, why in list(self._condemned.values()):
            with contextlib.suppress(Exception):  # whatever the registry raises, the one before goes on answering
                self._condemn(champion, why)
        self.look()

    def look(self) -> bool:
        """Look at the epoch once and take over what is new. False when the state could not be read."""
        try:
            epoch = self._epoch()
            if epoch != self._seen or (self._failed and time.monotonic() >= self._retry_at):
                self._take_over(self._champions())
                self._seen = epoch
        except Exception:  # whatever the state raises, the last good releases answer
            return False
        self._looked = time.monotonic()
        return True

    def _run(self) -> None:
        while not self._stop.wait(POLL):
            self.look()
            with contextlib.suppress(Exception):  # a watch that cannot look takes no answer along, nor the next look
                self.watch()

    def _take_over(self, champions: Mapping[str, Champion]) -> None:
        self._missing = frozenset(self._serving) - frozenset(champions)
        failed = {}
        self._condemned = {case: kept for case, kept in self._condemned.items() if champions.get(case) == kept[0]}
        for case, champion in sorted(champions.items()):
            if case in self._condemned and self._serving[case][0] != champion:
                failed[case] = _fallen(self._condemned[case][1])
                continue
            try:
                self._parts.believe(champion)
                loaded = self._load(case, champion.bundle)
            except Exception as error:  # a release that does not load must not take the others, or its predecessor, along
                failed[case] = f"{type(error).__name__}: {error}"[:500]
                continue
            self._answer_by(champion, loaded)
        self._failed, self._retry_at = failed, time.monotonic() + RETRY
        self._keep_warm(champions)
        self._remember()

    def _answer_by(self, champion: Champion, loaded: Loaded) -> None:
        """Let it answer, in one assignment; remember who did before, and watch it."""
        case, now = champion.case, self._serving.get(champion.case)
        if now and now[0].bundle != champion.bundle:
            self._before[case] = now
        if case not in self._vigils or self._vigils[case].bundle != champion.bundle:
            self._vigils[case] = Vigil(champion.bundle, loaded.reference)
        self._serving = {**self._serving, case: (champion, loaded)}

    def _load(self, case: str, bundle: str) -> Loaded:
        if bundle not in self._warm:
            self._warm[bundle] = load(case, bundle, self._parts)
        return self._warm[bundle]

    def _keep_warm(self, champions: Mapping[str, Champion]) -> None:
        """Load what a rollback would return to, and let go what it would not."""
        wanted = {champion.bundle for champion, _ in self._serving.values()}
        for case, champion in champions.items():
            if champion.previous is not None:
                with contextlib.suppress(Exception):  # a predecessor that is gone is the registry's matter
                    self._load(case, champion.previous)
                wanted.add(champion.previous)
        self._warm = {digest: loaded for digest, loaded in self._warm.items() if digest in wanted}

    def _remember(self) -> None:
        """Write down what answers, so that a start without the state finds the last good releases."""
        if self._remembered is None or self._failed or not self._serving:
            return
        rows = [asdict(champion) for champion, _ in self._serving.values()]
        half = self._remembered.with_suffix(".half")
        with contextlib.suppress(OSError):  # a full disk costs the memory of it, not the answers
            half.write_text(json.dumps(rows))
            half.replace(self._remembered)

    def _recall(self) -> None:
        """Serve what was written down; signatures and bytes are checked as ever."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            rows = json.loads(self._remembered.read_bytes()) if self._remembered else []
            self._take_over({row["case"]: Champion(**row) for row in rows})


def _fallen(why: str) -> str:
    return f"it was bad: {why}"[:500]

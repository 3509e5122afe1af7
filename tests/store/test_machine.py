"""The releases as a machine: whatever is done in whatever order, crashes, rivals and tampering included, the invariants hold."""

import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from goods import DAY, NOW, bundle, promote, release
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import integers, sampled_from

import pipelines.store.bundles
import pipelines.store.keys
import pipelines.store.releases
import pipelines.store.retention
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.store.failpoint import VARIABLE
from pipelines.store.home import Home
from pipelines.store.retention import prune

CRASHES = [None, None, None, "promote.checked", "promote.written", "promote.mailed", "promote.committed"]
BACK = [None, None, None, "rollback.checked", "rollback.written", "rollback.committed"]
MONTH = timedelta(days=30)


class Machine(RuleBasedStateMachine):
    """The store beside a model of it: a stack of champions, and what was probed, tampered with or held."""

    template: Path

    @initialize()
    def start(self):
        self.folder = Path(tempfile.mkdtemp(dir=self.template.parent))
        shutil.copytree(self.template, self.folder / "home")
        self.home = Home.open(self.folder / "home")
        self.count, self.now, self.epoch = 0, NOW, 0
        self.stack, self.tampered, self.held, self.kept, self.backed = [], set(), False, [], 0

    def teardown(self):
        if hasattr(self, "home"):
            self.home.close()
            shutil.rmtree(self.folder)

    @property
    def current(self):
        return self.stack[-1] if self.stack else None

    def fresh(self):
        self.count += 1
        self.now += DAY
        return self.home.releases.add(bundle(self.folder / f"b{self.count}", self.count, as_of=self.now))

    def attempt(self, act, crash):
        """Do it, dying at the failpoint; None if it went through, else how it ended. Then look with new eyes."""
        try:
            if crash:
                os.environ[VARIABLE] = f"{crash}=raise"
            act()
        except (ShelflifeError, RuntimeError) as error:
            return error
        finally:
            os.environ.pop(VARIABLE, None)
            self.home.close()
            self.home = Home.open(self.home.path)
        return None

    @rule(crash=sampled_from(CRASHES), flaw=sampled_from(["none", "stale", "rival", "unprobed", "forged"]))
    def ship(self, crash, flaw):
        """Judge, sign and promote a new bundle with at most one flaw; a rival is another one that lands in between."""
        envelope = release(self.home, self.fresh(), at=self.now)
        seen = self.home.releases.epoch() - (flaw == "stale")
        if flaw == "rival":
            self.promote(release(self.home, self.fresh(), at=self.now), self.home.releases.epoch(), None, valid=not self.held)
        valid = flaw == "none" and not self.held
        crash = crash if flaw == "none" else None  # two reasons to stay as it is would hide one another
        self.promote(envelope, seen, crash, valid=valid, probed=flaw != "unprobed", forged=flaw == "forged")

    def promote(self, envelope, seen, crash, *, valid, probed=True, forged=False):
        words = {} if probed else {"probe": {"ok": False, "bundle": envelope.bundle}}
        if forged:
            words["signature"] = {"key_id": self.home.keys.current(), "signature": "00" * 64}
        before = self.home.releases.champion("fraud")
        ended = self.attempt(lambda: promote(self.home, envelope, expected_epoch=seen, **words), crash)
        after = self.home.releases.champion("fraud")
        moved = after != before
        assert moved is (valid and (ended is None or crash == "promote.committed"))
        if moved:
            assert after.bundle == envelope.bundle
            self.stack.append(after.bundle)
            self.backed = 0
            self.epoch += 1

    @rule()
    def ship_well(self):
        """Without such a rule most runs never get far enough for a bug to show."""
        self.promote(release(self.home, self.fresh(), at=self.now), self.home.releases.epoch(), None, valid=not self.held)

    @rule()
    def ship_two_and_let_them_age(self):
        """Both are older than what retention keeps; the one before must stay all the same."""
        self.ship_well()
        self.ship_well()
        self.retain(later=80)

    @rule()
    def tamper_and_go_back(self):
        """Champions enough, a byte of the one before changed, and the way back tried."""
        for _ in range(3 - len(self.stack)):
            self.ship_well()
        if len(self.stack) > 2:
            self.tamper(0)
            self.rollback(None)

    @rule(crash=sampled_from(BACK))
    def rollback(self, crash):
        possible = len(self.stack) > 1 and self.stack[-2] not in self.tampered
        ended = self.attempt(lambda: self.home.releases.rollback("fraud", at=self.now, actor="ops", reason="worse"), crash)
        if possible and (ended is None or crash == "rollback.committed"):
            self.stack.pop()
            self.epoch += 1
            if len(self.stack) > 1 and self.home.releases.champion("fraud").previous is None:
                assert self.backed > 1  # two steps back are always kept
                self.stack = self.stack[-1:]
            self.backed += 1
        else:
            assert ended is not None

    def tamper(self, which):
        """Change a file of the bundle before the one that answers."""
        name = self.stack[-2]
        path = (
            self.home.path / "releases" / name / sorted(self.home.releases.read(name).files)[which]
            if name not in self.tampered
            else None
        )
        if path:
            path.chmod(0o644)
            path.write_bytes(b"changed")
            self.tampered.add(name)

    @rule()
    def hold(self):
        if self.held:
            self.home.releases.unhold("fraud", at=self.now, actor="ops")
        else:
            self.home.releases.hold("fraud", at=self.now, actor="ops", reason="x")
        self.held, self.epoch = not self.held, self.epoch + 1

    @rule()
    @precondition(lambda self: self.stack)
    def predict(self):
        self.now += DAY
        self.kept.append((self.current, self.now))
        self.home.log.append(
            [Event("prediction", f"p{self.now}-{self.count}", self.now, {"bundle": self.current})], arrived=self.now
        )

    @rule(later=integers(1, 90))
    def retain(self, later):
        self.now += later * DAY
        prune(self.home, self.now, MONTH)

    @invariant()
    def one_champion_that_is_whole_and_gated(self):
        if not hasattr(self, "home"):
            return
        champion = self.home.releases.champion("fraud")
        assert (champion.bundle if champion else None) == self.current
        if champion:
            found, envelope, files = self.home.releases.answering("fraud")
            assert (envelope.bundle, files.manifest.digest, found.epoch <= self.epoch) == (
                champion.bundle,
                champion.bundle,
                True,
            )

    @invariant()
    def the_one_before_is_there(self):
        if hasattr(self, "home") and len(self.stack) > 1 and self.stack[-2] not in self.tampered:
            assert self.home.releases.champion("fraud").previous == self.stack[-2]
            self.home.releases.read(self.stack[-2])

    @invariant()
    def a_single_chain_with_a_mail_for_each_line(self):
        if hasattr(self, "home"):
            assert self.home.releases.verify() == self.home.releases.epoch() == self.epoch
            mails = {letter.key for letter in (*self.home.outbox.waiting(), *self.home.outbox.sent())}
            assert mails == {f"release/{n}" for n in range(1, self.epoch + 1)}

    @invariant()
    def what_predictions_name_stays(self):
        if hasattr(self, "home"):
            recent = {name for name, at in self.kept if at > self.now - 30 * DAY} - self.tampered
            for name in recent:
                self.home.releases.read(name)


def run(home, examples, steps):
    Machine.template = home
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True,
        phases=[Phase.generate],
    )  # fmt: skip
    run_state_machine_as_test(Machine, settings=chosen)


def test_the_invariants_of_releases_hold_in_any_order(empty_home):
    run(empty_home, 8, 12)


@pytest.mark.slow
def test_the_invariants_of_releases_hold_in_any_order_for_long(empty_home):
    run(empty_home, 30, 20)


def _forgetful(reigns):
    return [reigns[-1].bundle]


MUTANTS = {
    "no signature": (pipelines.store.keys.Keys, "verify", lambda *_: None),
    "no epoch, no judged champion": (pipelines.store.releases.Releases, "_check_turn", lambda *_: None),
    "no probe": (pipelines.store.releases.Releases, "_check_word", lambda *_: None),
    "no compare and swap": (pipelines.store.releases, "_check_epoch", lambda *_: None),
    "hold is ignored": (pipelines.store.releases, "hold_of", lambda *_: None),
    "no mail": (pipelines.store.releases.Releases, "_mail", lambda *_: None),
    "bytes are not checked": (pipelines.store.bundles, "_matched", pipelines.store.bundles.BundleFiles),
    "the one before is pruned": (pipelines.store.retention, "_way_back", _forgetful),
    "the ledger is not written": (pipelines.store.releases.Releases, "_append", lambda *_: None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_each_seeded_bug_is_found(empty_home, monkeypatch, name):
    owner, attribute, broken = MUTANTS[name]
    monkeypatch.setattr(owner, attribute, broken)
    with pytest.raises(BaseException):  # noqa: B017  # an assertion, or an error that the store itself raises
        run(empty_home, 60, 15)

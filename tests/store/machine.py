"""The releases as a machine: rules that act on a real store (files and SQLite), beside a model that says what must come of it."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from goods import DAY, KILLED, NOW, bundle, killed_at, promote, release, sign, verdict
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import integers, sampled_from

from pipelines.core.digest import digest
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.params import Mail
from pipelines.core.release import Release
from pipelines.store.home import Home
from pipelines.store.retention import prune
from pipelines.store.state import CHAMPIONS, LEDGER

SHIPPED = [None, None, None, "promote.begun", "promote.checked", "promote.written", "promote.mailed", "promote.committed"]
BACK = [None, None, None, "rollback.begun", "rollback.checked", "rollback.written", "rollback.committed"]
ADDED = [None, "folder.before_rename", "folder.renamed"]
PRUNED = [None, None, "prune.bundle", "discard.renamed"]
SENT = [None, "outbox.sent", "outbox.sent", "outbox.marked"]
FLAWS = [
    "none",
    "none",
    "old epoch",
    "other champion",
    "rival",
    "unprobed",
    "failed",
    "other bundle",
    "forged",
    "revoked",
    "spoiled",
    "other use case",
]
MONTH = timedelta(days=30)


@dataclass(frozen=True)
class Reign:
    """What the model knows of a champion: its bundle, and the key that signed its release."""

    bundle: str
    key: str


class Machine(RuleBasedStateMachine):
    """The store beside a model of it: a stack of champions, and what was spoiled, revoked, held, predicted or posted."""

    template: Path
    post: Mail
    taken: list
    database: Callable | None = None
    """Gives the URL of an empty database, where the state is not in the home's own."""

    @initialize()
    def start(self):
        self.folder = Path(tempfile.mkdtemp(dir=self.template.parent))
        shutil.copytree(self.template, self.folder / "home")
        if self.database:
            os.environ["SHELFLIFE_STATE"] = self.database()
        self.home = Home.open(self.folder / "home")
        self.count, self.now, self.epoch, self.backed = 0, NOW, 0, 0
        self.stack, self.spoiled, self.revoked, self.promoted = [], set(), set(), set()
        self.kept, self.held, self.fence = [], False, 0
        self.taken.clear()

    def teardown(self):
        if hasattr(self, "home"):
            self.home.close()
            shutil.rmtree(self.folder)

    # How things are done, and what is seen afterwards

    @property
    def current(self):
        return self.stack[-1].bundle if self.stack else None

    def attempt(self, act, crash=None):
        """Do it, or let a process of its own do it and be killed at the failpoint: done, refused or killed. Then a new process looks."""
        if crash:
            ended = {0: "done", KILLED: "killed", 7: "refused"}[killed_at(crash, act)]
            self.restart()
            return ended
        try:
            act()
        except ShelflifeError:
            return "refused"
        return "done"

    @rule()
    def restart(self):
        self.home.close()
        self.home = Home.open(self.home.path)

    def fresh(self, case="fraud"):
        self.count += 1
        self.now += DAY
        return self.home.releases.add(bundle(self.folder / f"b{self.count}", self.count, case, self.now))

    def file_of(self, name):
        return self.home.path / "releases" / name / "model.onnx"

    # Rules

    @rule(crash=sampled_from(ADDED))
    def register(self, crash):
        """A bundle is there whole or not at all, and adding it again gives the same."""
        self.count += 1
        folder = bundle(self.folder / f"b{self.count}", self.count, as_of=self.now)
        self.attempt(lambda: self.home.releases.add(folder), crash)
        self.whatever_has_a_name_is_whole()
        name = self.home.releases.add(folder)
        assert self.home.releases.read(name).files["model.onnx"] == (folder / "model.onnx").read_bytes()

    @rule(crash=sampled_from(SHIPPED), flaw=sampled_from(FLAWS))
    def ship(self, crash, flaw):
        """Judge, sign and promote a new bundle with at most one flaw; a rival is another one that lands in between."""
        name, before = self.fresh("demand" if flaw == "other use case" else "fraud"), self.current
        against = name if flaw == "other champion" else before
        word = verdict(name, against, "fail" if flaw == "failed" else "pass")
        if flaw == "other bundle":
            word = verdict(before or "0" * 64, against)
        envelope = Release("fraud", name, digest(word), digest(b"report"), against, self.now)
        words = {"signature": sign(self.home, envelope), "verdict": word, "expected_epoch": self.home.releases.epoch()}
        if flaw == "old epoch":
            words["expected_epoch"] -= 1
        if flaw == "unprobed":
            words["probe"] = {"ok": False, "bundle": name}
        if flaw == "forged":
            words["signature"] = words["signature"] | {"signature": "00" * 64}
        if flaw == "revoked":
            self.turn_keys()
            words["expected_epoch"] = self.home.releases.epoch()
        if flaw == "spoiled":
            self.file_of(name).chmod(0o644)
            self.file_of(name).write_bytes(b"changed")
            self.spoiled.add(name)
        if flaw == "rival":
            self.ship_well()
            words["expected_epoch"] = self.home.releases.epoch()  # it looks again, but was judged against the one before
        possible = not self.held and (flaw == "none" or (flaw == "rival" and before == self.current))
        self.promote(envelope, words, crash if flaw == "none" else None, possible=possible)

    @rule()
    def ship_with_each_flaw(self):
        self.free()
        self.ship_well()
        for flaw in FLAWS[2:]:
            self.ship(None, flaw)

    @rule()
    def die_everywhere_while_shipping_and_going_back(self):
        self.free()
        for crash in SHIPPED[3:]:
            self.ship(crash, "none")
        for crash in BACK[3:]:
            self.rollback(crash)

    def promote(self, envelope, words, crash=None, *, possible):
        before = self.home.releases.champion("fraud")
        ended = self.attempt(lambda: promote(self.home, envelope, **words), crash)
        after = self.home.releases.champion("fraud")
        moved = after != before
        assert moved is (possible and (ended == "done" or (ended, crash) == ("killed", "promote.committed"))), (ended, crash)
        assert (ended == "refused") is not possible, (ended, possible)
        if moved:
            assert after.bundle == envelope.bundle
            self.crown(after.bundle)

    def crown(self, name):
        self.stack.append(Reign(name, self.home.keys.current()))
        self.promoted.add(name)
        self.backed, self.epoch = 0, self.epoch + 1

    @rule()
    def ship_well(self):
        """Without such a rule most runs never get far enough for a bug to show."""
        self.promote(release(self.home, self.fresh(), at=self.now), {}, possible=not self.held)

    @rule()
    def ship_another_use_case(self):
        name = self.fresh("demand")
        promote(self.home, release(self.home, name, "demand", self.now))
        self.epoch += 1

    @rule()
    def ship_two_and_let_them_age(self):
        """Both are older than what retention keeps; the one before must stay all the same."""
        self.free()
        self.ship_well()
        self.ship_well()
        self.retain(later=80, crash=None)

    @rule()
    def two_promote_at_once(self):
        """Of two processes that have seen the same, one wins."""
        names = [self.fresh(), self.fresh()]
        envelopes = [release(self.home, name, at=self.now) for name in names]
        seen, children = self.home.releases.epoch(), []
        for envelope in envelopes:
            child = os.fork()
            if child == 0:
                try:
                    promote(self.home, envelope, expected_epoch=seen)
                except BaseException:
                    os._exit(1)
                os._exit(0)
            children.append(child)
        ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert ended.count(0) == (0 if self.held else 1)
        if not self.held:
            self.crown(names[ended.index(0)])

    @rule(crash=sampled_from(BACK))
    def rollback(self, crash):
        self.step_back(lambda: self.home.releases.rollback("fraud", at=self.now, actor="ops", reason="worse"), crash)

    @rule(crash=sampled_from([None, "fallback.written"]))
    @precondition(lambda self: self.stack)
    def fall_back(self, crash):
        """A server finds the champion bad: of two that do, one steps back, and the use case is held."""
        bad, words, before = self.current, {"at": self.now, "actor": "serve", "reason": "bad"}, self.epoch
        self.step_back(lambda: self.home.releases.fall_back("fraud", bad, **words), crash)
        self.held = self.held or self.epoch > before
        if self.epoch > before:
            assert self.attempt(lambda: self.home.releases.fall_back("fraud", bad, **words)) == "refused"

    @rule()
    def ship_and_fall_back(self):
        self.free()
        self.ship_well()
        self.ship_well()
        self.fall_back(None)

    def step_back(self, act, crash):
        before = self.stack[-2] if len(self.stack) > 1 else None
        possible = before is not None and before.bundle not in self.spoiled and before.key not in self.revoked
        ended = self.attempt(act, crash)
        if possible and (ended == "done" or (ended, crash) == ("killed", "rollback.committed")):
            self.stack.pop()
            self.epoch += 1
            if len(self.stack) > 1 and self.home.releases.champion("fraud").previous is None:
                assert self.backed > 1  # two steps back are always kept
                self.stack = self.stack[-1:]
            self.backed += 1
        else:
            assert ended == ("killed" if possible or crash == "rollback.begun" else "refused")

    @rule(gone=sampled_from([False, True]))
    def spoil_the_way_back(self, gone):
        """Champions enough, the one before changed or gone, and the way back tried."""
        self.free()
        for _ in range(3 - len(self.stack)):
            self.ship_well()
        if len(self.stack) > 2 and self.stack[-2].bundle not in self.spoiled:
            path = self.file_of(self.stack[-2].bundle)
            path.unlink()
            if not gone:
                path.write_bytes(b"changed")
            self.spoiled.add(self.stack[-2].bundle)
            self.rollback(None)

    @rule()
    @precondition(lambda self: self.stack)
    def spoil_the_champion(self):
        """A server that starts now must not load it; the bytes come back, and it answers again."""
        path = self.file_of(self.current)
        whole = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(whole[:-1])
        assert self.attempt(lambda: self.home.releases.answering("fraud")) == "refused"
        path.write_bytes(whole)

    def turn_keys(self):
        """A new key; what the old one has signed is not believed any more. The champion is signed anew by another promotion."""
        old = self.home.keys.current()
        self.home.keys.rotate()
        self.ship_well()
        if not self.stack or self.stack[-1].key != old:
            self.home.keys.revoke(old)
            self.revoked.add(old)
        else:
            self.home.keys.revoke(self.home.keys.current())  # held: the key is new, and so is whatever it signed

    @rule()
    def turn_keys_and_go_back(self):
        self.free()
        self.ship_well()
        self.turn_keys()
        self.rollback(None)

    @rule()
    def go_back_and_play_the_old_release_again(self):
        """A signed release counts once."""
        self.free()
        before = len(self.stack)
        envelope = release(self.home, self.fresh(), at=self.now)
        words = {"signature": sign(self.home, envelope)}
        self.promote(envelope, words, possible=not self.held)
        if len(self.stack) > before > 0:
            self.rollback(None)
            self.promote(envelope, words, possible=False)

    @rule()
    def hold_or_free(self):
        if self.held:
            self.home.releases.unhold("fraud", at=self.now, actor="ops")
        else:
            self.home.releases.hold("fraud", at=self.now, actor="ops", reason="x")
        self.held, self.epoch = not self.held, self.epoch + 1

    def free(self):
        if self.held:
            self.hold_or_free()

    @rule()
    def ship_while_held(self):
        """A person's hold blocks promotion; the way back stays open."""
        self.free()
        self.ship_well()
        self.ship_well()
        self.hold_or_free()
        self.ship_well()
        self.rollback(None)
        self.hold_or_free()

    @rule()
    @precondition(lambda self: self.stack)
    def predict(self):
        self.now += DAY
        self.kept.append((self.current, self.now))
        event = Event("prediction", f"p{self.now}-{self.count}", self.now, {"bundle": self.current})
        self.home.log.append([event], arrived=self.now)

    @rule()
    def an_old_one_answers_once_more(self):
        """What a prediction of late names stays, however old it is and whoever followed: a server may have been cut off."""
        self.free()
        for _ in range(5):
            self.ship_well()
        self.now += 60 * DAY
        old = self.stack[-5].bundle
        self.kept.append((old, self.now))
        self.home.log.append([Event("prediction", f"p{self.now}-old", self.now, {"bundle": old})], arrived=self.now)
        self.retain(later=1, crash=None)

    @rule(later=integers(1, 90), crash=sampled_from(PRUNED))
    def retain(self, later, crash):
        self.now += later * DAY
        self.attempt(lambda: prune(self.home, self.now, MONTH), crash)
        self.whatever_has_a_name_is_whole()

    @rule()
    def a_zombie_writes(self):
        """A run whose lease has gone to another may not write, and nobody else gets the lease meanwhile."""
        runs, hour = self.home.runs, timedelta(hours=1)
        old = runs.lease("fraud", f"r{self.fence}", self.now, hour)
        self.now += DAY
        new = runs.lease("fraud", f"r{self.fence + 1}", self.now, hour)
        assert new > old
        assert self.attempt(lambda: runs.check("fraud", f"r{self.fence}", old, self.now)) == "refused"
        assert self.attempt(lambda: runs.renew("fraud", f"r{self.fence}", old, self.now, hour)) == "refused"
        assert self.attempt(lambda: runs.lease("fraud", "third", self.now, hour)) == "refused"
        assert self.attempt(lambda: runs.check("fraud", f"r{self.fence + 1}", new, self.now)) == "done"
        self.now += DAY
        self.fence += 2

    @rule()
    def a_trigger_comes_twice(self):
        self.count += 1
        told = [self.home.runs.append("fraud", {"kind": "alarm"}, self.now, key=f"k{self.count}") for _ in range(2)]
        assert told == [True, False]

    @rule()
    @precondition(lambda self: len(self.stack) > 1)
    def meddle_with_the_database(self):
        """Whoever writes past the store is found out: at once in the champion, and in the ledger when it is followed."""
        for table, where, values in (
            (CHAMPIONS, CHAMPIONS.c.usecase == "fraud", {"bundle": self.stack[-2].bundle}),
            (LEDGER, (LEDGER.c.chain == "releases") & (LEDGER.c.seq == 1), {"body": "{}"}),
        ):
            with self.home.state.begin() as connection:
                (row,) = connection.execute(sa.select(table).where(where)).mappings()
                connection.execute(table.update().where(where).values(**values))
            look = self.home.releases.verify if table is LEDGER else lambda: self.home.releases.champion("fraud")
            assert self.attempt(look) == "refused"
            with self.home.state.begin() as connection:
                connection.execute(table.update().where(where).values(**row))

    @rule(crash=sampled_from(SENT))
    def deliver(self, crash):
        """A mail about a change that counts as sent was taken by the server, whenever the sender dies."""
        self.now += DAY
        self.hold_or_free()
        self.attempt(lambda: self.home.outbox.deliver(self.post, self.now), crash)
        taken = b"".join(self.taken)
        assert all(digest(mail.key)[:32].encode() in taken for mail in self.home.outbox.sent())

    # Invariants

    def whatever_has_a_name_is_whole(self):
        for path in (self.home.path / "releases").iterdir():
            if len(path.name) == 64 and path.name not in self.spoiled:
                self.home.releases.read(path.name)

    @invariant()
    def one_champion_that_is_whole_and_gated(self):
        if not hasattr(self, "home"):
            return
        champion = self.home.releases.champion("fraud")
        assert (champion.bundle if champion else None) == self.current
        if champion:
            found, envelope, files = self.home.releases.answering("fraud")
            assert envelope.bundle == files.manifest.digest == champion.bundle
            assert found.epoch <= self.epoch
            probed = next(
                c for c in self.home.releases.history("fraud") if c.action == "promote" and c.bundle == champion.bundle
            )
            assert probed.probe == {"ok": True, "bundle": champion.bundle}
            assert (self.home.releases.held("fraud") is not None) is self.held
            assert envelope.verdict == digest(verdict(envelope.bundle, envelope.replaces))

    @invariant()
    def the_one_before_is_there(self):
        if hasattr(self, "home") and len(self.stack) > 1:
            assert self.home.releases.champion("fraud").previous == self.stack[-2].bundle
            if self.stack[-2].bundle not in self.spoiled:
                self.home.releases.read(self.stack[-2].bundle)

    @invariant()
    def a_single_chain_with_a_mail_for_each_line(self):
        if hasattr(self, "home"):
            assert self.home.releases.verify() == self.home.releases.epoch() == self.epoch
            mails = {letter.key for letter in (*self.home.outbox.waiting(), *self.home.outbox.sent())}
            assert mails >= {f"release/{n}" for n in range(1, self.epoch + 1) if self.now < NOW + 30 * DAY}
            assert mails <= {f"release/{n}" for n in range(1, self.epoch + 1)}
            assert {letter.key for letter in self.home.outbox.waiting()} <= mails

    @invariant()
    def what_answers_was_gated_and_what_predictions_name_stays(self):
        if hasattr(self, "home"):
            assert {event.body["bundle"] for event in self.home.log.read(limit=10_000)} <= self.promoted
            for name in {name for name, at in self.kept if at > self.now - 30 * DAY} - self.spoiled:
                self.home.releases.read(name)


def run(home, post, taken, examples, steps, database=None):
    """Let the machine run: the same rules in the same order each time."""
    Machine.template, Machine.post, Machine.taken = home, post, taken
    Machine.database = staticmethod(database) if database else None
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck), database=None,
        derandomize=True, phases=[Phase.generate],
    )  # fmt: skip
    run_state_machine_as_test(Machine, settings=chosen)

"""Seeded bugs: what each takes out of the store. A machine that does not find one of them in seconds proves nothing of the rest."""

import shutil
from contextlib import suppress

from pipelines.core.errors import ShelflifeError
from pipelines.core.verdict import Verdict
from pipelines.store import admission, bundles, ledger, outbox, reigns, releases, retention
from pipelines.store.durable import make_folder, write_new
from pipelines.store.failpoint import failpoint
from pipelines.store.keys import Keys
from pipelines.store.log import SqliteLog
from pipelines.store.outbox import Outbox, message
from pipelines.store.releases import Releases
from pipelines.store.runs import Runs
from pipelines.store.state import CHAMPIONS, OUTBOX


def nothing(*_, **__):
    return None


class AnyVerdict:
    """A gate whose word is never read."""

    @staticmethod
    def from_dict(data):
        word = Verdict.from_dict(data)
        return type("Word", (), {"status": "pass", "facts": word.facts})


class NoFacts:
    """A gate whose subject is never looked at."""

    @staticmethod
    def from_dict(data):
        word = Verdict.from_dict(data)
        return type("Word", (), {"status": word.status, "facts": type("All", (), {"get": lambda *_: ANY})()})


class Any:
    """Equal to whatever it is compared with."""

    def __eq__(self, _):
        return True

    __hash__ = None


ANY = Any()


def judged_against_anybody(connection, release, expected_epoch, keep=admission.check_turn):
    champion = reigns.champion_of(connection, release.usecase)
    return keep(connection, type(release)(**{**vars(release), "replaces": champion and champion.bundle}), expected_epoch)


def played_again(connection, release, expected_epoch, keep=admission.check_turn):
    try:
        keep(connection, release, expected_epoch)
    except ShelflifeError as error:
        if "was promoted before" not in str(error):
            raise
        connection.execute(releases.ENVELOPES.delete().where(releases.ENVELOPES.c.digest == release.digest))


def committed_in_two(self, connection, change, keep=Releases._enthrone):
    keep(self, connection, change)
    connection.exec_driver_sql("COMMIT")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def unsigned_way_back(self, case, keep=Releases.rollback, **words):
    with _instead(self, "envelope", nothing):
        return keep(self, case, **words)


def unread_way_back(self, case, keep=Releases.rollback, **words):
    with _instead(self, "read", nothing):
        return keep(self, case, **words)


def unread_promotion(self, release, signature, keep=Releases.promote, **words):
    with _instead(self, "read", lambda _: type("Found", (), {"manifest": release})):
        return keep(self, release, signature, **words)


class _instead:
    def __init__(self, owner, name, value):
        self.owner, self.name, self.value = owner, name, value

    def __enter__(self):
        setattr(self.owner, self.name, self.value)

    def __exit__(self, *_):
        delattr(self.owner, self.name)


def back_to_nobody(self, connection, change, keep=Releases._enthrone):
    keep(self, connection, type(change)(**{**vars(change), "previous": None}) if change.action == "rollback" else change)


def believed(connection, case):
    import sqlalchemy as sa

    row = connection.execute(sa.select(CHAMPIONS).where(CHAMPIONS.c.usecase == case)).first()
    return row and reigns.Champion(case, row.bundle, row.release, row.epoch, row.since, row.previous)


def marked_before_it_is_sent(self, mail, letter, now):
    with self.state.begin() as connection:
        connection.execute(OUTBOX.update().where(OUTBOX.c.key == letter.key).values(sent=now, tries=1, error=None))
    failpoint("outbox.sent")
    with outbox._server(mail) as server:
        server.send_message(message(mail, letter), mail.sender, list(mail.to))
    failpoint("outbox.marked")
    return True


def placed_in_place(folder, files, *, mode=0o444):
    make_folder(folder)
    for number, (name, data) in enumerate(files.items()):
        if number == len(files) // 2:
            failpoint("folder.before_rename")
        write_new(folder / name, data, mode=mode)
    failpoint("folder.renamed")


def discarded_in_place(path):
    with suppress(StopIteration):
        next(path.iterdir()).unlink()
    failpoint("discard.renamed")
    shutil.rmtree(path)


def one_kept(way):
    return [way[-1].bundle]


def anybody_may_learn(self, case, run, at, ttl, keep=Runs.lease):
    held = self.holder(case, at)
    if held:
        self.free(case, held.run)
    return keep(self, case, run, at, ttl)


MUTANTS = {
    "no signature is checked": (Keys, "verify", nothing),
    "epoch, hold and champion are not looked at": (admission, "check_turn", nothing),
    "any champion counts as the one judged against": (admission, "check_turn", judged_against_anybody),
    "a release counts again": (admission, "check_turn", played_again),
    "no compare and swap": (admission, "check_epoch", nothing),
    "a hold is ignored": (admission, "hold_of", nothing),
    "probe and verdict are not looked at": (admission, "check_word", nothing),
    "a failing verdict promotes": (admission, "Verdict", AnyVerdict),
    "a verdict about another bundle promotes": (admission, "Verdict", NoFacts),
    "any use case's bundle promotes": (admission, "check_bundle", nothing),
    "a promotion needs no bytes": (Releases, "promote", unread_promotion),
    "bytes are not compared": (bundles, "_matched", bundles.BundleFiles),
    "a promotion is two transactions": (Releases, "_enthrone", committed_in_two),
    "the ledger is not written": (Releases, "_append", nothing),
    "the ledger is not followed": (ledger, "verify", lambda connection, chain: ledger.head(connection, chain)[0]),
    "the champion's row is believed": (releases, "champion_of", believed),
    "no mail": (Releases, "_mail", nothing),
    "a rollback needs no signature": (Releases, "rollback", unsigned_way_back),
    "a rollback needs no bytes": (Releases, "rollback", unread_way_back),
    "a rollback forgets the one before": (Releases, "_enthrone", back_to_nobody),
    "a fall back is a rollback only": (Releases, "fall_back", lambda self, case, bundle, **words: self.rollback(case, **words)),
    "the one before is pruned": (retention, "_way_back", one_kept),
    "what predictions name is pruned": (SqliteLog, "mentions", lambda *_: False),
    "a bundle is written under its name": (bundles, "place_folder", placed_in_place),
    "a bundle is removed under its name": (retention, "discard", discarded_in_place),
    "a zombie may write": (Runs, "check", nothing),
    "two runs learn at once": (Runs, "lease", anybody_may_learn),
    "a trigger counts twice": (Runs, "append", lambda self, *_, **__: True),
    "a mail is marked before it is sent": (Outbox, "_send", marked_before_it_is_sent),
}
"""What is broken: the owner, its attribute, and what stands there instead."""

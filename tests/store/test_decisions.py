import sqlite3

import pytest
from goods import DAY, NOW

from pipelines.core.errors import ShelflifeError

REPORT = {"report.html": b"<p>better</p>", "verdict.json": b"{}"}


@pytest.fixture
def two(home):
    return [home.decisions.record("gate", "fraud", NOW + n, {"status": "pass", "n": n}, REPORT) for n in range(2)]


def test_a_decision_reads_back_with_its_evidence(home, two):
    found = home.decisions.get(two[0])
    assert (found.kind, found.case, found.at, found.body) == ("gate", "fraud", NOW, {"status": "pass", "n": 0})
    assert home.decisions.files(two[0]) == REPORT
    assert home.decisions.get(two[0][:10]).id == two[0]
    assert home.decisions.verify_chain() == 2


def test_the_same_decision_again_is_kept_once(home, two):
    assert home.decisions.record("gate", "fraud", NOW, {"status": "pass", "n": 0}, REPORT) == two[0]
    assert [d.id for d in home.decisions.list("fraud")] == two


def test_decisions_are_listed_by_use_case_and_kind(home, two):
    other = home.decisions.record("drift", "demand", NOW, {})
    assert [d.id for d in home.decisions.list("demand")] == [other] == [d.id for d in home.decisions.list(kind="drift")]
    assert home.decisions.files(other) == {}


def test_a_decision_that_there_is_not_is_one_clear_sentence(home, two):
    with pytest.raises(ShelflifeError, match="there is no decision"):
        home.decisions.get("0" * 64)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x\n", "-rf"])
def test_evidence_with_a_name_that_is_no_file_name_is_refused(home, name):
    with pytest.raises(ShelflifeError, match="plain file names"):
        home.decisions.record("gate", "fraud", NOW, {}, {name: b""})


@pytest.mark.parametrize("how", ["changed", "missing", "extra"])
def test_changed_evidence_is_found(home, two, how):
    folder = home.path / "decisions" / two[1]
    file = folder / "report.html"
    if how == "extra":
        (folder / "more").write_bytes(b"")
    else:
        file.unlink()
    if how == "changed":
        file.write_bytes(b"<p>worse</p>")
    for look in (lambda: home.decisions.files(two[1]), home.decisions.verify_chain):
        with pytest.raises(ShelflifeError, match="not what it was decided from"):
            look()
    assert home.decisions.record("gate", "fraud", NOW + 1, {"status": "pass", "n": 1}, REPORT) == two[1]
    assert home.decisions.verify_chain() == 2


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE decisions SET body = replace(body, 'pass', 'fail') WHERE seq = 1",
        "UPDATE decisions SET at = at + 1 WHERE seq = 2",
        "DELETE FROM decisions WHERE seq = 2",
        "DELETE FROM ledger WHERE seq = 2",
        "UPDATE ledger SET body = replace(body, 'fraud', 'demand') WHERE seq = 1",
        "UPDATE decisions SET seq = 3 - seq",
    ],
)
def test_a_ledger_that_was_changed_is_found(home, two, sql):
    home.close()
    with sqlite3.connect(home.path / "state.db") as other:
        other.execute(sql)
    with pytest.raises(ShelflifeError):
        home.decisions.verify_chain()


def test_a_decision_without_evidence_that_was_changed_is_not_read(home):
    id_ = home.decisions.record("drift", "fraud", NOW, {"status": "pass"})
    home.close()
    with sqlite3.connect(home.path / "state.db") as other:
        other.execute("UPDATE decisions SET body = replace(body, 'pass', 'fail')")
    for look in (lambda: home.decisions.get(id_), home.decisions.list, home.decisions.verify_chain):
        with pytest.raises(ShelflifeError, match="changed after it was recorded"):
            look()


def test_a_decision_is_named_by_all_it_holds(home, two):
    body = {"status": "pass", "n": 0}
    others = [("drift", "fraud", NOW, body), ("gate", "demand", NOW, body), ("gate", "fraud", NOW + DAY, body)]
    assert not {home.decisions.record(*words, REPORT) for words in others} & set(two)


def test_the_last_few_of_a_kind_are_found_without_reading_the_others(home):
    ids = [home.decisions.record("look", case, at, {"n": at}) for at in (1, 2, 3, 4) for case in ("fraud", "demand")]
    home.decisions.record("verdict", "fraud", 3, {})
    assert [d.at for d in home.decisions.last("fraud", "look", 2, before=4)] == [2, 3]
    assert home.decisions.last("fraud", "look", 9, before=2)[0].id == ids[0]
    assert home.decisions.last("fraud", "look", 9, before=1) == []

"""The verbs that keep the state: backup, restore, prune, keys and quarantine, through the command line."""

import json
import sys

import pytest

from pipelines.cli import main
from pipelines.core.clock import DAY, instant
from pipelines.core.event import Event
from pipelines.shop.contracts import CONTRACTS
from pipelines.steps.quarantine import mend
from pipelines.store.home import VARIABLE, Home

NOW = instant("2025-05-26")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "home"))
    opened = Home.open(create=True)
    opened.simulated(NOW)
    yield opened
    opened.close()


def told(capsys, *words):
    """The status, and what the verb printed as JSON (or said on the error stream)."""
    status = main([*words, "--json"])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else err


def purchase(number, cents):
    body = {"order_id": f"o{number}", "customer": "c1", "item": "i1", "quantity": 1, "price_cents": cents, "country": "DE"}
    return Event(
        "purchase",
        f"p{number}",
        NOW - DAY,
        {name: value for name, value in body.items() if name in {f.name for f in CONTRACTS["purchase"].fields}},
    )


def test_keys_are_made_once_rotated_and_revoked(home, capsys):
    _, made = told(capsys, "keys", "make")
    assert [key["standing"] for key in made["keys"]] == ["signing"]
    assert told(capsys, "keys", "make")[1] == made
    _, rotated = told(capsys, "keys", "rotate")
    assert sorted(key["standing"] for key in rotated["keys"]) == ["signing", "trusted"]
    _, revoked = told(capsys, "keys", "revoke", made["keys"][0]["id"])
    assert sorted(key["standing"] for key in revoked["keys"]) == ["revoked", "signing"]


@pytest.mark.parametrize("words", [("revoke",), ("revoke", "0" * 16), ("revoke", "../private")])
def test_a_key_that_there_is_not_is_one_clear_sentence(home, capsys, words):
    status, err = told(capsys, "keys", *words)
    assert status == 2
    assert "shelflife keys list" in err


def test_without_a_home_the_verbs_say_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    for words in (("keys", "list"), ("backup", str(tmp_path / "a.tar")), ("prune",), ("quarantine", "list")):
        status, err = told(capsys, *words)
        assert status == 2
        assert "there is no state at" in err


def test_a_backup_comes_back_as_another_home(home, tmp_path, capsys):
    home.log.append([purchase(1, 100)], arrived=NOW)
    assert told(capsys, "backup", str(tmp_path / "a.tar"))[0] == 0
    status, found = told(capsys, "restore", str(tmp_path / "a.tar"), "--home", str(tmp_path / "back"))
    assert (status, found["events"]) == (0, 1)
    status, err = told(capsys, "restore", str(tmp_path / "a.tar"))
    assert status == 2
    assert "move it away" in err


def test_prune_says_what_it_removed_and_refuses_a_duration_it_does_not_know(home, capsys):
    status, gone = told(capsys, "prune", "--keep", "30d")
    assert (status, gone["bundles"]) == (0, [])
    status, err = told(capsys, "prune", "--keep", "soon")
    assert status == 2
    assert "wanted a duration" in err


def test_rows_of_a_unit_bug_are_listed_mended_and_replayed(home, capsys):
    rows = [purchase(n, 1999 * 100 * 10**9) for n in range(3)]
    home.quarantine.put_all(
        [(row, CONTRACTS["purchase"].problems(row, NOW) or ["price_cents: off by 100"]) for row in rows], NOW
    )
    _, listed = told(capsys, "quarantine", "list", "--kind", "purchase")
    assert (listed["waiting"], len(listed["rows"])) == ({"purchase": 3}, 3)
    _, done = told(capsys, "quarantine", "replay", "--kind", "purchase", "--scale", "price_cents=0.00000000001")
    assert (done["accepted"], done["broken"]) == (3, 0)
    assert {event.body["price_cents"] for event in home.log.read()} == {1999}
    assert told(capsys, "quarantine", "list")[1]["waiting"] == {}


def test_a_day_is_held_listed_and_freed(home, capsys):
    day = ("--kind", "purchase", "--day", "2025-05-25")
    assert told(capsys, "quarantine", "hold", *day, "--reason", "late")[0] == 0
    assert told(capsys, "quarantine", "list")[1]["held"] == [["purchase", "2025-05-25", "late"]]
    assert told(capsys, "quarantine", "free", *day)[0] == 0
    assert home.quarantine.held() == set()


@pytest.mark.parametrize(
    "words",
    [
        ("hold",),
        ("hold", "--kind", "purchase", "--day", "2025-13-01"),
        ("hold", "--kind", "nothing"),
        ("replay", "--scale", "price_cents=much"),
        ("replay", "--set", "=x"),
    ],
)
def test_words_that_make_no_sense_are_refused(home, capsys, words):
    assert told(capsys, "quarantine", *words)[0] == 2


def test_a_fix_never_rounds_money():
    fix = mend({"price_cents": "0.01"}, {"country": "FR"}, ["item"])
    assert fix(purchase(1, 1900)).body["price_cents"] == 19
    assert fix(purchase(1, 1900)).body["country"] == "FR"
    assert "item" not in fix(purchase(1, 1900)).body
    with pytest.raises(ValueError, match="not a whole number"):
        fix(purchase(1, 1950))


def test_the_verbs_need_no_training_library(home, capsys):
    import subprocess

    heavy = "{'sklearn', 'tensorflow', 'pandas', 'lightgbm'}"
    code = f"import sys; from pipelines.cli import main; main(['keys', 'make']); main(['prune']); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_prune_removes_the_online_features_of_definitions_that_are_no_more(home, capsys):
    from pipelines.core.clock import days
    from pipelines.core.feature import Count, Counted, features
    from pipelines.features.stream import OnlineStore
    from pipelines.usecases import get

    old = features(counted=(Counted("payments_2d", of="payment", by="card", how=Count(), over=days(2)),))
    for definitions in (get("fraud").features, old):
        OnlineStore.at(home.path / "online", definitions).close()
    status, gone = told(capsys, "prune", "--keep", "30d")
    assert (status, len(gone["stores"])) == (0, 1)
    OnlineStore.at(home.path / "online", get("fraud").features).close()
    assert len(list((home.path / "online").glob("*.db"))) == 1

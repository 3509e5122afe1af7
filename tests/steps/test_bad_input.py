"""Bad input is one clear sentence with what to do, a non-zero status, and nothing half-written."""

import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.core.clock import DAY

HERE = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SHELFLIFE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(HERE)
    return tmp_path / "home"


def said(capsys, *words):
    status = main(list(words))
    return status, capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("ingest", "farud"), "there is no use case 'farud'; params.yaml has demand, fraud, recommend, sentiment"),
        (("ingest",), "wanted a use case or --source"),
        (("ingest", "--source", "olist", "--folder", "."), "there is no source 'olist'; there are"),
        (("ingest", "--source", "payment"), "wanted --folder"),
        (("ingest", "--source", "payment", "--sql", "select 1"), "wanted --url"),
        (("ingest", "--source", "online_retail", "--folder", "/nowhere"), "/nowhere"),
        (("simulate", "--days", "0"), "wanted one day or more"),
        (("simulate", "--incident", "earthquake:1"), "there is no incident 'earthquake'"),
        (("simulate", "--incident", "unit_bug"), "wanted NAME:DAY"),
        (("why", "farud"), "there is no use case"),
        (("rollback", "fraud"), "no champion before this one"),
        (("replay", "zz"), "wanted a decision's id"),
        (("replay", "abcdef"), "there is no decision"),
        (("promote", "fraud", "--run", "none"), "has no run 'none'"),
    ],
)
def test_a_wrong_word_is_one_sentence_and_status_2(home, capsys, words, sentence):
    if words[0] in ("ingest", "why", "rollback", "replay", "promote"):
        from pipelines.store.home import Home

        Home.open(home, create=True)
    status, text = said(capsys, *words)
    assert status == 2, text
    assert sentence in text
    assert "Traceback" not in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("verb", ["why", "monitor", "stream", "promote"])
def test_a_home_that_is_not_there_is_said_not_made(home, capsys, verb):
    words = {"why": ["fraud"], "promote": ["fraud", "--run", "x"]}.get(verb, [])
    status, text = said(capsys, verb, *words)
    assert status == 2
    assert not home.exists()
    assert text


def test_outside_a_checkout_the_sentence_says_where_to_go(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "why", "fraud"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "inside a checkout" in done.stderr


def test_a_parameter_that_does_not_exist_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "params.yaml").write_text((HERE / "params.yaml").read_text().replace("min_rows: 1000", "min_rowz: 1000"))
    monkeypatch.chdir(tmp_path)
    status, text = said(capsys, "why", "fraud")
    assert status == 2
    assert "fraud.gate has no parameter min_rowz" in text


def test_params_that_are_no_yaml_name_the_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "params.yaml").write_text("cases: [fraud]\nshop: {seed: 1\n")
    monkeypatch.chdir(tmp_path)
    status, text = said(capsys, "why", "fraud")
    assert status == 2
    assert "line" in text


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("min_rows: soon", "fraud.gate.min_rows: wanted int, got 'soon'"),
        ("min_rows: true", "fraud.gate.min_rows: wanted int, got True"),
        ("min_rows:", "fraud.gate.min_rows: wanted int, got None"),
    ],
)
def test_a_parameter_of_the_wrong_type_is_named_with_what_was_wanted(tmp_path, monkeypatch, capsys, line, sentence):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "params.yaml").write_text((HERE / "params.yaml").read_text().replace("min_rows: 1000", line))
    monkeypatch.chdir(tmp_path)
    status, text = said(capsys, "why", "fraud")
    assert (status, len(text.splitlines())) == (2, 1)
    assert sentence in text


# The state, the log and the disk


@pytest.fixture
def made(home):
    """A home with a key, as set-up leaves it."""
    from pipelines.store.home import Home

    opened = Home.open(home, create=True)
    opened.keys.make()
    opened.close()
    return home


@pytest.mark.parametrize(
    ("name", "verb"), [("state.db", ["why", "fraud"]), ("log.db", ["monitor"]), ("state.db", ["rollback", "fraud"])]
)
def test_a_database_that_is_none_is_one_sentence_that_names_the_way_out(made, capsys, name, verb):
    for path in made.glob(f"{name}*"):
        path.unlink()
    (made / name).write_bytes(b"no database at all" * 500)
    status, text = said(capsys, *verb)
    assert (status, len(text.splitlines())) == (1, 1), text
    assert "not a database" in text
    assert "shelflife restore" in text


def test_a_postgresql_that_is_down_is_one_sentence_without_the_password(made, capsys, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("SHELFLIFE_STATE", f"postgresql+psycopg2://shop:s3cr3t@127.0.0.1:{port}/shop")
    status, text = said(capsys, "why", "fraud")
    assert (status, len(text.splitlines())) == (1, 1), text
    assert "bring it back" in text
    assert "s3cr3t" not in text


def payments(folder, many):
    """A CSV file of payments, of yesterday: the day that is over is landed too."""
    folder.mkdir()
    ts = time.time_ns() // 1000 - DAY
    lines = ["id,ts,payment_id,card,customer,terminal,amount_cents,country"]
    lines += [f"e{n},{ts + n},p{n},c{n % 99},k{n % 99},t1,{100 + n},DE" for n in range(many)]
    (folder / "payments.csv").write_text("\n".join(lines) + "\n")
    return folder


def ingest(home, folder, most=None):
    """Read them in a process that may write files of so many bytes at most; it keeps no byte code, which Python would cut short too,
    for all who come after."""
    words = [sys.executable, "-m", "pipelines", "ingest", "--source", "payment", "--folder", str(folder)]
    limit = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))) if most else None
    env = {**os.environ, "SHELFLIFE_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(words, cwd=HERE, env=env, capture_output=True, text=True, check=False, preexec_fn=limit)


def events_of(home):
    from pipelines.store.home import Home

    opened = Home.open(home)
    try:
        return opened.log.verify(), opened.landing.verify()
    finally:
        opened.close()


@pytest.mark.parametrize("most", [200_000, 700_000])
def test_a_file_that_cannot_grow_loses_nothing_and_running_again_succeeds(made, tmp_path, most):
    folder = payments(tmp_path / "own", 6_000)
    done = ingest(made, folder, most)
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "nothing was half-written" in done.stderr
    assert events_of(made)[0] in (0, 6_000)
    assert ingest(made, folder).returncode == 0
    assert events_of(made)[0] == 6_000


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0,
    reason="wants the right to mount a small disk",
)
def test_a_full_disk_is_one_sentence_and_a_larger_one_goes_on_where_it_stood(tmp_path):
    folder = payments(tmp_path / "own", 20_000)
    disk = tmp_path / "disk"
    disk.mkdir()
    run = f"SHELFLIFE_HOME={disk}/home {sys.executable} -m pipelines"
    read = f"{run} ingest --source payment --folder {folder}"
    script = f"""
mount -t tmpfs -o size=2m none {disk}
{read}; echo "status $?"
mount -o remount,size=200m {disk}
{read}; echo "status $?"
ls -A {disk}/home/landing | grep -c tmp-
"""
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], cwd=HERE, capture_output=True, text=True, check=False)
    told = [line for line in done.stdout.splitlines() if line.startswith("status")]
    assert told == ["status 1", "status 0"], (done.stdout, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "20,000 events" in done.stdout
    assert done.stdout.splitlines()[-1] == "0"


# A release that is not what was judged


def test_a_corrupt_and_an_unsigned_release_are_one_sentence_each(made, tmp_path, capsys):
    sys.path.insert(0, str(HERE / "tests" / "store"))
    from goods import ship

    from pipelines.store.home import Home

    opened = Home.open(made)
    first, _ = (ship(opened, tmp_path, n) for n in range(2))
    path = made / "releases" / first / "model.onnx"
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(b"x" + whole[1:])
    status, text = said(capsys, "rollback", "fraud")
    assert (status, len(text.splitlines())) == (2, 1)
    assert "model.onnx is not the file that was judged" in text
    path.write_bytes(whole)
    opened.keys.revoke(opened.keys.current())
    status, text = said(capsys, "why", "fraud")
    assert (status, len(text.splitlines())) == (2, 1)
    assert "revoked key" in text
    assert opened.releases.epoch() == 2
    opened.close()

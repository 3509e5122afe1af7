"""Bad input is one clear sentence with what to do, a non-zero status, and nothing half-written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli import main

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

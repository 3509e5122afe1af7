"""When nothing runs at all, those that still live say so."""

import json

import pytest

from pipelines.core.clock import DAY
from pipelines.steps import monitor, serve
from pipelines.steps.pulse import pulse


def test_a_watch_that_has_not_looked_for_two_intervals_is_stale(throwaway):
    home, workspace = throwaway.opened_home(), throwaway.workspace()
    now = home.clock()()
    assert pulse(workspace, home, now)["watch"] == "never"
    home.state.put("monitored", str(now))
    assert [pulse(workspace, home, now + d * DAY)["watch"] for d in (0, 1, 2)] == ["fresh"] * 3
    assert pulse(workspace, home, now + 2 * DAY + 1)["watch"] == "stale"


def checked(throwaway, monkeypatch, capsys, *words):
    from pipelines import cli

    monkeypatch.chdir(throwaway.root)
    monkeypatch.setitem(__import__("sys").modules, "pipelines.steps.monitor", monitor)
    status = cli.main(["monitor", *words, "--json"])
    return status, capsys.readouterr()


def test_the_command_line_says_so_with_its_status(throwaway, monkeypatch, capsys):
    home = throwaway.opened_home()
    assert checked(throwaway, monkeypatch, capsys, "--check")[0] == 1
    home.state.put("monitored", str(home.clock()()))
    status, said = checked(throwaway, monkeypatch, capsys, "--check")
    assert (status, json.loads(said.out)["watch"]) == (0, "fresh")


@pytest.mark.parametrize(
    "words", [["--snooze", "7d"], ["fraud", "--snooze", "a week"], ["nobody", "--snooze", "7d"], ["fraud", "--snooze", "ever"]]
)
def test_a_snooze_that_cannot_be_is_refused(throwaway, monkeypatch, capsys, words):
    assert checked(throwaway, monkeypatch, capsys, *words)[0] == 2


def test_the_api_and_the_console_say_so(throwaway):
    from starlette.testclient import TestClient

    home, workspace = throwaway.opened_home(), throwaway.workspace()
    home.state.put("monitored", str(home.clock()() - 3 * DAY))
    service = serve.service(workspace, home)
    assert service.watched()["watch"] == "stale"
    service.watch = lambda: 1 / 0
    assert service.watched() == {}
    assert TestClient is not None

"""kill -9 at any point of any stage: running again gives what was never interrupted, and nobody mends anything by hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipelines.steps import learn, reproduce
from pipelines.steps.processes import tagged
from pipelines.steps.runs import Key

STAGES = {"ingest": "data/fraud/events", "train": "models/fraud", "evaluate": "reports/fraud/verdict.json"}
AS_OF = Key.parse("fraud@2025-05-19T00:00:00Z").as_of


def opened(project, run):
    """The worktree of a run that was just opened."""
    home = project.opened_home()
    try:
        return Path(learn.open_run(project.workspace(), home, project.runs, "fraud", run, as_of=AS_OF)["worktree"])
    finally:
        home.close()


def start(tree, name):
    words = [sys.executable, "-m", "pipelines", "learn", "stage", "--stage", name, "--", "fraud"]
    return subprocess.Popen(words, cwd=tree, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(tree):
    """Run every stage; what they made, without the worktree's own name."""
    for name in STAGES:
        process = start(tree, name)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    made = {out: (tree / out).read_text().replace(tree.name, "TREE") for out in STAGES.values()}
    return {out: text.replace("looks: 1", "looks: 0") for out, text in made.items()}  # the second run's look is the second one


def kill_everything(tree, process):
    """As the machine's end would: the supervisor, dvc and the stage, none of which can clean up."""
    for pid in (process.pid, *tagged(reproduce.TAG, str(tree))):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def wait_until(look, process):
    deadline = time.monotonic() + 120
    while not look() and process.poll() is None:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_is_killed_at_any_point_ends_as_if_nothing_had_happened(throwaway, name):
    never_killed = finish(opened(throwaway, "whole"))
    home = throwaway.opened_home()
    learn.close(throwaway.workspace(), home, throwaway.runs, Key("fraud"), "whole", "crashed")
    tree = opened(throwaway, "killed")
    for before in list(STAGES)[: list(STAGES).index(name)]:
        assert start(tree, before).wait(300) == 0

    for seconds in (0.3, 0.9):  # while python and dvc start
        process = start(tree, name)
        time.sleep(seconds)
        kill_everything(tree, process)

    throwaway.ask("fraud", **{name: "hang"})  # written, and not yet ended
    process, mark = start(tree, name), throwaway.home.parent / "hanging"
    wait_until(lambda: mark.is_file() and mark.read_text(), process)
    kill_everything(tree, process)
    throwaway.ask("fraud")

    process = start(tree, name)  # while dvc writes down what there is
    wait_until((tree / STAGES[name]).exists, process)
    kill_everything(tree, process)

    (tree / ".dvc/tmp").mkdir(exist_ok=True)
    (tree / ".dvc/tmp/rwlock").write_text("")  # what a kill in that moment leaves, though rarely

    assert finish(tree) == never_killed
    assert tagged(reproduce.TAG, str(tree)) == []
    status = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=tree, capture_output=True, text=True, check=True)
    assert "fraud" not in status.stdout

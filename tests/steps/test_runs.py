"""Learn runs: moments, worktrees, commits, stages; a run is a commit and touches no person's branch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.clock import DAY, iso
from pipelines.core.errors import ShelflifeError
from pipelines.evaluation.controller import Entry, fold
from pipelines.steps import learn, reproduce
from pipelines.steps.journal import waiting_key
from pipelines.steps.moment import reasons_of
from pipelines.steps.processes import tagged
from pipelines.steps.runs import Key, Run, Runs, git
from pipelines.steps.workspace import Workspace

AS_OF = "2025-05-19T00:00:00Z"


def open_run(project, case="fraud", run="r1", **options):
    home = project.opened_home()
    options.setdefault("as_of", Key.parse(f"{case}@{AS_OF}").as_of)
    try:
        return learn.open_run(project.workspace(), home, project.runs, case, run, **options)
    finally:
        home.close()


def stage(opened, name, **env):
    words = [sys.executable, "-m", "pipelines", "learn", "stage", "--stage", name, "--", opened["case"]]
    return subprocess.run(words, cwd=opened["worktree"], env={**os.environ, **env}, capture_output=True, text=True, check=False)


def close(project, status, case="fraud", run="r1"):
    home = project.opened_home()
    return learn.close(project.workspace(), home, project.runs, Key(case), run, status)


def judged(opened, status="pass"):
    """Write the verdict that the stages would write."""
    finding = {"name": "better", "status": status, "observed": 0.5, "wanted": "above 0"}
    verdict = {"subject": "fraud", "status": status, "required": ["better"], "findings": [finding], "facts": {}}
    path = Path(opened["worktree"]) / "reports/fraud/verdict.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(verdict))


@pytest.mark.parametrize("text", ["fraud", "fraud@2025-05-26T00:00:00Z", "fraud@2025-05-26T00:00:00Z@backfill"])
def test_a_key_names_case_moment_and_reason(text):
    key = Key.parse(text)
    assert key.case == "fraud"
    assert text in f"{key.case}@{iso(key.as_of or 0)}@{key.run}"


@given(st.text(max_size=60))
def test_what_is_not_a_key_is_refused_before_it_is_used(text):
    try:
        key = Key.parse(text)
    except ShelflifeError:
        return
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789@-:TZ")
    assert key.case.isalnum()


@pytest.mark.parametrize(
    "text",
    [
        "fraud; rm -rf /",
        "fraud@2025-13-01T00:00:00Z",
        "$(id)",
        "../fraud",
        "-rf",
        "fraud@2025-05-26T00:00:00Z@$(id)",
        "fraud\n",
    ],
)
def test_a_hostile_or_impossible_key_is_one_clear_sentence(text):
    with pytest.raises(ShelflifeError):
        Key.parse(text)


@pytest.mark.parametrize("name", ["../up", "a b", "", "A", "x" * 64, "-x"])
def test_a_run_id_is_a_plain_file_name(name):
    with pytest.raises(ShelflifeError):
        Run("fraud", name, 0, backfill=False, commit="c", opened=0)


def test_an_opened_run_is_a_detached_commit_that_holds_the_moment(throwaway):
    before = git(throwaway.root, "rev-parse", "main")
    opened = open_run(throwaway)
    tree = Path(opened["worktree"])
    moment = yaml.safe_load(git(throwaway.root, "show", f"{opened['ref']}:moments/fraud.yaml"))
    assert moment["as_of"] == AS_OF
    assert moment["opens_holdout"] is True
    assert git(tree, "rev-parse", "HEAD") == git(throwaway.root, "rev-parse", opened["ref"])
    assert git(throwaway.root, "rev-parse", "main") == before
    assert git(throwaway.root, "status", "--porcelain") == ""
    assert opened["risk"] == "high"


def test_opening_twice_is_opening_once_and_counts_one_look(throwaway):
    first, second = open_run(throwaway), open_run(throwaway)
    assert first["ref"] == second["ref"]
    assert git(throwaway.root, "rev-parse", first["ref"])
    home = throwaway.opened_home()
    moment = yaml.safe_load((Path(second["worktree"]) / "moments/fraud.yaml").read_text())
    assert home.releases.looks("fraud", moment["holdout"]) == 1
    assert [entry["name"] for entry in home.runs.journal("fraud")] == ["triggered", "started"]


def test_what_a_person_states_for_a_run_is_in_its_moment_and_the_first_word_stands(throwaway):
    opened = open_run(throwaway, reasons=("cheaper",))
    open_run(throwaway, reasons=("fresher",))
    text = git(throwaway.root, "show", f"{opened['ref']}:moments/fraud.yaml")
    assert yaml.safe_load(text)["reasons"] == ["cheaper"]
    assert Workspace(Path(opened["worktree"])).moment("fraud").reasons == ("cheaper",)


def test_a_moment_of_before_there_were_reasons_has_none(throwaway):
    tree = Path(open_run(throwaway)["worktree"])
    path = tree / "moments/fraud.yaml"
    path.write_text(path.read_text().replace("reasons: []\n", ""))
    assert "reasons" not in path.read_text()
    assert Workspace(tree).moment("fraud").reasons == ()


def test_reasons_are_said_by_commas_and_any_other_word_is_refused():
    assert reasons_of("") == ()
    assert reasons_of("cheaper, smaller,cheaper") == ("cheaper", "smaller")
    with pytest.raises(ShelflifeError, match="no reason 'nicer'; wanted some of fresher, cheaper, smaller, faster"):
        reasons_of("cheaper,nicer")


def test_a_run_that_was_killed_while_opening_is_opened_again(throwaway):
    tree = throwaway.runs.worktree("fraud", "r1")
    tree.mkdir(parents=True)
    (tree / "half").write_text("written")
    opened = open_run(throwaway)
    assert not (Path(opened["worktree"]) / "half").exists()
    assert (Path(opened["worktree"]) / "moments/fraud.yaml").is_file()


def test_a_second_run_of_a_use_case_is_told_that_it_is_busy_and_another_use_case_is_not(throwaway):
    open_run(throwaway)
    busy = open_run(throwaway, run="r2")
    assert (busy["status"], busy["exit"]) == ("busy", learn.SKIP)
    assert open_run(throwaway, case="demand", run="r2")["status"] == "open"
    close(throwaway, "rejected")
    assert open_run(throwaway, run="r2")["status"] == "open"


def test_a_use_case_on_hold_does_not_learn(throwaway):
    home = throwaway.opened_home()
    home.runs.append("fraud", Entry("held", home.clock()(), note="stocktaking").to_dict(), home.clock()())
    held = open_run(throwaway)
    assert (held["status"], held["exit"]) == ("held", learn.SKIP)
    assert "stocktaking" in held["text"]
    assert home.runs.holder("fraud", home.clock()()) is None


def test_a_hold_on_releases_blocks_learning_too_until_it_is_cleared(throwaway):
    home = throwaway.opened_home()
    home.releases.hold("fraud", at=home.clock()(), actor="serve", reason="bad live")
    held = open_run(throwaway)
    assert (held["status"], held["exit"]) == ("held", learn.SKIP)
    assert "shelflife rollback fraud --unhold" in held["text"]
    home.releases.unhold("fraud", at=home.clock()(), actor="ann")
    assert open_run(throwaway)["status"] == "open"


def test_a_run_that_vanished_does_not_block_its_use_case_for_ever(throwaway):
    home = throwaway.opened_home()
    open_run(throwaway)
    home.simulated(home.clock()() + 3 * DAY)
    assert open_run(throwaway, run="r2")["status"] == "open"
    assert [entry["name"] for entry in home.runs.journal("fraud")] == [
        "triggered",
        "started",
        "crashed",
        "triggered",
        "started",
    ]


def test_a_trigger_that_was_heard_but_did_not_begin_may_begin_later(throwaway):
    home = throwaway.opened_home()
    now = home.clock()()
    home.runs.append("fraud", Entry("held", now, note="stocktaking").to_dict(), now)
    assert open_run(throwaway)["status"] == "held"
    home.runs.append("fraud", Entry("freed", now, note="done").to_dict(), now)
    assert open_run(throwaway)["status"] == "open"
    assert fold([Entry.from_dict(body) for body in home.runs.journal("fraud")]).flying == "r1"


def test_a_crashed_run_that_is_tried_again_is_journalled_to_its_end(throwaway):
    home = throwaway.opened_home()
    open_run(throwaway)
    close(throwaway, "crashed")
    judged(open_run(throwaway))
    learn.record(throwaway.workspace(), home, throwaway.runs, "fraud", "r1")
    close(throwaway, "promoted")
    names = [entry["name"] for entry in home.runs.journal("fraud")]
    assert names == ["triggered", "started", "crashed", "started", "finished", "promoted"]


def killed(*_):
    raise KeyboardInterrupt


def test_a_close_that_was_killed_half_way_is_finished_by_the_next_try(throwaway, monkeypatch):
    open_run(throwaway)
    with monkeypatch.context() as patch:
        patch.setattr(Runs, "close", killed)
        with pytest.raises(KeyboardInterrupt):
            close(throwaway, "crashed")
    close(throwaway, "crashed")
    home = throwaway.opened_home()
    assert [entry["name"] for entry in home.runs.journal("fraud")] == ["triggered", "started", "crashed"]
    assert len(home.outbox.waiting()) == 1
    assert throwaway.runs.get("fraud", "r1").closed == "crashed"


def test_three_rejected_challengers_in_a_row_call_a_person(throwaway):
    home = throwaway.opened_home()
    for n in range(3):
        opened = open_run(throwaway, run=f"r{n}")
        judged(opened, "fail")
        learn.record(throwaway.workspace(), home, throwaway.runs, "fraud", f"r{n}")
        close(throwaway, "rejected", run=f"r{n}")
    subjects = [letter.subject for letter in home.outbox.waiting()]
    assert subjects.count("[shelflife] fraud: a person must decide whether it goes on learning") == 1
    assert fold([Entry.from_dict(body) for body in home.runs.journal("fraud")]).rejections == 3


def test_the_calendar_does_not_pass_an_open_breaker_and_a_person_does(throwaway):
    home = throwaway.opened_home()
    for n in range(3):
        judged(open_run(throwaway, run=f"r{n}"), "fail")
        learn.record(throwaway.workspace(), home, throwaway.runs, "fraud", f"r{n}")
        close(throwaway, "rejected", run=f"r{n}")
    due = open_run(throwaway, run="due", cause="schedule")
    assert (due["status"], due["exit"]) == ("held", learn.SKIP)
    assert "a person must free it" in due["text"]
    assert open_run(throwaway, run="mine")["status"] == "open"


def test_a_release_that_waits_for_its_shadow_is_no_rejection_and_its_mail_says_what_it_waits_for(throwaway):
    home = throwaway.opened_home()
    judged(open_run(throwaway))
    learn.record(throwaway.workspace(), home, throwaway.runs, "fraud", "r1")
    home.state.put(waiting_key("fraud", "r1"), "wait for 50 more requests, then promote again")
    assert close(throwaway, "refused")["status"] == "waiting"
    assert throwaway.runs.get("fraud", "r1").closed == "waiting"
    state = fold([Entry.from_dict(body) for body in home.runs.journal("fraud")])
    assert (state.rejections, state.busy) == (0, None)
    (letter,) = home.outbox.waiting()
    assert "shadow" in letter.subject
    assert "wait for 50 more requests" in letter.text


def test_a_moment_whose_day_is_not_over_is_refused(throwaway):
    home = throwaway.opened_home()
    home.simulated(home.clock()() + DAY // 2)
    with pytest.raises(ShelflifeError, match="closed up to"):
        open_run(throwaway, as_of=home.clock()())
    assert not throwaway.runs.all()


def test_a_moment_of_the_future_is_no_crash_but_waits_for_its_time(throwaway):
    home = throwaway.opened_home()
    early = open_run(throwaway, as_of=home.clock()() + DAY)
    assert (early["status"], early["exit"]) == ("early", learn.SKIP)
    assert home.runs.journal("fraud") == []


def test_a_backfill_leaves_no_trace_in_the_living_state(throwaway):
    opened = open_run(throwaway, backfill=True)
    home = throwaway.opened_home()
    moment = yaml.safe_load((Path(opened["worktree"]) / "moments/fraud.yaml").read_text())
    assert moment["opens_holdout"] is False
    close(throwaway, "backfilled")
    assert home.runs.journal("fraud") == []
    assert home.releases.looks("fraud", moment["holdout"]) == 0
    assert home.runs.holder("fraud", home.clock()()) is None
    assert home.outbox.waiting() == []


def test_a_stage_runs_the_worktrees_own_code_without_airflows_secrets(throwaway):
    opened = open_run(throwaway)
    done = stage(opened, "ingest", AIRFLOW__CORE__FERNET_KEY="secret", PYTHONPATH="/nowhere")
    assert done.returncode == 0, done.stderr + done.stdout
    made = json.loads((Path(opened["worktree"]) / "data/fraud/events").read_text())
    assert Path(made["code"]).is_relative_to(opened["worktree"])
    assert made["cwd"] == opened["worktree"]
    assert made["secret"] is None


def test_a_stage_outside_its_worktrees_code_is_refused(throwaway):
    opened = open_run(throwaway)
    with pytest.raises(ShelflifeError, match="wanted the code of"):
        reproduce.own_code(Path(opened["worktree"]))


def test_a_recorded_run_keeps_lock_file_and_verdict_in_its_ref_and_data_in_the_shared_cache(throwaway):
    opened = open_run(throwaway)
    for name in ("ingest", "train", "evaluate"):
        assert stage(opened, name).returncode == 0
    result = learn.record(throwaway.workspace(), throwaway.opened_home(), throwaway.runs, "fraud", "r1")
    assert result["verdict"] == "pass"
    kept = git(throwaway.root, "ls-tree", "-r", "--name-only", opened["ref"]).splitlines()
    assert {"dvc.lock", "moments/fraud.yaml", "reports/fraud/verdict.json", "reports/fraud/training.json"} <= set(kept)
    assert not any(name.startswith(("data/", "models/")) for name in kept)
    assert list((throwaway.root / ".dvc/cache/files/md5").iterdir())
    throwaway.runs.push(throwaway.runs.get("fraud", "r1"))
    assert list((throwaway.root.parent / "remote/files/md5").iterdir())


@pytest.mark.slow
def test_a_tagged_run_reproduces_from_its_tag_with_nothing_to_do(throwaway, tmp_path):
    opened = open_run(throwaway)
    for name in ("ingest", "train", "evaluate"):
        assert stage(opened, name).returncode == 0
    learn.record(throwaway.workspace(), throwaway.opened_home(), throwaway.runs, "fraud", "r1")
    throwaway.runs.push(throwaway.runs.get("fraud", "r1"))
    tag = throwaway.runs.tag(throwaway.runs.get("fraud", "r1"), "ab" * 32)
    assert tag == "release/fraud/abababababab"
    clone = throwaway.root.parent / "clone"
    git(throwaway.root.parent, "clone", "--quiet", str(throwaway.root), str(clone))
    git(clone, "checkout", "--quiet", tag)
    for words in (["pull", "--quiet", "ingest@fraud", "train@fraud"], ["repro", "evaluate@fraud"]):
        done = subprocess.run([sys.executable, "-m", "dvc", *words], cwd=clone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "Running stage" not in done.stdout


def test_without_a_verdict_nothing_is_recorded(throwaway):
    open_run(throwaway)
    with pytest.raises(ShelflifeError, match="no verdict"):
        learn.record(throwaway.workspace(), throwaway.opened_home(), throwaway.runs, "fraud", "r1")


@pytest.mark.slow
def test_a_stage_that_breaks_says_so_by_its_exit_status_and_works_when_run_again(throwaway):
    opened = open_run(throwaway)
    throwaway.ask("fraud", train="break")
    assert stage(opened, "ingest").returncode == 0
    assert stage(opened, "train").returncode == 1
    throwaway.ask("fraud")
    assert stage(opened, "train").returncode == 0


@pytest.mark.slow
def test_dvcs_half_written_lock_file_does_not_wedge_a_run(throwaway):
    opened = open_run(throwaway)
    scratch = Path(opened["worktree"]) / ".dvc/tmp"
    scratch.mkdir(exist_ok=True)
    (scratch / "rwlock").write_text("")
    assert stage(opened, "ingest").returncode == 0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"write": {"/x": {"pid": 1, "cmd": "dvc repro"}}}'])
def test_a_stale_lock_file_goes_when_nobody_else_can_be_at_work(tmp_path, content):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").write_text(content)
    assert reproduce.heal(tmp_path, alone=True)
    assert not reproduce.heal(tmp_path, alone=True)


def test_healing_leaves_a_sound_lock_file_of_somebody_else_alone(tmp_path):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").write_text('{"read": {}, "write": {}}')
    assert not reproduce.heal(tmp_path)
    (tmp_path / ".dvc/tmp/rwlock").write_text("")
    assert reproduce.heal(tmp_path)


def hanging(project, opened):
    """A stage that hangs, once it does: its supervisor and the hanging process."""
    mark = project.home.parent / "hanging"
    words = [sys.executable, "-m", "pipelines", "learn", "stage", "--stage", "ingest", "--", opened["case"]]
    process = subprocess.Popen(words, cwd=opened["worktree"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: mark.is_file() and mark.read_text())
    return process, int(mark.read_text())


def wait_until(look, timeout=30.0):
    deadline = time.monotonic() + timeout
    while not look():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.slow
def test_ending_a_stage_ends_everything_it_started(throwaway):
    throwaway.ask("fraud", ingest="hang")
    opened = open_run(throwaway)
    process, _ = hanging(throwaway, opened)
    process.terminate()
    assert process.wait(20) != 0
    wait_until(lambda: not tagged(reproduce.TAG, opened["worktree"]))


@pytest.mark.slow
def test_what_a_killed_attempt_left_running_is_ended_by_the_next_one(throwaway):
    throwaway.ask("fraud", ingest="hang")
    opened = open_run(throwaway)
    process, orphan = hanging(throwaway, opened)
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    throwaway.ask("fraud")
    assert stage(opened, "ingest").returncode == 0
    wait_until(lambda: not tagged(reproduce.TAG, opened["worktree"]))
    assert not Path(f"/proc/{orphan}").exists() or orphan not in tagged(reproduce.TAG, opened["worktree"])


def test_a_crash_is_journalled_as_a_crash_mailed_and_frees_the_use_case(throwaway):
    open_run(throwaway)
    close(throwaway, "crashed")
    close(throwaway, "crashed")
    home = throwaway.opened_home()
    assert [entry["name"] for entry in home.runs.journal("fraud")] == ["triggered", "started", "crashed"]
    assert [letter.subject for letter in home.outbox.waiting()] == [
        "[shelflife] fraud: the learn run broke down; the champion keeps answering"
    ]
    assert home.runs.holder("fraud", home.clock()()) is None


def test_a_run_that_never_opened_can_be_closed_as_crashed(throwaway):
    assert close(throwaway, "crashed", run="never")["status"] == "crashed"


def test_old_closed_worktrees_are_removed_and_open_ones_and_all_commits_stay(throwaway):
    refs = []
    for n in range(learn.KEPT + 2):
        refs.append(open_run(throwaway, run=f"r{n}")["ref"])
        close(throwaway, "rejected", run=f"r{n}")
    open_run(throwaway, run="last")
    assert {run.run for run in throwaway.runs.all("fraud")} == {"r2", "r3", "last"}
    assert not throwaway.runs.worktree("fraud", "r0").exists()
    assert all(throwaway.runs.ref(ref) for ref in refs)


def test_a_recorded_run_that_was_removed_is_opened_again_at_its_own_commit(throwaway):
    first = open_run(throwaway)
    moment = (Path(first["worktree"]) / "moments/fraud.yaml").read_text()
    close(throwaway, "rejected")
    throwaway.runs.prune(0)
    again = open_run(throwaway, as_of=None)
    assert (Path(again["worktree"]) / "moments/fraud.yaml").read_text() == moment


def test_approval_is_asked_for_by_mail_once(throwaway):
    opened = open_run(throwaway)
    judged(opened)
    home = throwaway.opened_home()
    for _ in range(2):
        learn.ask(throwaway.workspace(), home, throwaway.runs, "fraud", "r1", "http://127.0.0.1:1/answer")
    (letter,) = home.outbox.waiting()
    assert "http://127.0.0.1:1/answer" in letter.text
    assert "fraud passes" in letter.text


@pytest.mark.slow
def test_two_moments_of_each_use_case_learn_at_once_without_a_lock_error(throwaway):
    cases = ["demand", "fraud", "recommend", "sentiment"]
    days = ["2025-05-12T00:00:00Z", "2025-05-19T00:00:00Z"]
    opened = [
        open_run(throwaway, case, f"d{n}", as_of=Key.parse(f"{case}@{day}").as_of, backfill=True)
        for case in cases
        for n, day in enumerate(days)
    ]

    def whole(run):
        return [stage(run, name) for name in ("ingest", "train", "evaluate")]

    with ThreadPoolExecutor(8) as pool:
        done = [result for results in pool.map(whole, opened) for result in results]
    said = "\n".join(result.stdout + result.stderr for result in done)
    assert [result.returncode for result in done] == [0] * 24, said
    assert "lock" not in said.lower().replace("--wait-for-lock", "").replace("dvc.lock", "").replace("lock file", ""), said
    for run in opened:
        result = learn.record(throwaway.workspace(), throwaway.opened_home(), throwaway.runs, run["case"], run["run"])
        assert result["verdict"] == "pass"

"""The DAG files: they import cleanly and fast, say what DVC says, and let nothing from outside into a shell."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

HERE = Path(__file__).resolve().parents[2]
FILES = sorted((HERE / "dags").glob("*.py"))
DATA = {"ingest", "validate", "featurize", "train", "evaluate"}


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """The DAGs as Airflow reads them, with a home of their own so that no other Airflow is touched."""
    patch = pytest.MonkeyPatch()
    patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
    patch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    for name in ("SHELFLIFE_ROOT", "SHELFLIFE_RETRIES", "SHELFLIFE_TRAIN_POOL", "SHELFLIFE_APPROVERS"):
        patch.delenv(name, raising=False)
    patch.setattr(sys, "path", [*sys.path, str(HERE / "dags")])  # as Airflow does: at the end, so that no library is shadowed
    from airflow.dag_processing.dagbag import DagBag

    yield DagBag(HERE / "dags")
    patch.undo()


@pytest.fixture(scope="module")
def learn(bag):
    return bag.dags["learn"]


def test_every_dag_is_read_without_an_error(bag):
    assert not bag.import_errors
    assert set(bag.dags) == {"calendar", "learn", "mail", "monitor"}


def test_every_file_holds_one_dag_and_the_words_they_share_none(bag):
    assert {Path(stat.file).name: stat.dag_num for stat in bag.dagbag_stats if stat.dag_num} == {
        "calendar.py": 1, "learn.py": 1, "mail.py": 1, "monitor.py": 1,
    }  # fmt: skip


def test_dag_files_import_airflow_yaml_and_the_standard_library_only():
    for file in FILES:
        tree = ast.parse(file.read_text())
        found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        found |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        roots = {name.split(".")[0] for name in found if name}
        assert roots - set(sys.stdlib_module_names) <= {"airflow", "yaml", "verbs"}, file.name


def test_no_heavy_library_is_loaded_by_reading_the_dags(tmp_path):
    heavy = {"pandas", "sklearn", "tensorflow", "dvc", "pipelines"}
    code = f"import sys; sys.path.append({str(HERE / 'dags')!r}); import learn; print(sorted({heavy} & set(sys.modules)))"
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_stages_and_their_order_are_those_of_dvcs_own_graph(learn):
    from dvc.repo import Repo

    graph = Repo(str(HERE)).index.graph
    dvc = {(before.addressing.split("@")[0], stage.addressing.split("@")[0]) for stage, before in graph.edges}
    stages = {stage.addressing.split("@")[0] for stage in graph.nodes}
    airflow = {
        (task.task_id, after) for task in learn.tasks for after in task.downstream_task_ids if {task.task_id, after} <= stages
    }
    assert stages <= set(learn.task_ids)
    assert airflow == {edge for edge in dvc if edge[0] != edge[1]}


def test_a_use_case_is_in_dvcs_graph_for_every_stage_and_never_in_airflows(learn):
    cases = yaml.safe_load((HERE / "params.yaml").read_text())["cases"]
    assert not any(case in task for case in cases for task in learn.task_ids)


def test_a_run_goes_from_open_over_the_verdict_and_a_persons_word_to_the_release(learn):
    after = {task.task_id: task.downstream_task_ids for task in learn.tasks}
    assert after["open"] >= {"ingest"}
    assert after["evaluate"] == {"record"}
    assert after["record"] == {"decide"}
    assert after["decide"] == {"ask", "promote", "close"}
    assert after["ask"] == {"approve"}
    assert after["approve"] == {"promote"}
    assert after["promote"] == {"close", "crashed"}


def test_a_failed_task_cannot_end_in_a_successful_run(learn):
    """The run's state is that of its leaves: one of them must fail with any task before it."""
    leaves = {task.task_id: task.trigger_rule for task in learn.tasks if not task.downstream_task_ids}
    assert leaves == {"close": "none_failed_min_one_success", "crashed": "one_failed"}
    assert not any(task.trigger_rule in ("all_done", "always") for task in learn.tasks)


@pytest.mark.parametrize("verdict", ["pass", "fail", "unsure", "anything else"])
@pytest.mark.parametrize("risk", ["low", "high"])
@pytest.mark.parametrize("backfill", [True, False])
def test_only_a_pass_of_a_live_run_goes_on_and_a_high_risk_asks_first(learn, verdict, risk, backfill):
    decide = learn.get_task("decide").python_callable
    told = decide({"risk": risk, "backfill": backfill}, {"verdict": verdict})
    live = verdict == "pass" and not backfill
    assert told == ("close" if not live else "ask" if risk == "high" else "promote")


class Told:
    """What tasks handed on."""

    def __init__(self, **values):
        self.values = values

    def xcom_pull(self, task_ids):
        return self.values.get(task_ids)


YES = {"chosen_options": ["Approve"], "responded_by_user": {"id": "1", "name": "ops"}}


@pytest.mark.parametrize(
    ("verdict", "risk", "answer", "promoted", "status"),
    [
        ("pass", "low", None, {"bundle": "b"}, "promoted"),
        ("pass", "high", YES, {"bundle": "b"}, "promoted"),
        ("pass", "high", None, None, "declined"),
        ("pass", "high", YES, None, "refused"),
        ("pass", "low", None, None, "refused"),
        ("fail", "high", None, None, "rejected"),
        ("unsure", "low", None, None, "inconclusive"),
    ],
)
def test_a_run_is_closed_with_what_became_of_it(learn, verdict, risk, answer, promoted, status):
    told = Told(open={"backfill": False, "risk": risk}, record={"verdict": verdict}, approve=answer, promote=promoted)
    assert learn.user_defined_macros["status_of"](told) == status
    assert learn.user_defined_macros["status_of"](Told(open={"backfill": True}, record={"verdict": verdict})) == "backfilled"


def test_who_said_yes_is_handed_on_as_a_plain_word(learn):
    by = learn.user_defined_macros["approver_of"]
    assert by(Told(approve=YES)) == "ops"
    assert by(Told()) == "learn"
    assert by(Told(approve={"responded_by_user": {"name": "$(id) `x`; rm"}})) == "__id___x___rm"


def test_silence_is_no_promotion(learn):
    approve = learn.get_task("approve")
    assert approve.defaults == ["Reject"]
    assert timedelta(hours=1) <= approve.response_timeout <= timedelta(hours=24)


def test_the_mails_link_leads_to_the_question(learn, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:8080/")
    link = learn.user_defined_macros["link_of"]("asset__2025-05-26T00:00:00+00:00")
    assert (
        link == "http://127.0.0.1:8080/dags/learn/runs/asset__2025-05-26T00%3A00%3A00%2B00%3A00/tasks/approve/required_actions"
    )


def test_a_run_has_one_name_however_often_its_tasks_are_tried(learn):
    name_of = learn.user_defined_macros["name_of"]
    assert name_of("fraud@2025-05-26T00:00:00Z", "manual__1") == name_of("fraud@2025-05-26T00:00:00Z", "manual__1")
    assert name_of("fraud@2025-05-26T00:00:00Z", "manual__1") != name_of("fraud@2025-05-26T00:00:00Z", "manual__2")
    assert name_of("fraud@2025-05-26T00:00:00Z@drift-7", "manual__1") == "drift-7"
    assert re.fullmatch(r"r[0-9a-f]{12}", name_of("fraud@2025-05-26T00:00:00Z@backfill", "manual__1"))


@pytest.mark.parametrize(
    ("said", "fits"), [("", True), ("cheaper", True), ("cheaper,smaller", True), ("nicer", False), ("cheaper; rm", False)]
)
def test_a_person_may_state_reasons_for_one_run(learn, said, fits):
    assert learn.get_task("open").env["REASONS"] == "{{ params.reasons }}"
    assert learn.get_task("open").env["CAUSE"] == "{{ 'schedule' if dag_run.partition_key else 'manual' }}"
    assert bool(re.search(learn.params.get_param("reasons").schema["pattern"], said)) == fits


def test_the_reasons_that_may_be_stated_are_the_gates():
    from pipelines.core.release import REASONS

    assert f"({'|'.join(REASONS)})" in (HERE / "dags/learn.py").read_text()


def bash(bag):
    return [task for dag in bag.dags.values() for task in dag.tasks if hasattr(task, "bash_command")]


def test_no_template_reaches_the_text_of_a_shell_command(bag):
    assert len(bash(bag)) >= len(DATA)
    for task in bash(bag):
        assert "{{" not in task.bash_command
        assert "{%" not in task.bash_command
        assert "dag_run.conf" not in str(task.env)
        assert all(f'"${name}"' in task.bash_command for name in re.findall(r"\$([A-Z]+)", task.bash_command)), (
            task.bash_command
        )


def test_stages_run_in_the_worktree_and_verbs_in_the_deployed_project(learn):
    for task in bash_of(learn):
        where = "{{ ti.xcom_pull(task_ids='open')['worktree'] }}" if " learn stage " in task.bash_command else str(HERE)
        assert task.cwd == where, task.task_id
        assert task.bash_command.startswith('exec "${SHELFLIFE_PYTHON:-python}" -m pipelines '), task.task_id


def bash_of(dag):
    return [task for task in dag.tasks if hasattr(task, "bash_command")]


def test_retries_timeouts_pools_and_run_limits_are_all_set(bag):
    for dag in bag.dags.values():
        assert dag.catchup is False
        assert dag.max_active_runs in (1, 16)
        for task in dag.tasks:
            assert (task.retries, task.retry_exponential_backoff) == (2, True), task.task_id
            assert task.pool == "default_pool"
    for task in bash(bag):
        assert task.execution_timeout, task.task_id
    assert bag.dags["learn"].get_task("train").max_active_tis_per_dag == 1


def test_calendar_monitor_and_mail_tick_and_learn_waits_for_partitions(bag):
    kinds = {name: type(dag.timetable).__name__ for name, dag in bag.dags.items()}
    assert kinds == {
        "calendar": "CronTriggerTimetable",
        "mail": "CronTriggerTimetable",
        "monitor": "CronTriggerTimetable",
        "learn": "PartitionedAssetTimetable",
    }


@given(st.text(alphabet="abz019@-:TZ;$`|& \n'\"", max_size=50))
def test_what_is_not_a_key_is_never_emitted(text):
    pattern = re.compile(constant("KEY"))
    if pattern.fullmatch(text):
        assert not set(text) & set(";$`|& \n'\"")


def constant(name):
    """A constant of dags/verbs.py, read without importing Airflow."""
    tree = ast.parse((HERE / "dags/verbs.py").read_text())
    return next(
        ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == name
    )


def test_the_dags_and_the_command_line_agree_on_what_a_key_is():
    from pipelines.steps.runs import KEY

    for text in ("fraud@2025-05-26T00:00:00Z", "fraud@2025-05-26T00:00:00Z@backfill", "fraud@2025-05-26T00:00:00Z@drift-1", "f@x", "fraud@2025-05-26",
                 "Fraud@2025-05-26T00:00:00Z", "fraud@2025-05-26T00:00:00Z@", "fraud@2025-05-26T00:00:00Z@-x"):  # fmt: skip
        assert bool(re.fullmatch(constant("KEY"), text)) == bool(KEY.fullmatch(text)), text


def graph_of(stages):
    """graph() of dags/learn.py alone, without Airflow."""
    source = (HERE / "dags/learn.py").read_text()
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in ("graph", "name", "overlap")]
    space: dict = {"Any": object}
    exec(compile(tree, "graph", "exec"), space)
    return space["graph"](stages)


def test_an_output_with_options_or_a_part_of_an_output_is_an_edge_too():
    stages = {
        "make": {"outs": [{"data/${item.case}/": {"cache": False}}]},
        "use": {"deps": ["data/${item.case}/events/a.parquet"], "metrics": [{"m.json": {"cache": False}}]},
        "see": {"deps": ["m.json", "elsewhere", "data/${item.case}x"]},
    }
    assert graph_of(stages) == {"make": set(), "use": {"make"}, "see": {"use"}}

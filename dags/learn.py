"""One run per partition key `case@as_of`: the stages of dvc.yaml in the run's worktree, the verdict, a person's word, the release."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, PartitionedAssetTimetable, conf, task
from verbs import KEY, LEARN_DUE, RETRY, read, verb

HEAVY = {"train"}
"""Stages that take the whole machine: one at a time over all runs, in the pool that SHELFLIFE_TRAIN_POOL names."""
PATIENCE = timedelta(hours=24)
"""How long a person has to answer. No answer is no promotion."""
REASON = "(fresher|cheaper|smaller|faster)"
OPENED = {"CASE": "{{ ti.xcom_pull(task_ids='open')['case'] }}", "RUN": "{{ ti.xcom_pull(task_ids='open')['run'] }}"}


def graph(stages: dict[str, Any]) -> dict[str, set[str]]:
    """The stages and which ones each follows, as DVC sees it: it depends on what another one makes, or on something within."""
    made = {
        name(out): stage
        for stage, text in stages.items()
        for kind in ("outs", "metrics", "plots")
        for out in text.get(kind) or []
    }
    needs = {stage: [name(dep) for dep in text.get("deps") or []] for stage, text in stages.items()}
    return {
        stage: {maker for out, maker in made.items() if any(overlap(out, dep) for dep in deps)} - {stage}
        for stage, deps in needs.items()
    }


def name(entry: Any) -> str:
    """An entry of deps or outs is a path, or a path with options."""
    path = entry if isinstance(entry, str) else next(iter(entry))
    return str(path).rstrip("/")


def overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def name_of(key: str, run_id: str) -> str:
    """The run's id in the store: the key's own, else one that is the same for every attempt of this Airflow run."""
    given = key.split("@")[2:]
    return given[0] if given and given[0] != "backfill" else f"r{hashlib.sha256(run_id.encode()).hexdigest()[:12]}"


def link_of(run_id: str) -> str:
    """Where a person answers."""
    return f"{conf.get('api', 'base_url').rstrip('/')}/dags/learn/runs/{quote(run_id, safe='')}/tasks/approve/required_actions"


def approver_of(ti: Any) -> str:
    """Who said yes; where the risk is low nobody needs to."""
    answer = ti.xcom_pull(task_ids="approve") or {}
    user = answer.get("responded_by_user") or {}
    return re.sub(r"[^A-Za-z0-9_.@-]", "_", str(user.get("name") or user.get("id") or "learn"))[:64]


def reason_of(ti: Any) -> str:
    """What the person said beside the yes."""
    return str(((ti.xcom_pull(task_ids="approve") or {}).get("params_input") or {}).get("comment") or "")


def status_of(ti: Any) -> str:
    """How the run ended, in the store's words."""
    opened, judged = ti.xcom_pull(task_ids="open"), ti.xcom_pull(task_ids="record")
    if opened["backfill"]:
        return "backfilled"
    if judged["verdict"] != "pass":
        return {"fail": "rejected"}.get(judged["verdict"], "inconclusive")
    if ti.xcom_pull(task_ids="promote"):
        return "promoted"
    # A no hands nothing on: the operator skips what follows it instead of returning.
    return "declined" if opened["risk"] == "high" and not ti.xcom_pull(task_ids="approve") else "refused"


with (
    DAG(
        "learn",
        description="Learns one use case as of one moment, judges it against the champion, and promotes it if that is right",
        schedule=PartitionedAssetTimetable(assets=LEARN_DUE),
        max_active_runs=16,  # one run per use case is the store's lease, not a flag here: a run that waits for a person must not block others
        default_args={"pool": "default_pool", **RETRY},
        params={
            "key": Param(
                "", type="string", pattern=f"^({KEY})?$", description="case@as_of, when it is not started by a partition"
            ),
            "reasons": Param(
                "",
                type="string",
                pattern=f"^({REASON}(,{REASON})*)?$",
                description="Why a challenger that is no better may replace the champion in this run: fresher, cheaper, smaller, faster",
            ),
        },
        user_defined_macros={f.__name__: f for f in (name_of, link_of, approver_of, reason_of, status_of)},
        tags=["shelflife"],
        doc_md=__doc__,
    ) as dag
):
    asked = {
        "KEY": "{{ dag_run.partition_key or params.key }}",
        "RUN": "{{ name_of(dag_run.partition_key or params.key, run_id) }}",
    }
    stated = {"REASONS": "{{ params.reasons }}", "CAUSE": "{{ 'schedule' if dag_run.partition_key else 'manual' }}"}
    opened = verb(
        "open", 'learn open --run "$RUN" --cause "$CAUSE" --reasons "$REASONS" --json -- "$KEY"', env={**asked, **stated}
    )
    edges = graph(read("dvc.yaml")["stages"])
    stages = {
        stage: verb(
            stage,
            f'learn stage --stage {stage} -- "$CASE"',
            minutes=180,
            env=OPENED,
            cwd="{{ ti.xcom_pull(task_ids='open')['worktree'] }}",
            do_xcom_push=False,
            output_processor=str,
            pool=os.environ.get("SHELFLIFE_TRAIN_POOL", "default_pool") if stage in HEAVY else "default_pool",
            max_active_tis_per_dag=1 if stage in HEAVY else None,
        )
        for stage in edges
    }
    for stage, before in edges.items():
        ([stages[other] for other in sorted(before)] or [opened]) >> stages[stage]
    recorded = verb("record", 'learn record --run "$RUN" --json -- "$CASE"', env=OPENED)
    [stages[s] for s in edges if not any(s in before for before in edges.values())] >> recorded

    @task.branch
    def decide(run: dict[str, Any], judged: dict[str, Any]) -> str:
        """Only a verdict that passes goes on; a backfill never does; a high risk asks a person."""
        if judged["verdict"] != "pass" or run["backfill"]:
            return "close"
        return "ask" if run["risk"] == "high" else "promote"

    asking = verb(
        "ask", 'learn ask --run "$RUN" --link "$LINK" --json -- "$CASE"', env={**OPENED, "LINK": "{{ link_of(run_id) }}"}
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="May {{ ti.xcom_pull(task_ids='open')['case'] }} answer with the release of {{ ti.xcom_pull(task_ids='open')['as_of'] }}?",
        body="```text\n{{ ti.xcom_pull(task_ids='record')['why'] }}\n```",
        response_timeout=PATIENCE,
        defaults="Reject",
        params={"comment": Param(None, type=["null", "string"], title="Why (kept with the decision)")},
        assigned_users=[{"id": who, "name": who} for who in os.environ.get("SHELFLIFE_APPROVERS", "").split(",") if who]
        or None,
        **{**RETRY, "retries": 2},  # asked again where Airflow lost the answer, whatever the others do
    )
    promotion = verb(
        "promote",
        'promote --run "$RUN" --by="$WHO" --because="$BECAUSE" --json -- "$CASE"',
        env={**OPENED, "WHO": "{{ approver_of(ti) }}", "BECAUSE": "{{ reason_of(ti) }}"},
        trigger_rule="none_failed_min_one_success",
    )
    closing = verb(
        "close",
        'learn close --run "$RUN" --status "$STATUS" --json -- "$CASE"',
        env={**OPENED, "STATUS": "{{ status_of(ti) }}"},
        trigger_rule="none_failed_min_one_success",
    )
    # A second leaf, beside close: where anything failed, close cannot run, and that makes the run a failed one.
    crashed = verb(
        "crashed", 'learn close --run "$RUN" --status crashed --json -- "$KEY"', env=asked, trigger_rule="one_failed"
    )

    decision = decide(opened.output, recorded.output)
    decision >> [asking, promotion, closing]
    asking >> approve >> promotion >> [closing, crashed]

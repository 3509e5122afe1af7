"""The watch: every day it looks for broken data, drift and falling quality; where that harms, learning is due for that use case."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, task
from airflow.sdk.exceptions import AirflowSkipException
from verbs import LEARN_DUE, RETRY, keyed, read, verb

with DAG(
    "monitor",
    description="Looks at every use case; proposes retraining only where a shift harms",
    schedule=CronTriggerTimetable(read("params.yaml")["shop"]["watch"]["cron"], timezone="UTC", run_immediately=False),
    catchup=False,
    max_active_runs=1,
    default_args={"pool": "default_pool", **RETRY},
    tags=["shelflife"],
    doc_md=__doc__,
):
    look = verb("look", "monitor --json", minutes=60)

    @task(outlets=[LEARN_DUE])
    def propose(found: dict[str, Any], *, outlet_events: Any = None) -> list[str]:
        """A partition per proposal; no proposal, no event."""
        keys = [keyed(p["case"], p["as_of"], p.get("run") or "") for p in found["proposals"]]
        if not keys:
            raise AirflowSkipException("nothing harms: no retraining is proposed")
        outlet_events[LEARN_DUE].add_partitions(keys)
        return keys

    propose(look.output)

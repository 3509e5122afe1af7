"""Learning is due when the calendar says so, drift or not. This is the DAG that is backfilled over past days."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, task
from verbs import LEARN_DUE, RETRY, keyed, read

PARAMS = read("params.yaml")

with DAG(
    "calendar",
    description="Learning is due for every use case; backfill this one to compute what was known on past days",
    schedule=CronTriggerTimetable(PARAMS["shop"]["calendar"]["cron"], timezone="UTC", run_immediately=False),
    catchup=False,
    max_active_runs=1,
    default_args={"pool": "default_pool", **RETRY},
    tags=["shelflife"],
    doc_md=__doc__,
):

    @task(outlets=[LEARN_DUE])
    def due(*, dag_run: Any = None, outlet_events: Any = None) -> list[str]:
        """One partition per use case, as of the beginning of the run's day: the day itself is not over, so not known yet."""
        at: datetime = (dag_run.logical_date or dag_run.run_after).astimezone(UTC)
        run = "backfill" if dag_run.run_type == "backfill" else ""
        keys = [keyed(case, f"{at:%Y-%m-%d}T00:00:00Z", run) for case in PARAMS["cases"]]
        outlet_events[LEARN_DUE].add_partitions(keys)
        return keys

    due()

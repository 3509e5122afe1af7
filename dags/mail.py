"""The post: every five minutes it hands over what waits, so that a mail server's bad hour delays mail and loses none."""

from __future__ import annotations

from airflow.sdk import DAG, CronTriggerTimetable
from verbs import verb

with DAG(
    "mail",
    description="Hands over the mail that waits for its server",
    schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC", run_immediately=False),
    catchup=False,
    max_active_runs=1,
    tags=["shelflife"],
    doc_md=__doc__,
):
    verb("deliver", "mail --json", minutes=5)

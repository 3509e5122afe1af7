"""How tasks call the command line: from which folder, with which words, and what they hand on. Airflow and this file only."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset

ROOT = Path(os.environ.get("SHELFLIFE_ROOT") or Path(__file__).resolve().parent.parent)
LEARN_DUE = Asset(name="learn_due", uri="x-shelflife://learn/due")
"""Learning is due. Its partition key: `fraud@2025-05-26T00:00:00Z`, then `@` and the run's id or `backfill`, if any."""
KEY = r"[a-z][a-z0-9]{1,30}@\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z(@[a-z0-9][a-z0-9-]{0,40})?"
RETRY = {
    "retries": int(os.environ.get("SHELFLIFE_RETRIES", "2")),
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}


def verb(
    task_id: str, words: str, *, minutes: float = 30, env: Mapping[str, str] | None = None, **options: Any
) -> BashOperator:
    """A task that runs one verb and hands on its JSON result.

    Values that come from outside reach the shell only as environment variables (`env`, templated), never as its text.
    The group of processes is ended when the task is; `SHELFLIFE_PYTHON` names the interpreter of the project's environment.
    """
    return BashOperator(
        task_id=task_id,
        bash_command=f'exec "${{SHELFLIFE_PYTHON:-python}}" -m pipelines {words}',
        env=dict(env or {}),
        append_env=True,
        execution_timeout=timedelta(minutes=minutes),
        **{"cwd": str(ROOT), "output_processor": json.loads, "pool": "default_pool", **RETRY, **options},
    )


def read(name: str) -> dict[str, Any]:
    """A YAML file of the project: dvc.yaml or params.yaml."""
    return dict(yaml.safe_load((ROOT / name).read_text()))


def keyed(case: str, as_of: str, run: str = "") -> str:
    """The partition key, checked: what is not a key is never handed on."""
    key = f"{case}@{as_of}" + (f"@{run}" if run else "")
    if not re.fullmatch(KEY, key):
        raise ValueError(f"wanted a key such as fraud@2025-05-26T00:00:00Z, got {ascii(key)[:80]}")
    return key

"""A small client of Airflow's REST API: trigger, wait, approve, read logs. Standard library only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from pipelines.core.errors import ShelflifeError

DONE = ("success", "failed")
HEALTHY = ("metadatabase", "scheduler", "triggerer", "dag_processor")
PAGE = 100
SETTLED = timedelta(seconds=3)
"""How much later than a task's parking the scheduler must have looked around to have seen it."""


class Unanswered(ShelflifeError):
    """Airflow did not answer at all: it is down, or too busy to answer in time."""


class AirflowApi:
    """One user's view of an Airflow. `address` is like http://127.0.0.1:8080. Every call raises ShelflifeError where Airflow says no."""

    def __init__(self, address: str, user: str, password: str, *, patience: float = 30.0) -> None:
        if not address.startswith(("http://", "https://")):
            raise ShelflifeError(f"wanted Airflow's address such as http://127.0.0.1:8080, got {ascii(address)[:80]}")
        self.address = address.rstrip("/")
        self.user = user
        self._password = password
        self.patience = patience
        self._token: str | None = None

    def healthy(self) -> bool:
        """Whether the web server answers and scheduler, triggerer, DAG processor and database are all alive."""
        try:
            found = self._send("GET", "/api/v2/monitor/health", None, {})
        except ShelflifeError:
            return False
        return all((found.get(part) or {}).get("status") == "healthy" for part in HEALTHY)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One request under /api/v2, as the user; None for an empty answer."""
        if self._token is None:
            answer = self._send("POST", "/auth/token", {"username": self.user, "password": self._password}, {})
            self._token = str(answer["access_token"])
        return self._send(method, f"/api/v2{path}", body, {"Authorization": f"Bearer {self._token}"})

    def dags(self) -> dict[str, bool]:
        """The DAGs there are, and whether each is paused."""
        return {dag["dag_id"]: bool(dag["is_paused"]) for dag in self.call("GET", "/dags")["dags"]}

    def import_errors(self) -> list[str]:
        return [str(error["stack_trace"]) for error in self.call("GET", "/importErrors")["import_errors"]]

    def pause(self, dag: str, *, paused: bool = True) -> None:
        self.call("PATCH", f"/dags/{_part(dag)}", {"is_paused": paused})

    def trigger(self, dag: str, *, key: str | None = None, conf: Mapping[str, Any] | None = None, at: str | None = None) -> str:
        """Start a run, of a partition or with a logical date (ISO 8601) where given; its id."""
        body: dict[str, Any] = {"logical_date": at, "conf": dict(conf or {})} | ({"partition_key": key} if key else {})
        return str(self.call("POST", f"/dags/{_part(dag)}/dagRuns", body)["dag_run_id"])

    def emit(self, asset: str, key: str) -> None:
        """Say from outside that something happened to an asset, for one partition key."""
        found = self.call("GET", f"/assets?{urlencode({'name_pattern': asset})}")["assets"]
        ids = [entry["id"] for entry in found if entry["name"] == asset]
        if not ids:
            raise ShelflifeError(f"Airflow knows no asset {asset} yet; wait until it has read the DAGs")
        self.call("POST", "/assets/events", {"asset_id": ids[0], "partition_key": key, "extra": {}})

    def backfill(self, dag: str, first: str, last: str, *, at_once: int = 1) -> int:
        """Run a DAG for the ticks of its cron from `first` up to `last` (ISO 8601); the backfill's id."""
        body = {"dag_id": dag, "from_date": first, "to_date": last, "max_active_runs": at_once}
        return int(self.call("POST", "/backfills", body)["id"])

    def runs(self, dag: str, *, key: str | None = None) -> list[dict[str, Any]]:
        """The newest runs of a DAG, newest first, of one partition key where given."""
        query = urlencode({"order_by": "-run_after", "limit": PAGE})
        found = self.call("GET", f"/dags/{_part(dag)}/dagRuns?{query}")["dag_runs"]
        return [run for run in found if key is None or run.get("partition_key") == key]

    def run(self, dag: str, run: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/dags/{_part(dag)}/dagRuns/{_part(run)}"))

    def tasks(self, dag: str, run: str) -> dict[str, str | None]:
        """The state of each task of a run, None where it has none yet."""
        found = self.call("GET", f"/dags/{_part(dag)}/dagRuns/{_part(run)}/taskInstances?limit={PAGE}")["task_instances"]
        return {task["task_id"]: task["state"] for task in found}

    def result(self, dag: str, run: str, task: str) -> Any:
        """What a task handed on; None when it handed on nothing."""
        path = f"/dags/{_part(dag)}/dagRuns/{_part(run)}/taskInstances/{_part(task)}/xcomEntries/return_value?deserialize=true"
        with suppress(ShelflifeError):
            return self.call("GET", path)["value"]
        return None

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> str:
        """A task's log as text."""
        path = f"/dags/{_part(dag)}/dagRuns/{_part(run)}/taskInstances/{_part(task)}/logs/{attempt}"
        lines = self.call("GET", path)["content"]
        return "\n".join(str(line.get("event", line) if isinstance(line, dict) else line) for line in lines)

    def pending(self, dag: str, run: str) -> list[str]:
        """Tasks of a run that wait for a person."""
        found = self.call("GET", f"/dags/{_part(dag)}/dagRuns/{_part(run)}/hitlDetails")["hitl_details"]
        return [entry["task_instance"]["task_id"] for entry in found if not entry["response_received"]]

    def answer(self, dag: str, run: str, task: str, *, approve: bool, comment: str = "") -> None:
        """Give a person's answer to a task that waits for one."""
        body = {"chosen_options": ["Approve" if approve else "Reject"], "params_input": {"comment": comment}}
        self.call("PATCH", f"/dags/{_part(dag)}/dagRuns/{_part(run)}/taskInstances/{_part(task)}/-1/hitlDetails", body)

    def wait(self, dag: str, run: str, timeout: float) -> str:
        """Wait until a run is over; its state, success or failed. Raises ShelflifeError, naming the open tasks, when it takes longer."""
        return str(
            self.until(lambda: self._over(dag, run), timeout, lambda: f"the run {run} of {dag} ended; {self.tasks(dag, run)}")
        )

    def wait_for_approval(self, dag: str, run: str, timeout: float) -> str:
        """Wait until a task of the run waits for a person; the task. Raises ShelflifeError if the run ends without asking.

        An answer that comes before the scheduler has seen the task park itself makes Airflow 3.3 fail the task, so the
        question counts as asked once the scheduler has looked again.
        """
        since: dict[str, datetime] = {}

        def asked() -> str | None:
            waiting = self.pending(dag, run)
            if not waiting and self._over(dag, run):
                raise ShelflifeError(f"the run {run} of {dag} ended without asking anybody; {self.tasks(dag, run)}")
            parked = [task for task, state in self.tasks(dag, run).items() if task in waiting and state == "awaiting_input"]
            seen = [task for task in parked if self._beat() > since.setdefault(task, self._beat() + SETTLED)]
            return seen[0] if seen else None

        return str(self.until(asked, timeout, lambda: f"{dag} asked for approval; {self.tasks(dag, run)}"))

    def see_through(self, dag: str, run: str, timeout: float, *, approve: bool, comment: str = "") -> str:
        """Answer whenever the run asks, until it is over; its state."""
        deadline = time.monotonic() + timeout
        while not (state := self._over(dag, run)):
            left = deadline - time.monotonic()
            try:
                task = self.wait_for_approval(dag, run, left)
            except ShelflifeError:
                return self.wait(dag, run, 1)
            self.answer(dag, run, task, approve=approve, comment=comment)
            self.until(lambda: self._over(dag, run) or self.pending(dag, run), left, lambda: f"the run {run} of {dag} ended")
        return state

    def wait_for_run(self, dag: str, key: str, timeout: float) -> str:
        """Wait until a run of this partition key exists; the id of the newest."""
        return str(
            self.until(
                lambda: next((r["dag_run_id"] for r in self.runs(dag, key=key)), None),
                timeout,
                lambda: f"a run of {dag} for {key}",
            )
        )

    def until(self, look: Callable[[], Any], timeout: float, wanted: Callable[[], str], pause: float = 0.5) -> Any:
        """Look until there is something to see; it. Raises ShelflifeError, saying what was wanted, after `timeout` seconds.

        A server that is too busy to answer is asked again: waiting is for what takes long.
        """
        deadline = time.monotonic() + timeout
        while True:
            late = time.monotonic() > deadline
            try:
                if found := look():
                    return found
            except Unanswered:
                if late:
                    raise
            if late:
                raise ShelflifeError(f"waited {timeout:g} s in vain until {wanted()}")
            time.sleep(pause)

    def _beat(self) -> datetime:
        """When the scheduler last looked around, by its own clock."""
        return datetime.fromisoformat(
            self._send("GET", "/api/v2/monitor/health", None, {})["scheduler"]["latest_scheduler_heartbeat"]
        )

    def _over(self, dag: str, run: str) -> str | None:
        state = self.run(dag, run)["state"]
        return state if state in DONE else None

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"}
        request = Request(self.address + path, data=data, method=method, headers={**kind, **headers})  # noqa: S310  checked at birth
        try:
            with urlopen(request, timeout=self.patience) as answer:  # noqa: S310
                text = answer.read()
        except HTTPError as error:
            raise ShelflifeError(f"Airflow said {error.code} {_reason(error)} to {method} {path}") from None
        except (URLError, OSError) as error:
            raise Unanswered(
                f"Airflow does not answer at {self.address} ({getattr(error, 'reason', error)}); is it up? shelflife airflow"
            ) from None
        return json.loads(text) if text else None


def _reason(error: HTTPError) -> str:
    phrase = HTTPStatus(error.code).phrase
    with suppress(ValueError, OSError):
        return f"{phrase}: {json.loads(error.read())['detail']}"[:300]
    return phrase


def _part(text: str) -> str:
    return quote(text, safe="")

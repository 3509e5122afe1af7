"""One run of Evidently: findings and figures over frames, as JSON that is the same for the same inputs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.reports.comparisons import FORMAT
from pipelines.reports.plain import defused, plain, plain_data

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.core.verdict import Finding

ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
"""What Evidently calls its pictures: a new name in every run."""


def report(
    subject: str, findings: Sequence[Finding], required: Sequence[str], facts: Mapping[str, Any],
    *, current: pd.DataFrame, reference: pd.DataFrame | None, drawn: Sequence[Any], definition: Any,
) -> dict[str, Any]:  # fmt: skip
    """The report as JSON data. `drawn` are Evidently metrics and presets that explain, and may carry no tests.

    Where what explains cannot be drawn from these rows (one class only, say), the findings are reported without it, and the
    facts say so: pictures do not decide.
    """
    from pipelines.reports.metrics import of_finding

    deciding = [metric for finding in findings for metric in of_finding(finding)]
    try:
        evidently = _run([*drawn, *deciding], current, reference, definition)
    except Exception as error:  # a library's own failure on odd rows; the findings stand without its pictures
        evidently = _run(deciding, current, reference, definition)
        facts = {**facts, "not drawn": f"{type(error).__name__}: {error}"}
    return {
        "format": FORMAT, "subject": plain(subject), "required": list(required), "facts": plain_data(dict(facts)), "evidently": evidently,
    }  # fmt: skip


def _run(metrics: Sequence[Any], current: pd.DataFrame, reference: pd.DataFrame | None, definition: Any) -> dict[str, Any]:
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import Dataset, Report

    data = [None if frame is None else Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference)]
    return snapshot_data(Report(list(metrics), include_tests=False).run(*data))


def snapshot_data(snapshot: Any) -> dict[str, Any]:
    """Metrics, tests and drawings of an Evidently snapshot, without its clock and with its random ids counted through."""
    from evidently.legacy.utils import NumpyEncoder

    said = json.loads(json.dumps(snapshot.dict(), cls=NumpyEncoder))
    text = json.dumps(_drawings(snapshot), cls=NumpyEncoder)
    ids = {name: f"picture-{number}" for number, name in enumerate(dict.fromkeys(ID.findall(text)))}
    drawings = json.loads(ID.sub(lambda match: ids[match[0]], text))
    return defused(drawings) | {"metrics": _numbers(said["metrics"]), "tests": _numbers(said["tests"])}


def _numbers(value: Any) -> Any:
    """NaN and infinities as null; the words in it were made plain before, and rules keep their signs."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


def _drawings(snapshot: Any) -> dict[str, Any]:
    """What Evidently's page draws: the dashboard, and the graphs that open on a click."""
    from evidently.legacy.model.dashboard import DashboardInfo
    from evidently.legacy.model.widget import AdditionalGraphInfo, BaseWidgetInfo
    from evidently.legacy.renderers.html_widgets import group_widget

    model = snapshot.to_snapshot_model()
    widgets = [group_widget(title="", widgets=model.widgets), *model.tests_widgets]
    graphs = {}
    for widget in widgets:
        for graph in widget.get_additional_graphs():
            info = graph.params if isinstance(graph, AdditionalGraphInfo) else graph
            graphs[str(graph.id)] = info.dict() if isinstance(info, BaseWidgetInfo) else info
    dashboard = DashboardInfo(name="Report", widgets=widgets).dict()
    for widget in dashboard["widgets"]:
        widget.pop("additionalGraphs", None)
    return {"dashboard": dashboard, "graphs": graphs}

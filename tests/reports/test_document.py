import json

import pytest

from pipelines.reports import document

pytest.importorskip("evidently")


def test_data_that_would_close_its_script_stays_data_even_if_nothing_before_made_it_harmless(payload, nodes):
    report = {"subject": payload, "evidently": {"dashboard": {payload: payload}, "graphs": {"&lt;": "<b>"}}}
    found = nodes(document.render(report, "<h1>first</h1>"))
    assert len(found.scripts) == 4
    assert not found.handlers
    data = json.loads(next(text for attrs, text in found.scripts if attrs.get("type") == "application/json"))
    assert data == report["evidently"]

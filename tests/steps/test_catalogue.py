"""The catalogue cannot lie: its page is what is declared, and what it measures is what lies in the rows and the report."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import usecases
from pipelines.core.clock import DAY
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.features import catalogue
from pipelines.steps.catalogue import importance, kept, missing
from pipelines.steps.stream import open_store
from pipelines.steps.workspace import Workspace

ROOT = Path(__file__).parents[2]
FRAUD = usecases.get("fraud")


def test_the_page_holds_what_is_declared():
    said = (ROOT / catalogue.PAGE).read_text(encoding="utf-8")
    assert said == catalogue.page(usecases.load()), "run shelflife catalogue --write"


def test_every_feature_of_every_use_case_is_on_the_page_with_a_sentence():
    said = (ROOT / catalogue.PAGE).read_text(encoding="utf-8")
    for case in usecases.load().values():
        for entry in catalogue.entries(case):
            assert f"| `{entry.name}` | {entry.origin} |" in said
            assert len(entry.definition.split()) > 2, entry


def test_missing_and_importance_are_read_from_the_rows_and_the_report(tmp_path):
    place = Workspace(tmp_path)
    assert (missing(place, FRAUD), importance(place, FRAUD)) == ({}, {})
    place.rows("fraud").mkdir(parents=True)
    pq.write_table(
        pa.table({"payments_1h": [1.0, None, 2.0, 3.0], "label": [0, 1, 0, 0]}), place.rows("fraud") / "train.parquet"
    )
    (place.reports("fraud") / "plots").mkdir(parents=True)
    (place.reports("fraud") / "training.json").write_text(json.dumps({"chosen": "lightgbm"}))
    lines = ["candidate,feature,importance", "lightgbm,payments_1h,0.25", "linear,payments_1h,0.9", "lightgbm,device,0.1"]
    (place.reports("fraud") / "plots" / "importance.csv").write_text("\n".join(lines))
    assert missing(place, FRAUD) == {"payments_1h": 0.25}
    assert importance(place, FRAUD) == {"payments_1h": 0.25, "device": 0.1}
    found = {e.name: e for e in catalogue.entries(FRAUD, missing(place, FRAUD), importance(place, FRAUD))}
    assert (found["payments_1h"].missing, found["payments_1h"].importance, found["payments_1d"].missing) == (0.25, 0.25, None)


def test_a_report_that_cannot_be_read_is_one_clear_sentence(tmp_path):
    place = Workspace(tmp_path)
    place.reports("fraud").mkdir(parents=True)
    (place.reports("fraud") / "training.json").write_text("{")
    with pytest.raises(ShelflifeError, match="run dvc repro train@fraud"):
        importance(place, FRAUD)


def test_what_a_key_keeps_of_a_feature_is_measured_in_the_online_store(tmp_path, monkeypatch):
    place = Workspace(tmp_path)
    monkeypatch.delenv("SHELFLIFE_HOME", raising=False)
    assert kept(place, FRAUD) == {}
    store = open_store(tmp_path / ".shelflife" / "online", FRAUD.features)
    bodies = [{"card": "c1", "customer": "k1", "terminal": "t1", "amount_cents": 10, "country": "DE"} for _ in range(6)]
    store.apply([Event("payment", f"p{n}", n * DAY, body, n * DAY, n + 1) for n, body in enumerate(bodies)])
    found = kept(place, FRAUD)
    assert found["payments_1h"] == 6 * 2 * 8  # a tile's start and its count, six tiles
    assert {e.kept for e in catalogue.entries(FRAUD, kept=found) if e.origin != "counted"} == {None}
    assert "96 B a key" in catalogue.table(catalogue.entries(FRAUD, kept=found))

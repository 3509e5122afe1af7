"""The API over a real home: log, keys, releases, online features, encoder, calibration and ONNX, wired as `serve` wires them."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from starlette.testclient import TestClient

from pipelines.core.clock import DAY, instant
from pipelines.core.decision import answers_to_dict
from pipelines.core.digest import canonical, digest
from pipelines.core.event import Event
from pipelines.core.release import Bundle, Release
from pipelines.core.verdict import Finding, Verdict
from pipelines.features.plan import store_name
from pipelines.steps import serve, stream
from pipelines.steps.workspace import Workspace
from pipelines.store.home import Home

ROOT = Path(__file__).parents[2]
WORKSPACE = Workspace(ROOT)
NOW = instant("2025-03-01T12:00:00Z")
HEAVY = [
    "sklearn",
    "lightgbm",
    "tensorflow",
    "keras",
    "pandas",
    "evidently",
    "great_expectations",
    "airflow",
    "dvc",
    "scipy",
    "onnx",
]


def payment(n, **changed):
    body = {
        "payment_id": f"p{n}", "card": "c1", "customer": "k1", "terminal": "t1", "amount_cents": 1000 + n, "country": "DE", **changed,
    }  # fmt: skip
    return Event("payment", f"p{n}", NOW - DAY + n * 1_000_000, body)


VIEW = Event("view_item", "v1", NOW, {"session": "s1", "item": "i2", "trail": ["i1"]})


def model(columns, weight):
    """sigmoid(weight * the sum of what is known): a model that the features move."""
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
        helper.make_tensor("w", TensorProto.FLOAT, [columns, 1], [weight] * columns),
    ]
    nodes = [
        helper.make_node("IsNaN", ["x"], ["unknown"]), helper.make_node("Where", ["unknown", "zero", "x"], ["known"]),
        helper.make_node("MatMul", ["known", "w"], ["z"]), helper.make_node("Sigmoid", ["z"], ["y"]),
    ]  # fmt: skip
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, columns])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def files_of(case, asks, weight):
    """A bundle by the real encoder and calibration, its golden requests these asks."""
    from pipelines.features.candidates import Index
    from pipelines.features.encoding import Encoder
    from pipelines.models.calibration import Calibration
    from pipelines.serving import golden
    from pipelines.steps.bundle import model_columns, open_scorer

    files = {
        "features.json": canonical(case.features.to_dict()), "contract.json": canonical(case.asks.to_dict()),
        "answers.json": canonical(answers_to_dict(case.answers)), "calibration.json": Calibration("as_is").to_json(),
        "reference.parquet": b"none",
    }  # fmt: skip
    if case.name == "recommend":
        items, trails = ["i1", "i2", "i3", "i2"], [[], ["i1"], ["i1", "i2"], ["i1"]]
        files["index.npz"] = Index.fit(items, trails, until=NOW - DAY, answers=case.answers).to_npz()
    columns = {name: serve._reader(None, files).read(asks)[0][name] for name in model_columns(case)}
    encoder = Encoder.fit(columns, {name: case.features.kind(name) for name in columns})
    files |= {"encoder.json": encoder.to_json(), "model.onnx": model(len(encoder.columns), weight)}
    return files | {"golden.json": golden.write(columns, open_scorer(files).score(columns))}


def promote(home, folder, weight, name="fraud"):
    """Sign and promote a bundle of this weight, after its probe; its digest."""
    from pipelines.serving.probe import probe

    asks = [payment(n) for n in range(4)] if name == "fraud" else [VIEW]
    files = files_of(WORKSPACE.case(name), asks, weight)
    made = Bundle(name, {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}, {"model": f"w {weight}"})
    folder = folder / f"bundle {name} {weight}"
    folder.mkdir()
    for file, data in (files | {"manifest.json": canonical(made.to_dict())}).items():
        (folder / file).write_bytes(data)
    bundle = home.releases.add(folder)
    record = probe(home.releases.read(bundle).files, bundle=bundle)
    champion = home.releases.champion(name)
    against = champion.bundle if champion else None
    verdict = verdict_of(bundle, against)
    release = Release(name, bundle, digest(verdict), digest("report"), against, NOW)
    words = {"signature": home.keys.sign(canonical(release.to_dict())), "probe": record, "verdict": verdict}
    home.releases.promote(release, expected_epoch=home.releases.epoch(), at=NOW, actor="test", **words)
    return bundle


def verdict_of(bundle, against):
    """The gate's word as evaluate writes it."""
    facts = {"bundle": bundle, "replaces": against}
    return Verdict("fraud", (Finding("floor", "pass", 0.5, "0.4"),), ("floor",), facts).to_dict()


@pytest.fixture
def home(tmp_path):
    """A simulated shop at noon, whose log and online features hold twenty payments of one card."""
    home = Home.open(tmp_path / "home", create=True)
    home.keys.make()
    home.log.append([payment(n) for n in range(20)], arrived=NOW - DAY // 2)
    home.simulated(NOW)
    stream.catch_up(home, stream.open_stores(home, [WORKSPACE.case("fraud")]))
    yield home
    home.close()


def client_of(home):
    return TestClient(serve.service(WORKSPACE, home).app(), "http://127.0.0.1")


def ask(client, name="a-1", **changed):
    body = {"id": name, **payment(99).body, **changed}
    return client.post("/v1/fraud", json={"asks": [body]})


def predictions(home):
    return home.log.read(kinds=["prediction"])


def test_an_answer_is_made_of_the_online_features_and_traced_in_the_log(home, tmp_path):
    name = promote(home, tmp_path, 1e-5)
    with client_of(home) as client:
        answered = ask(client)
    assert answered.status_code == 200, answered.text
    body = answered.json()
    assert (body["bundle"], body["reasons"]) == (name, [])
    (event,) = predictions(home)
    (known,) = json.loads(event.body["inputs"])["rows"]
    assert (known["payments_7d"], known["till_payments_7d"], known["largest_amount_30d"]) == (20, 20, 1019)
    assert event.body["seen_offset"] == 20
    assert event.body["verdict"] == digest(verdict_of(name, None))
    release, _ = home.releases.envelope(event.body["release"])
    assert release.bundle == name


def test_a_ranking_names_the_candidates_of_its_own_index_with_reasons(home, tmp_path):
    promote(home, tmp_path, 1e-2, "recommend")
    with client_of(home) as client:
        answered = client.post(
            "/v1/recommend", json={"asks": [{"id": "v1", **VIEW.body}, {"id": "v2", **VIEW.body, "trail": []}]}
        )
    assert answered.status_code == 200, answered.text
    first, second = answered.json()["answers"]
    assert {item["item"] for item in first["items"]} == {"i1", "i2", "i3"}
    assert [item["score"] for item in first["items"]] == sorted((item["score"] for item in first["items"]), reverse=True)
    assert {item["reason"] for item in first["items"]} == {"seen", "follows"}
    assert second["ask"] == "v2"
    logged = json.loads(predictions(home)[0].body["inputs"])["rows"]
    assert [row["candidate"] for row in logged] == [item["item"] for item in first["items"]]


def test_an_ask_from_before_the_release_was_made_is_the_askers_fault(home, tmp_path):
    promote(home, tmp_path, 1e-2, "recommend")
    with client_of(home) as client:
        old = client.post("/v1/recommend", json={"asks": [{"id": "v1", "ts": NOW - 30 * DAY, **VIEW.body}]})
    assert old.status_code == 422


def test_promotions_and_rollbacks_of_the_registry_are_picked_up(home, tmp_path):
    first = promote(home, tmp_path, 1e-5)
    with client_of(home) as client:
        before = ask(client).json()
        second = promote(home, tmp_path, 2e-5)
        wait_for(client, second)
        after = ask(client).json()
        home.releases.rollback("fraud", at=NOW, actor="test", reason="back")
        wait_for(client, first)
        assert ask(client).json()["answers"][0]["score"] == before["answers"][0]["score"] != after["answers"][0]["score"]


def wait_for(client, bundle):
    import time

    until = time.monotonic() + 5
    while client.get("/readyz").json()["cases"]["fraud"]["bundle"] != bundle:
        assert time.monotonic() < until


def test_a_release_whose_key_was_revoked_does_not_answer(home, tmp_path):
    promote(home, tmp_path, 1e-5)
    home.keys.revoke(home.keys.current())
    with client_of(home) as client:
        assert ask(client).status_code == 503
        assert "revoked" in client.get("/console").text


def test_a_bundle_that_was_changed_on_disk_does_not_answer(home, tmp_path):
    name = promote(home, tmp_path, 1e-5)
    path = home.path / "releases" / name / "model.onnx"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with client_of(home) as client:
        assert ask(client).status_code == 503


def test_a_start_without_the_state_answers_with_the_last_good_release(home, tmp_path):
    name = promote(home, tmp_path, 1e-5)
    with client_of(home) as client:
        ask(client)
    home.close()
    for path in home.path.glob("state.db*"):
        path.unlink()
    (home.path / "state.db").write_bytes(b"no database" * 100)
    away = Home(home.path)
    service = serve.service(WORKSPACE, away)
    with TestClient(service.app(), "http://127.0.0.1") as client:
        body = ask(client).json()
        assert (body["bundle"], body["degraded"], body["reasons"]) == (name, True, ["state"])
        assert client.get("/console").status_code == 200
    assert len(predictions(away)) == 1
    assert len(list((home.path / "online" / "spool").iterdir())) == 1


def test_features_that_the_stream_does_not_keep_up_are_said_to_be_behind(home, tmp_path):
    promote(home, tmp_path, 1e-5)
    home.log.append([payment(20)], arrived=NOW - DAY // 2)
    with client_of(home) as client:
        assert ask(client).json()["reasons"] == ["behind"]
    stream.catch_up(home, stream.open_stores(home, [WORKSPACE.case("fraud")]))
    with client_of(home) as client:
        assert ask(client, "a-2").json()["reasons"] == []


@pytest.mark.parametrize(("where", "file"), [("sqlite", "{}.db"), ("lmdb", "{}.lmdb/1.mdb")])
def test_answers_go_on_while_the_online_features_cannot_be_read(home, tmp_path, monkeypatch, where, file):
    monkeypatch.setenv("SHELFLIFE_ONLINE", where)
    promote(home, tmp_path, 1e-5)
    shutil.rmtree(home.path / "online")
    broken = home.path / "online" / file.format(store_name(WORKSPACE.case("fraud").features))
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no database" * 100)
    with client_of(home) as client:
        body = ask(client).json()
    assert body["reasons"] == ["features"]
    assert predictions(home)[0].body.get("seen_offset") is None


def test_events_reach_the_log_and_bad_rows_the_quarantine(home):
    with client_of(home) as client:
        token = {"Authorization": f"Bearer {(home.path / 'token').read_text().strip()}"}
        good = {"kind": "payment", "id": "p500", "ts": NOW, "body": payment(500).body}
        rows = [good, good, {**good, "id": "p501", "body": {"card": "c"}}, {"kind": "alarm", "id": "x", "ts": 1, "body": {}}]
        told = client.post("/v1/events", json={"events": rows}, headers=token).json()
    assert (told["accepted"], told["offset"], [row["index"] for row in told["quarantined"]]) == (2, 21, [2, 3])
    assert home.log.last_offset() == 21
    assert sorted(row.kind for row in home.quarantine.list()) == ["alarm", "payment"]


def test_the_console_tells_the_story_of_the_registry(home, tmp_path):
    promote(home, tmp_path, 1e-5)
    home.releases.hold("fraud", at=NOW, actor="ann", reason="<b>inventory</b>")
    with client_of(home) as client:
        page = client.get("/console").text
    assert "by ann: &lt;b&gt;inventory&lt;/b&gt;" in page
    assert "by test" in page


def test_the_verb_prints_its_address_answers_without_a_training_library_and_stops_well(home, tmp_path):
    name = promote(home, tmp_path, 1e-5)
    code = (
        "import sys, json; from pipelines.cli import main; rc = main(sys.argv[1:]);"
        f"print(json.dumps([m for m in {HEAVY} if m in sys.modules])); sys.exit(rc)"
    )
    command = [sys.executable, "-c", code, "serve", "--home", str(home.path), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        told = json.loads(process.stdout.readline())
        body = json.dumps({"asks": [{"id": "a", **payment(99).body}]}).encode()
        request = urllib.request.Request(f"{told['address']}/v1/fraud", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as response:
            assert json.load(response)["bundle"] == name
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=20)[0].splitlines()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert json.loads(rest[-1]) == []
    assert Path(told["token"]).stat().st_mode & 0o777 == 0o600
    assert len(predictions(home)) == 1


def test_a_home_that_is_not_there_is_one_clear_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "serve", "--home", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_one_score_is_the_same_by_the_judging_and_the_serving_code(home, tmp_path):
    from pipelines.steps.bundle import open_scorer

    name = promote(home, tmp_path, 1e-5)
    with client_of(home) as client:
        score = ask(client).json()["answers"][0]["score"]
    (known,) = json.loads(predictions(home)[0].body["inputs"])["rows"]
    columns = {
        n: np.array([np.nan if v is None else v], dtype=object if isinstance(v, str) else None) for n, v in known.items()
    }
    columns["device"] = np.array([None], dtype=object)
    assert open_scorer(home.releases.read(name).files).score(columns)[0] == pytest.approx(score, abs=1e-12)

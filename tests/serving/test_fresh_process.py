"""Serving in a process of its own: nothing that trains is imported, and it starts, stops and dies well."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from little_shop import ask

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
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
    "duckdb",
    "pyarrow",
    "pickle5",
]

SERVE = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(HERE)!r}]
from pathlib import Path
import shop_server
shop_server.main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
"""


def test_an_answer_needs_no_training_library(tmp_path):
    import little_shop

    _, files = little_shop.bundle("fraud", little_shop.linear([0.0001, 0.5]))
    (tmp_path / "files.json").write_text(json.dumps({name: data.hex() for name, data in files.items()}))
    code = f"""
import json, sys
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
from pipelines.serving import app, console, openapi, probe, server, steady, swap
from pipelines.serving.scorer import OnnxScorer
files = {{name: bytes.fromhex(data) for name, data in json.load(open({str(tmp_path / "files.json")!r})).items()}}
class Stack:
    def transform(self, columns): return np.column_stack(list(columns.values())).astype(np.float32)
class Same:
    def apply(self, scores): return scores
from pipelines.serving import golden
golden.check(OnnxScorer(files, encoder=Stack(), calibration=Same()), files)
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == []


def start(folder, *swaps):
    command = [sys.executable, "-c", SERVE, str(folder), *swaps]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    process.address = process.stdout.readline().strip()
    return process


@pytest.fixture
def server(tmp_path):
    process = start(tmp_path)
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def post(address, **changed):
    body = json.dumps({"asks": [ask(**changed)]}).encode()
    request = urllib.request.Request(f"{address}/v1/fraud", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def test_a_server_that_is_told_to_stop_ends_well_with_its_predictions_in_the_log(server, tmp_path):
    request = post(server.address)["request"]
    server.send_signal(signal.SIGTERM)
    assert server.wait(15) == 0
    assert json.loads(server.stdout.read()) == [f"{request}.0"]
    assert list((tmp_path / "spool").iterdir()) == []


def test_the_answers_of_a_killed_server_are_in_the_spool(server, tmp_path):
    server.stdout.flush()
    request = post(server.address)["request"]
    server.kill()
    server.wait()
    logged = (tmp_path / "log.jsonl").read_text() if (tmp_path / "log.jsonl").exists() else ""
    assert request in logged + "".join(path.read_text() for path in (tmp_path / "spool").iterdir())


def test_an_address_that_is_taken_is_one_clear_sentence(server):
    from pipelines.core.errors import ShelflifeError
    from pipelines.serving.server import listen

    port = int(server.address.rsplit(":", 1)[1])
    with pytest.raises(ShelflifeError, match="choose another --port"):
        listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "private"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.9.9.9", True), ("0.0.0.0", False), ("shop.example", False)],
)
def test_only_a_loopback_address_is_private(host, private):
    from pipelines.serving.server import is_private

    assert is_private(host) is private


@pytest.mark.slow
def test_under_load_no_request_is_lost_while_fifty_releases_follow_one_another(tmp_path):
    process, answers, failures = start(tmp_path, "50"), [], []

    def asking(name):
        connection = http.client.HTTPConnection(process.address.removeprefix("http://"), timeout=10)
        until = time.monotonic() + 8
        while time.monotonic() < until:
            began = time.perf_counter()
            connection.request("POST", "/v1/fraud", json.dumps({"asks": [ask(id=name)]}), {"Content-Type": "application/json"})
            response = connection.getresponse()
            body = json.loads(response.read())
            (answers if response.status == 200 else failures).append((time.perf_counter() - began, body))

    threads = [threading.Thread(target=asking, args=(f"t{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    process.send_signal(signal.SIGTERM)
    logged = json.loads(process.communicate(timeout=20)[0].splitlines()[-1])
    assert failures == []
    swapped = [body for _, body in answers if body["epoch"] > 1]
    assert len({body["epoch"] for body in swapped}) > 10
    assert all(body["answers"][0]["score"] == pytest.approx(body["epoch"] / 1000, abs=1e-6) for body in swapped)
    assert sorted(logged) == sorted(body["answers"][0]["prediction"] for _, body in answers)


@pytest.mark.slow
def test_a_server_that_is_killed_again_and_again_comes_back_with_every_answer_it_gave(tmp_path):
    given = []
    for _ in range(5):
        process = start(tmp_path)
        began = time.monotonic()
        given += [post(process.address, id=f"a{n}")["request"] for n in range(20)]
        assert time.monotonic() - began < 5
        process.kill()
        process.wait()
        process.stdout.close()
    process = start(tmp_path)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert {line.split(".")[0] for line in (tmp_path / "log.jsonl").read_text().split()} == set(given)

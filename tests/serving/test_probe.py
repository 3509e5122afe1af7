import sys

import numpy as np
import pytest
from little_shop import bundle, linear

from pipelines.serving import probe as probe_module
from pipelines.serving.probe import probe

MADE, FILES = bundle("fraud", linear([0.0001, 0.5]))


def probing(name, files=FILES):
    return probe(files, bundle=MADE.digest, scorer=f"scorers:{name}")


def test_a_good_bundle_answers_in_a_process_of_its_own():
    ours = np.ones(80_000_000)  # 640 MB of ours are none of the probe's
    found = probing("good")
    assert ours[0] == 1
    assert found["ok"], found
    assert found["bundle"] == MADE.digest
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert 10 < found["rss_mb"] < 600
    assert found["why"] == ""
    assert {"umask", "cpu", "core", "fsize", "nofile"} <= set(found["limits"])


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("crash", "signal 11"),
        ("hungry", "wanted more than"),
        ("connect", "may not use socket"),
        ("write", ""),
        ("environment", "HOME"),
    ],
)
def test_what_a_bundle_does_wrong_is_a_record_not_a_crash(harm, said):
    found = probing(harm)
    assert found["ok"] is False
    assert said in found["why"]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filter is Linux's")
@pytest.mark.parametrize("harm", ["connect_below_python", "execute"])
def test_the_kernel_refuses_what_python_does_not_see(harm):
    assert "refused by the kernel" in probing(harm)["why"]


def test_a_probe_sees_no_secret_of_the_environment(monkeypatch):
    monkeypatch.setenv("API_SECRET", "s3cr3t")
    assert "API_SECRET" not in probing("environment")["why"]


def test_a_bundle_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(probe_module, "PATIENCE", 2)
    assert probing("spin")["why"] == "it had not answered after 2 seconds"


def test_a_bundle_whose_golden_scores_differ_does_not_pass():
    found = probing("good", {**FILES, "model.onnx": linear([0.5, 0.5])})
    assert not found["ok"]
    assert "golden scores" in found["why"]


@pytest.mark.slow
def test_cut_and_flipped_models_never_take_us_along():
    rng = np.random.default_rng(7)
    whole = FILES["model.onnx"]
    for _ in range(40):
        cut = whole[: rng.integers(0, len(whole))]
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        assert not probing("good", {**FILES, "model.onnx": cut})["ok"]
        assert probing("good", {**FILES, "model.onnx": bytes(flipped)})["ok"] in (True, False)

"""The demo is the end-to-end test: a real Airflow with its scheduler, a real SMTP server, a real API, and the story told whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_story_happens_as_told_and_leaves_nothing_running(tmp_path):
    env = {**os.environ, "SHELFLIFE_DEMO": str(tmp_path / "demo")}
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--exit"], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=2400
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "fraud: data broken" in done.stdout
    assert "fraud: model drifting" in done.stdout
    assert "in the week after" in done.stdout
    left = [path for path in Path("/proc").glob("[0-9]*/environ") if str(tmp_path).encode() in _read(path)]
    assert left == []


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""

"""The contests of the features room: the page says what was measured, and the comparison finds what differs."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.features import compare, page, training, world
from benchmarks.features.contest import HERE, Contestant, measure
from benchmarks.features.definitions import TRAINING
from benchmarks.features.sections import times

NAMES = TRAINING.names


def figures():
    if not page.FIGURES.exists():
        pytest.skip("nothing has been measured yet")
    return json.loads(page.FIGURES.read_text("utf-8"))


def test_the_page_and_its_picture_are_what_the_figures_say():
    measured = figures()
    assert page.PAGE.read_text("utf-8") == page.rendered(measured), "run make bench-features, or page.write()"
    assert page.PICTURE.read_text("utf-8") == page.drawn(measured)


def test_what_was_compared_was_equal():
    parts = figures()["parts"]
    assert all(not each.get("wrong") for part in parts.values() for rounds in part["rounds"].values() for each in rounds)
    assert all(part["checked"]["cells"] == part["asks"] * len(NAMES) for name, part in parts.items() if name == "training")


def test_a_ratio_is_taken_within_a_round():
    part = {"rounds": {"a": [{"s": 1.0}, {"s": 20.0}, {"s": 3.0}], "b": [{"s": 1.0}, {"s": 10.0}, {"s": 1.0}]}}
    assert times(part, "a", "b", "s") == 2.0


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    world.write(folder, 0.002)
    for name in ("ours/training.py", "peers/frames/numpy_rows.py"):
        measure(Contestant(name, name, None), folder, folder / f"{name.split('/')[0]}.parquet")
    return folder


def test_our_training_set_and_the_one_by_hand_are_equal_in_every_cell(shop):
    assert not any(compare.differing(shop / "ours.parquet", shop / "peers.parquet", NAMES).values())


def test_one_wrong_cell_is_found_and_refused(shop):
    table = pq.read_table(shop / "ours.parquet")
    cells = table["views_1h"].to_numpy().copy()
    cells[7] += 1
    pq.write_table(table.set_column(table.column_names.index("views_1h"), "views_1h", pa.array(cells)), shop / "wrong.parquet")
    found = compare.differing(shop / "ours.parquet", shop / "wrong.parquet", NAMES)
    assert found == {**dict.fromkeys(NAMES, 0), "views_1h": 1}
    with pytest.raises(SystemExit, match="views_1h"):
        training._refuse("wrong", "ours", found)


def test_results_of_different_length_or_none_are_not_equal(shop):
    for count in (0, 5):
        pq.write_table(pq.read_table(shop / "ours.parquet").slice(0, count), shop / "short.parquet")
        with pytest.raises(ValueError, match="rows"):
            compare.differing(shop / "ours.parquet", shop / "short.parquet", NAMES)


def test_the_made_up_shop_has_late_events_and_is_the_same_again(tmp_path):
    for name in "ab":
        world.write(tmp_path / name, 0.002)
    one, again = (pq.read_table(tmp_path / name / "activity.parquet") for name in "ab")
    assert one.equals(again)
    delay = one["arrived"].to_numpy() - one["ts"].to_numpy()
    assert 0.015 < np.mean(delay > 60_000_000) < 0.025


def test_memory_and_cpu_are_those_of_the_contestant_and_its_children(tmp_path):
    script = tmp_path / "busy.py"
    busy = "x = bytearray(64_000_000); sum(range(10_000_000))"
    script.write_text(f"import subprocess, sys\ndef run(folder):\n    subprocess.run([sys.executable, '-c', '{busy}'])\n")
    ballast = bytearray(300_000_000)
    found = measure(Contestant("busy", str(script)), tmp_path, tmp_path / "none")
    assert len(ballast) == 300_000_000
    assert found["cpu"] > 0.05
    assert found["peak_mb"] < 200, "what this process holds is not the contestant's"


def test_a_stage_within_a_stage_is_counted_once_and_what_is_in_none_is_the_rest(tmp_path):
    script = tmp_path / "staged.py"
    script.write_text("""
import time
def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
class Work:
    def outer(self):
        busy(0.2)
        self.inner()
    def inner(self): busy(0.1)
STAGES = {"outer": (Work, "outer"), "inner": (Work, "inner")}
def run(folder):
    busy(0.05)
    Work().outer()
""")
    found = measure(Contestant("staged", str(script), options={"profile": "yes"}), tmp_path, tmp_path / "none")["stages"]
    assert found == pytest.approx({"outer": 0.2, "inner": 0.1, "the rest": 0.05}, abs=0.04)


def test_rings_by_hand_count_what_a_plain_loop_counts(tmp_path):
    world.stream(tmp_path, 0.02)
    found = measure(Contestant("rings", "rings.py"), tmp_path, tmp_path / "none")
    assert found["cells"] > 1000
    assert found["wrong"] == 0


def test_every_peer_is_locked_from_the_public_index():
    for project in sorted((HERE / "peers").iterdir()):
        lock = (project / "uv.lock").read_text("utf-8")
        assert "https://pypi.org/simple" in lock
        assert lock.count("registry = ") == lock.count('registry = "https://pypi.org/simple"')


def test_what_a_contestant_keeps_for_itself_goes_with_it(tmp_path):
    script = tmp_path / "keeper.py"
    script.write_text(
        "import tempfile\ndef run(folder):\n    return tempfile.mkdtemp()\ndef facts(kept):\n    return {'kept': kept}\n"
    )
    assert not Path(measure(Contestant("keeper", str(script)), tmp_path, tmp_path / "none")["kept"]).exists()


def test_a_contestant_that_fails_ends_the_command_with_its_own_words(tmp_path):
    script = tmp_path / "broken.py"
    script.write_text("def run(folder):\n    raise RuntimeError('no such shop')\n")
    with pytest.raises(SystemExit, match="no such shop"):
        measure(Contestant("broken", str(script)), tmp_path, tmp_path / "none")

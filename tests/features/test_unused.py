"""Stores of definitions that are no more: removed, unless somebody needs them or has them open."""

import subprocess
import sys

import pytest
from test_batch import HOUR, buy
from test_stream import ALL, DAILY, read
from worlds import logged

from pipelines.features.plan import store_name
from pipelines.features.stream import OnlineStore
from pipelines.features.unused import discard_unused


@pytest.fixture(params=["sqlite", "lmdb"])
def where(request):
    return request.param


@pytest.fixture
def stores(tmp_path, where):
    made = [OnlineStore.at(tmp_path, features, where) for features in (DAILY, ALL)]
    for store in made:
        store.apply(logged([buy("x", HOUR)]))
    return made


def test_a_store_of_definitions_that_nobody_has_is_removed_and_a_needed_one_stays(stores, tmp_path, where):
    for store in stores:
        store.close()
    (tmp_path / "notes.db").write_text("no database")
    assert discard_unused(tmp_path, [DAILY]) == [store_name(ALL)]
    assert {path.stem for path in tmp_path.iterdir()} == {store_name(DAILY), "notes"}
    assert read(OnlineStore.at(tmp_path, DAILY, where), DAILY, 2 * HOUR)["cents_1d"] == 100


def test_a_store_that_a_process_has_open_stays_whole(stores, tmp_path):
    stores[0].close()
    code = "import sys; from pathlib import Path; from test_unused import *; print(discard_unused(Path(sys.argv[1]), []))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, cwd=__file__.rpartition("/")[0]
    )
    assert done.stdout.strip() == str([store_name(DAILY)])
    assert read(stores[1], ALL, 2 * HOUR)["n_7d"] == 1
    stores[1].apply(logged([buy("x", HOUR), buy("y", HOUR)]))
    assert read(stores[1], ALL, 2 * HOUR)["n_7d"] == 2


def test_in_a_redis_there_may_be_a_store_whatever_lies_in_the_folder(tmp_path):
    assert OnlineStore.kept(tmp_path / "none", DAILY, "redis://localhost:6379/0")
    assert not any(OnlineStore.kept(tmp_path, DAILY, where) for where in ("sqlite", "lmdb"))

"""A home in a temporary folder; and the goods that the tests put into it can be imported from beside them."""

import os
import shutil
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.shop.contracts import CONTRACTS
from pipelines.store.home import Home

sys.path.insert(0, str(Path(__file__).parent))
MEMORY = Path("/dev/shm")
"""Where a sync costs nothing. A kill leaves the same there as on a disk; a power cut is not what these tests are about."""


def _folder():
    return Path(tempfile.mkdtemp(prefix="shelflife-test-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))


@pytest.fixture
def tmp_path():
    folder = _folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def empty_home():
    """A home as set-up leaves it, with a key; copied for each test."""
    folder = _folder()
    made = Home.open(folder / "home", create=True)
    made.keys.make()
    made.close()
    yield made.path
    shutil.rmtree(folder)


@pytest.fixture
def home(tmp_path, empty_home):
    shutil.copytree(empty_home, tmp_path / "home")
    opened = Home.open(tmp_path / "home")
    yield opened
    opened.close()


@pytest.fixture
def full(home, tmp_path):
    """A home with something of everything."""
    from goods import DAY, NOW, ship, view

    for number in range(2):
        ship(home, tmp_path, number)
    home.log.append([view(1), view(2)], arrived=NOW)
    home.log.append([view(3)], arrived=NOW + DAY)
    home.landing.land(home.log, {"view_item": CONTRACTS["view_item"]}, until=NOW + DAY)
    home.quarantine.put(view(9, item=None), ["item"], NOW)
    home.decisions.record("gate", "fraud", NOW, {"status": "pass"}, {"report.json": b"{}"})
    home.runs.lease("fraud", "r1", NOW, timedelta(hours=1))
    return home

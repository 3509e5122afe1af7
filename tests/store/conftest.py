"""A home in a temporary folder; and the goods that the tests put into it can be imported from beside them."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

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

"""A home in a temporary folder; and the goods that the tests put into it can be imported from beside them."""

import sys
from pathlib import Path

import pytest

from pipelines.store.home import Home

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def home(tmp_path):
    opened = Home.open(tmp_path / "home", create=True)
    opened.keys.make()
    yield opened
    opened.close()

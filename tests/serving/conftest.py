import contextlib
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))

from little_shop import Shop


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


@pytest.fixture
def open_client(shop):
    """A client of a started service, in this process; the end of the block stops it and moves the predictions to the log."""

    @contextlib.contextmanager
    def opening(**settings):
        service = shop.service(**settings)
        with TestClient(service.app(), "http://127.0.0.1", raise_server_exceptions=False) as client:
            client.service = service
            yield client

    return opening

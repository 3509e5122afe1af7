import contextlib
import sys
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from little_shop import Shop


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


@pytest.fixture
def open_client(shop):
    """A client of a started service, in this process; the end of the block stops it and moves the predictions."""

    @contextlib.asynccontextmanager
    async def opening(base="http://127.0.0.1", **settings):
        service = shop.service(**settings)
        app = service.app()
        async with service._lifespan(None), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
            client.service = service
            yield client

    return opening

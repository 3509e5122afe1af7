"""A real Redis for tests: on a socket of its own, in a folder of its own."""

import shutil
import subprocess
import time

import pytest


class RedisServer:
    """Started when it is made; `kill` and `start` again keep what its append-only file has."""

    def __init__(self, folder):
        self.folder, self.url = folder, f"unix://{folder}/redis.sock"
        self.start()

    def start(self):
        import redis

        options = ["--port", "0", "--unixsocket", str(self.folder / "redis.sock"), "--dir", str(self.folder), "--save", ""]
        self.process = subprocess.Popen(
            ["redis-server", *options, "--appendonly", "yes", "--appendfsync", "no"], stdout=subprocess.DEVNULL
        )
        client = redis.Redis.from_url(self.url)
        for _ in range(500):
            try:
                if client.ping():
                    return
            except redis.ConnectionError:
                time.sleep(0.02)
        raise RuntimeError("redis-server did not start")

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """Skips where there is no redis-server to start."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on the PATH; apt-get install redis-server")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()

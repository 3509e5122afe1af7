"""Lets the tests of this room import the oracle and the worlds that lie beside them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from redis_server import redis_server  # noqa: F401

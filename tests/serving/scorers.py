"""What a bundle's code could do wrong while it is loaded in the probe."""

import ctypes
import socket
from pathlib import Path

from little_shop import open_scorer


def good(files):
    return open_scorer(files)


def crash(files):
    ctypes.string_at(0)


def hungry(files):
    return bytearray(16 << 30)


def spin(files):
    while True:
        pass


def connect(files):
    socket.create_connection(("127.0.0.1", 9))


def connect_below_python(files):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.socket(2, 1, 0) == -1:
        raise OSError(ctypes.get_errno(), "refused by the kernel")


def execute(files):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.execv(b"/bin/true", None)
    raise OSError(ctypes.get_errno(), "refused by the kernel")


def write(files):
    Path("left.txt").write_bytes(b"x")


def environment(files):
    import os

    raise ValueError(",".join(sorted(os.environ)))

"""A process without network and without children: by the kernel's filter or, elsewhere, Python's audit hook."""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

CALLS = {
    "x86_64": (0xC000003E, (41, 42, 49, 59, 322, 101, 321)),
    "aarch64": (0xC00000B7, (198, 203, 200, 221, 281, 117, 280)),
}
"""By machine: its audit number, and socket, connect, bind, execve, execveat, ptrace, bpf as the kernel numbers them."""

LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def no_network() -> str:
    """From here on this process opens no connection and starts no program; what holds it: `seccomp` or `audit`."""
    sys.addaudithook(_refuse)
    return (
        "seccomp"
        if sys.platform == "linux" and platform.machine() in CALLS and _filter(*CALLS[platform.machine()])
        else "audit"
    )


def _refuse(event: str, _: tuple[object, ...]) -> None:
    if event.startswith(
        (
            "socket.connect",
            "socket.bind",
            "socket.getaddrinfo",
            "socket.__new__",
            "subprocess.",
            "os.exec",
            "os.system",
            "os.fork",
        )
    ):
        raise PermissionError(f"a probe may not use {event}")


def _filter(machine: int, calls: tuple[int, ...]) -> bool:
    """The kernel's own filter (seccomp, classic BPF): these calls are refused, another machine's calls end the process."""
    program = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, machine), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    program += [(EQUAL, len(calls) - i, 0, call) for i, call in enumerate(calls)]
    program += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    libc = ctypes.CDLL(None, use_errno=True)
    none = ctypes.c_ulong(0)
    if libc.prctl(NO_NEW_PRIVILEGES, ctypes.c_ulong(1), none, none, none):
        return False
    return not libc.prctl(SECCOMP, ctypes.c_ulong(FILTER), ctypes.byref(_Program(len(program), code)), none, none)

"""The stack that a thread has for signals, which engines may take away."""

import ctypes
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


class SignalStack(ctypes.Structure):
    """`stack_t` of the C library."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@pytest.fixture
def signal_stack() -> Iterator[None]:
    """Check after the test that the thread's stack for signals, if it has one, is mapped.

    Otherwise the next Ctrl-C or end of a child process is a SIGSEGV.
    """
    yield
    if not sys.platform.startswith("linux"):
        return
    stack = SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    mapped = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
    assert stack.address is None or any(
        int(first, 16) <= stack.address < int(end, 16) for first, end in mapped
    )


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """No file may grow beyond a number of bytes, as on a disk that is full."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

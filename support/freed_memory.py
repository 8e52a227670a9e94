"""Memory that the C library has kept after it was freed."""

from __future__ import annotations

import ctypes
import sys


def release_freed_memory() -> bool:
    """Return freed memory to the system between two steps of a program that use it in different ways.

    Where the C library keeps freed memory (`euromine.support.environment.prepare_process`), arrays of a later
    step seldom fit the gaps that an earlier one has left, so that the memory of both adds up.

    Returns:
        Whether the C library can; macOS's, Windows' and musl cannot.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is None:
        return False
    trim(0)
    return True

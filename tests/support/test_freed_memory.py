"""Memory that the C library has kept."""

import subprocess
import sys

import pytest

_PROGRAM = """
from pathlib import Path
from euromine.support.environment import keep_freed_memory
from euromine.support.freed_memory import release_freed_memory

def held():
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) // 1024

if not keep_freed_memory():
    print("unknown")
else:
    arrays = [bytearray(b"1" * 2**20) for _ in range(100)]
    last = bytearray(b"1")
    arrays.clear()
    kept = held()
    release_freed_memory()
    print(kept - held())
"""


def test_memory_that_is_kept_can_be_released():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    if done.stdout.strip() == "unknown":
        pytest.skip("this C library returns freed memory by itself")
    assert int(done.stdout) > 80  # of 100 MB

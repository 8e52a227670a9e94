"""Time and memory of calls on a CPU or GPU."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Stopwatch:
    """Measures the time of calls.

    Args:
        device: The device that they run on.
        seconds: Calls are repeated for at least this long, after one that is not counted.
    """

    def __init__(self, device: torch.device, seconds: float) -> None:
        self.device = device
        self.seconds = seconds
        alone = device.type == "cpu" and torch.get_num_threads() == 1
        self._clock = time.process_time if alone else time.perf_counter

    def once(self, call: Callable[[], Any]) -> float:
        """Seconds of a call."""
        self._wait()
        started = self._clock()
        call()
        self._wait()
        return self._clock() - started

    def shortest(self, call: Callable[[], Any]) -> float:
        """Seconds of the shortest call after a first one, which pays for fresh memory and preparations."""
        call()
        times = [self.once(call)]
        while sum(times) < self.seconds:
            times.append(self.once(call))
        return min(times)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class PeakMemory:
    """The peak memory between creation and `bytes`, beyond the memory held before."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            self.forget_peak()
            self._before = torch.cuda.memory_allocated(device)
        else:
            ctypes.CDLL(None).malloc_trim(0)  # glibc gives freed memory back
            self._before = _status("VmRSS")
            self.forget_peak()

    def forget_peak(self) -> None:
        """Begin a new peak, beyond the same memory as before."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            # proc(5), clear_refs
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def bytes(self) -> int:
        """The peak so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) - self._before
        return _status("VmHWM") - self._before


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no line {name}")

"""The energy of a computation, where it can be read: RAPL for processors, NVML for GPUs."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

POWERCAP = Path("/sys/class/powercap")

# Counters of processors wrap around after some minutes of full load, so they are looked at well before.
_SECONDS_BETWEEN_LOOKS = 20.0


class RaplCounter:
    """Joules that a processor package or its memory has used since creation, by Linux's powercap.

    Args:
        zone: A folder such as `/sys/class/powercap/intel-rapl:0`.

    Raises:
        OSError: The counter cannot be read, which as a rule only root may.
    """

    def __init__(self, zone: Path) -> None:
        self.name = (zone / "name").read_text(encoding="utf-8").strip()
        self._path = zone / "energy_uj"
        self._range = int((zone / "max_energy_range_uj").read_text(encoding="utf-8"))
        self._last = self._read()
        self._joules = 0.0

    def _read(self) -> int:
        return int(self._path.read_text(encoding="utf-8"))

    def joules(self) -> float:
        """Energy since the start; has to be read before the counter wraps twice."""
        now = self._read()
        # The counter begins anew after its greatest value.
        self._joules += ((now - self._last) % (self._range + 1)) / 1e6
        self._last = now
        return self._joules


class NvmlCounter:
    """Joules that a GPU has used since creation, by NVIDIA's management library.

    Args:
        library: NVML, initialised.
        index: The GPU's number.

    Raises:
        OSError: The GPU is older than Volta and does not count.
    """

    def __init__(self, library: ctypes.CDLL, index: int) -> None:
        self._library = library
        self._device = ctypes.c_void_p()
        if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(self._device)):
            raise OSError(f"NVML has no GPU {index}.")
        self.name = f"GPU {index}"
        self._first = self._read()

    def _read(self) -> int:
        millijoules = ctypes.c_ulonglong()
        if self._library.nvmlDeviceGetTotalEnergyConsumption(self._device, ctypes.byref(millijoules)):
            raise OSError(f"{self.name} does not count its energy.")
        return millijoules.value

    def joules(self) -> float:
        """Energy since the start."""
        return (self._read() - self._first) / 1000


Counter = RaplCounter | NvmlCounter


def processor_counters(powercap: Path = POWERCAP) -> list[Counter]:
    """A counter for each processor package that can be read; an empty list is not an error."""
    counters: list[Counter] = []
    # The zones below a package (intel-rapl:0:0) are parts of it.
    for zone in sorted(powercap.glob("intel-rapl:*")):
        if zone.name.count(":") == 1:
            try:
                counters.append(RaplCounter(zone))
            except (OSError, ValueError):
                continue
    return counters


def gpu_counters() -> list[Counter]:
    """A counter for each GPU that this process may see; an empty list is not an error."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    if library.nvmlInit_v2():
        return []
    number = ctypes.c_uint()
    library.nvmlDeviceGetCount_v2(ctypes.byref(number))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = None if visible is None else {name.strip() for name in visible.split(",")}
    counters: list[Counter] = []
    for index in range(number.value):
        if names is None or str(index) in names:
            try:
                counters.append(NvmlCounter(library, index))
            except OSError:
                continue
    return counters


class EnergyMeter:
    """Measures the energy of processors and GPUs inside a with block.

    All that runs on them counts, this program or not.

    Attributes:
        joules: The energy, by source: "processors" and "GPUs"; without what cannot be read.
        seconds: The time between the two.

    Args:
        processors: Finds the counters of the processors.
        gpus: Finds those of the GPUs.
    """

    def __init__(
        self,
        processors: Callable[[], list[Counter]] = processor_counters,
        gpus: Callable[[], list[Counter]] = gpu_counters,
    ) -> None:
        self.joules: dict[str, float] = {}
        self.seconds = 0.0
        self._find = {"processors": processors, "GPUs": gpus}
        self._counters: dict[str, list[Counter]] = {}
        self._done = threading.Event()
        self._looking: threading.Thread | None = None
        self._started = 0.0

    def __enter__(self) -> EnergyMeter:
        self._counters = {source: find() for source, find in self._find.items()}
        if any(self._counters.values()):
            self._looking = threading.Thread(target=self._look, daemon=True)
            self._looking.start()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        self._done.set()
        if self._looking is not None:
            self._looking.join()
        self.joules = {
            source: sum(counter.joules() for counter in counters)
            for source, counters in self._counters.items()
            if counters
        }

    def _look(self) -> None:
        while not self._done.wait(_SECONDS_BETWEEN_LOOKS):
            for counters in self._counters.values():
                for counter in counters:
                    counter.joules()

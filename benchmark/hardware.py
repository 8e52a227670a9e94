"""The hardware of a benchmark, in words."""

import os
import platform
from pathlib import Path

import torch


def processor() -> str:
    """The processor's name."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def vector_extensions() -> list[str]:
    """The processor's instructions for networks, as Linux names them: AVX-512 and AMX with their kinds."""
    information = Path("/proc/cpuinfo")
    if not information.is_file():
        return []
    for line in information.read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            known = ("avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
            return [name for name in known if name in line.split()]
    return []


def device_name(device: torch.device) -> str:
    """The name of the processor, with the number of threads that torch uses, or of the accelerator."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' if threads > 1 else ''} of {processor()}"


def shortest_of_turns(turns: int) -> str:
    """How times on the CPU were measured: the processor and its extensions, the load, the number of turns."""
    extensions = ", ".join(vector_extensions()) or "no AVX-512"
    load = os.getloadavg()[0]
    return f"{device_name(torch.device('cpu'))} ({extensions}); load {load:.1f}; shortest of {turns} turns."

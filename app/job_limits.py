"""The limits of uploads and of the processes that read them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from euromine.support.files import is_full_disk

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_GIB = 2**30
_LEAST_MEMORY, _MOST_MEMORY = 3 * _GIB, 16 * _GIB
# Words of libraries that report a lack of memory by errors of their own.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "unable to allocate",
    "bad_alloc",
    "can't start new thread",
    "memory allocation",
)


@dataclass(frozen=True, kw_only=True)
class JobLimits:
    """The limits of uploads and of the processes that read them.

    Attributes:
        files: Files of an upload.
        file_bytes: Size of a file.
        numbers: Pixels times bands of an image.
        waiting: Jobs that wait or run.
        uploads: Uploads that are received at the same time.
        idle_seconds: Seconds without a byte after which an upload is given up.
        reserve_bytes: Space on the disk that uploads leave free.
        memory: Memory of a job's process in bytes; 0 for `usual_memory`.
        seconds: Time of a job's process.
        check_memory: Memory of the process that checks an upload's headers.
        check_seconds: Its time.
    """

    files: int = 40
    file_bytes: int = _GIB
    numbers: int = 2 * 10**9
    waiting: int = 8
    uploads: int = 2
    idle_seconds: float = 60.0
    reserve_bytes: int = _GIB
    memory: int = 0
    seconds: float = 6 * 3600.0
    check_memory: int = 2 * _GIB
    check_seconds: float = 120.0

    def __post_init__(self) -> None:
        if not self.memory:
            object.__setattr__(self, "memory", usual_memory())

    def public(self) -> Mapping[str, float]:
        """The limits that the page shows before an upload."""
        return {"files": self.files, "file_bytes": self.file_bytes, "numbers": self.numbers}


def usual_memory() -> int:
    """Half of the machine's memory, from 3 to 16 GiB."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        whole = _LEAST_MEMORY
    return max(_LEAST_MEMORY, min(_MOST_MEMORY, whole // 2))


def limit_process(memory: int) -> None:
    """Limit the memory of this process, write no core files, and let other processes go first.

    Args:
        memory: Bytes of its data; libraries and files that are mapped do not count.
    """
    if resource is not None:
        # The address space would be the wrong limit: libraries reserve far more than they use.
        kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
        resource.setrlimit(kind, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if hasattr(os, "nice"):
        os.nice(10)


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that caused it, comes from a lack of memory."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        if isinstance(cause, MemoryError):
            return True
        words = str(cause).lower()
        if any(each in words for each in _OUT_OF_MEMORY) and not is_full_disk(cause):
            return True
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return False


FULL_DISK = "disk: found no space left; expected some. Ask the person who runs this server to free some."
"""The sentence for an upload or a job that the disk had no room for."""


def memory_sentence(memory: int) -> str:
    """The sentence for a job that needed more memory."""
    return (
        f"memory: found a need of more than {memory / _GIB:.3g} GiB; expected less. Upload a smaller "
        "ground, or fewer years."
    )

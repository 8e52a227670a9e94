"""Settings of our programs' processes: waiting threads, freed memory and garbage collection.

Programs call `prepare_process` before PyTorch is loaded; a library leaves the process of its users as it is.
In a script or notebook of your own, call it first, or set OMP_WAIT_POLICY=PASSIVE.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Set by the user, any of these takes precedence: for GNU's OpenMP (PyTorch's), or LLVM's and Intel's.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
# Likewise for the C library's allocator, or another one.
_ALLOCATION = (
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_TRIM_THRESHOLD_",
)
# Libraries whose imports make many objects, and our modules, which import them.
_LARGE = ("euromine", "torch", "transformers")
_MANY_MODULES = 200
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGEST_INT = 2**31 - 1
# A server's: arrays of pixels are returned, small objects are not.
_RETURNED_BYTES, _KEPT_BYTES, _ARENAS = 256 * 2**10, 4 * 2**20, 2


def prepare_process() -> None:
    """Prepare a program's process for work on a CPU, unless environment variables are set for it.

    OpenMP's threads wait asleep: by default they wait busily, and beside other work on the same cores, two
    threads are then far slower than one (docs/benchmarks/shared_cores.md). Child processes inherit that. The
    C library keeps freed memory for the next large array instead of returning it to the system. Python
    collects no garbage while PyTorch, transformers and our modules above them load.

    Call it before PyTorch is loaded, which reads the wait policy only once. Results are unaffected.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    if not any(name in os.environ for name in _ALLOCATION):
        keep_freed_memory()
    if not any(isinstance(finder, _LargeImports) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LargeImports())


class _LargeImports(MetaPathFinder):
    """Has large libraries imported without garbage collection, wherever a program first needs them.

    PyTorch and transformers make hundreds of thousands of lasting objects, which Python would examine again
    and again: a quarter of the time of their import.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a large library's module by the finders that follow; None for others, and within an import."""
        if not gc.isenabled() or fullname.partition(".")[0] not in _LARGE:
            return None
        following = sys.meta_path[sys.meta_path.index(self) + 1 :]
        specs = (finder.find_spec(fullname, path, target) for finder in following)
        spec = next(filter(None, specs), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _UncollectedLoader(spec.loader)
        return spec


class _UncollectedLoader(Loader):
    """A loader during whose imports no garbage is collected; the module keeps its own."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # `python -m` asks for the code

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader, without collecting garbage meanwhile."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with _no_collection():
            self._loader.exec_module(module)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect no garbage; objects of large imports are left out of later collections, too."""
    was_enabled, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
        if len(sys.modules) - before >= _MANY_MODULES:
            gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


def prepare_module_run() -> None:
    """As `prepare_process`, in a package's `__init__`, if `python -m` is about to run one of its modules."""
    # Python puts the module's path there once the packages above it are imported.
    if sys.argv[:1] == ["-m"]:
        prepare_process()


def prepare_server() -> None:
    """Prepare a program that answers for days, in many threads, after `prepare_process`.

    Unless environment variables are set for it, the C library returns freed arrays to the system, and its
    threads share two heaps: kept in a heap per thread, memory grew to three times as much.
    """
    if not any(name in os.environ for name in _ALLOCATION):
        return_freed_memory()


def keep_freed_memory() -> bool:
    """Let the C library serve large arrays from memory that it keeps.

    glibc maps large blocks and returns them to the system, so that each step of a training gets its pages
    anew, zeroed one by one.

    Returns:
        Whether the C library can; macOS's, Windows' and musl cannot.
    """
    return _set_allocation(((_M_TRIM_THRESHOLD, _LARGEST_INT), (_M_MMAP_THRESHOLD, _LARGEST_INT)))


def return_freed_memory() -> bool:
    """Let the C library return large arrays to the system once they are freed; undoes `keep_freed_memory`.

    Returns:
        Whether the C library can; macOS's, Windows' and musl cannot.
    """
    return _set_allocation(
        (
            (_M_TRIM_THRESHOLD, _KEPT_BYTES),
            (_M_MMAP_THRESHOLD, _RETURNED_BYTES),
            (_M_ARENA_MAX, _ARENAS),
        )
    )


def release_freed_memory() -> bool:
    """Return freed memory to the system between two steps of a program that use it in different ways.

    Where the C library keeps freed memory (`keep_freed_memory`), arrays of a later step seldom fit the gaps
    that an earlier one has left, so that the memory of both adds up.

    Returns:
        Whether the C library can; macOS's, Windows' and musl cannot.
    """
    trim = _function_of_glibc("malloc_trim")
    if trim is None:
        return False
    trim(0)
    return True


def _set_allocation(options: Iterable[tuple[int, int]]) -> bool:
    mallopt = _function_of_glibc("mallopt")
    return mallopt is not None and all(mallopt(option, value) for option, value in options)


def _function_of_glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None

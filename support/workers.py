"""Process pools, a prefetching thread and Dask clusters."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from tqdm import tqdm

from .environment import prepare_process
from .errors import ArgumentError, missing_extra, one_line
from .interrupts import uninterrupted_children

Task = TypeVar("Task")
Result = TypeVar("Result")
Item = TypeVar("Item")
_END = object()


# A worker process's share of the cores; a user may set it, too.
CORES_VARIABLE = "EUROMINE_CORES"


def usable_cores() -> int:
    """The number of cores that a container or batch system, or other workers, leave to this process.

    Raises:
        ArgumentError: EUROMINE_CORES, which limits it, is not a positive number.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get(CORES_VARIABLE)
    if limit is None:
        return cores
    if not limit.isdecimal() or int(limit) < 1:
        raise ArgumentError(f"{CORES_VARIABLE}: found {limit!r}; expected a number of cores, at least 1.")
    return min(cores, int(limit))


def share_cores(workers: int) -> None:
    """Leave this process, one of several that compute at the same time, its share of the cores.

    `usable_cores` is the share then, and the number of threads of libraries that read OMP_NUM_THREADS when
    they are loaded, NumPy's and PyTorch's, and of PyTorch if it is loaded already. An OMP_NUM_THREADS of the
    user's is kept.

    Args:
        workers: The number of processes.
    """
    share = max(1, usable_cores() // workers)
    os.environ[CORES_VARIABLE] = str(share)
    if "OMP_NUM_THREADS" in os.environ:
        return
    os.environ["OMP_NUM_THREADS"] = str(share)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(share)


def in_processes(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int, doing: str
) -> Generator[Result, None, None]:
    """Run a function on every task in a pool of processes and yield the results as they complete.

    With one worker or one task, the function runs in this process. Otherwise processes are spawned, so the
    calling script needs `if __name__ == "__main__":`. They share the cores. They end with this process,
    however it ends, and when the generator is closed.

    Args:
        work: A module-level function.
        tasks: Its arguments, one per call.
        workers: The largest number of processes.
        doing: What a process did, for the error message: "built a site".

    Raises:
        ArgumentError: EUROMINE_CORES is not a positive number.
        OSError: A process was killed.
    """
    waiting = list(tasks)
    workers = min(workers, len(waiting))
    if workers <= 1:
        yield from map(work, waiting)
        return
    usable_cores()  # workers would die of a wrong EUROMINE_CORES
    context = multiprocessing.get_context("spawn")  # GDAL does not survive a fork
    lifeline, held = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin_worker, initargs=(lifeline, workers)
    )
    try:
        with uninterrupted_children():  # the parent handles Ctrl-C, which reaches the whole group
            futures = [executor.submit(work, task) for task in waiting]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise OSError(
            f"A process that {doing} was killed, perhaps for lack of memory. Run the same command again with "
            "fewer workers to resume."
        ) from error
    else:
        executor.shutdown()  # idle workers end by themselves, and release their semaphores
    finally:
        held.close()  # ends workers that are still busy after an error or interrupt
        executor.shutdown(cancel_futures=True)
        lifeline.close()


def run_on_workers(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int, doing: str, dask: str | None
) -> Generator[Result, None, None]:
    """Run a function on every task: on a Dask cluster where its address is given, else in processes.

    Args and errors are those of `in_processes` and `run_on_dask`.
    """
    return in_processes(work, tasks, workers, doing) if dask is None else run_on_dask(work, tasks, dask)


def _begin_worker(lifeline: Connection, workers: int) -> None:
    _live_with_parent(lifeline)
    # The lock that bars have by default has a semaphore. Python complains of those that dead workers leave.
    tqdm.set_lock(threading.RLock())
    prepare_process()
    share_cores(workers)


def _live_with_parent(lifeline: Connection) -> None:
    """End a worker at once when its parent closes the other end of the pipe, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        lifeline.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_on_dask(
    function: Callable[[Task], Result], tasks: Sequence[Task], address: str
) -> Generator[Result, None, None]:
    """Run a function on every task on a Dask cluster and yield the results as they complete.

    Closing the generator cancels the tasks that have not begun.

    Args:
        function: A function that the workers can import.
        tasks: Its arguments, one per call; pickled.
        address: The scheduler's address.

    Raises:
        MissingExtraError: Dask is not installed.
        ArgumentError: The address has no port, or is of an unknown kind.
        OSError: No scheduler answers at the address.
    """
    try:
        import distributed
        from distributed.comm.addressing import get_address_host_port, parse_address
    except ImportError as error:
        raise missing_extra("dask", "Dask") from error
    try:
        # Before a client starts its threads. A cluster in this process has neither host nor port.
        if parse_address(address)[0] != "inproc":
            get_address_host_port(address)
    except ValueError as error:
        raise ArgumentError(
            f"dask: found {address!r} ({one_line(error)}); expected a scheduler's address, such as "
            "tcp://host:8786."
        ) from error
    try:
        client = distributed.Client(address)
    except OSError as error:
        raise OSError(f"No Dask scheduler answers at {address} ({error}).") from error
    with client:
        futures = [client.submit(function, task, pure=False) for task in tasks]
        try:
            for future in distributed.as_completed(futures):
                yield future.result()
        finally:
            client.cancel(futures)


def prefetch(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """Prefetch items in a background thread, which starts when the first is asked for.

    An exception raised there is raised here, after the items before it. Closing the generator stops the
    thread, waits for it and closes `items` if that is a generator.

    Args:
        items: What to prefetch.
        depth: How many items may wait; one more may be in the making. With 0, an item is made while the one
            before it is used.
    """
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    room = threading.Semaphore(depth + 1)
    stopped = threading.Event()

    def has_room() -> bool:
        room.acquire()
        return not stopped.is_set()

    def work() -> None:
        iterator = iter(items)
        try:
            while has_room():
                waiting.put((next(iterator), None))
        except StopIteration:
            waiting.put((_END, None))
        except BaseException as error:
            waiting.put((_END, error))
        finally:
            if isinstance(iterator, Generator):
                iterator.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            room.release()
            yield item
    finally:
        stopped.set()
        room.release()
        thread.join()

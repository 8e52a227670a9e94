"""Work shared out: to processes of this machine, to a background thread, to a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
Item = TypeVar("Item")
_END = object()


def usable_cores() -> int:
    """The cores that this process may use, which a container or a batch system may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int, doing: str
) -> Generator[Result, None, None]:
    """The results of some work as each is done; in this process where there is one worker or one task.

    A script that calls this with more needs `if __name__ == "__main__":`, because processes are spawned.

    Args:
        work: A function of a module.
        tasks: What it takes, one after the other.
        workers: How many processes.
        doing: What a process did, in an error: "built a site".

    Raises:
        OSError: A process was killed.
    """
    waiting = list(tasks)
    workers = min(workers, len(waiting))
    if workers <= 1:
        yield from map(work, waiting)
        return
    context = multiprocessing.get_context("spawn")  # GDAL does not survive a fork
    lifeline, held = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_live_with_parent, initargs=(lifeline,)
    )
    try:
        futures = [executor.submit(work, task) for task in waiting]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise OSError(
            f"A process that {doing} was killed, perhaps for want of memory; run the same command again, "
            "with fewer workers, to go on."
        ) from error
    finally:
        held.close()  # whoever still works (after an error, an interrupt) ends now
        executor.shutdown(cancel_futures=True)
        lifeline.close()


def _live_with_parent(lifeline: Connection) -> None:
    """Make a worker end at once when the parent lets go of the other end of the pipe, or is gone itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides

    def watch() -> None:
        lifeline.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_on_dask(
    function: Callable[[Task], Result], tasks: Sequence[Task], address: str
) -> Generator[Result, None, None]:
    """The function's results for all tasks, as each is done by a worker of the cluster.

    Closing the generator takes back what has not begun.

    Args:
        function: One that the workers can import.
        tasks: Pickled to them.
        address: Of the scheduler.

    Raises:
        ValueError: Dask is not installed.
        OSError: No scheduler answers at the address.
    """
    try:
        import distributed
    except ImportError as error:
        raise ValueError("--dask needs Dask: pip install 'euromine[dask]'.") from error
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
    """Prefetch items in a background thread, at most `depth` of them in advance.

    An error there is raised here. Closing the generator, or an error where it is used, stops the thread and
    waits for it.
    """
    waiting: queue.Queue[Any] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put((item, None)):
                    break
            else:
                put((_END, None))
        except BaseException as error:
            put((_END, error))
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
            yield item
    finally:
        stopped.set()
        thread.join()

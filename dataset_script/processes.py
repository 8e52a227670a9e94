"""Work on many sites in processes of this machine, which end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


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

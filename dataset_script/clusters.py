"""Work handed to a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def run_on_dask(
    function: Callable[[_Task], _Result], tasks: Sequence[_Task], address: str
) -> Generator[_Result, None, None]:
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

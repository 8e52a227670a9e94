"""Work in other processes and prefetching in a thread: order, errors, an early end."""

import math
import multiprocessing.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from euromine.support.errors import ArgumentError, MissingExtraError
from euromine.support.workers import (
    CORES_VARIABLE,
    in_processes,
    prefetch,
    run_on_dask,
    share_cores,
    usable_cores,
)


def end(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_results_are_those_of_one_process():
    tasks = [10, 20, 30]
    expected = sorted(math.factorial(task) for task in tasks)
    assert list(in_processes(math.factorial, tasks, 1, "counted")) == expected
    assert sorted(in_processes(math.factorial, tasks, 2, "counted")) == expected
    assert list(in_processes(math.factorial, [], 2, "counted")) == []


def leave_a_note_at_the_end(path: Path) -> None:
    # As the locks of progress bars do, of whose semaphores Python else complains.
    multiprocessing.util.Finalize(None, path.touch, exitpriority=0)


def test_workers_that_have_finished_clean_up(tmp_path):
    notes = [tmp_path / "1", tmp_path / "2"]
    assert list(in_processes(leave_a_note_at_the_end, notes, 2, "noted")) == [None, None]
    assert all(note.exists() for note in notes)


INTERRUPTED_BARS = """
import contextlib
import tempfile
import time
from pathlib import Path

from euromine.support.workers import in_processes


def show_a_bar(path: Path) -> None:
    from tqdm import tqdm

    with tqdm(total=1):
        path.touch()
        time.sleep(0 if path.name == "0" else 600)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number in range(2)]
        with contextlib.closing(in_processes(show_a_bar, paths, 2, "shown")) as results:
            next(results)
            while not paths[1].exists():
                time.sleep(0.01)
"""


def test_workers_that_are_ended_at_once_leave_no_semaphores_of_bars(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED_BARS, encoding="utf-8")
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=120)
    assert "leaked" not in ended.stderr


def test_a_killed_process_is_a_sentence():
    with pytest.raises(OSError, match="A process that counted was killed"):
        list(in_processes(end, [1, 2], 2, "counted"))


def test_there_is_a_core(monkeypatch):
    monkeypatch.delenv(CORES_VARIABLE, raising=False)
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_a_variable_limits_the_cores_and_adds_none(monkeypatch):
    monkeypatch.delenv(CORES_VARIABLE, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cores() == 8
    for limit, expected in (("3", 3), ("64", 8)):
        monkeypatch.setenv(CORES_VARIABLE, limit)
        assert usable_cores() == expected
    for wrong in ("0", "-1", "many", ""):
        monkeypatch.setenv(CORES_VARIABLE, wrong)
        with pytest.raises(ArgumentError, match="EUROMINE_CORES: found"):
            usable_cores()


def settings(names: list[str]) -> list[str | None]:
    return [os.environ.get(name) for name in names]


def test_a_wrong_number_of_cores_is_no_lack_of_memory(monkeypatch):
    monkeypatch.setenv(CORES_VARIABLE, "0")
    with pytest.raises(
        ArgumentError, match="EUROMINE_CORES: found '0'; expected a number of cores, at least 1"
    ):
        list(in_processes(math.factorial, [1, 2], 2, "counted"))


def test_workers_share_the_cores_and_wait_asleep(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(CORES_VARIABLE, "1")
    names = [CORES_VARIABLE, "OMP_NUM_THREADS", "OMP_WAIT_POLICY"]
    found = list(in_processes(settings, [names, names], 2, "looked"))
    assert found == [["1", "1", "PASSIVE"]] * 2
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(("workers", "share"), [(1, "8"), (2, "4"), (3, "2"), (16, "1")])
def test_the_share_is_a_whole_number_of_cores(monkeypatch, workers, share):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in (CORES_VARIABLE, "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "8")  # so that it is restored
        monkeypatch.delenv(name)
    share_cores(workers)
    assert settings([CORES_VARIABLE, "OMP_NUM_THREADS"]) == [share, share]


def test_a_number_of_threads_that_the_user_chose_stays(monkeypatch):
    monkeypatch.setenv(CORES_VARIABLE, "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    share_cores(2)
    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_items_come_in_order_from_another_thread() -> None:
    def numbers() -> Iterator[tuple[int, int]]:
        for number in range(50):
            yield number, threading.get_ident()

    found = list(prefetch(numbers(), 3))
    assert [number for number, _ in found] == list(range(50))
    assert {thread for _, thread in found} != {threading.get_ident()}


def test_an_error_in_the_thread_is_raised_after_what_came_before_it() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("torn")

    items = prefetch(numbers(), 5)
    assert next(items) == 1
    with pytest.raises(OSError, match="torn"):
        next(items)


def test_closing_early_stops_the_thread_and_closes_what_it_reads() -> None:
    made: list[int] = []
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            for number in range(10**9):
                made.append(number)
                yield number
        finally:
            closed.set()

    before = threading.active_count()
    items = prefetch(numbers(), 2)
    assert next(items) == 0
    items.close()
    assert closed.is_set()
    assert threading.active_count() == before
    assert len(made) <= 5  # one used, two waiting, one in hand, one more while the first was taken


def test_nothing_is_made_before_the_first_is_asked_for() -> None:
    asked: list[int] = []

    def numbers() -> Iterator[int]:
        asked.append(1)
        yield 1

    prefetch(numbers(), 1).close()
    assert not asked


def test_a_missing_dask_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'euromine\[dask\]'"):
        next(run_on_dask(math.factorial, [1], "tcp://127.0.0.1:1"))


@pytest.mark.parametrize("address", ["host", "quic://host:1"])
def test_an_address_that_names_no_scheduler_is_the_users_mistake(address: str) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ArgumentError, match=f"^dask: found '{address}' .*; expected a scheduler's address"):
        next(run_on_dask(math.factorial, [1], address))


def test_without_depth_an_item_is_made_while_the_one_before_it_is_used() -> None:
    made: list[int] = []
    third = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(4):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    items = prefetch(numbers(), 0)
    assert next(items) == 0
    assert not third.wait(0.05)
    assert made in ([0], [0, 1])
    assert next(items) == 1
    assert third.wait(10)
    assert list(items) == [2, 3]

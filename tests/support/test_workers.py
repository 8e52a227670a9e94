import math
import os
import signal

import pytest

from euromine.support.workers import in_processes, usable_cores


def end(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_results_are_those_of_one_process():
    tasks = [10, 20, 30]
    expected = sorted(math.factorial(task) for task in tasks)
    assert list(in_processes(math.factorial, tasks, 1, "counted")) == expected
    assert sorted(in_processes(math.factorial, tasks, 2, "counted")) == expected
    assert list(in_processes(math.factorial, [], 2, "counted")) == []


def test_a_killed_process_is_a_sentence():
    with pytest.raises(OSError, match="A process that counted was killed"):
        list(in_processes(end, [1, 2], 2, "counted"))


def test_there_is_a_core():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)

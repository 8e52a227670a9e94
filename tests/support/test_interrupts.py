"""Ctrl-C, as a terminal sends it to a program and all its children: one line, exit status 130."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from euromine.support import interrupts
from euromine.support.errors import reported_errors
from euromine.support.interrupts import (
    child_beside,
    exit_status,
    resumable,
    run_child,
    run_child_with,
    uninterrupted_children,
)


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(code: str, *arguments: object, ready: Path, group: bool = True) -> tuple[int, str]:
    """The exit status and words of a program that Ctrl-C ends once a file is there."""
    program = subprocess.Popen(
        [sys.executable, "-c", code, str(ready), *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while not ready.exists() and program.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    (os.killpg if group else os.kill)(program.pid, signal.SIGINT)
    said = program.communicate(timeout=60)[1]
    return program.returncode, said


IMPORTS = """
import sys, time
from pathlib import Path
from euromine.support.interrupts import answer_interrupts_of_imports
answer_interrupts_of_imports(__name__, "train.py")
Path(sys.argv[1]).touch()
time.sleep(60)
"""

WORKERS = """
import sys, time
from pathlib import Path
from euromine.support.errors import reported_errors
from euromine.support.workers import in_processes
with reported_errors("euromine"):
    found = in_processes(time.sleep, [60, 60], 2, "slept")
    import threading
    threading.Timer(float(sys.argv[2]), Path(sys.argv[1]).touch).start()
    list(found)
"""

# A child that takes its time to clean up.
CLEANING = """
import sys, time
from pathlib import Path
ready = Path(sys.argv[1])
try:
    ready.touch()
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1)
    ready.with_name("cleaned").touch()
"""

PARENT = f"""
import sys, time
from euromine.support.errors import reported_errors
from euromine.support.interrupts import child_beside, resumable, run_child
child = [sys.executable, "-c", {CLEANING!r}, sys.argv[1]]
"""

CHILD = f"""{PARENT}
with reported_errors("euromine"), resumable():
    run_child(child)
"""

BESIDE = f"""{PARENT}
with reported_errors("euromine"), resumable(), child_beside(child):
    time.sleep(60)
"""


def test_an_interrupted_import_is_one_line(tmp_path):
    status, said = interrupted(IMPORTS, ready=tmp_path / "ready")
    assert (status, said) == (130, "train.py: interrupted.\n")


@pytest.mark.parametrize("seconds", [0.05, 1])
def test_workers_say_nothing_even_while_they_start(tmp_path, seconds):
    status, said = interrupted(WORKERS, seconds, ready=tmp_path / "ready")
    assert (status, said) == (130, "euromine: interrupted.\n")


@pytest.mark.parametrize("group", [True, False], ids=["terminal", "kill"])
@pytest.mark.parametrize("program", [CHILD, BESIDE], ids=["waited for", "beside"])
def test_a_child_has_the_time_to_clean_up(tmp_path, program, group):
    status, said = interrupted(program, ready=tmp_path / "ready", group=group)
    assert (status, said) == (130, "euromine: interrupted. Run the same command again to resume.\n")
    assert (tmp_path / "cleaned").exists()


def test_a_childs_exit_status_comes_back():
    assert run_child([sys.executable, "-c", "raise SystemExit(7)"]) == 7


def test_a_program_that_needs_one_that_fails_has_the_time_to_clean_up(tmp_path):
    ready = tmp_path / "ready"
    waits = f"import time, pathlib\nwhile not pathlib.Path({str(ready)!r}).exists(): time.sleep(0.01)"
    with child_beside([sys.executable, "-c", f"{waits}\nraise SystemExit(7)"]) as other:
        assert run_child_with([sys.executable, "-c", CLEANING, str(ready)], other) is None
        assert exit_status(other) == 7
    assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize("status", [0, 7])
def test_a_program_goes_on_beside_one_that_ends_well(status):
    with child_beside([sys.executable, "-c", ""]) as other:
        other.wait()
        assert run_child_with([sys.executable, "-c", f"raise SystemExit({status})"], other) == status


def test_the_innermost_advice_is_given(capsys):
    with (
        pytest.raises(SystemExit) as exit_,
        reported_errors("euromine"),
        resumable("Later."),
        resumable("Run it again."),
    ):
        raise KeyboardInterrupt
    assert exit_.value.code == 130
    assert capsys.readouterr().err == "euromine: interrupted. Run it again.\n"


@pytest.mark.parametrize("threads", [0, 3])
def test_an_interrupt_that_comes_while_children_start_is_not_lost(threads):
    """Whichever thread the system gives it to."""
    reached = []
    end = threading.Event()
    for _ in range(threads):
        threading.Thread(target=end.wait, daemon=True).start()

    def start() -> None:
        with uninterrupted_children():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(True)
        for _ in range(200):  # another thread may be given the signal a moment later
            time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        start()
    end.set()
    assert reached


def test_other_errors_keep_their_traceback(monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    interrupts.answer_interrupts_of_imports("elsewhere", "train.py")
    assert sys.excepthook is sys.__excepthook__
    interrupts.answer_interrupts_of_imports("__main__", "train.py")
    sys.excepthook(ZeroDivisionError, ZeroDivisionError("division"), None)
    assert capsys.readouterr().err == "ZeroDivisionError: division\n"

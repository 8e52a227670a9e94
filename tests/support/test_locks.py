"""One run at a time in a folder: across processes, after a kill, with forks, without locks."""

import errno
import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from euromine.support import locks
from euromine.support.errors import ArgumentError, BusyError
from euromine.support.locks import LOCK_NAME, check_unlocked, lock_file, lock_folder

HOLD = """
import sys
from pathlib import Path
from euromine.support.locks import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder_of(folder: Path) -> subprocess.Popen[str]:
    """A process that holds a folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_is_at_work_and_a_killed_one_holds_nothing(tmp_path):
    holder = holder_of(tmp_path / "out")
    said = rf"^{tmp_path}/out: found another run at work \(process {holder.pid} since \d{{4}}-.*\); expected"
    try:
        with pytest.raises(BusyError, match=said), lock_folder(tmp_path / "out"):
            pytest.fail("both hold the folder")
        with pytest.raises(BusyError, match=said):
            check_unlocked(tmp_path / "out")
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert (tmp_path / "out" / LOCK_NAME).exists()
    check_unlocked(tmp_path / "out")
    with lock_folder(tmp_path / "out"):
        note = json.loads((tmp_path / "out" / LOCK_NAME).read_text())
        assert note["process"] == os.getpid()
    assert not list((tmp_path / "out").iterdir())


def test_a_lock_leaves_nothing_and_the_files_of_the_run(tmp_path):
    with lock_folder(tmp_path / "a" / "b"):
        pass
    assert not list(tmp_path.iterdir())
    with lock_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "result").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b", "result"]
    (tmp_path / "empty").mkdir()
    with lock_folder(tmp_path / "empty"):
        pass
    assert (tmp_path / "empty").is_dir(), "deleted a folder that was there before"


def test_two_threads_never_hold_a_folder_that_is_made_and_deleted_each_time(tmp_path):
    inside, most, held = [], [], []

    def work() -> None:
        for _ in range(200):
            try:
                with lock_folder(tmp_path / "out"):
                    inside.append(1)
                    most.append(len(inside))
                    held.append(1)
                    inside.pop()
            except BusyError:
                pass

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(held) > 100
    assert not list(tmp_path.rglob("*.lock"))


def test_a_fork_neither_keeps_the_lock_nor_ends_it(tmp_path):
    ready, go = os.pipe()
    with lock_folder(tmp_path / "out"):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(ready, 1)  # outlives the block below
            os._exit(0)
        assert (tmp_path / "out" / LOCK_NAME).exists()
        with pytest.raises(BusyError), lock_folder(tmp_path / "out"):
            pytest.fail("the fork has ended the lock")
    with lock_folder(tmp_path / "out"):
        pass
    os.close(go)
    os.close(ready)
    os.waitpid(child, 0)


def test_the_fork_that_leaves_the_block_as_well_ends_nothing(tmp_path):
    with lock_folder(tmp_path / "out"):
        child = os.fork()
        if child == 0:
            try:
                with pytest.raises(BusyError), lock_folder(tmp_path / "out"):
                    pass
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert (tmp_path / "out" / LOCK_NAME).exists()


def test_files_in_one_folder_have_locks_of_their_own(tmp_path):
    with (
        lock_file(tmp_path / "a.json"),
        lock_file(tmp_path / "b.json"),
        lock_folder(tmp_path),
        pytest.raises(BusyError, match=r"a\.json: found another run"),
        lock_file(tmp_path / "a.json"),
    ):
        pytest.fail("both hold the file")
    assert not list(tmp_path.iterdir())
    expected = r"a\.json: cannot be written to \(No such file"
    with pytest.raises(OSError, match=expected), lock_file(tmp_path / "missing" / "a.json"):
        pytest.fail("there is no such folder")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_the_run_goes_on_with_a_warning(number, tmp_path, monkeypatch, caplog):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING), lock_folder(tmp_path / "out"):
        (tmp_path / "out" / "result").touch()
    assert "this file system has no locks" in caplog.text
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result"]


def test_wrong_places_are_sentences(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place, found in (
        ("file", "file: found a file"),
        ("file/out", "file: found a file"),
        ("link", "link: found a link that leads nowhere"),
    ):
        expected = rf"{found}; expected a folder"
        with pytest.raises(ArgumentError, match=expected), lock_folder(tmp_path / place):
            pytest.fail("there is no folder")


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (errno.EROFS, r"out: cannot be written to \(Read-only file system\)"),
        (errno.EACCES, r"out: cannot be written to \(Permission denied\)"),
        (errno.ENOSPC, r"no space left for out in "),
    ],
)
def test_a_folder_that_cannot_be_written_to_is_a_sentence(number, found, tmp_path, monkeypatch):
    def refuse(path: Path, *_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(locks.os, "open", refuse)
    with pytest.raises(OSError, match=found), lock_folder(tmp_path / "out"):
        pytest.fail("the folder is read-only")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_deleted_with_its_lock_may_be_another_runs_by_then(tmp_path):
    with lock_folder(tmp_path / "work", tmp_path / "out"):
        shutil.rmtree(tmp_path / "work")
        holder = holder_of(tmp_path / "work")
    try:
        said = rf"^{tmp_path}/out: found another run at work \(process {holder.pid} "
        with pytest.raises(BusyError, match=said), lock_folder(tmp_path / "work", tmp_path / "out"):
            pytest.fail("both hold the folder")
    finally:
        holder.communicate()
    assert not list(tmp_path.iterdir())

"""One run at a time in an output folder.

The lock is the operating system's, so it ends with its process, however that ends, and nobody waits for a
run that was killed. It holds across processes, and across machines where the network file system has locks.
Readers never take it.

    with lock_folder(out):
        ...

A hidden file in the folder names its holder and is deleted at the end. Where the file system has no locks,
the run goes on with a warning.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import ArgumentError, BusyError
from .files import full_disk_error, is_full_disk

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

LOCK_NAME = ".euromine.lock"
"""The file in a locked folder."""

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_LONGEST_NOTE = 1000
# A run that has just taken the lock writes its note at once.
_LOOKS, _PAUSE = 5, 0.02

_held: set[int] = set()


@contextmanager
def lock_folder(folder: Path, subject: Path | None = None) -> Iterator[None]:
    """Hold a folder for as long as the block runs.

    The folder is made if it is missing, and deleted at the end if it was made here and is still empty.

    Args:
        folder: The folder to write to.
        subject: The path that the user gave, for messages; the folder by default.

    Raises:
        BusyError: Another run holds it.
        ArgumentError: There is a file where the folder, or one above it, has to be.
        OSError: The folder cannot be written to.
    """
    made: list[Path] = []
    try:
        with _lock(folder / LOCK_NAME, subject or folder, made):
            yield
    finally:
        for each in made:
            with suppress(OSError):  # not empty
                each.rmdir()


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Hold a single file that a run writes at its end, in a folder that may hold anything.

    Args:
        path: The file, in a folder that exists.

    Raises:
        BusyError: Another run holds it.
        OSError: Its folder cannot be written to.
    """
    with _lock(path.with_name(f".{path.name}.lock"), path):
        yield


def check_unlocked(folder: Path) -> None:
    """Refuse to read a folder that a run is writing to; write nothing there.

    Raises:
        BusyError: A run holds it.
    """
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY)
    except OSError:
        return
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _busy(folder, descriptor) from None
    except OSError:
        return  # a file system without locks
    finally:
        os.close(descriptor)


@contextmanager
def _lock(lock: Path, subject: Path, made: list[Path] | None = None) -> Iterator[None]:
    """Hold a lock file; error messages name the subject. With a list, missing folders are made and noted."""
    owner = os.getpid()
    try:
        descriptor = _acquire(lock, subject, made)
    except (FileExistsError, NotADirectoryError):
        raise ArgumentError(_found_a_file(lock.parent)) from None
    except OSError as error:
        if is_full_disk(error):
            raise full_disk_error(subject.parent, subject.name) from error
        raise OSError(f"{subject}: cannot be written to ({error.strerror}). Choose another place.") from error
    _held.add(descriptor)
    try:
        yield
    finally:
        if os.getpid() == owner:  # not in a fork that leaves the block, too
            # Deleted before it is given up: whoever opened it by then finds that it is gone.
            with suppress(OSError):
                if _is_at(lock, descriptor):
                    lock.unlink()
            _held.discard(descriptor)
            os.close(descriptor)


def _acquire(lock: Path, subject: Path, made: list[Path] | None) -> int:
    while True:
        if made is not None:
            made += [each for each in lock.parents if each not in made and not os.path.lexists(each)]
            lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = _open(lock)
        except FileNotFoundError:
            if made is None:
                raise
            continue  # the run before has just deleted the folder that it had made
        try:
            if _try_lock(descriptor, lock) and not _is_at(lock, descriptor):
                os.close(descriptor)  # the run before has just deleted it
                continue
        except BlockingIOError:
            busy = _busy(subject, descriptor)
            os.close(descriptor)
            raise busy from None
        except BaseException:
            os.close(descriptor)
            raise
        _write_note(descriptor)
        return descriptor


def _open(lock: Path) -> int:
    options = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | options, 0o666)
    except PermissionError:
        # A file that a killed run of another member of the group left can be locked, though not written.
        if not lock.exists() or not os.access(lock.parent, os.W_OK):
            raise
        return os.open(lock, os.O_RDONLY | options)


def _try_lock(descriptor: int, lock: Path) -> bool:
    """Lock a file; False where the file system has no locks.

    Raises:
        BlockingIOError: Another process holds it.
    """
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
    logger.warning(
        "%s: this file system has no locks. Start only one run at a time in this folder.", lock.parent
    )
    return False


def _is_at(lock: Path, descriptor: int) -> bool:
    """Whether a path still leads to the open file."""
    try:
        return os.path.samestat(lock.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write_note(descriptor: int) -> None:
    note = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    with suppress(OSError):  # on a full disk the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(note).encode())


def _busy(subject: Path, descriptor: int) -> BusyError:
    return BusyError(
        f"{subject}: found another run at work{_holder(descriptor)}; expected none. Wait for it to end, or "
        "choose another place."
    )


def _holder(descriptor: int) -> str:
    """The holder of a lock, in brackets; empty if its note cannot be read."""
    for _ in range(_LOOKS):
        try:
            note = json.loads(os.pread(descriptor, _LONGEST_NOTE, 0))
            host = "" if note["host"] == socket.gethostname() else f" on {note['host']}"
            return f" (process {note['process']}{host} since {note['since']})"
        except (OSError, ValueError, TypeError, KeyError):
            time.sleep(_PAUSE)
    return ""


def _found_a_file(folder: Path) -> str:
    for each in (folder, *folder.parents):
        if os.path.lexists(each) and not each.is_dir():
            found = "a file" if each.exists() else "a link that leads nowhere"
            return f"{each}: found {found}; expected a folder, or nothing yet. Choose another place."
    return f"{folder}: found no folder; expected one. Choose another place."


def _forget_in_fork() -> None:
    """Close the locks that a fork inherits: they are its parent's and end with it."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_fork)

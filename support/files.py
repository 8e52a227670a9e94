"""Atomic writes, hard links and full disks.

A file is written to a temporary sibling and renamed: a reader, or a run that follows a killed one, finds the
old file or the new one, never half of one.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import ArgumentError, DataError, EuroMineError

# Errors of torch and safetensors on a full disk, which do not carry the system's error number.
_MESSAGES_OF_A_FULL_DISK = (
    "No space left on device",
    "PytorchStreamWriter failed",
    "file write failed",
    "enforce fail",
)
_ADVICE = "Free some space and start again; what was complete is kept."


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of a file to write to, which takes the file's name when the block ends.

    The sibling's name begins with an underscore, so that a checkpoint's upload skips it. An exception in the
    block deletes it and leaves an existing file unchanged.

    Args:
        path: The file to write or replace, in a folder that exists.
    """
    part = part_of(path)
    try:
        yield part
        part.replace(path)
    except BaseException as error:
        with suppress(OSError):  # the folder itself may be what is wrong
            part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(part):
            raise OSError(error.errno, error.strerror, str(path)) from error  # the name that the user knows
        raise


def part_of(path: Path) -> Path:
    """The temporary sibling to which `atomic_file` writes a file. A killed run leaves it behind."""
    return path.with_name(f"_{path.name}.part")


def check_regular(
    path: Path, largest: int | None = None, error_class: type[EuroMineError] = DataError
) -> None:
    """Refuse what is no ordinary file: a pipe may never answer, a device never end.

    Args:
        path: The file, or a link to it.
        largest: The most bytes that it may have.
        error_class: The error to raise.

    Raises:
        DataError: (`error_class`) It is a pipe, a device or a socket, or larger than `largest`.
        OSError: There is no such file, or it cannot be reached.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise error_class(f"{path}: found a pipe or device; expected an ordinary file.")
    if largest is not None and found.st_size > largest:
        raise error_class(
            f"{path}: found {_in_words(found.st_size)}; expected a file of at most {_in_words(largest)}."
        )


def read_bytes(path: Path, largest: int, error_class: type[EuroMineError] = DataError) -> bytes:
    """The bytes of an ordinary file of at most `largest` bytes.

    Raises:
        DataError: (`error_class`) It is a pipe, a device or a socket, or larger.
        OSError: It cannot be read.
    """
    check_regular(path, largest, error_class)
    with path.open("rb") as file:
        return file.read(largest)


def check_output_file(path: Path, is_own: Callable[[Path], bool], *, overwrite: bool = False) -> None:
    """Refuse a place for a file before the work that would fill it.

    Args:
        path: The file to write.
        is_own: Whether an existing file is an earlier one of the same kind, which may be replaced.
        overwrite: Whether any file may be replaced.

    Raises:
        ArgumentError: There is a folder, somebody else's file, or no folder for it.
        OSError: The file cannot be written there.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise ArgumentError(
            f"{path}: found {found} at {folder}; expected an existing folder. Make it, or choose another "
            "place with --out."
        )
    if path.is_dir():
        raise ArgumentError(
            f"{path}: found a folder; expected a file, or nothing yet. Name a file with --out."
        )
    # Under root, permissions count for nothing, but a read-only disk still does.
    if not os.access(folder, os.W_OK):
        raise OSError(f"{path}: cannot be written, because {folder} is read-only. Choose another with --out.")
    if os.path.lexists(path) and not overwrite and not (path.is_file() and is_own(path)):
        raise ArgumentError(
            f"{path}: found a file of another kind; expected an earlier one of euromine, or nothing yet. "
            "Pass --overwrite to replace it, or choose another place with --out."
        )


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    with atomic_file(path) as part:
        part.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, values: Any) -> None:
    """Write a JSON file atomically, with null for NaN and infinity."""
    write_text(path, json.dumps(without_nan(values), indent=2, default=str) + "\n")


def without_nan(values: Any) -> Any:
    """The same values with None for NaN and infinity, which JSON does not have."""
    if isinstance(values, dict):
        return {str(key): without_nan(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [without_nan(value) for value in values]
    if isinstance(values, float) and values - values != 0:
        return None
    return values


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, or a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError as error:
        if is_full_disk(error):
            raise
        shutil.copyfile(source, target)


class _ExplainedError(OSError):
    """An error of the disk whose message is a sentence already."""


class TornFileError(_ExplainedError):
    """A file could not be written in full."""


@contextmanager
def explain_full_disk(folder: Path, what: str, advice: str = _ADVICE) -> Iterator[None]:
    """Turn the error of any library on a full disk into one sentence.

    Args:
        folder: The folder that is written to.
        what: What is written, for the message: "the report".
        advice: One or more sentences on the way out.

    Raises:
        OSError: There is no space left.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, _ExplainedError) or not is_full_disk(error):
            raise
        raise full_disk_error(folder, what, advice=advice) from error


def full_disk_error(folder: Path, what: str, *, needed: int | None = None, advice: str = _ADVICE) -> OSError:
    """The error for a disk that is full, or that has less free space than the `needed` bytes."""
    needs = "" if needed is None else f", at least {_in_words(needed)} needed"
    return _ExplainedError(
        errno.ENOSPC, f"no space left for {what} in {folder} ({free_space(folder)} free{needs}). {advice}"
    )


def torn_file_error(path: Path) -> TornFileError:
    """The error for a file that a library could not write in full without giving a reason."""
    return TornFileError(
        f"{path}: could not be written in full ({free_space(path.parent)} free); the disk may be full, or a "
        "quota reached."
    )


def free_space(folder: Path) -> str:
    """The free space of the disk that holds a folder, or will: "812 MB"."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return _in_words(shutil.disk_usage(there).free)


def is_full_disk(error: BaseException) -> bool:
    """Whether an error, or one that caused it, comes from a full disk or an exhausted quota."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        if any(message in str(cause) for message in _MESSAGES_OF_A_FULL_DISK):
            return True
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return False


def _in_words(size: int) -> str:
    return f"{size / 2**20:.0f} MB" if size >= 10 * 2**20 else f"{size / 2**10:.0f} kB"

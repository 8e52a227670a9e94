"""Files that are whole or absent, whenever a process dies, and disks that are full."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# torch's messages on a full disk, which do not carry the system's error number.
_TORN_WRITE = ("No space left on device", "PytorchStreamWriter failed", "file write failed", "enforce fail")


def write_text(path: Path, text: str) -> None:
    """Write a file at once: a reader finds the old one or the new one."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """As `write_text`."""
    part = path.with_name(f"_{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def write_json(path: Path, values: Any) -> None:
    """Write JSON at once. What is no number there (nan) becomes null."""
    write_text(path, json.dumps(without_nan(values), indent=2, default=str) + "\n")


def without_nan(values: Any) -> Any:
    """The same with None for every nan and infinity, which JSON does not know."""
    if isinstance(values, dict):
        return {str(key): without_nan(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [without_nan(value) for value in values]
    if isinstance(values, float) and values - values != 0:
        return None
    return values


@contextmanager
def told_when_full(folder: Path, what: str) -> Iterator[None]:
    """Around writing: a full disk is one sentence, whichever library met it.

    Args:
        folder: Where is written to.
        what: What is written, in an error.

    Raises:
        OSError: There is no space left.
    """
    try:
        yield
    except Exception as error:
        if not says_full(error):
            raise
        free = shutil.disk_usage(folder).free / 2**20
        raise OSError(
            errno.ENOSPC,
            f"no space left for {what} in {folder} ({free:.0f} MB are free); "
            "free some and start again, what was complete before is kept",
        ) from error


def says_full(error: BaseException) -> bool:
    """Whether an error, or one that it comes from, is about a full disk."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    if any(words in str(error) for words in _TORN_WRITE):
        return True
    cause = error.__cause__ or error.__context__
    return cause is not None and says_full(cause)

"""Zips of unknown origin: errors of damaged ones, and the members to read or refuse."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

# RuntimeError: encrypted. NotImplementedError: compressed by a method that Python does not have.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError)
"""Errors of opening and reading a zip that is damaged or encrypted."""


def is_file(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a file, and none of those that macOS adds."""
    return not member.is_dir() and not member.filename.startswith("__MACOSX/")


def is_encrypted(member: zipfile.ZipInfo) -> bool:
    """Whether a member needs a password."""
    return bool(member.flag_bits & 1)


def leads_out(name: str) -> bool:
    """Whether a member's path leads out of the zip on any system, such as `a/../../x` and `C:/x`."""
    return (
        name.startswith("/")
        or "\\" in name
        or ".." in PurePosixPath(name).parts
        or ":" in name.partition("/")[0]
    )


def repeated_name(members: Iterable[zipfile.ZipInfo]) -> str | None:
    """The first name that several members have; None where each has its own."""
    names = Counter(member.filename for member in members)
    return next((name for name, times in names.items() if times > 1), None)

"""Converted programs kept between runs, in the user's cache folder.

A program's folder is named by a hash of all that it depends on: weights, sides, versions. It is made under
another name and renamed when it is whole, so two processes may make the same one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from euromine.support.errors import RecordError
from euromine.support.files import write_json
from euromine.support.records import read_record

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "EUROMINE_CACHE"
PROGRAM_RECORD, _UNFINISHED = "program.json", ".part"
# A day after it was begun, an unfinished folder is one that a killed run left.
_ABANDONED = 24 * 3600.0


@dataclass(frozen=True)
class ProgramRecord:
    """The record beside a program.

    Attributes:
        made_of: All that it depends on.
        digests: The SHA-256 of each of its files.
    """

    made_of: dict[str, Any]
    digests: dict[str, str]


def cache_folder() -> Path:
    """The folder of converted programs: `$EUROMINE_CACHE/engines`, else below the user's cache folder."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own) / "engines"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "euromine" / "engines"


def program_folder(made_of: Mapping[str, Any]) -> Path:
    """The place of a program in the cache."""
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return cache_folder() / key[:40]


def is_whole_program(folder: Path, made_of: Mapping[str, Any]) -> bool:
    """Whether a folder holds a program with all that it was made of, undamaged."""
    try:
        record = read_record(ProgramRecord, folder / PROGRAM_RECORD)
        return record.made_of == made_of and record.digests == _digests(folder, record.digests)
    except (RecordError, OSError):
        return False


def write_program_record(folder: Path, made_of: Mapping[str, Any]) -> None:
    """Write the record beside a program's files."""
    names = [path.name for path in folder.iterdir()]
    write_json(folder / PROGRAM_RECORD, {"made_of": made_of, "digests": _digests(folder, names)})


def cached_program(made_of: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """The folder of a program, made if the cache has none that is whole.

    Args:
        made_of: All that it depends on, as JSON gives it back.
        make: Writes the program's files into an empty folder.

    Raises:
        OSError: The cache cannot be written to.
    """
    folder = program_folder(made_of)
    if is_whole_program(folder, made_of):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder.parent)
    made = Path(tempfile.mkdtemp(suffix=_UNFINISHED, dir=folder.parent))
    try:
        make(made)
        write_program_record(made, made_of)
        if folder.exists() and not is_whole_program(folder, made_of):
            logger.warning("%s is damaged, so the program is converted again.", folder)
            with suppress(FileNotFoundError):  # taken away by another process meanwhile
                folder.rename(made / "damaged")
        try:
            made.rename(folder)
        except OSError:
            if not is_whole_program(folder, made_of):  # not made by another process meanwhile
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    shutil.rmtree(folder / "damaged", ignore_errors=True)
    return folder


def _digests(folder: Path, names: Any) -> dict[str, str]:
    digests = {}
    for name in sorted(names):
        with (folder / name).open("rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _remove_abandoned(folder: Path) -> None:
    for each in folder.glob(f"*{_UNFINISHED}"):
        with suppress(OSError):
            if time.time() - each.stat().st_mtime > _ABANDONED:
                shutil.rmtree(each, ignore_errors=True)

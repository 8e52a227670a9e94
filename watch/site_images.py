"""The images of a site by year, and their identity."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from euromine.monitoring.scenes.locations import is_address

_DIGITS = 12


def file_id(path: str | os.PathLike[str]) -> str:
    """A file, or a folder of files, by its name and the beginning of the SHA-256 of its bytes.

    An address on a server is its own id.

    Raises:
        OSError: It cannot be read.
    """
    if is_address(path):
        return os.fspath(path)
    source = Path(path)
    digest = hashlib.sha256()
    files = sorted(each for each in source.rglob("*") if each.is_file()) if source.is_dir() else [source]
    for each in files:
        with each.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{source.name}@{digest.hexdigest()[:_DIGITS]}"


def image_ids(scenes: Mapping[int, str | os.PathLike[str]]) -> dict[int, str]:
    """The id of each year's image."""
    return {year: file_id(path) for year, path in sorted(scenes.items())}

"""The images of a site by year, and their identity."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from euromine.monitoring.scenes.locations import is_address

_DIGITS = 12
# Disks note times in steps of up to two seconds: a file that changes again within one keeps its time.
_STEP = 2.0

KnownFiles = Mapping[str, tuple[str, str]]
"""The stamp and the id of files that were hashed, by path."""


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
    for each in _files(source):
        with each.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{source.name}@{digest.hexdigest()[:_DIGITS]}"


def image_ids(
    scenes: Mapping[int, str | os.PathLike[str]], known: KnownFiles | None = None
) -> tuple[dict[int, str], dict[str, tuple[str, str]]]:
    """The id of each year's image.

    An image whose sizes and times of change are those of an earlier run is not read again.

    Args:
        scenes: The image of each year.
        known: The images of earlier runs.

    Returns:
        The ids by year, and the images for the next run: stamp and id by path. An image that was written
        within the last two seconds is left out, as it may change without a new time.

    Raises:
        OSError: An image cannot be read.
    """
    ids: dict[int, str] = {}
    files: dict[str, tuple[str, str]] = {}
    for year, path in sorted(scenes.items()):
        if is_address(path):
            ids[year] = os.fspath(path)
            continue
        name = os.fspath(Path(path).absolute())
        stamp, latest = _stamp(Path(path))
        earlier = (known or {}).get(name)
        ids[year] = earlier[1] if earlier is not None and earlier[0] == stamp else file_id(path)
        if latest < time.time() - _STEP:
            files[name] = (stamp, ids[year])
    return ids, files


def _stamp(source: Path) -> tuple[str, float]:
    """Names, sizes and times of a file or of all files of a folder, hashed; and the latest of the times."""
    found = [(each, each.stat()) for each in _files(source)]
    lines = [f"{each.relative_to(source)} {state.st_size} {state.st_mtime_ns}" for each, state in found]
    latest = max((state.st_mtime for _, state in found), default=0.0)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest(), latest


def _files(source: Path) -> list[Path]:
    return sorted(each for each in source.rglob("*") if each.is_file()) if source.is_dir() else [source]

"""A series' own files in its folder: what may be replaced or deleted, and what is damaged."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from euromine.dataset_script.data_folders import check_no_data
from euromine.monitoring.mapping.geotiffs import read_map_record
from euromine.monitoring.mapping.map_styles import is_own_style
from euromine.support.errors import ArgumentError

from .file_names import is_output_name
from .manifest import FORMAT, NAME
from .vector_files import check_not_open, is_whole_geopackage

logger = logging.getLogger(__name__)

# Work folders of `CogWriter` and `write_polygons`, and the temporary siblings of `atomic_file`.
_WORK = re.compile(r"\.(?P<folder>.+\.(?:tif|gpkg|parquet))\.\w+|_(?P<file>.+)\.part")


def listed_files(folder: Path) -> dict[str, str]:
    """The files that an earlier series listed in its manifest, with their digests; "" where unfinished.

    A manifest may come from elsewhere or be damaged: names that no series writes are ignored.
    """
    try:
        manifest = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        return {}
    files = manifest.get("files")
    listed = {
        name: digest if isinstance(digest, str) else ""
        for name, digest in (files if isinstance(files, dict) else {}).items()
        if is_output_name(name)
    }
    return {**listed, NAME: ""}


def check_outputs(folder: Path, names: Iterable[str], inputs: Iterable[Path]) -> None:
    """Refuse to overwrite inputs and files that no series wrote, or that another program has open.

    Args:
        folder: The folder to fill.
        names: The files that will be written.
        inputs: The files that will be read.

    Raises:
        ArgumentError: An output would overwrite an input or a foreign file, or the folder holds a dataset or
            the sites of an archive.
        OSError: Another program has an output open.
    """
    check_no_data(folder, "out")
    listed = listed_files(folder)
    read = [path for path in inputs if path.exists()]
    foreign = []
    for path in (folder / name for name in names):
        if not (path.exists() or path.is_symlink()):
            continue
        if path.exists() and any(path.samefile(each) for each in read):
            raise ArgumentError(
                f"out: found {path}, an input that a result of the same name would overwrite; expected a "
                "folder apart from the inputs. Choose another folder."
            )
        if path.name not in listed and not _is_our_own(path):
            foreign.append(path.name)
        check_not_open(path)
    if foreign:
        raise ArgumentError(
            f"out: found {', '.join(foreign)} in {folder}, not listed by an earlier series; expected a "
            "folder without foreign files of these names. Choose another folder, or move them elsewhere."
        )


def _is_our_own(path: Path) -> bool:
    """Whether a file bears EuroMine's own mark."""
    if path.suffix == ".qml":
        return is_own_style(path)
    return path.suffix == ".tif" and read_map_record(path) is not None


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of each file's content, by name."""
    return {name: _digest(folder / name) for name in sorted(set(names))}


def damaged_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    """The names of listed files that are missing or changed.

    A GeoPackage changes when a GIS opens it: it counts as damaged only where SQLite finds it broken.
    """
    return [
        name
        for name, digest in files.items()
        if digest and is_output_name(name) and not _is_whole(folder / name, digest)
    ]


def remove_damaged(folder: Path) -> None:
    """Delete listed files that were damaged since, so that they are made again."""
    for name in damaged_files(folder, listed_files(folder)):
        logger.warning(
            "%s is missing or was changed after the series was made, so it is made again.", folder / name
        )
        (folder / name).unlink(missing_ok=True)


def remove_work_files(folder: Path) -> None:
    """Delete what a killed run left half-written."""
    for path in folder.iterdir():
        match = _WORK.fullmatch(path.name)
        if match is None or path.is_symlink():
            continue
        if path.is_dir() and is_output_name(match["folder"] or ""):
            shutil.rmtree(path)
        elif path.is_file() and (is_output_name(match["file"] or "") or match["file"] == NAME):
            path.unlink()


def _is_whole(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    if path.suffix == ".qml":
        return True  # changes by the user are no damage
    return _digest(path) == digest or (path.suffix == ".gpkg" and is_whole_geopackage(path))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""The folders and files of an archive, in a folder or in a zip."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from euromine.support.errors import ArchiveError

# The folders and the files of a folder of the archive, by name, without those that belong to no archive.
Listing = Callable[[str], tuple[list[str], list[str]]]

YEAR_NAME = re.compile(r"(?:year|label|image)?[ _-]?((?:19|20)\d\d)", re.IGNORECASE)


def list_folder(path: Path) -> Listing:
    """The folders of a folder, listed when they are asked for."""

    def listing(folder: str) -> tuple[list[str], list[str]]:
        folders: list[str] = []
        files: list[str] = []
        try:
            with os.scandir(path / folder) as entries:
                for entry in entries:
                    if not is_ignored(entry.name):
                        (folders if entry.is_dir() else files).append(entry.name)
        except OSError as error:
            raise ArchiveError(
                f"{path / folder}: found a folder that cannot be listed ({error.strerror}); "
                f"expected a folder of the archive."
            ) from error
        return sorted(folders), sorted(files)

    return listing


def list_zip(path: Path) -> Listing:
    """The folders of a zip, from one reading of its directory."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except FileNotFoundError as error:
        raise ArchiveError(
            f"{path}: found nothing there; expected the archive, a folder or a zip."
        ) from error
    except OSError as error:
        raise ArchiveError(
            f"{path}: found a file that cannot be read ({error.strerror}); expected the zip of the archive."
        ) from error
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ArchiveError(
            f"{path}: found a file that is not a whole zip ({error}); expected the archive, a "
            "folder or a zip."
        ) from error

    folders: dict[str, set[str]] = {"": set()}
    files: dict[str, list[str]] = {}
    for member in members:
        *parents, name = member.filename.rstrip("/").split("/")
        if any(is_ignored(part) for part in (*parents, name)):
            continue
        if member.flag_bits & 1:
            raise ArchiveError(
                f"{path}: found '{member.filename}' encrypted; expected a zip without a password."
            )
        if member.is_dir():
            parents, name = [*parents, name], ""
        for depth, parent in enumerate(parents):
            folders.setdefault("/".join(parents[:depth]), set()).add(parent)
        if name:
            files.setdefault("/".join(parents), []).append(name)

    def listing(folder: str) -> tuple[list[str], list[str]]:
        return sorted(folders.get(folder, ())), sorted(files.get(folder, ()))

    return listing


def is_ignored(name: str) -> bool:
    """Whether a file or folder belongs to no archive: hidden, or written by macOS."""
    return not name or name.startswith(".") or name == "__MACOSX"


def join_path(*parts: str) -> str:
    """The parts with slashes between them, without the empty ones."""
    return "/".join(part for part in parts if part)

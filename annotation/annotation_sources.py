"""Read annotation files within limits: a file, a folder or a zip of unknown origin."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from euromine.support.errors import AnnotationError
from euromine.support.files import check_regular
from euromine.support.zip_members import ZIP_ERRORS, is_encrypted, is_file, leads_out, repeated_name

LARGEST_MEMBER = 256 * 2**20
"""The most bytes of an annotation file."""

HEAD_BYTES = 4096
_MOST_MEMBERS = 100_000
_LARGEST_ZIP = 32 * 2**30


@dataclass(frozen=True)
class Source:
    """A file, or the files of a folder or zip.

    Attributes:
        path: As the user gave it.
        sizes: The size in bytes of each file by name, with slashes; a single file has its own name.
        kind: "file", "folder" or "zip".
        archive: The open zip, if it is one.
    """

    path: Path
    sizes: dict[str, int]
    kind: Literal["file", "folder", "zip"]
    archive: zipfile.ZipFile | None = None

    def named(self, name: str) -> str:
        """The name of a file in messages."""
        return {
            "file": f"{self.path}",
            "folder": f"{self.path / name}",
            "zip": f"{self.path}, {name}",
        }[self.kind]

    def head(self, name: str) -> bytes:
        """The first bytes of a file.

        Raises:
            AnnotationError: The zip is damaged.
            OSError: The file cannot be read.
        """
        return self._read(name, HEAD_BYTES)

    def read(self, name: str, largest: int = LARGEST_MEMBER) -> bytes:
        """All bytes of a file.

        Raises:
            AnnotationError: It is larger than `largest` bytes, or damaged.
            OSError: It cannot be read.
        """
        size = self.sizes[name]
        if size > largest:
            raise AnnotationError(
                f"{self.named(name)}: found {size / 2**20:.0f} MB; expected at most {largest / 2**20:.0f} "
                "MB. Export fewer pictures at a time."
            )
        return self._read(name, size)

    def _read(self, name: str, number: int) -> bytes:
        if self.kind != "zip":
            path = self.path if self.kind == "file" else self.path / name
            with path.open("rb") as file:
                return file.read(number)
        assert self.archive is not None
        try:
            with self.archive.open(name) as file:
                return file.read(number)
        except ZIP_ERRORS as error:
            raise _damaged_zip(self.path, error) from error


def open_source(path: Path, files: ExitStack) -> Source:
    """The files of a file, a folder or a zip.

    Args:
        path: The file, folder or zip.
        files: Closes the zip.

    Raises:
        AnnotationError: It is empty, a pipe or a device; a folder or zip with a link or too many files; or a
            zip that is damaged, encrypted, or has a path that leads out of it.
        FileNotFoundError: There is no such file.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: found nothing there; expected annotations, such as a CVAT export or a GeoPackage."
        )
    if path.is_dir():
        return Source(path, _folder_sizes(path), "folder")
    check_regular(path, _LARGEST_ZIP, AnnotationError)
    with path.open("rb") as file:
        head = file.read(4)
    if not head:
        raise AnnotationError(f"{path}: found an empty file; expected annotations.")
    if head in (b"PK\x03\x04", b"PK\x05\x06"):
        try:
            archive = files.enter_context(zipfile.ZipFile(path))
        except ZIP_ERRORS as error:
            raise _damaged_zip(path, error) from error
        return Source(path, _zip_sizes(path, archive.infolist()), "zip", archive)
    return Source(path, {path.name: path.stat().st_size}, "file")


def _folder_sizes(folder: Path) -> dict[str, int]:
    sizes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise AnnotationError(
                f"{path}: found a link; expected the files themselves in a folder of annotations."
            )
        if path.is_file():
            sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
        if len(sizes) > _MOST_MEMBERS:
            raise AnnotationError(
                f"{folder}: found more than {_MOST_MEMBERS} files; expected a folder of annotations."
            )
    return sizes


def _zip_sizes(path: Path, members: Sequence[zipfile.ZipInfo]) -> dict[str, int]:
    if len(members) > _MOST_MEMBERS:
        raise AnnotationError(
            f"{path}: found {len(members)} files; expected at most {_MOST_MEMBERS} in a zip."
        )
    for member in members:
        _check_member(path, member)
    files = [member for member in members if is_file(member)]
    if repeated := repeated_name(files):
        raise AnnotationError(f"{path}: found {repeated} twice; expected a zip with one file of a name.")
    return {member.filename: member.file_size for member in files}


def _check_member(path: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    if leads_out(name):
        raise AnnotationError(f"{path}: found the path {name!r} in it; expected paths inside the zip.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise AnnotationError(f"{path}: found the link {name!r} in it; expected the files themselves.")
    if is_encrypted(member):
        raise AnnotationError(f"{path}: found {name!r} encrypted; expected a zip without a password.")


def _damaged_zip(path: Path, error: Exception) -> AnnotationError:
    return AnnotationError(f"{path}: found a zip that cannot be read ({error}); expected a whole one.")

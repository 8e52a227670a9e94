"""The files of a Sentinel-2 product, in its folder or in a zip that is never unpacked to disk."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from euromine.support.errors import SceneError
from euromine.support.files import check_regular, read_bytes
from euromine.support.zip_members import ZIP_ERRORS, is_encrypted, is_file, leads_out, repeated_name

# A product has some 150 files, one of the oldest kind, with a dozen tiles, some 2,000.
_MOST_FILES = 20_000
_LARGEST_IMAGE = 2**30
# JPEG 2000 cannot be packed much further, metadata to a twentieth.
_LARGEST_RATIO, _ANY_RATIO_BELOW = 200, 2**20

FileState = tuple[str, int, int | str]
"""Name, size and time of modification; of a remote file, the server's version in place of the time."""


def file_state(path: Path, name: str | None = None) -> FileState:
    """The state of a file on this machine.

    Args:
        path: The file.
        name: Its name in the state; None for the last part of the path.
    """
    status = path.stat()
    return name or path.name, status.st_size, status.st_mtime_ns


class ProductFiles(Protocol):
    """The files of a product by their paths in it, with slashes."""

    @property
    def shown(self) -> str:
        """The product in messages."""

    @property
    def names(self) -> tuple[str, ...]:
        """The paths, sorted."""

    def read(self, name: str, largest: int) -> bytes:
        """A whole file of at most so many bytes."""

    def raster_path(self, name: str) -> str:
        """The path of an image as GDAL takes it, once its size and place are checked."""

    def state(self, names: tuple[str, ...]) -> tuple[FileState, ...]:
        """The state of these files, by which later runs notice changes."""


@dataclass(frozen=True)
class FolderFiles:
    """The files of a product in a folder."""

    root: Path
    names: tuple[str, ...]

    @classmethod
    def of(cls, root: Path) -> FolderFiles:
        """List a folder.

        Raises:
            SceneError: It has far more files than a product.
        """
        names: list[str] = []
        for path in root.rglob("*"):
            names.append(path.relative_to(root).as_posix())
            if len(names) > _MOST_FILES:
                raise SceneError(
                    f"{root}: found more than {_MOST_FILES} files; expected the folder of one product."
                )
        return cls(root, tuple(sorted(names)))

    @property
    def shown(self) -> str:
        """The folder."""
        return str(self.root)

    def read(self, name: str, largest: int) -> bytes:
        """See `ProductFiles`.

        Raises:
            SceneError: The file is too large, or a link that leads out of the folder.
        """
        return read_bytes(self._inside(name), largest, SceneError)

    def raster_path(self, name: str) -> str:
        """See `ProductFiles`.

        Raises:
            SceneError: The file is too large, or a link that leads out of the folder.
        """
        path = self._inside(name)
        check_regular(path, _LARGEST_IMAGE, SceneError)
        return str(path)

    def state(self, names: tuple[str, ...]) -> tuple[FileState, ...]:
        """See `ProductFiles`."""
        return tuple(file_state(self.root / name, name) for name in names)

    def _inside(self, name: str) -> Path:
        path = self.root / name
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise SceneError(
                f"{path}: found a link to a file outside the product; expected the file. Copy it there."
            )
        return path


@dataclass(frozen=True)
class ZipFiles:
    """The files of a product in a zip.

    Attributes:
        path: The zip.
        root: The product's folder in it with a slash behind it; "" if its files are at the top.
        members: By path in the product.
    """

    path: Path
    root: str
    members: Mapping[str, zipfile.ZipInfo]

    @classmethod
    def of(cls, path: Path) -> ZipFiles:
        """List a zip.

        Raises:
            SceneError: It is damaged, has a password, or members that belong to no product.
        """
        with _named_damage(path), zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        if len(members) > _MOST_FILES:
            raise SceneError(f"{path}: found {len(members)} files; expected the zip of one product.")
        for member in members:
            _check_name(path, member.filename)
        files = [member for member in members if is_file(member)]
        if repeated := repeated_name(files):
            raise SceneError(
                f"{path}: found the member {repeated} twice; expected each once. Download it again."
            )
        root = _common_folder([member.filename for member in files])
        return cls(path, root, {member.filename.removeprefix(root): member for member in files})

    @property
    def shown(self) -> str:
        """The zip."""
        return str(self.path)

    @property
    def names(self) -> tuple[str, ...]:
        """The paths in the product, sorted."""
        return tuple(sorted(self.members))

    def read(self, name: str, largest: int) -> bytes:
        """See `ProductFiles`.

        Raises:
            SceneError: The member is too large, or damaged.
        """
        member = self._checked(name, largest)
        with _named_damage(self.path), zipfile.ZipFile(self.path) as archive, archive.open(member) as file:
            return file.read(largest)

    def raster_path(self, name: str) -> str:
        """See `ProductFiles`.

        Raises:
            SceneError: The member is too large, or packed like a bomb.
        """
        member = self._checked(name, _LARGEST_IMAGE)
        return f"/vsizip/{{{self.path.absolute()}}}/{member.filename}"

    def state(self, names: tuple[str, ...]) -> tuple[FileState, ...]:
        """See `ProductFiles`. That of the zip stands for all."""
        return (file_state(self.path),)

    def _checked(self, name: str, largest: int) -> zipfile.ZipInfo:
        member = self.members[name]
        is_bomb = member.file_size > max(_ANY_RATIO_BELOW, _LARGEST_RATIO * member.compress_size)
        if member.file_size > largest or is_bomb:
            raise SceneError(
                f"{self.path}: found {member.filename} with {member.file_size} bytes, packed to "
                f"{member.compress_size}; expected at most {largest}, packed to no less than a "
                f"{_LARGEST_RATIO}th. Download it again."
            )
        if is_encrypted(member):
            raise SceneError(
                f"{self.path}: found {member.filename} encrypted; expected a zip without a password."
            )
        return member


def _check_name(path: Path, name: str) -> None:
    # GDAL gives the other two signs a meaning in its paths.
    if leads_out(name) or ":" in name or "}" in name:
        raise SceneError(
            f"{path}: found the member {name!r}, which leads out of its folder; expected the zip of one "
            "product. Download it again."
        )


def _common_folder(names: Sequence[str]) -> str:
    """The folder that holds all files, with a slash behind it; "" if they are at the top."""
    tops = {name.partition("/")[0] for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""


@contextmanager
def _named_damage(path: Path) -> Iterator[None]:
    check_regular(path, error_class=SceneError)
    try:
        yield
    except ZIP_ERRORS as error:
        raise SceneError(
            f"{path}: found a zip that is damaged or has a password ({error}); expected a whole one. "
            "Download it again."
        ) from error

"""The files of a Sentinel-2 product, in its folder or in a zip, of which nothing is unpacked."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from euromine.support.errors import SceneError
from euromine.support.files import check_regular, read_bytes

# A product has some 150 files, one of the oldest kind, with a dozen tiles, some 2,000.
_MOST_FILES = 20_000
_LARGEST_IMAGE = 2**30
# JPEG 2000 cannot be packed much further, metadata to a twentieth.
_LARGEST_RATIO, _ANY_RATIO_BELOW = 200, 2**20

FileState = tuple[str, int, int | str]
"""Name, size and time of modification, or what a server gives in its place."""


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
        """By which a later run recognises these files."""


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
        found = [(name, (self.root / name).stat()) for name in names]
        return tuple((name, status.st_size, status.st_mtime_ns) for name, status in found)

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
        with _damage_told(path), zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        if len(members) > _MOST_FILES:
            raise SceneError(f"{path}: found {len(members)} files; expected the zip of one product.")
        files: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            _check_name(path, member.filename)
            if member.is_dir() or member.filename.startswith("__MACOSX/"):
                continue
            if member.filename in files:
                raise SceneError(
                    f"{path}: found the member {member.filename} twice; expected each once. Download it "
                    "again."
                )
            files[member.filename] = member
        root = _common_folder(files)
        return cls(path, root, {name.removeprefix(root): member for name, member in files.items()})

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
        with _damage_told(self.path), zipfile.ZipFile(self.path) as archive, archive.open(member) as file:
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
        status = self.path.stat()
        return ((self.path.name, status.st_size, status.st_mtime_ns),)

    def _checked(self, name: str, largest: int) -> zipfile.ZipInfo:
        member = self.members[name]
        is_bomb = member.file_size > max(_ANY_RATIO_BELOW, _LARGEST_RATIO * member.compress_size)
        if member.file_size > largest or is_bomb:
            raise SceneError(
                f"{self.path}: found {member.filename} with {member.file_size} bytes, packed to "
                f"{member.compress_size}; expected at most {largest}, packed to no less than a "
                f"{_LARGEST_RATIO}th. Download it again."
            )
        if member.flag_bits & 1:
            raise SceneError(
                f"{self.path}: found {member.filename} encrypted; expected a zip without a password."
            )
        return member


def _check_name(path: Path, name: str) -> None:
    parts = PurePosixPath(name).parts
    if ".." in parts or name.startswith("/") or "\\" in name or ":" in name or "}" in name:
        raise SceneError(
            f"{path}: found the member {name!r}, which leads out of its folder; expected the zip of one "
            "product. Download it again."
        )


def _common_folder(names: Mapping[str, object]) -> str:
    """The folder that holds all files, with a slash behind it; "" if they are at the top."""
    tops = {name.partition("/")[0] for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise SceneError(f"{path}: found a pipe or device; expected an ordinary file.")
        yield
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        # RuntimeError: encrypted. NotImplementedError: packed by a method that Python does not have.
        raise SceneError(
            f"{path}: found a zip that is damaged or has a password ({error}); expected a whole one. "
            "Download it again."
        ) from error

"""The location of a scene: a file or folder of this machine, or an address."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from euromine.support.errors import ArgumentError, SceneError

_SCHEMES = ("http", "https")
_OBJECT_STORES = ("s3", "gs", "az", "abfs", "abfss")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Suffixes that belong to the format, not to the scene's name.
_SUFFIXES = (".safe", ".zip")


@dataclass(frozen=True)
class Location:
    """The location of a scene.

    Attributes:
        text: The address, or the path as the user gave it.
        shown: The same for messages and records, without passwords and signatures.
        name: The last part.
        path: The file or folder; None for an address.
    """

    text: str
    shown: str
    name: str
    path: Path | None

    @property
    def stem(self) -> str:
        """The name without suffixes, with which the names of its maps begin."""
        stem = PurePosixPath(self.name).stem if "." in self.name.lstrip(".") else self.name
        while stem.lower().endswith(_SUFFIXES):
            stem = stem[: stem.rindex(".")]
        return stem

    @property
    def absolute(self) -> str:
        """The address, or the absolute path, for use in another process."""
        return self.text if self.path is None else str(self.path.absolute())

    @property
    def parts(self) -> str:
        """The names of the folders above it, with slashes between them."""
        if self.path is None:
            return urlsplit(self.text).path.rpartition("/")[0]
        return "/".join(self.path.absolute().parts[:-1])


def locate(scene: str | os.PathLike[str]) -> Location:
    """The location of a scene.

    Args:
        scene: A path or an `https://` address.

    Raises:
        SceneError: The address is not one that is read.
    """
    text = os.fspath(scene)
    if "://" not in text:
        path = Path(text)
        # Metadata stand for their product, and "." for the folder's own name.
        named = path.absolute().parent if path.name.startswith("MTD_MSIL") else path.absolute()
        return Location(text, str(path), named.name, path)
    check_address(text)
    parts = urlsplit(text)
    name = unquote(PurePosixPath(parts.path).name)
    if not name or "/" in name or "\0" in name:
        raise SceneError(f"{_without_secrets(text)}: found no file name; expected the address of a GeoTIFF.")
    return Location(text, _without_secrets(text), name, None)


def distinct_scenes(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The absolute paths of the scenes, without repetitions.

    Raises:
        ArgumentError: There is none, or the maps of two would have one name.
    """
    scenes = list(dict.fromkeys(locate(path).absolute for path in paths))
    if not scenes:
        raise ArgumentError("scenes: found none; expected at least one image.")
    named: dict[str, str] = {}
    for scene in scenes:
        other = named.setdefault(locate(scene).stem, scene)
        if other != scene:
            raise ArgumentError(
                f"scenes: found {locate(other).shown} and {locate(scene).shown}, whose "
                "maps would have one name; expected scenes with different names. "
                "Map each of them to a folder of its own with --out."
            )
    return scenes


def is_address(scene: str | os.PathLike[str]) -> bool:
    """Whether a scene is given by an address, not by a path."""
    return "://" in os.fspath(scene)


def check_address(address: str) -> None:
    """Refuse addresses other than `https://`, and `http://` of this machine.

    Raises:
        SceneError: It is another.
    """
    try:
        parts = urlsplit(address)
        scheme, host, _ = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        scheme, host = "", ""
    if scheme in _OBJECT_STORES:
        raise SceneError(
            f"{_without_secrets(address)}: found an object store's own address; expected https://..., or the "
            "path of a file. Have the store sign an https address for reading (`rclone link`, `aws s3 "
            "presign`), or download the file first."
        )
    if scheme not in _SCHEMES or not host:
        raise SceneError(
            f"{_without_secrets(address)}: found no address that is read; expected https://..., or the path "
            "of a file. Download the file first."
        )
    if scheme == "http" and host not in _LOOPBACK:
        raise SceneError(
            f"{_without_secrets(address)}: found http, which anybody on the way can change; expected "
            "https://. Download the file first if its server has no https."
        )


def _without_secrets(address: str) -> str:
    """An address without user, password, query and fragment, which may be signatures."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return address.partition("?")[0]
    return f"{parts.scheme}://{host}{parts.path}"

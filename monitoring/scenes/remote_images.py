"""GeoTIFFs on servers, read by ranges of bytes over `https://`.

Requests are made here rather than by GDAL, so that only the user's address is requested, redirections lead to
`https://` only, and a file that changes while it is read is noticed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import ExitStack
from typing import Any

import requests

from euromine.support.errors import SceneError
from euromine.support.ranged_requests import (
    RASTER_NAME,
    RangeRequests,
    UnreadRangeError,
    ranged_opener,
    server_errors,
    without_stored_passwords,
)
from euromine.support.rasters import open_raster

from .file_formats import GEOTIFF, HEAD_BYTES, format_of_bytes
from .locations import Location, check_address
from .scene_rasters import SceneRaster

LARGEST = 16 * 2**30
"""The largest file, in bytes: ten bands of a Sentinel-2 tile take one or two gigabytes."""

# Seconds to wait before each further attempt.
WAITS = (1, 3, 9)

_BLOCK = 2**20
_KEPT_BLOCKS = 48


class RemoteFile:
    """A file on a server, read in blocks, the latest of which are kept.

    Attributes:
        failure: The error raised while GDAL read it.
    """

    def __init__(self, location: Location) -> None:
        """Request the first block.

        Raises:
            SceneError: The server does not give the file or ranges of its bytes, or the file is too large.
            OSError: The server cannot be reached.
        """
        self._shown = location.shown
        self._session = requests.Session()
        if "@" not in location.text.split("/")[2]:  # else the address has the user's own password
            without_stored_passwords(self._session)
        self._requests = RangeRequests(
            lambda: location.text, lambda: self._session, self._check_redirection, waits=WAITS
        )
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.failure: Exception | None = None
        self._fetch(0, 1)
        if self.size > LARGEST:
            raise SceneError(
                f"{self._shown}: found a file of {self.size / 2**30:.1f} GB; expected at most "
                f"{LARGEST // 2**30} GB. Download the file first."
            )

    @property
    def size(self) -> int:
        """In bytes."""
        return self._requests.size

    @property
    def version(self) -> str:
        """The entity tag, else the time of the last modification; "" if the server gives neither."""
        return self._requests.version

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes from an offset on, fewer at the end of the file.

        Raises:
            SceneError: The file changed, or the server no longer gives it.
            OSError: The server cannot be reached.
        """
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        first, last = offset // _BLOCK, (end - 1) // _BLOCK
        with self._lock:
            data = self._joined(first, last)
        return data[offset - first * _BLOCK : end - first * _BLOCK]

    def _joined(self, first: int, last: int) -> bytes:
        """Blocks by their numbers, missing neighbours requested together."""
        parts = []
        block = first
        while block <= last:
            if block not in self._blocks:
                missing = block + 1
                while missing <= last and missing not in self._blocks:
                    missing += 1
                parts.append(self._fetch(block, missing))
                block = missing
            else:
                self._blocks.move_to_end(block)
                parts.append(self._blocks[block])
                block += 1
        return b"".join(parts)

    def _fetch(self, block: int, end: int) -> bytes:
        try:
            data = self._requests.fetch(block * _BLOCK, end * _BLOCK)
        except UnreadRangeError as failure:
            raise self._error(failure) from failure
        for number in range(block, end):
            begin = (number - block) * _BLOCK
            self._blocks[number] = data[begin : begin + _BLOCK]
        while len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return data

    def _check_redirection(self, address: str, target: str) -> None:
        check_address(target)
        if address.startswith("https://") and not target.startswith("https://"):
            raise SceneError(
                f"{self._shown}: found a redirection from https to http; expected https. Download the file "
                "first."
            )

    def _error(self, failure: UnreadRangeError) -> Exception:
        if failure.reason == "unavailable":
            attempts = "1 attempt" if failure.tries == 1 else f"{failure.tries} attempts"
            return OSError(
                f"{self._shown}: cannot be read from its server ({failure}, {attempts}). Run the command "
                "again once it can be reached."
            )
        if failure.reason == "redirections":
            return SceneError(f"{self._shown}: found {failure}; expected fewer. Download the file first.")
        if failure.reason == "changed":
            return SceneError(
                f"{self._shown}: found another version of the file than at the beginning; expected one that "
                "does not change while it is read. Run the command again."
            )
        if failure.status == 200:
            return SceneError(
                f"{self._shown}: found a server that gives whole files only; expected one that gives ranges "
                "of bytes. Download the file first."
            )
        return SceneError(
            f"{self._shown}: found the answer {failure}; expected a file. Check the address and whether it "
            "has expired."
        )


class RemoteDataset:
    """An open raster of rasterio on a server, whose own errors it raises."""

    def __init__(self, dataset: Any, file: RemoteFile) -> None:
        self._dataset, self._file = dataset, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def read(self, *arguments: Any, **options: Any) -> Any:
        """As rasterio's.

        Raises:
            SceneError: The server no longer gives the file.
            OSError: The server cannot be reached.
        """
        with server_errors(self._file):
            return self._dataset.read(*arguments, **options)

    def read_masks(self, *arguments: Any, **options: Any) -> Any:
        """As rasterio's. Raises as `read`."""
        with server_errors(self._file):
            return self._dataset.read_masks(*arguments, **options)


def open_remote_image(location: Location, files: ExitStack) -> SceneRaster:
    """Open a GeoTIFF on a server.

    Raises:
        SceneError: It is no GeoTIFF, is too large, or cannot be read in ranges of bytes.
        OSError: The server cannot be reached.
    """
    file = RemoteFile(location)
    files.callback(file.close)
    if format_of_bytes(file.read(0, HEAD_BYTES)) != GEOTIFF:
        raise SceneError(
            f"{location.shown}: found a file that is no GeoTIFF; expected one. Download the file first."
        )

    with server_errors(file):
        dataset = open_raster(RASTER_NAME, files, SceneError, name=location.shown, opener=ranged_opener(file))
    remote = RemoteDataset(dataset, file)
    return SceneRaster.of_dataset(
        remote, location.shown, SceneError, state=((location.shown, file.size, file.version),)
    )

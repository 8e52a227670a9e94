"""GeoTIFFs on servers, read by ranges of bytes over `https://`.

Each request is made here rather than by GDAL, so that only the address that the user gave is asked for,
redirections lead to `https://` only, and a file that changes while it is read is noticed.
"""

from __future__ import annotations

import io
import logging
import re
import threading
import time
from collections import OrderedDict
from contextlib import ExitStack
from typing import Any
from urllib.parse import urljoin

import requests

from euromine.support.errors import SceneError
from euromine.support.rasters import open_raster

from .file_formats import GEOTIFF, HEAD_BYTES, format_of_bytes
from .locations import Location, check_address
from .scene_rasters import SceneRaster

logger = logging.getLogger(__name__)

LARGEST = 16 * 2**30
"""The largest file, in bytes: ten bands of a Sentinel-2 tile take one or two gigabytes."""

# Seconds to wait before each further attempt.
WAITS = (1, 3, 9)

_BLOCK = 2**20
_KEPT_BLOCKS = 48
_PACKET = 2**18
_TIMEOUT = (20, 60)  # to connect, and between two packets
_MOST_REDIRECTIONS = 5
_EXPIRED = (401, 403, 404, 410)
_TEMPORARY = (408, 429, 500, 502, 503, 504)
# A wrong address or certificate does not pass.
_LASTING = (requests.exceptions.InvalidURL, requests.exceptions.SSLError)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_NAME = "remote.tif"


class RemoteFile:
    """A file on a server, read in blocks of which the latest are kept.

    Attributes:
        size: In bytes.
        version: The entity tag, else the time of the last modification; "" if the server gives neither.
    """

    def __init__(self, location: Location) -> None:
        """Ask for the first block.

        Raises:
            SceneError: The server does not give the file, or not by ranges of bytes, or it is too large.
            OSError: The server cannot be reached.
        """
        self._address = self._target = location.text
        self._shown = location.shown
        self._session = requests.Session()
        # No passwords from .netrc; those in the address are the user's own.
        self._session.auth = _unchanged if "@" not in location.text.split("/")[2] else None
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.size, self.version = 0, ""
        self.failure: Exception | None = None
        self._fetch(0, 1)
        if self.size > LARGEST:
            raise SceneError(
                f"{self._shown}: found a file of {self.size / 2**30:.1f} GB; expected at most "
                f"{LARGEST // 2**30} GB. Download the file first."
            )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from a place on; fewer at the end of the file.

        Raises:
            SceneError: The file changed, or the server does not give it any more.
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
        """Blocks by their numbers, of which those that are missing are asked for together."""
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
        data = self._bytes(block * _BLOCK, end * _BLOCK)
        for number in range(block, end):
            begin = (number - block) * _BLOCK
            self._blocks[number] = data[begin : begin + _BLOCK]
        while len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return data

    def _bytes(self, begin: int, end: int) -> bytes:
        """A range of bytes, with further attempts where a failure may pass."""
        for tries, wait in enumerate((*WAITS, None), 1):
            try:
                return self._attempt(begin, end)
            except (requests.RequestException, _TemporaryError) as error:
                reason = str(error) if isinstance(error, _TemporaryError) else type(error).__name__
                if wait is None or isinstance(error, _LASTING):
                    attempts = "1 attempt" if tries == 1 else f"{tries} attempts"
                    raise OSError(
                        f"{self._shown}: cannot be read from its server ({reason}, {attempts}). Run the "
                        "command "
                        "again once it can be reached."
                    ) from error
                logger.info("%s: %s; next attempt in %d s.", self._shown, reason, wait)
                time.sleep(wait)
        raise AssertionError

    def _attempt(self, begin: int, end: int) -> bytes:
        headers = {"Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"}
        try:
            with self._answer(headers) as answer:
                self._check(answer, begin)
                expected = min(end, self.size) - begin
                data = b""
                for part in answer.iter_content(_PACKET):
                    data += part
                    if len(data) > expected:
                        break
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
            raise _TemporaryError(type(error).__name__) from error
        if len(data) != expected:
            raise _TemporaryError(f"{len(data)} of {expected} bytes")
        return data

    def _answer(self, headers: dict[str, str]) -> requests.Response:
        """The answer from where earlier redirections led, or from the beginning if that has expired."""
        answer = self._followed(self._target, headers)
        if answer.status_code in _EXPIRED and self._target != self._address:
            answer.close()
            answer = self._followed(self._address, headers)
        return answer

    def _followed(self, address: str, headers: dict[str, str]) -> requests.Response:
        """The answer at the end of all redirections, each of which is checked."""
        for _ in range(_MOST_REDIRECTIONS + 1):
            answer = self._session.get(
                address, headers=headers, stream=True, timeout=_TIMEOUT, allow_redirects=False
            )
            target = answer.headers.get("Location") if answer.is_redirect else None
            if target is None:
                self._target = address
                return answer
            answer.close()
            target = urljoin(address, target)
            check_address(target)
            if address.startswith("https://") and not target.startswith("https://"):
                raise SceneError(
                    f"{self._shown}: found a redirection from https to http; expected https. Download the "
                    "file first."
                )
            address = target
        raise SceneError(
            f"{self._shown}: found more than {_MOST_REDIRECTIONS} redirections; expected fewer. Download "
            "the file first."
        )

    def _check(self, answer: requests.Response, begin: int) -> None:
        """Check an answer's status and range, and that the file is still the same."""
        if answer.status_code in _TEMPORARY:
            raise _TemporaryError(f"status {answer.status_code}")
        if answer.status_code == 200:
            raise SceneError(
                f"{self._shown}: found a server that gives whole files only; expected one that gives ranges "
                f"of bytes. Download the file first."
            )
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if answer.status_code != 206 or found is None or int(found[1]) != begin:
            raise SceneError(
                f"{self._shown}: found the answer {answer.status_code} {answer.reason}; expected a file. "
                "Check the address and whether it has expired."
            )
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if not self.size:
            self.size, self.version = int(found[3]), version
        elif (self.size, self.version) != (int(found[3]), version):
            raise SceneError(
                f"{self._shown}: found another version of the file than at the beginning; expected one that "
                "does not change while it is read. Run the command again."
            )


class _TemporaryError(Exception):
    """A failure that may pass."""


class _Handle(io.RawIOBase):
    """A remote file for GDAL, to which failures are told as an end of the file."""

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._place = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + (0, self._place, self._file.size)[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        length = self._file.size - self._place if size < 0 else size
        try:
            data = self._file.read(self._place, length)
        except (SceneError, OSError) as error:
            # rasterio prints what is raised here, and GDAL would not know it.
            self._file.failure = error
            return b""
        self._place += len(data)
        return data


class RemoteDataset:
    """An open raster of rasterio whose failures to read say what the server answered."""

    def __init__(self, dataset: Any, file: RemoteFile) -> None:
        self._dataset, self._file = dataset, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def read(self, *arguments: Any, **options: Any) -> Any:
        """As rasterio's.

        Raises:
            SceneError: The server does not give the file any more.
            OSError: The server cannot be reached.
        """
        return self._told(self._dataset.read, *arguments, **options)

    def read_masks(self, *arguments: Any, **options: Any) -> Any:
        """As rasterio's. Raises as `read`."""
        return self._told(self._dataset.read_masks, *arguments, **options)

    def _told(self, method: Any, *arguments: Any, **options: Any) -> Any:
        self._file.failure = None
        try:
            return method(*arguments, **options)
        except Exception as error:
            if self._file.failure is not None:
                raise self._file.failure from error
            raise


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

    def opener(path: str, mode: str = "rb", **_: Any) -> _Handle:
        # rasterio tries an opener with the name "test".
        if path not in (_NAME, "test") or "r" not in mode:
            raise FileNotFoundError(path)
        return _Handle(file)

    try:
        dataset = open_raster(_NAME, files, SceneError, name=location.shown, opener=opener)
    except SceneError as error:
        if file.failure is not None:
            raise file.failure from error
        raise
    remote = RemoteDataset(dataset, file)
    return SceneRaster.of_dataset(
        remote, location.shown, SceneError, state=((location.shown, file.size, file.version),)
    )


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request

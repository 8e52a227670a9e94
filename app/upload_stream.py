"""Receive an upload: a multipart body whose files go to the disk as they arrive, within limits.

Starlette's own parser puts files of any size into the system's temporary folder first.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from euromine.support.errors import ArgumentError, DataError
from euromine.support.files import full_disk_error

from .app_errors import TooLarge
from .job_limits import JobLimits
from .job_records import shown_name
from .uploaded_images import TIFF_MAGIC

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_FILES, _YEARS, _TEXTS = ("files", "files[]"), ("years", "years[]"), ("model", "name", "options")
_LARGEST_FIELD = 64 * 2**10
_MAGIC = 4


@dataclass(frozen=True)
class ReceivedFile:
    """A file of an upload.

    Attributes:
        path: Where it is.
        name: The visitor's name for it, for messages.
        size: Bytes.
    """

    path: Path
    name: str
    size: int


@dataclass
class Received:
    """The parts of an upload.

    Attributes:
        files: In the order of the body.
        years: Texts, in the order of the body.
        texts: "model", "name" and "options".
    """

    files: list[ReceivedFile] = field(default_factory=list)
    years: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)


async def receive_upload(request: Request, folder: Path, limits: JobLimits) -> Received:
    """Read an upload, its files to a folder.

    Args:
        request: Its body has not been read yet.
        folder: An existing folder of the app.
        limits: The limits.

    Raises:
        TooLarge: A file is too large, or there are too many.
        ArgumentError: The body is no form, or has an unknown or unnamed part.
        DataError: A file is no TIFF, or the upload stopped.
        OSError: The disk is full.
    """
    _, parameters = parse_options_header(request.headers.get("content-type"))
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise ArgumentError("body: found no boundary; expected multipart/form-data.")
    _check_disk(folder, int(request.headers.get("content-length") or 0), limits)
    writer = _Writer(folder, limits)
    try:
        parser = MultipartParser(boundary, writer.callbacks())
        async for chunk in _in_time(request.stream(), limits.idle_seconds):
            await run_in_threadpool(parser.write, chunk)
        if not writer.is_whole:
            raise DataError("body: found an upload that stopped before its end; expected a whole one.")
    except FormParserError as error:
        raise ArgumentError(f"body: found no sound multipart form ({error}); expected one.") from None
    except ClientDisconnect:
        raise DataError("body: found an upload that stopped before its end; expected a whole one.") from None
    finally:
        writer.close()
    return writer.received


async def _in_time(stream: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    """The parts of a stream.

    Raises:
        DataError: None comes for too long.
    """
    while True:
        try:
            yield await asyncio.wait_for(anext(stream), seconds)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise DataError(
                f"body: found no data for {seconds:.3g} seconds; expected an upload that goes on. Try again."
            ) from None


def _check_disk(folder: Path, size: int, limits: JobLimits) -> None:
    """Refuse an upload that the disk has no room for.

    Raises:
        OSError: It has none.
    """
    needed = size + limits.reserve_bytes
    if shutil.disk_usage(folder).free < needed:
        raise full_disk_error(folder, "an upload", needed=needed, advice="")


class _Writer:
    """Writes the files of a multipart body, called by its parser.

    Args:
        folder: The folder for the files.
        limits: The limits.
    """

    def __init__(self, folder: Path, limits: JobLimits) -> None:
        self.received = Received()
        self.is_whole = False
        self._folder, self._limits = folder, limits
        self._header, self._value = b"", b""
        self._disposition = b""
        self._name, self._shown, self._data = "", "", b""
        self._file: IO[bytes] | None = None
        self._path = folder
        self._size = self._parts = 0

    def callbacks(self) -> MultipartCallbacks:
        """The functions for the parser."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_header,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._write,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def close(self) -> None:
        """Close a file that was not received in full."""
        if self._file is not None:
            with suppress(OSError):  # a full disk was reported already
                self._file.close()

    def _begin(self) -> None:
        self._disposition, self._data, self._size = b"", b"", 0
        self._parts += 1
        if self._parts > 2 * self._limits.files + len(_TEXTS) + 1:
            raise TooLarge("body: found too many parts; expected a file and a year for each image.")

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _open(self) -> None:
        """Begin a part whose headers are complete."""
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name not in (*_FILES, *_YEARS, *_TEXTS):
            raise ArgumentError(
                f"body: found a part {self._name[:40]!r}; expected files, years, model, name and options."
            )
        if self._name not in _FILES:
            return
        number = len(self.received.files)
        if number >= self._limits.files:
            raise TooLarge(
                f"files: found more than {self._limits.files}; expected at most that. Upload one "
                "image per year."
            )
        self._shown = shown_name(options.get(b"filename", b"").decode("utf-8", "replace"))
        self._path = self._folder / f"part{number}.tif"
        self._file = self._path.open("xb")

    def _write(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._file is None:
            if self._size > _LARGEST_FIELD:
                raise TooLarge(f"{self._name}: found a long text; expected at most {_LARGEST_FIELD} bytes.")
            self._data += data[start:end]
            return
        if self._size > self._limits.file_bytes:
            raise TooLarge(
                f"{self._shown}: found more than {self._limits.file_bytes // 2**20:,} MiB; expected at most "
                "that. Cut it to the mine and its surroundings with gdal_translate -projwin."
            )
        if len(self._data) < _MAGIC:
            self._data += data[start : min(end, start + _MAGIC - len(self._data))]
            self._check_magic()
        self._file.write(memoryview(data)[start:end])

    def _check_magic(self) -> None:
        if len(self._data) == _MAGIC and self._data not in TIFF_MAGIC:
            raise DataError(
                f"{self._shown}: found no TIFF; expected a GeoTIFF. Convert it with gdal_translate."
            )

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            if len(self._data) < _MAGIC:
                raise DataError(f"{self._shown}: found an empty file; expected a GeoTIFF.")
            self.received.files.append(ReceivedFile(self._path, self._shown, self._size))
            return
        text = self._data.decode("utf-8", "replace")
        if self._name in _YEARS:
            if len(self.received.years) >= self._limits.files:
                raise TooLarge(f"years: found more than {self._limits.files}; expected one per file.")
            self.received.years.append(text)
        else:
            self.received.texts[self._name] = text

    def _finish(self) -> None:
        self.is_whole = True

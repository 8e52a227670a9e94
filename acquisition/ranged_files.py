"""Files on servers by ranges of bytes, through every fault that passes.

Each range is asked for again until it has come whole, so that a dropped connection or a refusal costs one
request and not what was read before. GDAL's own client does not repeat requests whose connection was dropped,
and remembers a file that was missing once.
"""

from __future__ import annotations

import io
import re
import threading
import time
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any
from urllib.parse import urljoin, urlsplit

from euromine.support.errors import SceneError

from .catalogues import host_of, is_trusted, missing_acquire, signed_link
from .scene_items import RefusedItemError

_TRIES = 6
_PAUSE = 0.25  # seconds before the second try, doubled before each further one
_LONGEST_WAIT = 60.0
_TIMEOUT = (15, 60)  # to connect, and between two packets
_MOST_REDIRECTIONS = 5
_MISSING, _DENIED = (404, 410), (401, 403)
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)

_HEAD_BYTES = 32 * 2**10  # the header of a scene
_LEAST_BYTES = 64 * 2**10
# Ranges so close are asked for together, in requests of at most so many bytes.
_GAP, _MOST_BYTES = 64 * 2**10, 8 * 2**20
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

_sessions = threading.local()


class _PassingError(Exception):
    """A failure that may pass; `status` is the server's answer, 0 without any."""

    def __init__(self, words: str, status: int = 0, wait: float = 0.0) -> None:
        super().__init__(words)
        self.status, self.wait = status, wait


class RangedFile:
    """A file on a server, of which the ranges that were read are kept.

    Attributes:
        size: In bytes.
        failure: What went wrong while GDAL read it.
    """

    def __init__(self, name: str, item: str, link: str, needs_signature: bool) -> None:
        """Ask for the first bytes.

        Args:
            name: In error messages.
            item: The item that it belongs to.
            link: Where it is, unsigned.
            needs_signature: Whether the link has to be signed.

        Raises:
            RefusedItemError: The server does not have the file, or not by ranges.
            OSError: The server does not answer, or gives no access.
        """
        self._name, self._item = name, item
        self._link, self._needs_signature = link, needs_signature
        self._starts: list[int] = []
        self._parts: list[bytes] = []
        self.size, self._version = 0, ""
        self.failure: Exception | None = None
        self._fetch(0, _HEAD_BYTES)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from a place on; fewer at the end of the file. Errors as for the constructor."""
        end = min(offset + length, self.size)
        data = bytearray()
        while offset < end:
            place = bisect_right(self._starts, offset) - 1
            part, start = (self._parts[place], self._starts[place]) if place >= 0 else (b"", 0)
            if offset - start >= len(part):
                following = self._starts[place + 1] if place + 1 < len(self._starts) else self.size
                self._fetch(offset, min(max(end, offset + _LEAST_BYTES), following))
                continue
            data += part[offset - start : end - start]
            offset = start + min(len(part), end - start)
        return bytes(data)

    def prefetch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Ask for ranges (offset and length) in as few requests as their distances allow.

        Errors as for the constructor.
        """
        begin = end = 0
        for offset, length in sorted(ranges):
            if length <= 0 or self._has(offset, length):
                continue
            if end and (offset - end > _GAP or offset + length - begin > _MOST_BYTES):
                self._fetch_missing(begin, end)
                end = 0
            begin = begin if end else offset
            end = max(end, offset + length)
        if end:
            self._fetch_missing(begin, end)

    def forget(self) -> None:
        """Drop all ranges but the first, that of the header."""
        del self._starts[1:], self._parts[1:]

    def _has(self, offset: int, length: int) -> bool:
        place = bisect_right(self._starts, offset) - 1
        return place >= 0 and offset + length <= self._starts[place] + len(self._parts[place])

    def _fetch_missing(self, begin: int, end: int) -> None:
        """Ask for a range but for what earlier ones have of it at its beginning and its end."""
        place = bisect_right(self._starts, begin) - 1
        if place >= 0:
            begin = max(begin, min(self._starts[place] + len(self._parts[place]), end))
        place = bisect_right(self._starts, begin)
        if begin < end and (place == len(self._starts) or self._starts[place] >= end):
            self._fetch(begin, end)

    def _fetch(self, begin: int, end: int) -> None:
        data = self._with_retries(begin, end)
        place = bisect_right(self._starts, begin)
        self._starts.insert(place, begin)
        self._parts.insert(place, data)

    def _with_retries(self, begin: int, end: int) -> bytes:
        failure = _PassingError("no try")
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(max(_PAUSE * 2 ** (attempt - 1), failure.wait))
            try:
                return self._attempt(begin, end)
            except _PassingError as error:
                failure = error
        raise self._error(failure)

    def _attempt(self, begin: int, end: int) -> bytes:
        try:
            import requests
            import urllib3
        except ImportError as error:
            raise missing_acquire(error) from None
        headers = {"Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"}
        try:
            with self._answer(headers) as answer:
                self._check(answer, begin)
                expected = min(end, self.size) - begin
                data: bytes = answer.raw.read(expected, decode_content=False)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError) as error:
            raise _PassingError(type(error).__name__) from error
        if len(data) != expected:
            raise _PassingError("the answer ended early")
        return data

    def _answer(self, headers: dict[str, str]) -> Any:
        """The server's answer at the end of all redirections, each of which is checked."""
        address = signed_link(self._link, self._needs_signature)
        for _ in range(_MOST_REDIRECTIONS + 1):
            answer = _session().get(
                address, headers=headers, stream=True, timeout=_TIMEOUT, allow_redirects=False
            )
            if not answer.is_redirect:
                return answer
            answer.close()
            address = urljoin(address, answer.headers["Location"])
            if not is_trusted(address, host_of(self._link)):
                break
        raise RefusedItemError(
            f"{self._name}: found a redirection to {address[:100]!r}; expected the file, or https.",
            item=self._item,
        )

    def _check(self, answer: Any, begin: int) -> None:
        status = answer.status_code
        if status in _TEMPORARY or status in _MISSING or status in _DENIED:
            asked = answer.headers.get("Retry-After", "")
            wait = min(float(asked), _LONGEST_WAIT) if asked.isdecimal() else 0.0
            raise _PassingError(str(status), status, wait)
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if status != 206 or found is None or int(found[1]) != begin:
            raise RefusedItemError(
                f"{self._name}: found the answer {status} to a range of bytes; expected that range of a "
                "file.",
                item=self._item,
            )
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if not self.size:
            self.size, self._version = int(found[3]), version
        elif (self.size, self._version) != (int(found[3]), version):
            raise OSError(f"{self._name}: the file changed while it was read. Run the same command again.")

    def _error(self, failure: _PassingError) -> Exception:
        host = urlsplit(self._link).netloc
        if failure.status in _MISSING:
            return RefusedItemError(
                f"{self._name}: found no such file at {host} ({failure.status}); expected what its catalogue "
                "lists.",
                item=self._item,
            )
        if failure.status in _DENIED:
            advice = " Set PC_SDK_SUBSCRIPTION_KEY to a key of your own." if self._needs_signature else ""
            return OSError(f"{self._name}: {host} gives no access ({failure.status}).{advice}")
        return OSError(
            f"{self._name}: {host} does not give out the file ({failure}). Run the same command again to "
            "resume."
        )


class RangedReader(io.RawIOBase):
    """A ranged file for GDAL, to which failures are told as an end of the file."""

    def __init__(self, file: RangedFile) -> None:
        self._file, self._place = file, 0

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        self._place = offset + (0, self._place, self._file.size)[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:  # noqa: D102
        length = self._file.size - self._place if size < 0 else size
        try:
            data = self._file.read(self._place, length)
        except (SceneError, OSError) as error:
            self._file.failure = error  # rasterio would print it, and GDAL not know it
            return b""
        self._place += len(data)
        return data


def _session() -> Any:
    """The connections of this thread, which stay open between files."""
    if not hasattr(_sessions, "session"):
        import requests

        _sessions.session = requests.Session()
        _sessions.session.auth = _unchanged  # no passwords from .netrc for hosts that a catalogue names
    return _sessions.session


def _unchanged(request: Any) -> Any:
    return request

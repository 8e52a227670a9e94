"""Byte ranges of a file on a server, requested again after temporary failures.

Each range is requested until it arrives whole, so that a dropped connection or a refusal costs one request
and none of the data before it. GDAL's own client does not repeat requests whose connection was dropped,
remembers a file that was missing once, and follows redirections to anywhere.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import urljoin

import requests
import urllib3

from .errors import SceneError
from .rasters import gdal_errors

MISSING, DENIED = (404, 410), (401, 403)
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
"""Temporary states of a server."""

RASTER_NAME = "remote.tif"
"""The name by which rasterio opens a file on a server."""

_LONGEST_WAIT = 60.0
_TIMEOUT = (15, 60)  # to connect, and between two packets
_MOST_REDIRECTIONS = 5
# A wrong address or certificate does not pass.
_LASTING = (requests.exceptions.InvalidURL, requests.exceptions.SSLError)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class UnreadRangeError(Exception):
    """A range that cannot be read; the caller puts it into its own words.

    Attributes:
        reason: "changed": the file has been replaced. "redirections": too many. "unexpected": the
            server answered with something else than a range, `status` 200 for a whole file. "unavailable": it
            did not give the range in `tries` attempts.
        status: The server's last answer; 0 if it gave none.
        tries: Number of attempts.
    """

    def __init__(self, reason: str, words: str, status: int = 0, tries: int = 1) -> None:
        super().__init__(words)
        self.reason, self.status, self.tries = reason, status, tries


class _PassingError(Exception):
    """A failure that may pass."""

    def __init__(self, words: str, status: int = 0, wait: float = 0.0, lasts: bool = False) -> None:
        super().__init__(words)
        self.status, self.wait, self.lasts = status, wait, lasts


class RangeRequests:
    """Asks a server for ranges of one file.

    Args:
        address: Returns the file's address before each attempt, newly signed if necessary.
        session: Returns the session to use.
        check_redirection: Called with an address and its target; raises an error to refuse it.
        waits: Seconds before each further attempt; a longer Retry-After takes precedence.
        passing: Answers after which a further attempt may succeed.

    Attributes:
        size: In bytes; 0 before the first range.
        version: The entity tag, else the time of the last modification; "" if the server gives neither.
    """

    def __init__(
        self,
        address: Callable[[], str],
        session: Callable[[], requests.Session],
        check_redirection: Callable[[str, str], None],
        *,
        waits: Sequence[float],
        passing: Collection[int] = TEMPORARY,
    ) -> None:
        self._address, self._session, self._check_redirection = address, session, check_redirection
        self._waits, self._passing = waits, passing
        self._target: str | None = None
        self.size, self.version = 0, ""

    def fetch(self, begin: int, end: int) -> bytes:
        """Bytes from `begin` to before `end`, or to the end of the file.

        Raises:
            UnreadRangeError: They cannot be read.
        """
        for tries, wait in enumerate((*self._waits, None), 1):
            try:
                return self._attempt(begin, end)
            except _PassingError as error:
                if wait is None or error.lasts:
                    raise UnreadRangeError("unavailable", str(error), error.status, tries) from error
                time.sleep(max(wait, error.wait))
        raise AssertionError

    def _attempt(self, begin: int, end: int) -> bytes:
        headers = {"Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"}
        try:
            with self._answer(headers) as answer:
                self._check(answer, begin)
                expected = min(end, self.size) - begin
                data: bytes = answer.raw.read(expected, decode_content=False)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError) as error:
            raise _PassingError(type(error).__name__, lasts=isinstance(error, _LASTING)) from error
        if len(data) != expected:
            raise _PassingError("the answer ended early")
        return data

    def _answer(self, headers: dict[str, str]) -> requests.Response:
        """The answer from where earlier redirections led, or from the beginning if that has expired."""
        if self._target is not None:
            answer = self._followed(self._target, headers)
            if answer.status_code not in (*MISSING, *DENIED):
                return answer
            answer.close()
            self._target = None
        return self._followed(self._address(), headers)

    def _followed(self, address: str, headers: dict[str, str]) -> requests.Response:
        """The answer at the end of all redirections, each of which is checked."""
        for redirections in range(_MOST_REDIRECTIONS + 1):
            answer = self._session().get(
                address, headers=headers, stream=True, timeout=_TIMEOUT, allow_redirects=False
            )
            target = answer.headers.get("Location") if answer.is_redirect else None
            if target is None:
                if redirections:
                    self._target = address
                return answer
            answer.close()
            target = urljoin(address, target)
            self._check_redirection(address, target)
            address = target
        raise UnreadRangeError("redirections", f"more than {_MOST_REDIRECTIONS} redirections")

    def _check(self, answer: requests.Response, begin: int) -> None:
        """Check an answer's status and range, and that the file is still the same."""
        status = answer.status_code
        if status in self._passing:
            asked = answer.headers.get("Retry-After", "")
            wait = min(float(asked), _LONGEST_WAIT) if asked.isdecimal() else 0.0
            raise _PassingError(f"status {status}", status, wait)
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if status != 206 or found is None or int(found[1]) != begin:
            raise UnreadRangeError("unexpected", f"{status} {answer.reason}", status)
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if not self.size:
            self.size, self.version = int(found[3]), version
        elif (self.size, self.version) != (int(found[3]), version):
            raise UnreadRangeError("changed", "the file changed while it was read")


class ReadByRanges(Protocol):
    """A file that `RangedReader` makes readable for GDAL.

    Attributes:
        size: In bytes.
        failure: The error raised while GDAL read it; set by the reader.
    """

    failure: Exception | None

    @property
    def size(self) -> int:
        """In bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from a place on; fewer at the end of the file."""


class RangedReader(io.RawIOBase):
    """A file on a server for GDAL, which sees a failure as the end of the file."""

    def __init__(self, file: ReadByRanges) -> None:
        self._file, self._place = file, 0

    def readable(self) -> bool:
        """True, as GDAL only reads."""
        return True

    def seekable(self) -> bool:
        """True, as any range can be requested."""
        return True

    def tell(self) -> int:
        """The current place, in bytes."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place; nothing is requested."""
        self._place = offset + (0, self._place, self._file.size)[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes from the current place; none after a failure, which the file then holds."""
        length = self._file.size - self._place if size < 0 else size
        try:
            data = self._file.read(self._place, length)
        except (SceneError, OSError) as error:
            self._file.failure = error  # raised, rasterio would print it and GDAL not notice it
            return b""
        self._place += len(data)
        return data


def ranged_opener(file: ReadByRanges) -> Callable[..., RangedReader]:
    """An opener for `rasterio.open` by which GDAL reads a file as `RASTER_NAME`, and nothing else."""

    def opener(path: str, mode: str = "rb", **_: Any) -> RangedReader:
        # rasterio tries an opener with the name "test".
        if path not in (RASTER_NAME, "test") or "r" not in mode:
            raise FileNotFoundError(path)
        return RangedReader(file)

    return opener


@contextmanager
def server_errors(file: ReadByRanges) -> Iterator[None]:
    """Raise the failure of a file on a server instead of the error that GDAL makes of it in the block."""
    file.failure = None
    failures: tuple[type[Exception], ...] = (SceneError, *gdal_errors())
    try:
        yield
    except failures as error:
        if file.failure is not None:
            raise file.failure from error
        raise


def without_stored_passwords(session: requests.Session) -> requests.Session:
    """The same session, without passwords from .netrc for the hosts that it is redirected to."""
    session.auth = _unchanged
    return session


def _unchanged(request: Any) -> Any:
    return request

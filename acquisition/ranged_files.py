"""Files on servers, read by ranges of bytes: ranges are kept, and close ones are requested together."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterable
from urllib.parse import urlsplit

import requests

from euromine.support.ranged_requests import (
    DENIED,
    MISSING,
    TEMPORARY,
    RangeRequests,
    UnreadRangeError,
    without_stored_passwords,
)

from .catalogues import host_of, is_trusted, signed_link
from .scene_items import RefusedItemError

# Seconds before each further try. Servers under load may report files as missing or denied for a moment.
_WAITS = (0.25, 0.5, 1.0, 2.0, 4.0)
_PASSING = (*TEMPORARY, *MISSING, *DENIED)

_HEAD_BYTES = 32 * 2**10  # the header of a scene
_LEAST_BYTES = 64 * 2**10
# Ranges with smaller gaps are requested together, up to a largest request.
_GAP, _MOST_BYTES = 64 * 2**10, 8 * 2**20


class RangedFile:
    """A file on a server, read by ranges that are kept.

    Attributes:
        size: In bytes.
        failure: The error raised while GDAL read it.
    """

    def __init__(self, name: str, item: str, link: str, needs_signature: bool) -> None:
        """Request the first bytes.

        Args:
            name: In error messages.
            item: The item that it belongs to.
            link: Where it is, unsigned.
            needs_signature: Whether the link has to be signed.

        Raises:
            RefusedItemError: The server does not have the file, or does not serve ranges of it.
            OSError: The server does not answer, or denies access.
        """
        self._name, self._item, self._link = name, item, link
        self._needs_signature = needs_signature
        self._starts: list[int] = []
        self._parts: list[bytes] = []
        self._requests = RangeRequests(
            lambda: signed_link(link, needs_signature),
            _session,
            self._check_redirection,
            waits=_WAITS,
            passing=_PASSING,
        )
        self.failure: Exception | None = None
        self._fetch(0, _HEAD_BYTES)

    @property
    def size(self) -> int:
        """In bytes."""
        return self._requests.size

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes from an offset on, fewer at the end of the file. Errors as for the constructor."""
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
        """Request ranges (offset and length), close ones together.

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
        """Drop all ranges but the first, the header."""
        del self._starts[1:], self._parts[1:]

    def _has(self, offset: int, length: int) -> bool:
        place = bisect_right(self._starts, offset) - 1
        return place >= 0 and offset + length <= self._starts[place] + len(self._parts[place])

    def _fetch_missing(self, begin: int, end: int) -> None:
        """Request a range without its kept beginning. Gaps between further kept parts are left to `read`."""
        place = bisect_right(self._starts, begin) - 1
        if place >= 0:
            begin = max(begin, min(self._starts[place] + len(self._parts[place]), end))
        place = bisect_right(self._starts, begin)
        if begin < end and (place == len(self._starts) or self._starts[place] >= end):
            self._fetch(begin, end)

    def _fetch(self, begin: int, end: int) -> None:
        try:
            data = self._requests.fetch(begin, end)
        except UnreadRangeError as failure:
            raise self._error(failure) from failure
        place = bisect_right(self._starts, begin)
        self._starts.insert(place, begin)
        self._parts.insert(place, data)

    def _check_redirection(self, address: str, target: str) -> None:
        if not is_trusted(target, host_of(self._link)):
            raise RefusedItemError(
                f"{self._name}: found a redirection to {target[:100]!r}; expected the file, or https.",
                item=self._item,
            )

    def _error(self, failure: UnreadRangeError) -> Exception:
        host = urlsplit(self._link).netloc
        if failure.reason == "changed":
            return OSError(f"{self._name}: the file changed while it was read. Run the same command again.")
        if failure.reason != "unavailable":
            return RefusedItemError(
                f"{self._name}: found {failure} for a range of bytes; expected that range of a file.",
                item=self._item,
            )
        if failure.status in MISSING:
            return RefusedItemError(
                f"{self._name}: found no such file at {host} ({failure.status}); expected what its catalogue "
                "lists.",
                item=self._item,
            )
        if failure.status in DENIED:
            advice = " Set PC_SDK_SUBSCRIPTION_KEY to a key of your own." if self._needs_signature else ""
            return OSError(f"{self._name}: {host} gives no access ({failure.status}).{advice}")
        return OSError(
            f"{self._name}: {host} does not give out the file ({failure.status or failure}). Run the same "
            "command again to resume."
        )


_sessions = threading.local()


def _session() -> requests.Session:
    """This thread's session, whose connections stay open between files."""
    if not hasattr(_sessions, "session"):
        _sessions.session = without_stored_passwords(requests.Session())
    session: requests.Session = _sessions.session
    return session

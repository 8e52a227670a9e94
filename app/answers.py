"""Every answer: headers of security, ETag and 304, compression, and an id for a bug."""

from __future__ import annotations

import gzip
import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .app_errors import bug_answer
from .app_settings import AppSettings

_HUB = ("https://huggingface.co", "https://*.hf.space")
_NOTEBOOKS = ("http://localhost:*", "http://127.0.0.1:*", "vscode-webview:")
_COMPRESSED = ("application/json", "application/geo+json", "application/atom+xml", "text/", "image/svg+xml")
_LEAST_COMPRESSED = 1000
# Level 9 takes three times as long for a few per cent.
_LEVEL = 5


class Answers:
    """Completes every answer (ASGI): security, validation by ETag, compression, bugs.

    Args:
        app: The app behind.
        settings: The settings.
    """

    def __init__(self, app: ASGIApp, settings: AppSettings) -> None:
        self.app = app
        self.headers = security_headers(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and complete its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(scope, send, self.headers)
        if scope["method"] == "HEAD":  # answered like GET; the server leaves the body out, by its own scope
            scope = {**scope, "method": "GET"}
        try:
            await self.app(scope, receive, answer.send)
        except Exception as error:  # a bug is logged and gets an id
            if answer.has_begun:
                raise
            await bug_answer(error, scope["path"])(scope, receive, answer.send)


class _Answer:
    """An answer on its way: its start is held back until its first body shows whether it is whole."""

    def __init__(self, scope: Scope, send: Send, headers: dict[str, str]) -> None:
        self._request = Headers(scope=scope)
        self._is_get = scope["method"] in ("GET", "HEAD")
        self._send, self._headers = send, headers
        self._start: Message | None = None
        self.has_begun = self._is_unchanged = False

    async def send(self, message: Message) -> None:
        """Complete a message and send it on."""
        if message["type"] == "http.response.start":
            self._start = message
            headers = MutableHeaders(raw=message["headers"])
            for name, value in self._headers.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-cache, private")
            message["headers"] = headers.raw
            return
        if self._start is not None and message["type"] == "http.response.body":
            start, self._start = self._start, None
            self._finish(start, message)
            self.has_begun = True
            await self._send(start)
        if self._is_unchanged:
            message["body"] = b""
        await self._send(message)

    def _finish(self, start: Message, message: Message) -> None:
        """Validate an answer, and compress it if it is whole."""
        headers, body = MutableHeaders(raw=start["headers"]), message.get("body", b"")
        is_whole = not message.get("more_body", False)
        if start["status"] != 200 or not body:
            return
        if self._is_get and is_whole and "etag" not in headers:
            headers["ETag"] = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        tag = headers.get("etag", "")
        if self._is_get and tag and tag in self._request.get("if-none-match", ""):
            start["status"], self._is_unchanged = 304, True
            del headers["content-length"]
        elif is_whole and _is_compressible(headers, body):
            headers.add_vary_header("Accept-Encoding")
            if "gzip" in self._request.get("accept-encoding", ""):
                message["body"] = gzip.compress(body, _LEVEL, mtime=0)
                headers["Content-Encoding"] = "gzip"
                headers["Content-Length"] = str(len(message["body"]))
        start["headers"] = headers.raw


def _is_compressible(headers: MutableHeaders, body: bytes) -> bool:
    kind = headers.get("content-type", "")
    return (
        len(body) >= _LEAST_COMPRESSED and kind.startswith(_COMPRESSED) and "content-encoding" not in headers
    )


def security_headers(settings: AppSettings) -> dict[str, str]:
    """The headers of every answer that has no others under the same names."""
    images = ("'self'", "data:", "blob:", *([settings.basemap.host] if settings.basemap else ()))
    frames = ("'self'", *(_HUB if settings.is_space else ()), *(_NOTEBOOKS if settings.in_notebook else ()))
    policy = (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        f"img-src {' '.join(images)}",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        f"frame-ancestors {' '.join(frames)}",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        # Servers of tiles ask for the page's origin.
        "Referrer-Policy": "strict-origin-when-cross-origin" if settings.basemap else "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }

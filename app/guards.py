"""Guards before every route: host, origin, size, kind of body, and signing in."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .app_errors import error_answer
from .app_settings import AppSettings

LARGEST_BODY = 2**20
# The largest bodies by the end of their path; images have a limit of their own.
_LARGEST = {"/area": 300 * 2**10, "/review": 64 * 2**10, "/sign-in": 16 * 2**10, "/sign-out": 2**10}
_UPLOAD = "/api/jobs"
_JSON = ("application/json", "application/geo+json")
_FORM = "application/x-www-form-urlencoded"
_READING = ("GET", "HEAD", "OPTIONS")
# Open to everybody, as they hold nothing about a site.
_PUBLIC = (
    "/healthz",
    "/sign-in",
    "/sign-in/hub",
    "/sign-in/hub/back",
    "/static/styles/server_pages.css",
    "/static/modules/sign_in.js",
    "/static/icon.svg",
    "/favicon.ico",
)

Sessions = Callable[[Mapping[str, str]], "str | None"]
"""From the cookies of a request to the name of the person who signed in."""


class Guards:
    """Refuses requests before any route sees them (ASGI).

    Args:
        app: The app behind.
        settings: The settings.
        sessions: The name of the person who signed in, from a request's cookies.
        is_offered: Whether a path is offered at all; None for every path that a route knows.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: AppSettings,
        sessions: Sessions,
        is_offered: Callable[[str], bool] | None = None,
    ) -> None:
        self.app, self.settings, self.sessions, self.is_offered = app, settings, sessions, is_offered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused; pass on the others with their user."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # no route has one
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        user = self._user(headers)
        refusal = self._refusal(path, method, headers, user)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        scope["state"] = {**scope.get("state", {}), "user": user}
        await self.app(scope, _limited(receive, self._largest(path)), send)

    def _user(self, headers: Headers) -> str | None:
        if not self.settings.has_sign_in:
            return None
        return self.sessions(cookie_parser(headers.get("cookie", "")))

    def _refusal(self, path: str, method: str, headers: Headers, user: str | None) -> Response | None:
        if self.is_offered is not None and not self.is_offered(path):
            return error_answer(404, "Not Found")
        refusal = self._foreign_host(headers)
        if refusal is None and method not in _READING:
            refusal = self._foreign_origin(headers) or self._unfit_body(path, method, headers)
        if refusal is None and self.settings.has_sign_in and user is None and path not in _PUBLIC:
            if method == "GET" and "text/html" in headers.get("accept", ""):
                return RedirectResponse("/sign-in", 303)
            return error_answer(401, "user: found nobody signed in; expected a member. Sign in at /sign-in.")
        return refusal

    def _foreign_host(self, headers: Headers) -> Response | None:
        """Refuse a name that somebody else's DNS may lead to this machine (DNS rebinding)."""
        if not self.settings.is_local or self.settings.has_sign_in:
            return None
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        address = self.settings.address
        expected = {self.settings.host, urlsplit(address).hostname if address else None}
        if host in expected or "." not in host or host.endswith(".localhost") or _is_address(host):
            return None
        return error_answer(
            421,
            f"Host: found {host[:100]!r}; expected localhost. Where a proxy offers the app under another "
            "name, start it with --address.",
        )

    def _foreign_origin(self, headers: Headers) -> Response | None:
        """Refuse a request that another site makes a visitor's browser send (CSRF)."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        hosts = {headers.get("host"), urlsplit(self.settings.address or "").netloc or None}
        if site not in (None, "same-origin", "none") or (
            origin is not None and urlsplit(origin).netloc not in hosts
        ):
            return error_answer(403, "Origin: found another site; expected a request of the app's own pages.")
        return None

    def _unfit_body(self, path: str, method: str, headers: Headers) -> Response | None:
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._largest(path):
            return error_answer(413, _too_large(self._largest(path)))
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        expected = _kinds(path)
        if method == "DELETE" or not path.startswith("/api/") or kind in expected:
            return None
        return error_answer(
            415, f"Content-Type: found {kind[:60] or 'none'!r}; expected {' or '.join(expected)}."
        )

    def _largest(self, path: str) -> int:
        if path == _UPLOAD:
            return self.settings.largest_upload
        return next((size for end, size in _LARGEST.items() if path.endswith(end)), LARGEST_BODY)


def _kinds(path: str) -> tuple[str, ...]:
    """The kinds of body that a path reads."""
    if path == _UPLOAD:
        return ("multipart/form-data",)
    return (*_JSON, _FORM) if path.endswith("/report") else _JSON


def _limited(receive: Receive, largest: int) -> Receive:
    """Stop reading a body that turns out larger than its headers said."""
    read = 0

    async def limited() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > largest:
            raise HTTPException(413, _too_large(largest))
        return message

    return limited


def _too_large(largest: int) -> str:
    return f"body: found more than {largest // 2**10:,} KiB; expected at most that."


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

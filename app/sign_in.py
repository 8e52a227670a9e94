"""Signing in and out: sessions in a signed cookie, and a limit to guessing."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from .app_context import Limiter
from .app_settings import AppSettings
from .passwords import is_password
from .server_pages import sign_in_page

COOKIE = "euromine_session"
LIFETIME = 12 * 60 * 60
"""Seconds until a person has to sign in again."""
# Tries of a visitor's address, and of a name from anywhere, in a window of some seconds.
_OF_ADDRESS, _OF_NAME, _WINDOW = 5, 30, 300.0
_MOST_REMEMBERED = 10_000


class SignInSessions:
    """Sessions in a cookie that is signed with a key of this process.

    A restart of the server ends all of them.

    Attributes:
        key: The key.
    """

    def __init__(self) -> None:
        self.key = secrets.token_hex(32)
        self._signer = URLSafeTimedSerializer(self.key, salt=COOKIE)
        self._ended: dict[str, float] = {}

    def user_of(self, cookies: Mapping[str, str]) -> str | None:
        """The name of the person who signed in, by the cookies of a request."""
        values = self._values(cookies)
        return None if values is None or values["session"] in self._ended else values["user"]

    def begin(self, response: Response, user: str, request: Request, settings: AppSettings) -> None:
        """Sign a person in with an answer."""
        value = self._signer.dumps({"user": user, "session": secrets.token_hex(16)})
        addresses = (settings.address or "", str(request.url))
        is_secure = settings.is_space or any(each.startswith("https:") for each in addresses)
        # A Space is shown in a frame of the Hub's, another site; requests from elsewhere are refused anyway.
        policy: Literal["none", "lax"] = "none" if settings.is_space else "lax"
        response.set_cookie(
            COOKIE, str(value), max_age=LIFETIME, httponly=True, secure=is_secure, samesite=policy
        )

    def end(self, response: Response, cookies: Mapping[str, str]) -> None:
        """Sign a person out, wherever else the cookie may be."""
        values = self._values(cookies)
        if values is not None:
            now = time.monotonic()
            self._ended = {each: end for each, end in self._ended.items() if end > now}
            self._ended[values["session"]] = now + LIFETIME
        response.delete_cookie(COOKIE)

    def _values(self, cookies: Mapping[str, str]) -> dict[str, str] | None:
        try:
            values = self._signer.loads(cookies.get(COOKIE, ""), max_age=LIFETIME)
        except BadSignature:
            return None
        return values if isinstance(values, dict) else None


class Guesses:
    """Counts failed tries, and asks to wait after some.

    Args:
        most: Tries in five minutes.
        clock: Seconds that only grow.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._failures: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def try_once(self, key: str) -> float:
        """Count a try as failed; `succeeded` takes that back.

        Returns:
            Seconds to wait instead; 0 if the try may go on.
        """
        now = self._clock()
        with self._lock:
            recent = [each for each in self._failures.get(key, ()) if each > now - _WINDOW]
            if len(recent) >= self._most:
                return recent[-self._most] + _WINDOW - now
            if len(self._failures) >= _MOST_REMEMBERED:
                kept = {each: times for each, times in self._failures.items() if times[-1] > now - _WINDOW}
                self._failures = kept if len(kept) < _MOST_REMEMBERED else {}
            self._failures[key] = [*recent, now]
            return 0.0

    def succeeded(self, key: str) -> None:
        """Forget the failures."""
        with self._lock:
            self._failures.pop(key, None)


def sign_in_routes(settings: AppSettings, sessions: SignInSessions) -> APIRouter:
    """The page to sign in, its answer, and signing out."""
    router = APIRouter(include_in_schema=False)
    of_address, of_name = Guesses(_OF_ADDRESS), Guesses(_OF_NAME)
    # An unknown name takes as long as a wrong password.
    nobody = next(iter(settings.users.values()), "")
    limiter = Limiter(1, waiting=8)  # a hash takes 32 MiB

    def page(request: Request, problem: str = "", wait: float = 0.0) -> Response:
        return sign_in_page(settings, request.headers.get("accept-language", ""), problem, wait)

    def is_known(name: str, password: str) -> bool:
        with limiter.turn():
            is_right = is_password(password, settings.users.get(name, nobody))
        return is_right and name in settings.users

    @router.get("/sign-in")
    def show(request: Request) -> Response:
        return page(request)

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
        name, password = (form.get(field, [""])[0] for field in ("name", "password"))
        address = request.client.host if request.client else ""
        # Counted before the hash, so that tries at the same time count, too.
        wait = of_address.try_once(address) or of_name.try_once(name[:64])
        if wait:
            return page(request, "wait", wait)
        if not settings.users or not await run_in_threadpool(is_known, name, password):
            return page(request, "wrong")
        of_address.succeeded(address)
        of_name.succeeded(name)
        response = RedirectResponse("/", 303)
        sessions.begin(response, name, request, settings)
        return response

    @router.post("/sign-out")
    def sign_out(request: Request) -> Response:
        response = RedirectResponse("/sign-in" if settings.has_sign_in else "/", 303)
        sessions.end(response, request.cookies)
        return response

    return router

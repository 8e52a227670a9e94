"""Errors of the app, and their answers: one sentence, a status, and no path of the machine."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from euromine.support.errors import (
    ArgumentError,
    BusyError,
    DataError,
    EuroMineError,
    MissingExtraError,
    one_line,
)

logger = logging.getLogger(__name__)

# An absolute path of this machine, though no address of the web: the name at its end remains.
_PATH = re.compile(r"(?<![\w:/.>])(?:[A-Za-z]:)?/(?:[^\s/:;,'\"()<>]+/)*([^\s/:;,'\"()<>]+)/?")


class NotFound(EuroMineError):  # noqa: N818 - as HTTP calls it
    """A site, year, layer or file that the catalogue does not hold (404)."""


class NotAllowed(EuroMineError):  # noqa: N818
    """The visitor may not do this (403)."""


class TooLarge(EuroMineError):  # noqa: N818
    """A request is larger than the app reads (413)."""


class Overloaded(EuroMineError):  # noqa: N818
    """Too many requests are waiting already (503)."""


_STATUS: tuple[tuple[type[EuroMineError], int], ...] = (
    (NotFound, 404),
    (NotAllowed, 403),
    (TooLarge, 413),
    (Overloaded, 503),
    (BusyError, 409),
    (MissingExtraError, 501),
    (ArgumentError, 400),
    (DataError, 422),
    (EuroMineError, 400),
)
_RETRY_SECONDS = "2"


def add_error_answers(app: FastAPI, folders: Iterable[Path]) -> None:
    """Answer errors in JSON: `{"error": sentence}`.

    Args:
        app: The app.
        folders: Folders of this machine; their paths are left out of the answers.
    """
    hidden = tuple(folders)

    def user_error(_: Request, error: Exception) -> Response:
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        return error_answer(status, public_sentence(one_line(error), hidden))

    def http_error(request: Request, error: Exception) -> Response:
        found = cast(HTTPException, error)
        sentence = public_sentence(str(found.detail), hidden)
        if sentence in ("Not Found", "Method Not Allowed"):
            at = f"{request.method} {request.url.path[:100]}"
            sentence = f"{at}: found no such endpoint; expected one that /developers lists."
        return error_answer(found.status_code, sentence, found.headers)

    def invalid(_: Request, error: Exception) -> Response:
        return error_answer(422, _validation_sentence(cast(RequestValidationError, error)))

    app.add_exception_handler(EuroMineError, user_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)


def error_answer(status: int, sentence: str, headers: object = None) -> Response:
    """An error as JSON; 429 and 503 ask to come back in some seconds."""
    given = dict(headers) if isinstance(headers, dict) else {}
    if status in (429, 503):
        given.setdefault("Retry-After", _RETRY_SECONDS)
    return JSONResponse({"error": sentence}, status, headers=given)


def bug_answer(error: Exception, path: str) -> Response:
    """The answer to a bug: an id that leads to its traceback in the log."""
    identity = secrets.token_hex(4)
    logger.error("Error %s at %s: this is a bug in EuroMine.", identity, path, exc_info=error)
    return error_answer(
        500, f"The server failed. Its log explains error {identity}; please report it with the log's lines."
    )


def public_sentence(sentence: str, folders: Iterable[Path] = ()) -> str:
    """A sentence without the paths of this machine.

    Args:
        sentence: A message that may name files.
        folders: Folders whose paths are left out where they begin a path; of others, only the last name
            remains.
    """
    begins = {str(form) for folder in folders for form in (folder, folder.absolute(), folder.resolve())}
    for begin in sorted(begins - {".", "/"}, key=len, reverse=True):
        sentence = sentence.replace(f"{begin}/", "").replace(begin, Path(begin).name)
    return _PATH.sub(r"\1", sentence)


def _validation_sentence(error: RequestValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"] if part not in ("query", "path", "body")) or "body"
    given = "nothing" if first["type"] == "missing" else repr(first.get("input"))[:80]
    words = str(first["msg"])
    return f"{name}: found {given}; expected another value ({words[:1].lower()}{words[1:]})."

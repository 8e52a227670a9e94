"""The connection to the Hub: attempts that are repeated, and failures explained in one sentence."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

from euromine.support.errors import one_line

logger = logging.getLogger(__name__)

# Seconds before each further attempt where the Hub or the network fails for a moment.
WAITS = (1, 2, 4, 8, 16)
# For the first request: nothing was begun that would be worth a longer wait.
FIRST_WAITS = (1, 2)

_PASSING = (408, 429, 500, 502, 503, 504)

_Result = TypeVar("_Result")


def _network_errors() -> tuple[type[Exception], ...]:
    """The errors that say that the Hub was not reached, or that something in between answered for it.

    The Hub's client has changed its HTTP library from httpx to httpx2, so the library is looked up.
    """
    library = next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError").__module__
    transport_error = importlib.import_module(library.partition(".")[0]).TransportError
    return (transport_error, ConnectionError, TimeoutError, json.JSONDecodeError)


NETWORK_ERRORS = _network_errors()
HUB_ERRORS: tuple[type[Exception], ...] = (HfHubHTTPError, *NETWORK_ERRORS)
"""Everything that a request to the Hub may fail with."""


def with_retries(attempt: Callable[[], _Result], what: str, waits: Sequence[int] = WAITS) -> _Result:
    """The result of an attempt, which is repeated where the Hub or the network fails for a moment.

    Args:
        attempt: What to do.
        what: What it does, for the log: "sending to owner/name".
        waits: Seconds before each further attempt.
    """
    for wait in waits:
        try:
            return attempt()
        except HUB_ERRORS as error:
            if not _may_pass(error):
                raise
            logger.warning("Failed %s (%s); trying again in %d s.", what, _words(error), wait)
        time.sleep(wait)
    return attempt()


@contextlib.contextmanager
def explained_hub_errors(repository: str) -> Iterator[None]:
    """Explain in one sentence, around requests to the Hub, what went wrong and what helps.

    Args:
        repository: The repository that the requests are about.

    Raises:
        OSError: The Hub cannot be reached, does not accept the token or refuses the request: a
            `ConnectionError`, `PermissionError` or `FileExistsError` where one of them fits.
    """
    try:
        yield
    except (OfflineModeIsEnabled, LocalTokenNotFoundError, HfHubHTTPError) as error:
        raise _explained(error, repository) from error
    except EntryNotFoundError:  # one kind of it is a FileNotFoundError, none a failure of the network
        raise
    except NETWORK_ERRORS as error:
        raise ConnectionError(
            f"{HfApi().endpoint} cannot be reached ({_words(error)}). What was sent is kept: the same "
            "command continues from there when the network is back."
        ) from error


def _explained(error: Exception, repository: str) -> OSError:
    """An error of the Hub or its client, as one sentence with its remedy."""
    endpoint = HfApi().endpoint
    if isinstance(error, OfflineModeIsEnabled):
        return ConnectionError(
            f"HF_HUB_OFFLINE is set, so {repository} cannot be reached; unset it to publish."
        )
    status = (
        error.response.status_code
        if isinstance(error, HfHubHTTPError) and error.response is not None
        else 401
    )
    if status == 401 and get_token() is None:
        return PermissionError(
            f"There is no token that could write to {repository}: log in with `hf auth login`, or set "
            f"HF_TOKEN to a token with write access ({endpoint}/settings/tokens)."
        )
    if status == 401:
        return PermissionError(
            f"{endpoint} does not accept the token for {repository}: it may have expired or be mistyped. "
            f"Log in again, or set HF_TOKEN to a token with write access ({endpoint}/settings/tokens)."
        )
    if status == 403:
        return PermissionError(
            f"The token may not write to {repository}: it needs write access to "
            f"{repository.partition('/')[0]} ({endpoint}/settings/tokens)."
        )
    if status == 412:
        return FileExistsError(
            f"{repository} was changed by somebody else in the meantime, so nothing was overwritten. Look at "
            "it and run the same command again; what was sent is kept."
        )
    if status in _PASSING:
        return ConnectionError(
            f"{endpoint} keeps answering {status}. What was sent is kept: the same command continues from "
            "there later."
        )
    return OSError(f"{endpoint} refuses {repository}: {_words(error).rstrip('.')}.")


def _may_pass(error: Exception) -> bool:
    """Whether the same attempt may succeed in a moment."""
    if isinstance(error, OfflineModeIsEnabled | EntryNotFoundError):
        return False
    if isinstance(error, HfHubHTTPError):
        return error.response is not None and error.response.status_code in _PASSING
    return True


def _words(error: Exception) -> str:
    return one_line(error) or type(error).__name__

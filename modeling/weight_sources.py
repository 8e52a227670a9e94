"""The source of weights to start from: a folder, a file or a repository of the Hub, which is asked once."""

from pathlib import Path

from huggingface_hub import HfApi, is_offline_mode, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # not in its __all__

# Of the Hub, before it counts as out of reach.
_SECONDS_TO_ANSWER = 10
# Base class of the HTTP library's errors, httpx's or httpx2's by version of the Hub's client.
_HTTP_ERROR: type[BaseException] = HfHubHTTPError.__mro__[1]


def ask_hub_once(repository: str, *files: str) -> None:
    """Let a Hub out of reach, or without the repository, be an error at once.

    Downloads are tried again for half a minute. A Hub that answers anything else is left to them, as are
    repositories in the cache, and offline mode.

    Args:
        repository: A repository of the Hub.
        files: Files whose presence in the cache shows that the Hub need not be asked.

    Raises:
        RepositoryNotFoundError: There is no such repository, or it is private and there is no token for it.
        GatedRepoError: Its terms must be accepted first.
        HFValidationError: It is not the name of a repository.
        Exception: The HTTP library's, where the Hub cannot be reached.
    """
    # A file that is known to be absent has a mark in the cache instead of a path.
    if is_offline_mode() or any(isinstance(try_to_load_from_cache(repository, file), str) for file in files):
        return
    try:
        HfApi().model_info(repository, timeout=_SECONDS_TO_ANSWER)
    except (GatedRepoError, RepositoryNotFoundError):
        raise
    except HfHubHTTPError:
        return  # a Hub that answers


def check_weights_source(source: str, repository: str, *files: str) -> None:
    """Refuse weights that are neither on this machine nor on the Hub before they are downloaded.

    Args:
        source: The name that was given, for the message.
        repository: The folder, file or repository of the Hub that it stands for.
        files: As for `ask_hub_once`.

    Raises:
        OSError: There are none, or the Hub cannot be reached or denies access.
    """
    if Path(repository).exists():
        return
    try:
        ask_hub_once(repository, *files)
    except GatedRepoError as error:
        raise OSError(
            f"pretrained: found {source!r}, to which the Hub denies access; expected weights to start from. "
            "Accept the repository's terms on its page, and log in with hf auth login or set HF_TOKEN."
        ) from error
    except (HFValidationError, _HTTP_ERROR, OSError) as error:
        raise absent_weights(source, error) from error


def absent_weights(source: str, error: BaseException) -> OSError:
    """The error for weights that were not found.

    Args:
        source: The name that was given.
        error: What went wrong.
    """
    if not _could_be_repository(source):
        return OSError(
            f"pretrained: found {source!r}, which is no folder or file; expected weights to start from."
        )
    if isinstance(error, RepositoryNotFoundError):
        place = "and the Hub has no such repository"
        remedy = "A private repository needs a token: log in with hf auth login, or set HF_TOKEN"
    elif is_offline_mode():
        place = "and the Hub's cache on this machine does not hold it"
        remedy = "Unset HF_HUB_OFFLINE to download a repository"
    else:
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        place = f"and the Hub cannot be reached ({reason})"
        remedy = "Check the connection"
    return OSError(
        f"pretrained: found {source!r}, which is no folder or file, {place}; expected weights to start from. "
        f"{remedy}."
    )


def _could_be_repository(source: str) -> bool:
    try:
        validate_repo_id(source)
    except HFValidationError:
        return False
    return True

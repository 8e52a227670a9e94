"""Contents to a Hub repository: looked at first, sent so that a stop loses nothing, put in place at once."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

# Public, but a lazy attribute that the module does not list.
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from .contents import CARD, Contents, PublishedFile, matches

logger = logging.getLogger(__name__)

_ATTRIBUTES = ".gitattributes"
# What the Hub itself writes below the front matter of a new Space's card.
_FRESH_CARD = "Check out the configuration reference"
# Seconds before each further attempt where the Hub or the way to it fails for a moment.
_WAITS = (1, 2, 4, 8, 16)
# At the first question: nothing was begun that would be worth a longer wait.
_FIRST_WAITS = (1, 2)
_PASSING = (408, 429, 500, 502, 503, 504)
_LFS = "lfs"

State = Literal["absent", "empty", "same", "other"]
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository as the Hub lists it.

    Attributes:
        size: Its bytes.
        digest: Kind of hash (`git` or `lfs`) and the hash.
    """

    size: int | None
    digest: tuple[str, str | None]


@dataclass(frozen=True)
class Plan:
    """What publishing will do to a repository.

    Attributes:
        contents: What goes there.
        repository: Its full name, `owner/name`.
        state: What it holds now: it does not exist, is empty, holds the same or an earlier state of it, or
            something else.
        held: What else it holds, in words.
        head: The commit that was looked at; None where there is no repository.
        removed: Paths that will be removed.
        changed: Whether anything there differs from `contents`.
        private: Whether a new repository is for its owner's eyes alone.
        revision: Branch to commit to; None for the main one.
        new_branch: Whether that branch is yet to be made.
    """

    contents: Contents
    repository: str
    state: State
    held: str | None
    head: str | None
    removed: tuple[str, ...] = ()
    changed: bool = True
    private: bool = False
    revision: str | None = None
    new_branch: bool = False

    @property
    def url(self) -> str:
        """Where a browser finds the repository."""
        folder = {"model": "", "dataset": "datasets/", "space": "spaces/"}[self.contents.repo_type]
        return f"{HfApi().endpoint}/{folder}{self.repository}"


@dataclass(frozen=True)
class _Remote:
    """A repository as it was found."""

    head: str | None = None
    files: Mapping[str, RemoteFile] = field(default_factory=dict)
    new_branch: bool = False


def check_name(repository: str) -> None:
    """Refuse what can be no repository's name.

    Raises:
        ValueError: It is none.
    """
    try:
        validate_repo_id(repository)
    except HFValidationError:
        raise ValueError(
            f"{repository!r} is no name of a Hub repository: owner/name was expected, of letters, digits, "
            "-, _ and dots."
        ) from None


def full_name(repository: str) -> str:
    """`owner/name` of a repository; a bare name is in the token's own namespace.

    Raises:
        ValueError: This is no repository's name.
        OSError: There is no token, or the Hub cannot be asked whose it is.
    """
    check_name(repository)
    if "/" in repository:
        return repository
    with told_in_a_sentence(repository):
        who = _persistently(lambda: HfApi().whoami(), "asking whose the token is", _FIRST_WAITS)
    return f"{who['name']}/{repository}"


def plan_publication(
    contents: Contents,
    repository: str,
    *,
    force: bool = False,
    private: bool = False,
    revision: str | None = None,
) -> Plan:
    """Look at a repository and say what publishing will do to it. Nothing is sent.

    Args:
        contents: What is to be there.
        repository: `owner/name`.
        force: Replace whatever the repository holds; its history keeps that.
        private: Whether a repository that has to be made is private.
        revision: Branch to commit to; made from the main one where it does not exist.

    Raises:
        FileExistsError: The repository holds something else, and `force` is off.
        OSError: The Hub cannot be reached, or does not accept the token.
    """
    with told_in_a_sentence(repository):
        remote = _look(contents, repository, revision, _FIRST_WAITS)
        state, held = _state(contents, repository, remote, revision)
    if state == "other" and not force:
        raise FileExistsError(
            f"{repository} holds {held}, not {contents.title}: nothing was sent. `euromine publish "
            "--force` replaces it (its history keeps what was there), another name keeps both."
        )
    ours = {file.path for file in contents.files}
    removed = tuple(
        path
        for path in sorted(remote.files)
        if path not in ours and path != _ATTRIBUTES and (state == "other" or matches(path, contents.owned))
    )
    changed = bool(removed) or not _holds(remote.files, contents)
    return Plan(
        contents,
        repository,
        state,
        held,
        remote.head,
        removed,
        changed,
        private,
        revision,
        remote.new_branch,
    )


def make_repository(plan: Plan) -> None:
    """Make the repository of a plan where there is none, and nothing else.

    Raises:
        OSError: The Hub cannot be reached, or does not accept the token.
    """
    if plan.state == "absent":
        with told_in_a_sentence(plan.repository):
            _create(plan)


def publish(plan: Plan) -> str:
    """Carry a plan out: send the files, then put all of them in place with one commit.

    Until that commit nobody sees anything, and large files that were sent stay with the Hub: a publication
    that was stopped goes on where it was when it is started again. Failures that pass are waited for.

    Returns:
        The repository's address.

    Raises:
        FileExistsError: Somebody else changed the repository meanwhile.
        ValueError: The Hub refuses the card.
        OSError: The Hub cannot be reached, is full, or does not accept the token.
    """
    repository, repo_type = plan.repository, plan.contents.repo_type
    if not plan.changed and not plan.new_branch:
        return plan.url
    api = HfApi()
    with told_in_a_sentence(repository):
        head = plan.head if plan.state != "absent" else _create(plan)
        if plan.new_branch and plan.revision is not None:
            branch = plan.revision
            _persistently(
                lambda: api.create_branch(repository, branch=branch, repo_type=repo_type, exist_ok=True),
                f"making the branch {branch}",
            )
        if plan.changed:
            attempts = count()

            def attempt() -> None:
                # The answer to an earlier attempt may have been lost on the way, not the commit itself.
                if not next(attempts) or not _is_done(plan, head):
                    _commit(plan, head)

            _persistently(attempt, f"sending to {repository}")
    return plan.url


@contextlib.contextmanager
def told_in_a_sentence(repository: str) -> Iterator[None]:
    """Around what talks to the Hub: what went wrong, and what helps, in one sentence.

    Raises:
        OSError: Of a kind that fits, for what the Hub or the way to it answers.
        ValueError: The Hub refuses a card.
    """
    try:
        yield
    except (OfflineModeIsEnabled, LocalTokenNotFoundError, HfHubHTTPError) as error:
        raise _answered(error, repository) from error
    except ValueError as error:
        # Of several lines where the Hub found several things wrong with a card.
        raise ValueError(f"{repository}: {' '.join(str(error).split())}") from error
    except Exception as error:
        if not _is_of_the_network(error):
            raise
        raise ConnectionError(
            f"{HfApi().endpoint} cannot be reached ({_one_line(error)}). What was sent is kept: the same "
            "command goes on from there when the network is back."
        ) from error


def _answered(error: Exception, repository: str) -> OSError:
    """The sentence for what the Hub, or its client, says."""
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
            f"There is no token with which {repository} could be written to: log in with `hf auth login`, or "
            f"set HF_TOKEN to a token that may write ({endpoint}/settings/tokens)."
        )
    if status == 401:
        return PermissionError(
            f"{endpoint} does not accept the token for {repository}: it may have expired or be mistyped; one "
            f"that may write was expected ({endpoint}/settings/tokens)."
        )
    if status == 403:
        return PermissionError(
            f"The token may not write to {repository}: one with write access to "
            f"{repository.partition('/')[0]} was expected ({endpoint}/settings/tokens)."
        )
    if status == 412:
        return FileExistsError(
            f"{repository} was changed by somebody else while this was sent: nothing was overwritten. Look "
            "at it and run the same command again; what was sent is kept."
        )
    if status in _PASSING:
        return ConnectionError(
            f"{endpoint} answers {status} again and again. What was sent is kept: the same command goes on "
            "from there later."
        )
    return OSError(f"{endpoint} refuses {repository}: {_one_line(error)}")


def _look(
    contents: Contents, repository: str, revision: str | None, waits: Sequence[int] = _WAITS
) -> _Remote:
    """A repository's head and files, of the branch or of the one that the branch will be made from."""
    api = HfApi()

    def info(branch: str | None) -> _Remote:
        found: Any = api.repo_info(
            repository, repo_type=contents.repo_type, revision=branch, files_metadata=True
        )
        files = {
            file.rfilename: RemoteFile(
                file.size, (_LFS, file.lfs.sha256) if file.lfs is not None else ("git", file.blob_id)
            )
            for file in found.siblings or []
        }
        return _Remote(found.sha, files, new_branch=branch != revision)

    try:
        return _persistently(lambda: info(revision), f"looking at {repository}", waits)
    except RevisionNotFoundError:
        return _persistently(lambda: info(None), f"looking at {repository}", waits)
    except RepositoryNotFoundError:
        # To those who have no valid token the Hub says of any repository that there is none.
        _persistently(lambda: api.whoami(), "asking whose the token is", waits)
        return _Remote(new_branch=revision is not None)


def _state(
    contents: Contents, repository: str, remote: _Remote, revision: str | None
) -> tuple[State, str | None]:
    """What a repository holds."""
    if remote.head is None:
        return "absent", None
    paths = [path for path in remote.files if path != _ATTRIBUTES]
    if not paths:
        return "empty", None

    def read(path: str) -> bytes:
        downloaded = hf_hub_download(repository, path, repo_type=contents.repo_type, revision=remote.head)
        return Path(downloaded).read_bytes()

    def read_persistently(path: str) -> bytes:
        return _persistently(lambda: read(path), f"reading {path} of {repository}")

    if paths == [CARD]:
        body = read_persistently(CARD).decode(errors="replace").split("---\n", 2)[-1].strip()
        if not body or body.startswith(_FRESH_CARD):
            return "empty", None
    found = {path: read_persistently(path) for path in contents.identity if path in remote.files}
    held = contents.difference(found)
    return ("same", None) if held is None else ("other", held)


def _create(plan: Plan) -> str:
    """Make the repository; its first commit."""
    api, contents = HfApi(), plan.contents
    _persistently(
        lambda: api.create_repo(
            plan.repository,
            repo_type=contents.repo_type,
            private=plan.private,
            space_sdk=contents.space_sdk,
            exist_ok=True,
        ),
        f"making {plan.repository}",
    )
    remote = _look(contents, plan.repository, None)
    state, held = _state(contents, plan.repository, remote, None)
    if state == "other" or remote.head is None:
        raise FileExistsError(f"{plan.repository} was made by somebody else meanwhile and holds {held}.")
    return remote.head


def _commit(plan: Plan, head: str | None) -> None:
    """Send what the Hub lacks, and commit all of it on top of `head`."""
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationDelete(path_in_repo=path) for path in plan.removed
    ]
    # Made anew for each attempt, as the client keeps in them what it has done.
    operations += [
        CommitOperationAdd(
            path_in_repo=file.path,
            path_or_fileobj=file.source if isinstance(file.source, bytes) else str(file.source),
        )
        for file in plan.contents.files
    ]
    HfApi().create_commit(
        plan.repository,
        operations,
        commit_message=f"Publish {plan.contents.title.split(' in ')[0]} with euromine",
        repo_type=plan.contents.repo_type,
        revision=plan.revision,
        parent_commit=None if plan.new_branch else head,
    )


def _is_done(plan: Plan, head: str | None) -> bool:
    """Whether a commit whose answer was lost has arrived after all."""
    remote = _look(plan.contents, plan.repository, plan.revision)
    return (
        remote.head != head
        and _holds(remote.files, plan.contents)
        and not set(plan.removed) & set(remote.files)
    )


def _holds(files: Mapping[str, RemoteFile], contents: Contents) -> bool:
    """Whether a repository has all files of some contents, with the same bytes."""
    if any(file.path not in files or files[file.path].size != file.size for file in contents.files):
        return False
    return all(
        _digest(file, files[file.path].digest[0]) == files[file.path].digest[1] for file in contents.files
    )


def _digest(file: PublishedFile, kind: str) -> str:
    """A file's hash as the Hub lists it: git's own of a small file, sha256 of a large one."""
    digest = (
        hashlib.sha256() if kind == _LFS else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    )
    if isinstance(file.source, bytes):
        digest.update(file.source)
        return digest.hexdigest()
    with file.source.open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _persistently(attempt: Callable[[], _Result], what: str, waits: Sequence[int] = _WAITS) -> _Result:
    """The result of an attempt that is made again where the Hub or the network fails for a moment.

    Args:
        attempt: What to do.
        what: What it does, for the log.
        waits: Seconds before each further attempt.
    """
    for wait in waits:
        try:
            return attempt()
        except Exception as error:
            if not _is_passing(error):
                raise
            logger.warning("%s: %s; once more in %d s", what, _one_line(error), wait)
        time.sleep(wait)
    return attempt()


def _is_passing(error: Exception) -> bool:
    """Whether what failed may succeed in a moment."""
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return error.response.status_code in _PASSING
    return _is_of_the_network(error)


def _is_of_the_network(error: Exception) -> bool:
    """Whether the way to the Hub failed, not the Hub: by name, as its client's HTTP library has changed."""
    if isinstance(error, OfflineModeIsEnabled | HfHubHTTPError | EntryNotFoundError):
        return False
    names = {
        f"{base.__module__.partition('.')[0].rstrip('2')}.{base.__name__}" for base in type(error).__mro__
    }
    return "httpx.TransportError" in names or isinstance(error, ConnectionError | TimeoutError)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

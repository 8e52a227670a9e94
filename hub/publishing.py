"""Publish contents: look at a repository first, send so that a stop loses nothing, commit all at once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

# Public, but a lazy attribute that the module does not list.
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from euromine.support.errors import ArgumentError, DataError, one_line

from .connection import FIRST_WAITS, WAITS, explained_hub_errors, with_retries
from .contents import CARD, Contents, PublishedFile, matches

_ATTRIBUTES = ".gitattributes"
# What the Hub itself writes below the front matter of a new Space's card.
_FRESH_CARD = "Check out the configuration reference"
_LFS = "lfs"
_BRANCH = re.compile(r"[\w][\w./-]*")

State = Literal["absent", "empty", "same", "other"]


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository as the Hub lists it.

    Attributes:
        size: Size in bytes.
        digest: Kind of hash (`git` or `lfs`) and the hash.
    """

    size: int | None
    digest: tuple[str, str | None]


@dataclass(frozen=True)
class Plan:
    """The changes that publishing will make to a repository.

    Attributes:
        contents: What the repository is to hold.
        repository: Its full name, `owner/name`.
        state: Its state now: "absent", "empty", "same" (the same contents or an earlier state of them) or
            "other".
        held: What else it holds, in words; None unless `state` is "other".
        head: The commit that was looked at; None where there is no repository.
        removed: Paths that will be removed.
        changed: Whether anything there differs from `contents`.
        private: Whether to make a new repository private.
        revision: Branch to commit to; None for the main one.
        new_branch: Whether that branch has yet to be made.
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
        """The repository's web page."""
        folder = {"model": "", "dataset": "datasets/", "space": "spaces/"}[self.contents.repo_type]
        return f"{HfApi().endpoint}/{folder}{self.repository}"


@dataclass(frozen=True)
class _Remote:
    """The state of a repository when it was looked at."""

    head: str | None = None
    files: Mapping[str, RemoteFile] = field(default_factory=dict)
    new_branch: bool = False


def check_name(repository: str) -> None:
    """Refuse a name that no repository can have.

    Raises:
        ArgumentError: It is invalid.
    """
    try:
        validate_repo_id(repository)
        is_valid = repository.isascii()  # huggingface_hub 1.31 lets other letters pass, the Hub does not
    except HFValidationError:
        is_valid = False
    if not is_valid:
        raise ArgumentError(
            f"REPO: found {repository!r}; expected owner/name, of letters, digits, -, _ and dots."
        )


def full_name(repository: str) -> str:
    """`owner/name` of a repository; a bare name is in the token's own namespace.

    Raises:
        ArgumentError: The name is invalid.
        OSError: There is no token, or the Hub cannot be asked whose it is.
    """
    check_name(repository)
    if "/" in repository:
        return repository
    with explained_hub_errors(repository):
        who = with_retries(lambda: HfApi().whoami(), "looking up the token's owner", FIRST_WAITS)
    return f"{who['name']}/{repository}"


def plan_publication(
    contents: Contents,
    repository: str,
    *,
    force: bool = False,
    private: bool = False,
    revision: str | None = None,
) -> Plan:
    """Look at a repository and plan what publishing will do to it. Nothing is sent.

    Args:
        contents: What the repository is to hold.
        repository: `owner/name`.
        force: Replace whatever the repository holds; its history keeps that.
        private: Whether to make a new repository private.
        revision: Branch to commit to; made from the main one where it does not exist.

    Raises:
        ArgumentError: `revision` is no name of a branch.
        FileExistsError: The repository holds something else, and `force` is off.
        OSError: The Hub cannot be reached, or does not accept the token.
    """
    if revision is not None and not _BRANCH.fullmatch(revision):
        raise ArgumentError(
            f"revision: found {revision!r}; expected the name of a branch, such as v1.0. Leave it out for "
            "the main one."
        )
    with explained_hub_errors(repository):
        remote = _look(contents, repository, revision, FIRST_WAITS)
        state, held = _state(contents, repository, remote, revision)
    if state == "other" and not force:
        raise FileExistsError(
            f"{repository} holds {held}, not {contents.title}, so nothing was sent. `euromine publish "
            "--force` replaces it (its history keeps the old files); another name keeps both."
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
        with explained_hub_errors(plan.repository):
            _create(plan)


def publish(plan: Plan) -> str:
    """Carry out a plan: send the files, then put all of them in place with one commit.

    Nothing is visible before that commit. Large files that were sent stay with the Hub, so a publication that
    was stopped continues where it was when it is started again. Passing failures are waited for.

    Returns:
        The repository's address.

    Raises:
        FileExistsError: Somebody else changed the repository in the meantime.
        DataError: The Hub refuses the card.
        OSError: The Hub cannot be reached, is full, or does not accept the token.
    """
    repository, repo_type = plan.repository, plan.contents.repo_type
    if not plan.changed and not plan.new_branch:
        return plan.url
    api = HfApi()
    with explained_hub_errors(repository):
        head = plan.head if plan.state != "absent" else _create(plan)
        if plan.new_branch and plan.revision is not None:
            branch = plan.revision
            with_retries(
                lambda: api.create_branch(repository, branch=branch, repo_type=repo_type, exist_ok=True),
                f"making the branch {branch}",
            )
        if plan.changed:
            attempts = count()

            def attempt() -> None:
                # The answer to an earlier attempt may have been lost, not the commit itself.
                if not next(attempts) or not _is_done(plan, head):
                    _commit(plan, head)

            with_retries(attempt, f"sending to {repository}")
    return plan.url


def _look(contents: Contents, repository: str, revision: str | None, waits: Sequence[int] = WAITS) -> _Remote:
    """The head and files of a branch, or of the main one that it will be made from."""
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
        return with_retries(lambda: info(revision), f"looking at {repository}", waits)
    except RevisionNotFoundError:
        return with_retries(lambda: info(None), f"looking at {repository}", waits)
    except RepositoryNotFoundError:
        # Without a valid token the Hub answers that the repository does not exist.
        with_retries(lambda: api.whoami(), "looking up the token's owner", waits)
        return _Remote(new_branch=revision is not None)


def _state(
    contents: Contents, repository: str, remote: _Remote, revision: str | None
) -> tuple[State, str | None]:
    """The state of a repository, and what else it holds."""
    if remote.head is None:
        return "absent", None
    paths = [path for path in remote.files if path != _ATTRIBUTES]
    if not paths:
        return "empty", None

    def read(path: str) -> bytes:
        downloaded = hf_hub_download(repository, path, repo_type=contents.repo_type, revision=remote.head)
        return Path(downloaded).read_bytes()

    def readwith_retries(path: str) -> bytes:
        return with_retries(lambda: read(path), f"reading {path} of {repository}")

    if paths == [CARD]:
        body = readwith_retries(CARD).decode(errors="replace").split("---\n", 2)[-1].strip()
        if not body or body.startswith(_FRESH_CARD):
            return "empty", None
    found = {path: readwith_retries(path) for path in contents.identity if path in remote.files}
    held = contents.difference(found)
    return ("same", None) if held is None else ("other", held)


def _create(plan: Plan) -> str:
    """Make the repository, and return its first commit."""
    api, contents = HfApi(), plan.contents
    with_retries(
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
        raise FileExistsError(
            f"{plan.repository} was created by somebody else in the meantime and holds {held}."
        )
    return remote.head


def _commit(plan: Plan, head: str | None) -> None:
    """Send what the Hub lacks, and commit all of it on top of `head`."""
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationDelete(path_in_repo=path) for path in plan.removed
    ]
    # New for each attempt, as the client keeps the progress of an upload in them.
    operations += [
        CommitOperationAdd(
            path_in_repo=file.path,
            path_or_fileobj=file.source if isinstance(file.source, bytes) else str(file.source),
        )
        for file in plan.contents.files
    ]
    try:
        HfApi().create_commit(
            plan.repository,
            operations,
            commit_message=f"Publish {plan.contents.title.split(' in ')[0]} with euromine",
            repo_type=plan.contents.repo_type,
            revision=plan.revision,
            parent_commit=None if plan.new_branch else head,
        )
    except ValueError as error:
        # The client's answer to a card that the Hub finds invalid, with a line for each fault.
        if isinstance(error, HfHubHTTPError) or not isinstance(error.__cause__, BadRequestError):
            raise
        raise DataError(
            f"{plan.repository}, {CARD}: found metadata that the Hub refuses ({one_line(error)}); expected "
            "valid metadata."
        ) from error


def _is_done(plan: Plan, head: str | None) -> bool:
    """Whether a commit whose answer was lost did arrive."""
    remote = _look(plan.contents, plan.repository, plan.revision)
    return (
        remote.head != head
        and _holds(remote.files, plan.contents)
        and not set(plan.removed) & set(remote.files)
    )


def _holds(files: Mapping[str, RemoteFile], contents: Contents) -> bool:
    """Whether a repository has all files of the contents, with the same bytes."""
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

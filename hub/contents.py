"""The contents of a Hub repository: its files, its card, and whether another repository holds the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml

from euromine.support.errors import DataError
from euromine.support.files import read_bytes

CARD = "README.md"

_LARGEST_JSON = 64 * 2**20
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")

RepoType = Literal["dataset", "model", "space"]


@dataclass(frozen=True)
class PublishedFile:
    """A file to publish.

    Attributes:
        path: Its path in the repository, with forward slashes.
        source: Its path on this machine, or its bytes.
    """

    path: str
    source: Path | bytes

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


@dataclass(frozen=True)
class Contents:
    """Everything that a repository is to hold.

    Attributes:
        repo_type: The Hub's kind of repository.
        title: What it is, for messages: "the model in runs/unet".
        files: Its files, the card first.
        owned: Patterns of paths that only contents of this kind have. Files in the repository that match them
            and are not among `files` are left from an earlier state; they would be read with the rest, so
            they are removed.
        identity: Paths of the files that identify what a repository holds.
        difference: From the bytes of those identifying files that a repository has, what else it holds, in
            words; None where it holds the same in an earlier state.
        space_sdk: What a Space runs on.
    """

    repo_type: RepoType
    title: str
    files: tuple[PublishedFile, ...]
    owned: tuple[str, ...]
    identity: tuple[str, ...]
    difference: Callable[[Mapping[str, bytes]], str | None]
    space_sdk: str | None = None

    @property
    def size(self) -> int:
        """Size of all files in bytes."""
        return sum(file.size for file in self.files)


def read_card(folder: Path) -> str:
    """The text of a folder's card.

    Raises:
        DataError: There is no card, or it has no front matter.
    """
    path = folder / CARD
    if not path.is_file():
        raise DataError(f"{folder}: found no {CARD}; expected a card that describes what is published.")
    read_front_matter(path)
    return path.read_text(encoding="utf-8")


def read_front_matter(path: Path) -> dict[str, Any]:
    """The YAML between the lines of --- at the top of a card.

    Raises:
        DataError: There is none, or it is damaged.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    parts = text.split("---\n", 2)
    try:
        found = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except yaml.YAMLError as error:
        raise DataError(
            f"{path}: found front matter that is not YAML ({' '.join(str(error).split())}); expected "
            "`key: value` lines."
        ) from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: found no front matter; expected YAML between two lines of --- at the top.")
    return found


def pictures(folder: Path, card: str) -> Iterator[PublishedFile]:
    """The pictures beside a card that it shows.

    Raises:
        DataError: A picture is missing, or lies outside the folder.
    """
    for name in dict.fromkeys(_PICTURE.findall(card)):
        if "://" in name:
            continue
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise DataError(
                f"{folder / CARD}: found no {name} for the picture it shows; expected it beside it."
            )
        yield PublishedFile(path.relative_to(folder.resolve()).as_posix(), path)


def read_json_file(folder: Path, name: str) -> dict[str, Any] | None:
    """A JSON object in a folder; None where there is no such file.

    Raises:
        DataError: There is no such folder, or the file holds something else.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: found no folder there; expected the folder to publish.")
    path = folder / name
    if not path.exists():
        return None
    found = read_json(read_bytes(path, _LARGEST_JSON))
    if found is None:
        raise DataError(f"{path}: found text that is not JSON; expected a JSON object.")
    return found


def read_json(data: bytes | None) -> dict[str, Any] | None:
    """A JSON object from a file that somebody else may have written; None where it holds something else."""
    try:
        found = json.loads(data or b"")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path matches one of the patterns, in which * stands for slashes as well."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)

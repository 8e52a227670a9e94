"""The sites of each split: from the published lists, the corrected ones, or a JSON file."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from euromine.support.errors import ArchiveError, ArgumentError, DataError

if TYPE_CHECKING:
    from .archive import Archive

logger = logging.getLogger(__name__)

_LISTS = '{"train": [...], "validation": [...], "test": [...]} with lists of site names'

SPLITS = ("train", "validation", "test")

_PUBLISHED = json.loads(Path(__file__).with_name("site_splits.json").read_text(encoding="utf-8"))

EXCLUDED_SITES: tuple[str, ...] = tuple(_PUBLISHED["excluded"])
"""The sites of the archive that the release's own preprocessing leaves out."""

# The official train list names Germany_13 a second time where it surely meant Greece_3, which the archive
# holds and no list names.
_DOUBLED_SITE = "Germany_13"
_FORGOTTEN_SITE = "Greece_3"

# A warning names this many sites before it only counts the others.
_NAMED_SITES = 12


def sites_beyond_release(names: Iterable[str]) -> list[str]:
    """The sites, of those given, that are no part of the published archive, sorted."""
    released = {site for sites in _official().values() for site in sites}
    return sorted(set(names) - released - {*EXCLUDED_SITES, _FORGOTTEN_SITE})


def split_sites(splits: str | os.PathLike[str]) -> dict[str, list[str]]:
    """The site names of each split.

    Args:
        splits: `"corrected"`, `"official"`, or the path of a JSON file
            `{"train": [...], "validation": [...], "test": [...]}` whose lists may be empty. `official` is the
            published list to the letter: it names Germany_13 twice in train, and Greece_3 nowhere.
            `corrected` has Greece_3 in the place of the second Germany_13.

    Returns:
        The names in the order of the lists, by split ("train", "validation", "test").

    Raises:
        ArgumentError: `splits` is neither a known name nor a file.
        DataError: The file cannot be read, or does not hold the lists.
    """
    if splits == "official":
        return _official()
    if splits == "corrected":
        return _corrected()
    return _read_splits(Path(splits))


def assign_splits(site_names: Iterable[str], splits: str | os.PathLike[str]) -> dict[str, tuple[str, ...]]:
    """The sites of an archive that belong to each split, each site once.

    Sites that the release leaves out are skipped with a notice (logged as INFO), unless a JSON file lists
    them; so is Greece_3 with the `official` lists. Listed sites that the archive lacks give one warning.
    The doubled entry of the official list counts once: its site is in train, and its rows are not repeated.

    Args:
        site_names: The sites of the archive.
        splits: As for `split_sites`.

    Returns:
        `{"train": (...), "validation": (...), "test": (...)}`, sites sorted by name; a split may be empty.

    Raises:
        ArgumentError: A site of the archive is in no split (the message lists them all).
        DataError: As for `split_sites`.
    """
    present = set(site_names)
    lists = split_sites(splits)
    listed = {site for sites in lists.values() for site in sites}
    skippable = {*EXCLUDED_SITES, _FORGOTTEN_SITE} if splits == "official" else set(EXCLUDED_SITES)

    unlisted = sorted(present - listed - skippable)
    if unlisted:
        raise ArgumentError(
            f"splits: found no split for {_sites(len(unlisted))} of the archive in '{os.fspath(splits)}': "
            f"{', '.join(unlisted)}; expected every site in one of {', '.join(SPLITS)}. A JSON file "
            '{"train": [...], "validation": [...], "test": [...]} gives your own lists.'
        )
    skipped = sorted((present & skippable) - listed)
    if skipped:
        logger.info("Skipped, as the published release does: %s.", ", ".join(skipped))
    missing = sorted(listed - present)
    if missing:
        logger.warning(
            "The archive lacks %s that the splits '%s' list: %s.",
            _sites(len(missing)),
            os.fspath(splits),
            _names(missing),
        )
    return {split: tuple(sorted(present.intersection(sites))) for split, sites in lists.items()}


def sites_of_splits(archive: Archive, splits: str | os.PathLike[str]) -> dict[str, tuple[str, ...]]:
    """The sites of each split that has any.

    Raises:
        ArchiveError: No site of the archive is in any split.
        EuroMineError: As for `assign_splits`.
    """
    assignment = {split: sites for split, sites in assign_splits(archive.sites, splits).items() if sites}
    if not assignment:
        raise ArchiveError(
            f"{archive.path}: found none of its {len(archive.sites)} sites in a split of "
            f"'{os.fspath(splits)}'; expected at least one."
        )
    return assignment


def _official() -> dict[str, list[str]]:
    return {split: list(_PUBLISHED["official"][split]) for split in SPLITS}


def _corrected() -> dict[str, list[str]]:
    lists = _official()
    first = lists["train"].index(_DOUBLED_SITE)
    second = lists["train"].index(_DOUBLED_SITE, first + 1)
    lists["train"][second] = _FORGOTTEN_SITE
    return lists


def _read_splits(path: Path) -> dict[str, list[str]]:
    """The lists of a user's JSON file."""
    try:
        pairs = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once_each)
    except FileNotFoundError as error:
        raise ArgumentError(
            f"splits: found no file '{path}'; expected 'corrected', 'official' or a JSON file."
        ) from error
    except OSError as error:
        raise DataError(
            f"{path}: found a file that cannot be read ({error.strerror}); expected a JSON file of splits."
        ) from error
    except KeyError as error:
        raise DataError(f"{path}: found the key {error} twice; expected {_LISTS}.") from None
    except (ValueError, RecursionError) as error:  # damaged JSON or damaged UTF-8
        raise DataError(f"{path}: found text that is not valid JSON ({error}); expected {_LISTS}.") from error
    return _checked(pairs, path)


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object with distinct keys: of two equal ones, Python would silently keep the last."""
    doubled = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if doubled:
        raise KeyError(doubled[0])
    return dict(pairs)


def _checked(lists: Any, path: Path) -> dict[str, list[str]]:
    if not isinstance(lists, dict):
        raise DataError(f"{path}: found a JSON {type(lists).__name__}; expected {_LISTS}.")
    if set(lists) != set(SPLITS):
        raise DataError(
            f"{path}: found the keys {', '.join(map(repr, lists)) or 'of no split'}; expected {_LISTS}."
        )
    for split, sites in lists.items():
        if not isinstance(sites, list) or not all(isinstance(site, str) for site in sites):
            raise DataError(
                f"{path}: found something else than a list of strings in '{split}'; expected {_LISTS}."
            )
    counts = Counter(site for sites in lists.values() for site in sites)
    doubled = sorted(site for site, count in counts.items() if count > 1)
    if doubled:
        raise DataError(
            f"{path}: found {', '.join(doubled)} more than once; expected each site in one split and once."
        )
    return {split: list(lists[split]) for split in SPLITS}


def _sites(count: int) -> str:
    return "1 site" if count == 1 else f"{count} sites"


def _names(sites: Sequence[str]) -> str:
    named = ", ".join(sites[:_NAMED_SITES])
    others = len(sites) - _NAMED_SITES
    return f"{named} and {others} more" if others > 0 else named

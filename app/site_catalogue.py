"""The sites of the app: every series below a folder, by an id that is safe in addresses."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from euromine.monitoring.history.folder import SeriesFolder
from euromine.monitoring.history.manifest import NAME
from euromine.support.errors import DataError, EuroMineError, one_line
from euromine.watch.watch_state import STATE_FILE

from .app_errors import NotFound
from .image_lookup import ImageLookup

DEEPEST = 4
"""Levels of folders below the app's in which a series is found."""

_REFRESH_SECONDS = 2.0
_MOST_FOLDERS = 20_000
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
# Folders of jobs and of tools, whose series are unfinished or are none.
_HIDDEN = (".", "_")


@dataclass(frozen=True, eq=False)
class SitePlace:
    """A site of the app.

    Attributes:
        id: Its id, safe in addresses.
        name: Its name; of several with one name, all but the first are told apart by their folder.
        series: Its maps, tables and polygons.
        version: A hash of the manifest, which changes with any file of the series.
    """

    id: str
    name: str
    series: SeriesFolder
    version: str
    _images: ImageLookup = field(repr=False)

    def image(self, year: int) -> Path | None:
        """The image of a year, a GeoTIFF; None where it is not found."""
        return self._images.image(self.series, year)


@dataclass(frozen=True)
class _Read:
    """A manifest that was read: the state of its file, and the series or the reason why there is none."""

    state: tuple[int, int, int]
    series: SeriesFolder | None
    version: str
    problem: str


class SiteCatalogue:
    """The series below a folder.

    Folders are looked through anew at most every two seconds, and only manifests that changed are read again.

    Args:
        folder: The app's folder. Links out of it are not followed.
        images: A folder with the sites' images beside it, if any.

    Raises:
        DataError: There is no such folder.
    """

    def __init__(self, folder: Path, images: Path | None = None) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder}: found no folder; expected one with series of `euromine series`.")
        if images is not None and not images.is_dir():
            raise DataError(f"--images: found no folder {images}; expected one with the sites' images.")
        self.folder = folder.resolve()
        self._lookup = ImageLookup([*([images] if images is not None else []), folder])
        self._lock = threading.Lock()
        self._checked = -_REFRESH_SECONDS
        self._read: dict[Path, _Read] = {}
        self._places: dict[str, SitePlace] = {}
        self._problems: list[str] = []
        self._watches: list[Path] = []

    def places(self) -> Mapping[str, SitePlace]:
        """The sites by id, sorted by name."""
        self._refresh()
        return self._places

    def place(self, site: str) -> SitePlace:
        """A site.

        Raises:
            NotFound: There is none of this id.
        """
        self._refresh()
        place = self._places.get(site)
        if place is None:
            raise NotFound(f"site: found no {site[:80]!r}; expected an id of the portfolio.")
        return place

    @property
    def problems(self) -> list[str]:
        """A sentence for each series that cannot be shown."""
        self._refresh()
        return self._problems

    @property
    def watch(self) -> Path | None:
        """The folder of a watch, the first with a state; None without one."""
        self._refresh()
        return self._watches[0] if self._watches else None

    def _refresh(self) -> None:
        with self._lock:
            if time.monotonic() - self._checked < _REFRESH_SECONDS:
                return
            series, watches, problems = _folders(self.folder)
            read = {folder: _read(folder, self._read.get(folder)) for folder in series}
            if read != self._read or watches != self._watches:
                self._places = self._named(read, watches)
            self._read, self._watches = read, watches
            problems += [each.problem for each in read.values() if each.problem]
            if len(watches) > 1:
                problems.append(
                    f"{self.folder.name}: found {len(watches)} watches; expected one. Only the alerts of "
                    f"{self._relative(watches[0])} are shown."
                )
            self._problems = problems
            self._checked = time.monotonic()

    def _named(self, read: Mapping[Path, _Read], watches: Sequence[Path]) -> dict[str, SitePlace]:
        """The sites, the one nearest to the app's folder first among those of one name.

        A watch's own maps of a site are left out where there is another series of it.
        """
        found: dict[str, SitePlace] = {}
        names: set[str] = set()
        watched = {folder for folder in read if any(each in folder.parents for each in watches)}
        for folder in sorted(read, key=lambda each: (each in watched, len(each.parts), str(each))):
            each = read[folder]
            if each.series is None:
                continue
            name = each.series.manifest.site or folder.name
            if name in names and folder in watched:
                continue
            site = slug(name)
            if name in names or site in found:
                inside = self._relative(folder.parent)
                name, site = f"{name} ({inside})", slug(f"{inside}-{name}")
            number = 2
            while site in found:
                site, number = f"{slug(name)}-{number}", number + 1
            names.add(name)
            found[site] = SitePlace(site, name, each.series, each.version, self._lookup)
        return dict(sorted(found.items(), key=lambda item: _natural(item[1].name)))

    def _relative(self, folder: Path) -> str:
        return folder.relative_to(self.folder).as_posix()


def slug(name: str) -> str:
    """A name that is safe in addresses, such as "Grube-Sud" for "Grube Süd"."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return _UNSAFE.sub("-", plain).strip("-")[:80] or "site"


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts "Mine 2" before "Mine 10"."""
    parts = re.split(r"(\d{1,9})", name.casefold())
    return [(int(part), "") if part.isdigit() and part.isascii() else (-1, part) for part in parts]


def _folders(root: Path) -> tuple[list[Path], list[Path], list[str]]:
    """The folders with a manifest, those with a watch's state, and problems, nearest to the root first."""
    series: list[Path] = []
    watches: list[Path] = []
    problems: list[str] = []
    level, visited = [root], 0
    for depth in range(DEEPEST + 1):
        following: list[Path] = []
        for folder in level:
            if (folder / NAME).is_file():
                series.append(folder)
                continue
            visited += 1
            if visited > _MOST_FOLDERS:
                problems.append(
                    f"{root.name}: found more than {_MOST_FOLDERS} folders; expected fewer. Series in the "
                    "others are not shown: give a folder with the series alone."
                )
                return series, watches, problems
            if (folder / STATE_FILE).is_file():
                watches.append(folder)
            if depth < DEEPEST:
                following += _subfolders(folder, root)
        level = following
    return series, watches, problems


def _subfolders(folder: Path, root: Path) -> list[Path]:
    found: list[Path] = []
    with suppress(OSError), os.scandir(folder) as entries:  # a folder that may not be read is not shown
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.name.startswith(_HIDDEN) or not entry.is_dir():
                continue
            path = Path(entry.path)
            if entry.is_symlink() and not _is_below(path, root):
                continue
            found.append(path)
    return found


def _is_below(link: Path, root: Path) -> bool:
    """Whether a link leads to a folder below the root, though not to one around itself."""
    target = link.resolve()
    return target.is_relative_to(root) and not link.is_relative_to(target)


def _read(folder: Path, held: _Read | None) -> _Read:
    """The series of a folder, read anew where its manifest has changed."""
    path = folder / NAME
    try:
        found = path.stat()
        state = (found.st_mtime_ns, found.st_size, found.st_ino)
        if held is not None and held.state == state:
            return held
        series = SeriesFolder(folder)
        return _Read(state, series, hashlib.sha256(path.read_bytes()).hexdigest()[:16], "")
    except EuroMineError as error:
        return _Read(state, None, "", one_line(error))
    except OSError as error:
        return _Read((0, 0, 0), None, "", f"{path}: found no readable file ({error.strerror}).")

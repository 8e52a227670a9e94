"""The EuroMineNet archive: sites of yearly images and footprint labels, from a folder or the zip itself.

The published layout is `EuroMineNet/{Site}/image/Year{YYYY}.tif` and `EuroMineNet/{Site}/label/...` (RODARE
record 4656, doi 10.14278/rodare.4656). An archive of other mines in this layout reads the same. Its sites may
lack labels, of some years or of all, and may have backscatter in `EuroMineNet/{Site}/radar/Year{YYYY}.tif`,
classes of components in `EuroMineNet/{Site}/components/Year{YYYY}.tif`, and `EuroMineNet/{Site}/site.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from euromine.support.errors import ArchiveError, EuroMineError
from euromine.support.image_headers import auxiliary_file
from euromine.support.rasters import shown
from euromine.support.sidecars import sidecar_paths

from .archive_listing import YEAR_NAME, Listing, join_path, list_folder, list_zip
from .site_facts import SITE_FILE, SiteFacts, read_site_facts
from .site_scene import Site

SIMULATION_FILE = "simulation.json"
"""The record that the simulator leaves at the root of its archive."""

_ARCHIVE_NAME = "eurominenet"

_IMAGE_FOLDERS = frozenset({"image", "images"})

_LABEL_FOLDERS = frozenset({"label", "labels"})

_RADAR_FOLDERS = frozenset({"radar"})

_COMPONENT_FOLDERS = frozenset({"components"})

_MISSPELLED_COUNTRIES = {"Portuga": "Portugal"}

# Site folders lie at most this deep: a zip may wrap EuroMineNet/ in a folder of its own name.
_NESTING = 2


class Archive:
    """The sites of an archive.

    Listing files and pairing images with labels opens no raster.

    Attributes:
        path: The folder or the zip.
        sites: The sites by name, sorted as plain strings.
        simulated: Whether `euromine simulate` made it, or any of its sites. The one rule: the simulator's
            record `simulation.json` lies at the archive's root, beside `EuroMineNet/`, or `site.json` of a
            site states it.
    """

    path: Path
    sites: dict[str, Site]
    simulated: bool

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """List an archive.

        Args:
            path: A folder that holds site folders, a folder with `EuroMineNet/` in it, or a zip of either.

        Raises:
            ArchiveError: `path` holds no site, or a site is not in the published layout.
        """
        self.path = Path(path)
        if self.path.is_dir():
            listing, prefix = list_folder(self.path), self.path.absolute().as_posix()
        else:
            # The braces mark the end of the zip's name for GDAL.
            listing, prefix = list_zip(self.path), f"/vsizip/{{{self.path.absolute().as_posix()}}}"
        root = _site_root(listing, self.path)
        sites = (_site(listing, prefix, root, name, self.path) for name in listing(root)[0])
        self.sites = {site.name: site for site in sorted(sites, key=lambda site: site.name)}
        self.simulated = (
            _holds_simulation(listing, root)
            or _lies_beside_simulation(self.path, root)
            or any(site.facts.simulated for site in self.sites.values())
        )

    def __repr__(self) -> str:
        return f"Archive('{self.path}', {len(self.sites)} sites)"


def _site_root(listing: Listing, path: Path) -> str:
    """The folder that holds the site folders."""

    def holds_sites(folder: str) -> bool:
        return any(
            child.lower() in _IMAGE_FOLDERS | _LABEL_FOLDERS
            for name in listing(folder)[0]
            for child in listing(join_path(folder, name))[0]
        )

    published = [name for name in listing("")[0] if name.lower() == _ARCHIVE_NAME and holds_sites(name)]
    if published:
        return published[0]
    level = [""]
    for _ in range(_NESTING + 1):
        roots = [folder for folder in level if holds_sites(folder)]
        if len(roots) > 1:
            raise ArchiveError(
                f"{path}: found sites in several folders ({', '.join(roots)}); expected one archive."
            )
        if roots:
            return roots[0]
        level = [join_path(folder, name) for folder in level for name in listing(folder)[0]]
    raise ArchiveError(
        f"{path}: found no site; expected folders such as Austria_1/ with image/Year2015.tif in each, and "
        "label/Year2015.tif where there are labels."
    )


def is_simulated_image(path: str | os.PathLike[str]) -> bool:
    """Whether an image lies in a simulated archive, by the rule of `Archive.simulated`.

    Args:
        path: Any image; one outside the published layout is not simulated.
    """
    path = Path(path).absolute()
    if not is_archive_image(path) or len(path.parents) < 3:
        return False
    site, folder = path.parents[1:3]
    if (folder / SIMULATION_FILE).is_file() or _lies_beside_simulation(folder, ""):
        return True
    try:
        return (site / SITE_FILE).is_file() and read_site_facts(site, SITE_FILE).simulated
    except EuroMineError:  # the record of something else
        return False


def _holds_simulation(listing: Listing, root: str) -> bool:
    """Whether the simulator's record lies in the folder of the sites, or in the folder above it."""
    folders = [root, root.rpartition("/")[0]] if root else [root]
    return any(SIMULATION_FILE in listing(folder)[1] for folder in folders)


def _lies_beside_simulation(path: Path, root: str) -> bool:
    """Whether a path is the `EuroMineNet/` of a simulated archive, or a zip of it in the same place."""
    named = (not root and path.is_dir()) or path.is_file()
    named = named and path.absolute().stem.lower() == _ARCHIVE_NAME
    return named and (path.absolute().parent / SIMULATION_FILE).is_file()


def _site(listing: Listing, prefix: str, root: str, name: str, archive: Path) -> Site:
    folder = join_path(root, name)
    images = _year_paths(listing, prefix, folder, _IMAGE_FOLDERS)
    labels = _year_paths(listing, prefix, folder, _LABEL_FOLDERS)
    if not images and not labels:
        raise ArchiveError(
            f"{shown(join_path(prefix, folder))}: found no image; expected a site with "
            "image/Year2015.tif, or no such folder."
        )
    radar, components = (
        _year_paths(listing, prefix, folder, folders, others_allowed=True)
        for folders in (_RADAR_FOLDERS, _COMPONENT_FOLDERS)
    )
    for paths in (labels, components):
        for year in sorted(set(paths) - set(images)):
            raise ArchiveError(
                f"{shown(paths[year])}: found no image of the same year; expected "
                f"{name}/image/Year{year}.tif."
            )
    facts = SiteFacts()
    if SITE_FILE in listing(folder)[1]:
        facts = read_site_facts(archive, join_path(folder, SITE_FILE))
    country = _MISSPELLED_COUNTRIES.get(country := re.sub(r"_\d+$", "", name), country)
    return Site(name, country, images, labels, radar, components, facts)


def _year_paths(
    listing: Listing, prefix: str, folder: str, kinds: frozenset[str], *, others_allowed: bool = False
) -> dict[int, str]:
    """Year -> path of the TIFFs in a folder of a site; other TIFFs are refused unless they are allowed."""
    paths: dict[int, str] = {}
    for kind in listing(folder)[0]:
        if kind.lower() not in kinds:
            continue
        for file in listing(join_path(folder, kind))[1]:
            if Path(file).suffix.lower() not in (".tif", ".tiff"):
                continue
            path = join_path(prefix, folder, kind, file)
            match = YEAR_NAME.fullmatch(Path(file).stem)
            if match is None and others_allowed:
                continue
            if match is None:
                raise ArchiveError(
                    f"{shown(path)}: found a name without a year; expected one such as Year2015.tif."
                )
            year = int(match[1])
            if year in paths:
                raise ArchiveError(
                    f"{shown(path)}: found a second file for {year} beside {shown(paths[year])}; "
                    "expected one file per year."
                )
            paths[year] = path
    return dict(sorted(paths.items()))


def is_archive_image(path: str | os.PathLike[str]) -> bool:
    """Whether a path has the published layout of an image, `image/Year2015.tif`."""
    path = Path(path).absolute()
    return path.parent.name.lower() in _IMAGE_FOLDERS and bool(YEAR_NAME.fullmatch(path.stem))


def archive_fingerprint(archive: Archive, assignment: Mapping[str, Sequence[str]]) -> str:
    """A hash of the sites of each split and of the size and time of their files.

    Raises:
        OSError: A file of the archive is missing.
    """
    sites = [site for split in assignment.values() for site in split]
    state = [dict(assignment), {site: files_state(archive, archive.sites[site]) for site in sorted(sites)}]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]


def files_state(archive: Archive, site: Site) -> list[tuple[str, int, int]]:
    """Name, size in bytes and modification time (ns) of each file of a site, or of the zip.

    STAC items and GDAL's auxiliary files beside its images count, too, and with components radar and facts.
    """
    if archive.path.is_file():
        paths = [archive.path]
    else:
        paths = [Path(path) for years in (site.image_paths, site.label_paths) for path in years.values()]
        images = [Path(path) for path in site.image_paths.values()]
        beside = [each for path in images for each in (*sidecar_paths(path), auxiliary_file(str(path)))]
        if site.component_paths:  # only then are these part of a dataset
            beside += [Path(path) for path in (*site.component_paths.values(), *site.radar_paths.values())]
            beside.append(images[0].parents[1] / SITE_FILE)
        paths += [path for path in beside if path.is_file()]
    states = ((path, path.stat()) for path in sorted(paths))
    return [(f"{path.parent.name}/{path.name}", state.st_size, state.st_mtime_ns) for path, state in states]

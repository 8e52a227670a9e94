"""The EuroMineNet archive: sites of yearly images and footprint labels, from a folder or the zip itself.

The published layout is `EuroMineNet/{Site}/image/Year{YYYY}.tif` and `EuroMineNet/{Site}/label/...` (RODARE
record 4656, doi 10.14278/rodare.4656); an archive of one's own mines in this layout reads the same.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import ArchiveError
from euromine.support.files import torn_file_error
from euromine.support.rasters import (
    check_blocks,
    crs_name,
    gdal,
    gdal_errors,
    open_raster,
    read_raster,
    shown,
)

BANDS: tuple[str, ...] = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

Transform = tuple[float, float, float, float, float, float]
# The folders and the files of a folder of the archive, by name, without those that belong to no archive.
Listing = Callable[[str], tuple[list[str], list[str]]]

SIMULATION_FILE = "simulation.json"
"""The record that the simulator leaves at the root of its archive."""

_ARCHIVE_NAME = "eurominenet"
_IMAGE_FOLDERS = frozenset({"image", "images"})
_LABEL_FOLDERS = frozenset({"label", "labels"})
_YEAR_NAME = re.compile(r"(?:year|label|image)?[ _-]?((?:19|20)\d\d)", re.IGNORECASE)
_MISSPELLED_COUNTRIES = {"Portuga": "Portugal"}
# Site folders lie at most this deep: a zip may wrap EuroMineNet/ in a folder of its own name.
_NESTING = 2

# 255 in a label is mine in the published convention, and no data in that of this project.
_MINE, _MARKED = 1, 255
_LABEL_VALUES = (0, _MINE, _MARKED)

_LARGEST_DN = int(np.iinfo(np.int16).max)
_LARGEST_SCENE = 2**31
# Years may differ by the rounding of their exporter, never by a visible part of a pixel.
_LARGEST_SHIFT = 0.1
_SCANNED_PIXELS = 2**22


class Archive:
    """The sites of an archive.

    Making one lists the files and pairs images with labels; it opens no raster.

    Attributes:
        path: The folder or the zip.
        sites: The sites by name, sorted as plain strings.
        simulated: Whether `euromine simulate` made it. The one rule: the simulator's record
            `simulation.json` lies at the archive's root, beside `EuroMineNet/`.
    """

    path: Path
    sites: dict[str, Site]
    simulated: bool

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """List an archive.

        Args:
            path: A folder that holds site folders, a folder with `EuroMineNet/` in it, or a zip of either.

        Raises:
            ArchiveError: If `path` holds no site, or a site is not laid out as it should be.
        """
        self.path = Path(path)
        if self.path.is_dir():
            listing, prefix = _list_folder(self.path), self.path.absolute().as_posix()
        else:
            # The braces let GDAL know where the zip's name ends, whatever it ends in.
            listing, prefix = _list_zip(self.path), f"/vsizip/{{{self.path.absolute().as_posix()}}}"
        root = _site_root(listing, self.path)
        sites = (_site(listing, prefix, root, name) for name in listing(root)[0])
        self.sites = {site.name: site for site in sorted(sites, key=lambda site: site.name)}
        self.simulated = _holds_simulation(listing, root) or _lies_beside_simulation(self.path, root)

    def __repr__(self) -> str:
        return f"Archive('{self.path}', {len(self.sites)} sites)"


@dataclass(frozen=True)
class Site:
    """A site of the archive: the paths of its rasters. It opens nothing and can be pickled.

    Attributes:
        name: Name of its folder, for example `Portuga_1`.
        country: The name without its number, spelled right: `Portugal`. A site of one's own named
            `Kiruna_3` has the country `Kiruna`, one named `Kiruna` too.
        image_paths: Year -> path of the image, as GDAL takes it (`/vsizip/...` in a zip).
        label_paths: Year -> path of the label, of the same years.
    """

    name: str
    country: str
    image_paths: dict[int, str]
    label_paths: dict[int, str]

    @property
    def years(self) -> tuple[int, ...]:
        """The years of the site, sorted; a year that the archive lacks is absent."""
        return tuple(sorted(self.image_paths))

    def open(self) -> Scene:
        """The scene, its files open; use it in a `with` statement.

        Raises:
            ArchiveError: If a file cannot be opened or its header is not as expected.
        """
        return Scene(self)


class Scene:
    """An open site: the same pixels in every year, read in windows.

    Files stay open until the end of the `with` statement. All headers are checked on opening; the values of
    a label are checked when it is first read, those of an image as they are read. A scene belongs to one
    thread and cannot be pickled: send the `Site` to a worker and open it there.

    Attributes:
        site: Name of the site.
        country: Its country.
        years: The years it has, sorted.
        height: Rows.
        width: Columns.
        crs: `EPSG:4326` where the coordinate system has a code, else its WKT.
        transform: Affine coefficients `a, b, c, d, e, f`: pixel (column, row) lies at
            `(a * column + b * row + c, d * column + e * row + f)`.
    """

    site: str
    country: str
    years: tuple[int, ...]
    height: int
    width: int
    crs: str
    transform: Transform

    def __init__(self, site: Site) -> None:
        """Open all files of a site and check their headers.

        Raises:
            ArchiveError: If a file cannot be opened or its header is not as expected.
        """
        self.site, self.country, self.years = site.name, site.country, site.years
        self._image_paths, self._label_paths = dict(site.image_paths), dict(site.label_paths)
        self._label_values: dict[int, frozenset[int]] = {}
        self._closed = False
        with ExitStack() as files:
            self._images = {
                year: open_raster(self._image_paths[year], files, ArchiveError) for year in self.years
            }
            self._labels = {
                year: open_raster(self._label_paths[year], files, ArchiveError) for year in self.years
            }
            self._check_headers()
            self._files = files.pop_all()
        first = self._images[self.years[0]]
        self.height, self.width = first.height, first.width
        self.crs = crs_name(first.crs)
        a, b, c, d, e, f = (float(coefficient) for coefficient in first.transform[:6])
        self.transform = (a, b, c, d, e, f)

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        self._closed = True
        self._files.close()

    def read_image(
        self, year: int, top: int = 0, left: int = 0, height: int | None = None, width: int | None = None
    ) -> NDArray[np.int16]:
        """A window of a year's image; the whole of it by default.

        Args:
            year: A year of the scene.
            top: First row.
            left: First column.
            height: Rows, by default to the end of the scene.
            width: Columns, by default to the end of the scene.

        Returns:
            `(10, height, width)` int16 DN (reflectance x 10000), bands in the order of `BANDS`.

        Raises:
            ValueError: If the scene has no such year or window.
            ArchiveError: If the file is damaged, or unsigned with values that int16 cannot hold.
        """
        window = self._window(year, top, left, height, width)
        path = self._image_paths[year]
        image = read_raster(self._images[year], path, window, ArchiveError)
        if image.dtype != np.int16:
            largest = int(image.max())
            if largest > _LARGEST_DN:
                raise ArchiveError(
                    f"{shown(path)}: holds the value {largest}; expected int16 DN (reflectance x 10000), "
                    f"at most {_LARGEST_DN}."
                )
        return image.astype(np.int16, copy=False)

    def read_label(
        self, year: int, top: int = 0, left: int = 0, height: int | None = None, width: int | None = None
    ) -> NDArray[np.uint8]:
        """A window of a year's label; the whole of it by default.

        What 255 means is decided by all values of the file, so that windows agree. A file that holds 1
        marks mines with 1, and pixels to ignore with 255. A file without 1 follows the published
        convention: 255 is mine (a file of 255 alone is mine everywhere, one of 0 alone nowhere).

        Args:
            year: A year of the scene.
            top: First row.
            left: First column.
            height: Rows, by default to the end of the scene.
            width: Columns, by default to the end of the scene.

        Returns:
            `(height, width)` uint8: 0 elsewhere, 1 mine, 255 to be ignored.

        Raises:
            ValueError: If the scene has no such year or window.
            ArchiveError: If the file is damaged, holds other values than 0, 1 and 255, or if 255 is to be
                ignored in one year of the site and could be so in this one, which has no 1.
        """
        window = self._window(year, top, left, height, width)
        values = self._values_of_label(year)
        label = read_raster(self._labels[year], self._label_paths[year], window, ArchiveError)[0]
        if _MINE in values:
            return label.astype(np.uint8, copy=False)
        return (label == _MARKED).astype(np.uint8)

    def _check_headers(self) -> None:
        first_path, first = self._image_paths[self.years[0]], self._images[self.years[0]]
        for year in self.years:
            path, image = self._image_paths[year], self._images[year]
            _check_image(image, path)
            _check_same_place(image, path, first, first_path)
        for year in self.years:
            path, label = self._label_paths[year], self._labels[year]
            _check_label(label, path)
            _check_same_place(label, path, first, first_path)

    def _window(
        self, year: int, top: int, left: int, height: int | None, width: int | None
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """The window as rasterio takes it: `(first row, end of rows), (first column, end of columns)`."""
        if self._closed:
            raise ValueError(
                f"The scene {self.site} is closed; expected reading inside its `with` statement."
            )
        if year not in self._images:
            raise ValueError(
                f"{self.site} has no year {year}; expected one of {', '.join(map(str, self.years))}."
            )
        bottom = self.height if height is None else top + height
        right = self.width if width is None else left + width
        if not (0 <= top < bottom <= self.height and 0 <= left < right <= self.width):
            raise ValueError(
                f"{self.site} has no window of rows {top} to {bottom} and columns {left} to {right}; "
                f"expected one that is not empty and inside {self.height} x {self.width} pixels."
            )
        return (top, bottom), (left, right)

    def _values_of_label(self, year: int) -> frozenset[int]:
        """Which of 0, 1 and 255 a year's label holds."""
        if year not in self._label_values:
            self._label_values[year] = self._scan_label(year)
            self._check_conventions()
        return self._label_values[year]

    def _scan_label(self, year: int) -> frozenset[int]:
        path, dataset = self._label_paths[year], self._labels[year]
        rows = max(1, _SCANNED_PIXELS // self.width)
        found: set[int] = set()
        for top in range(0, self.height, rows):
            block = read_raster(
                dataset, path, ((top, min(top + rows, self.height)), (0, self.width)), ArchiveError
            )
            found.update(value for value in _LABEL_VALUES if (block == value).any())
            others = np.unique(block[~np.isin(block, _LABEL_VALUES)])
            if others.size:
                values = ", ".join(map(str, others[:5].tolist())) + (", ..." if others.size > 5 else "")
                raise ArchiveError(
                    f"{shown(path)}: holds the values {values}; expected 0 and 255 (mine), 0 and 1 (mine), "
                    f"or 0, 1 and 255 (ignored)."
                )
        return frozenset(found)

    def _check_conventions(self) -> None:
        """Refuse to guess: a site that ignores 255 in one year hardly means mine by it in another."""
        values = self._label_values
        ignored = [year for year in values if {_MINE, _MARKED} <= values[year]]
        marked = [year for year in values if _MARKED in values[year] and _MINE not in values[year]]
        if ignored and marked:
            raise ArchiveError(
                f"{shown(self._label_paths[marked[0]])}: holds 255 but no 1, while "
                f"{shown(self._label_paths[ignored[0]])} holds 1 (mine) and 255 (ignored); expected one "
                f"convention for all years of a site."
            )


def write_site(
    root: str | os.PathLike[str],
    name: str,
    *,
    images: NDArray[np.int16],
    labels: NDArray[np.uint8],
    years: Sequence[int],
    crs: str,
    transform: Sequence[float],
) -> None:
    """Write a site in the published layout: `root/name/image/Year2015.tif`, `root/name/label/...`.

    The site appears as a whole, in place of one of the same name, or not at all. Images are int16 with
    georeferencing, labels uint8 0/255 without, as published; the same arrays give the same bytes.

    Args:
        root: Folder of the archive; made if it is missing.
        name: Name of the site, for example `Germany_12`.
        images: `(years, 10, height, width)` int16 DN, bands in the order of `BANDS`.
        labels: `(years, height, width)` uint8, 1 for mine and 0 elsewhere.
        years: The years, each once.
        crs: For example `EPSG:4326`, or WKT.
        transform: Affine coefficients `a, b, c, d, e, f`.

    Raises:
        ValueError: If an argument does not fit the others.
        OSError: If a file cannot be written in full, for example on a full disk.
    """
    _check_arrays(name, images, labels, years, transform)
    root = Path(root)
    site, partial, replaced = root / name, root / f".{name}.partial", root / f".{name}.replaced"
    georeferencing = {"crs": _parse_crs(crs), "transform": _affine(transform)}
    _remove(partial)
    try:
        for folder in ("image", "label"):
            (partial / folder).mkdir(parents=True)
        for year, image, label in zip(years, images, labels, strict=True):
            _write(partial / "image" / f"Year{year}.tif", image, predictor=2, **georeferencing)
            published = np.where(label == _MINE, np.uint8(_MARKED), np.uint8(0))
            _write(partial / "label" / f"Year{year}.tif", published[np.newaxis])
        if site.exists():
            _remove(replaced)
            site.rename(replaced)
        partial.rename(site)
        _remove(replaced)
    finally:
        _remove(partial)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _list_folder(path: Path) -> Listing:
    def listing(folder: str) -> tuple[list[str], list[str]]:
        folders: list[str] = []
        files: list[str] = []
        try:
            with os.scandir(path / folder) as entries:
                for entry in entries:
                    if not _is_ignored(entry.name):
                        (folders if entry.is_dir() else files).append(entry.name)
        except OSError as error:
            raise ArchiveError(
                f"{path / folder}: cannot be listed ({error.strerror}); expected a folder of the archive."
            ) from error
        return sorted(folders), sorted(files)

    return listing


def _list_zip(path: Path) -> Listing:
    """The folders of a zip, from one reading of its directory."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except FileNotFoundError as error:
        raise ArchiveError(f"{path}: does not exist; expected the archive, a folder or a zip.") from error
    except OSError as error:
        raise ArchiveError(
            f"{path}: cannot be read ({error.strerror}); expected the archive's zip."
        ) from error
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ArchiveError(
            f"{path}: is neither a folder nor a whole zip ({error}); expected the archive."
        ) from error

    folders: dict[str, set[str]] = {"": set()}
    files: dict[str, list[str]] = {}
    for member in members:
        *parents, name = member.filename.rstrip("/").split("/")
        if any(_is_ignored(part) for part in (*parents, name)):
            continue
        if member.flag_bits & 1:
            raise ArchiveError(
                f"{path}: '{member.filename}' is encrypted; expected a zip without a password."
            )
        if member.is_dir():
            parents, name = [*parents, name], ""
        for depth, parent in enumerate(parents):
            folders.setdefault("/".join(parents[:depth]), set()).add(parent)
        if name:
            files.setdefault("/".join(parents), []).append(name)

    def listing(folder: str) -> tuple[list[str], list[str]]:
        return sorted(folders.get(folder, ())), sorted(files.get(folder, ()))

    return listing


def _is_ignored(name: str) -> bool:
    return not name or name.startswith(".") or name == "__MACOSX"


def _site_root(listing: Listing, path: Path) -> str:
    """The folder whose folders are the sites."""

    def holds_sites(folder: str) -> bool:
        return any(
            child.lower() in _IMAGE_FOLDERS | _LABEL_FOLDERS
            for name in listing(folder)[0]
            for child in listing(_join(folder, name))[0]
        )

    published = [name for name in listing("")[0] if name.lower() == _ARCHIVE_NAME and holds_sites(name)]
    if published:
        return published[0]
    level = [""]
    for _ in range(_NESTING + 1):
        roots = [folder for folder in level if holds_sites(folder)]
        if len(roots) > 1:
            raise ArchiveError(
                f"{path}: holds sites in several folders ({', '.join(roots)}); expected one archive."
            )
        if roots:
            return roots[0]
        level = [_join(folder, name) for folder in level for name in listing(folder)[0]]
    raise ArchiveError(
        f"{path}: holds no site; expected folders such as Austria_1/ with image/Year2015.tif and "
        f"label/Year2015.tif in each."
    )


def is_simulated_image(path: str | os.PathLike[str]) -> bool:
    """Whether an image lies in a simulated archive, by the rule of `Archive.simulated`.

    Args:
        path: Any image; one outside the published layout is not simulated.
    """
    path = Path(path).absolute()
    if not is_archive_image(path) or len(path.parents) < 3:
        return False
    folder = path.parents[2]
    return (folder / SIMULATION_FILE).is_file() or _lies_beside_simulation(folder, "")


def _holds_simulation(listing: Listing, root: str) -> bool:
    """Whether the simulator's record lies in the folder of the sites, or in the folder above it."""
    folders = [root, root.rpartition("/")[0]] if root else [root]
    return any(SIMULATION_FILE in listing(folder)[1] for folder in folders)


def _lies_beside_simulation(path: Path, root: str) -> bool:
    """Whether a path is the `EuroMineNet/` of a simulated archive, or a zip of it in the same place."""
    named = (not root and path.is_dir()) or path.is_file()
    named = named and path.absolute().stem.lower() == _ARCHIVE_NAME
    return named and (path.absolute().parent / SIMULATION_FILE).is_file()


def _site(listing: Listing, prefix: str, root: str, name: str) -> Site:
    folder = _join(root, name)
    images = _year_paths(listing, prefix, folder, _IMAGE_FOLDERS)
    labels = _year_paths(listing, prefix, folder, _LABEL_FOLDERS)
    if not images and not labels:
        raise ArchiveError(
            f"{shown(_join(prefix, folder))}: holds no image; expected a site with image/Year2015.tif and "
            f"label/Year2015.tif, or no such folder."
        )
    for year in sorted(set(images) ^ set(labels)):
        if year in images:
            present, lacking, expected = images[year], "label", f"{name}/label/Year{year}.tif"
        else:
            present, lacking, expected = labels[year], "image", f"{name}/image/Year{year}.tif"
        raise ArchiveError(f"{shown(present)}: has no {lacking} of the same year; expected {expected}.")
    country = re.sub(r"_\d+$", "", name)
    return Site(name, _MISSPELLED_COUNTRIES.get(country, country), images, labels)


def _year_paths(listing: Listing, prefix: str, folder: str, kinds: frozenset[str]) -> dict[int, str]:
    """Year -> path of the TIFFs in the image or label folder of a site."""
    paths: dict[int, str] = {}
    for kind in listing(folder)[0]:
        if kind.lower() not in kinds:
            continue
        for file in listing(_join(folder, kind))[1]:
            if Path(file).suffix.lower() not in (".tif", ".tiff"):
                continue
            path = _join(prefix, folder, kind, file)
            match = _YEAR_NAME.fullmatch(Path(file).stem)
            if match is None:
                raise ArchiveError(
                    f"{shown(path)}: its name is no year; expected a name such as Year2015.tif."
                )
            year = int(match[1])
            if year in paths:
                raise ArchiveError(
                    f"{shown(path)}: is of the year {year} as is {shown(paths[year])}; expected one file "
                    f"a year."
                )
            paths[year] = path
    return dict(sorted(paths.items()))


def is_archive_image(path: str | os.PathLike[str]) -> bool:
    """Whether a path is one of an image in the published layout, `image/Year2015.tif`."""
    path = Path(path).absolute()
    return path.parent.name.lower() in _IMAGE_FOLDERS and bool(_YEAR_NAME.fullmatch(path.stem))


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _check_image(dataset: Any, path: str) -> None:
    expected = f"expected {len(BANDS)} bands ({' '.join(BANDS)}) of int16 DN (reflectance x 10000)"
    if dataset.count != len(BANDS):
        raise ArchiveError(f"{shown(path)}: has {_counted(dataset.count, 'band')}; {expected}.")
    types = sorted(set(dataset.dtypes))
    if not set(types) <= {"int16", "uint16"}:
        kind = "reflectance as " if types[0].startswith("float") else ""
        raise ArchiveError(f"{shown(path)}: holds {kind}{', '.join(types)}; {expected}.")
    _check_size(dataset, path)
    if not dataset.crs:
        raise ArchiveError(
            f"{shown(path)}: has no coordinate reference system (CRS); expected one, as EPSG:4326."
        )
    determinant = dataset.transform.determinant
    if dataset.transform.is_identity or not math.isfinite(determinant) or determinant == 0:
        raise ArchiveError(
            f"{shown(path)}: has no usable geotransform; expected one that places pixels in its CRS."
        )


def _check_label(dataset: Any, path: str) -> None:
    expected = "expected one band of uint8 with 0 and 255 (mine), or 0 and 1 (mine)"
    if dataset.count != 1:
        raise ArchiveError(f"{shown(path)}: has {_counted(dataset.count, 'band')}; {expected}.")
    if np.dtype(dataset.dtypes[0]).kind not in "iu":
        raise ArchiveError(f"{shown(path)}: holds {dataset.dtypes[0]}; {expected}.")
    _check_size(dataset, path)


def _check_size(dataset: Any, path: str) -> None:
    """Before anything is read: what a header claims may be absurd."""
    if dataset.height * dataset.width > _LARGEST_SCENE:
        raise ArchiveError(
            f"{shown(path)}: claims {dataset.height} x {dataset.width} pixels; expected a scene of at most "
            f"{_LARGEST_SCENE} pixels."
        )
    check_blocks(dataset, path, ArchiveError)


def _check_same_place(dataset: Any, path: str, first: Any, first_path: str) -> None:
    """Refuse a year or label that lies elsewhere than the site's first image."""
    if (dataset.height, dataset.width) != (first.height, first.width):
        raise ArchiveError(
            f"{shown(path)}: has {dataset.height} x {dataset.width} pixels; expected {first.height} x "
            f"{first.width} as {shown(first_path)}."
        )
    if dataset.crs and dataset.crs != first.crs:
        raise ArchiveError(
            f"{shown(path)}: has the CRS {crs_name(dataset.crs)}; expected {crs_name(first.crs)} as "
            f"{shown(first_path)}."
        )
    if not dataset.transform.is_identity:  # the identity is how a label without georeferencing reads
        shift = _corner_shift(first.transform, dataset.transform, first.height, first.width)
        if not shift <= _LARGEST_SHIFT:
            raise ArchiveError(
                f"{shown(path)}: lies {shift:.3g} pixels away from {shown(first_path)}; expected the same "
                f"geotransform within {_LARGEST_SHIFT} pixel."
            )


def _corner_shift(first: Any, second: Any, height: int, width: int) -> float:
    """The furthest that a corner of the second raster lies from the first's, in pixels of the first."""
    to_pixels = ~first
    shifts = []
    for corner in ((0, 0), (width, 0), (0, height), (width, height)):
        column, row = _apply(to_pixels, *_apply(second, *corner))
        shifts += [abs(column - corner[0]), abs(row - corner[1])]
    return math.nan if any(map(math.isnan, shifts)) else max(shifts)


def _apply(transform: Sequence[float], column: float, row: float) -> tuple[float, float]:
    a, b, c, d, e, f = transform[:6]
    return a * column + b * row + c, d * column + e * row + f


def _parse_crs(crs: str) -> Any:
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        with gdal():
            return CRS.from_user_input(crs)
    except CRSError as error:
        raise ValueError(f"crs is {crs!r}; expected a code such as EPSG:4326, or WKT.") from error


def _affine(transform: Sequence[float]) -> Any:
    from affine import Affine

    return Affine(*transform[:6])


def _check_arrays(
    name: str,
    images: NDArray[np.int16],
    labels: NDArray[np.uint8],
    years: Sequence[int],
    transform: Sequence[float],
) -> None:
    if _is_ignored(name) or Path(name).name != name:
        raise ValueError(f"name is {name!r}; expected the name of a folder, such as Germany_12.")
    if images.ndim != 4 or images.shape[:2] != (len(years), len(BANDS)) or images.dtype != np.int16:
        raise ValueError(
            f"images of {name} are {images.dtype} {images.shape}; expected int16 "
            f"({len(years)}, {len(BANDS)}, height, width) for {_counted(len(years), 'year')}."
        )
    expected = (len(years), *images.shape[2:])
    if labels.shape != expected or labels.dtype != np.uint8 or (labels > _MINE).any():
        raise ValueError(
            f"labels of {name} are {labels.dtype} {labels.shape} up to {labels.max(initial=0)}; expected "
            f"uint8 {expected} of 0 and 1."
        )
    if (
        not years
        or len(set(years)) != len(years)
        or not all(_YEAR_NAME.fullmatch(str(year)) for year in years)
    ):
        raise ValueError(
            f"years of {name} are {list(years)}; expected at least one, each once, such as 2015."
        )
    if len(transform) < 6:
        raise ValueError(f"transform of {name} has {len(transform)} coefficients; expected a, b, c, d, e, f.")


def _write(path: Path, bands: NDArray[Any], **options: Any) -> None:
    """Write `(bands, height, width)`, and read it back: a full disk is no error to GDAL as it closes."""
    import rasterio

    count, height, width = bands.shape
    profile = {"count": count, "height": height, "width": width, "dtype": bands.dtype, "interleave": "band"}
    storage = {
        "compress": "deflate",
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "bigtiff": "if_safer",
    }
    try:
        with gdal():
            with rasterio.open(path, "w", driver="GTiff", **profile, **storage, **options) as dataset:
                dataset.write(bands)
            with rasterio.open(path, driver="GTiff") as dataset:
                whole = all(np.array_equal(dataset.read(i + 1), bands[i]) for i in range(count))
    except gdal_errors() as error:
        raise torn_file_error(path) from error
    if not whole:
        raise torn_file_error(path)


def _counted(count: int, thing: str) -> str:
    return f"1 {thing}" if count == 1 else f"{count} {thing}s"

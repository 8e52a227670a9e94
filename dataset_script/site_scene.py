"""A site of the archive, and its scene: images and labels of all years, read in windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import ArchiveError
from euromine.support.image_headers import valid_pixels
from euromine.support.placements import check_placement
from euromine.support.processing_levels import Level
from euromine.support.rasters import check_blocks, crs_name, open_raster, read_mask, read_raster, shown

from .archive_bands import BANDS
from .image_layouts import image_layout
from .label_headers import IGNORED_TAG, MARKED, MINE, check_marked

Transform = tuple[float, float, float, float, float, float]

_LABEL_VALUES = (0, MINE, MARKED)
_LEAST_DN, _LARGEST_DN = int(np.iinfo(np.int16).min), int(np.iinfo(np.int16).max)
_LARGEST_SCENE = 2**31

# Years may differ by the rounding of their exporter, never by a visible part of a pixel.
_LARGEST_SHIFT = 0.1

_SCANNED_PIXELS = 2**22


@dataclass(frozen=True)
class Site:
    """A site of the archive: the paths of its rasters. It opens nothing and can be pickled.

    Attributes:
        name: Name of its folder, for example `Portuga_1`.
        country: The name without its number, spelled right: `Portugal`. A user's site
            `Kiruna_3` or `Kiruna` has the country `Kiruna`.
        image_paths: Year -> GDAL path of the image (`/vsizip/...` in a zip).
        label_paths: Year -> GDAL path of the label, for years with one.
        radar_paths: Year -> GDAL path of VV and VH backscatter, dB times 100; not opened with the scene.
    """

    name: str
    country: str
    image_paths: dict[int, str]
    label_paths: dict[int, str]
    radar_paths: dict[int, str] = field(default_factory=dict)

    @property
    def years(self) -> tuple[int, ...]:
        """The years of the site, sorted, without those that the archive lacks."""
        return tuple(sorted(self.image_paths))

    @property
    def labelled_years(self) -> tuple[int, ...]:
        """The years with a label, sorted."""
        return tuple(sorted(self.label_paths))

    @property
    def unlabelled_years(self) -> tuple[int, ...]:
        """The years without a label, sorted."""
        return tuple(sorted(set(self.image_paths) - set(self.label_paths)))

    def labelled(self) -> Site:
        """The site with only its labelled years."""
        images, radar = (
            {year: path for year, path in paths.items() if year in self.label_paths}
            for paths in (self.image_paths, self.radar_paths)
        )
        return replace(self, image_paths=images, radar_paths=radar)

    def open(self) -> Scene:
        """Open the site's files; use the scene in a `with` statement.

        Raises:
            ArchiveError: A file cannot be opened, or its header does not fit.
        """
        return Scene(self)


class Scene:
    """An open site, read in windows that hold the same pixels in every year.

    Files stay open until the end of the `with` statement. All headers are checked on opening; the values of
    a label are checked when it is first read, those of an image as they are read. A scene belongs to one
    thread and cannot be pickled: send the `Site` to a worker and open it there.

    Attributes:
        site: Name of the site.
        country: Its country.
        years: The years it has, sorted.
        labelled_years: Those of them with a label.
        levels: The processing level of each year's image, "L1C" or "L2A"; None where its header gives none.
        height: Rows.
        width: Columns.
        crs: `EPSG:4326` where the coordinate system has a code, else its WKT.
        transform: Affine coefficients `a, b, c, d, e, f`: pixel (column, row) lies at
            `(a * column + b * row + c, d * column + e * row + f)`.
    """

    site: str
    country: str
    years: tuple[int, ...]
    labelled_years: tuple[int, ...]
    levels: dict[int, Level | None]
    height: int
    width: int
    crs: str
    transform: Transform

    def __init__(self, site: Site) -> None:
        """Open all files of a site and check their headers.

        Raises:
            ArchiveError: A file cannot be opened, or its header does not fit.
        """
        self.site, self.country = site.name, site.country
        self.years, self.labelled_years = site.years, site.labelled_years
        self._image_paths, self._label_paths = dict(site.image_paths), dict(site.label_paths)
        self._label_values: dict[int, frozenset[int]] = {}
        self._closed = False
        with ExitStack() as files:
            self._images = {
                year: open_raster(self._image_paths[year], files, ArchiveError) for year in self.years
            }
            self._labels = {
                year: open_raster(self._label_paths[year], files, ArchiveError)
                for year in self.labelled_years
            }
            self._check_headers()
            self._layouts = {
                year: image_layout(self._images[year], self._image_paths[year]) for year in self.years
            }
            self._files = files.pop_all()
        self.levels = {year: layout.header.level for year, layout in self._layouts.items()}
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
        """Read a window of a year's image; by default the whole image.

        Args:
            year: A year of the scene.
            top: First row.
            left: First column.
            height: Rows, by default to the end of the scene.
            width: Columns, by default to the end of the scene.

        Returns:
            `(10, height, width)` int16 DN (reflectance x 10000), bands in the order of `BANDS`, whatever
            their order in the file. An offset in its header is added.

        Raises:
            ValueError: The scene has no such year or window, or is closed.
            ArchiveError: The file is damaged, has values that int16 cannot hold, or pixels that its header
                marks as without data.
        """
        window = self._window(year, top, left, height, width)
        path = self._image_paths[year]
        layout = self._layouts[year]
        image = read_raster(self._images[year], path, window, ArchiveError, indexes=layout.indexes)
        self._check_data(image, year, window)
        if any(layout.shifts):
            # 0 in all bands is no data, whatever was added to the rest.
            known = valid_pixels(image, None, has_mask=False)
            image = image.astype(np.int32) + np.array(layout.shifts)[:, None, None] * known
            least = int(image.min())
            if least < _LEAST_DN:
                raise ArchiveError(
                    f"{shown(path)}: found the value {least} after its offset; expected int16 DN "
                    f"(reflectance x 10000), at least {_LEAST_DN}."
                )
        if image.dtype != np.int16:
            largest = int(image.max())
            if largest > _LARGEST_DN:
                raise ArchiveError(
                    f"{shown(path)}: found the value {largest}; expected int16 DN (reflectance x 10000), "
                    f"at most {_LARGEST_DN}."
                )
        return image.astype(np.int16, copy=False)

    def read_label(
        self, year: int, top: int = 0, left: int = 0, height: int | None = None, width: int | None = None
    ) -> NDArray[np.uint8]:
        """Read a window of a year's label; by default the whole label.

        All values of the file decide the meaning of 255, so that windows agree. A file that holds 1, or has
        the tag `IGNORED_TAG`, marks mines with 1, and pixels to ignore with 255. Any other file follows the
        published convention: 255 is mine (a file of 255 alone is mine everywhere, one of 0 alone nowhere).

        Args:
            year: A year of the scene.
            top: First row.
            left: First column.
            height: Rows, by default to the end of the scene.
            width: Columns, by default to the end of the scene.

        Returns:
            `(height, width)` uint8: 0 other, 1 mine, 255 ignored.

        Raises:
            ValueError: The scene has no such year or window, or is closed.
            ArchiveError: The year has no label (`labelled_years`); the file is damaged, holds other values
                than 0, 1 and 255, or 255 is to be ignored in one year of the site and could be so in this
                one, which has no 1.
        """
        window = self._window(year, top, left, height, width)
        if year not in self._labels:
            raise ArchiveError(
                f"{shown(self._image_paths[year])}: found no label of the same year; expected "
                f"{self.site}/label/Year{year}.tif."
            )
        values = self._values_of_label(year)
        label = read_raster(self._labels[year], self._label_paths[year], window, ArchiveError)[0]
        if MINE in values or self._is_tagged(year):
            return label.astype(np.uint8, copy=False)
        return (label == MARKED).astype(np.uint8)

    def _check_headers(self) -> None:
        first_path, first = self._image_paths[self.years[0]], self._images[self.years[0]]
        for year in self.years:
            path, image = self._image_paths[year], self._images[year]
            _check_image(image, path)
            _check_same_place(image, path, first, first_path)
        for year in self.labelled_years:
            path, label = self._label_paths[year], self._labels[year]
            _check_label(label, path)
            _check_same_place(label, path, first, first_path)

    def _check_data(
        self, image: NDArray[Any], year: int, window: tuple[tuple[int, int], tuple[int, int]]
    ) -> None:
        """Refuse pixels marked as without data: patches and statistics have no place for them."""
        path, header = self._image_paths[year], self._layouts[year].header
        if header.nodata is None and not header.has_mask:
            return
        valid = valid_pixels(image, header.nodata, has_mask=True)
        if header.has_mask:
            valid &= read_mask(self._images[year], path, window, ArchiveError) > 0
        if not valid.all():
            marked = "by a mask" if header.nodata is None else f"by nodata={header.nodata:g}"
            raise ArchiveError(
                f"{shown(path)}: found {int((~valid).sum())} pixels marked as without data {marked} in rows "
                f"{window[0][0]} to {window[0][1]}; expected data everywhere. Fill them, cut the site to its "
                "data, or move the file away to leave the year out."
            )

    def _window(
        self, year: int, top: int, left: int, height: int | None, width: int | None
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """The window as rasterio takes it: `(first row, end of rows), (first column, end of columns)`."""
        if self._closed:
            raise ValueError(
                f"{self.site}: found the scene closed; expected reading inside its `with` statement."
            )
        if year not in self._images:
            raise ValueError(
                f"year: found {year} for {self.site}; expected one of {', '.join(map(str, self.years))}."
            )
        bottom = self.height if height is None else top + height
        right = self.width if width is None else left + width
        if not (0 <= top < bottom <= self.height and 0 <= left < right <= self.width):
            raise ValueError(
                f"{self.site}: found a window of rows {top} to {bottom} and columns {left} to "
                f"{right}; expected one that is not empty and inside {self.height} x {self.width} pixels."
            )
        return (top, bottom), (left, right)

    def _values_of_label(self, year: int) -> frozenset[int]:
        """Which of 0, 1 and 255 a year's label holds."""
        if year not in self._label_values:
            self._label_values[year] = self._scan_label(year)
            if not self._is_tagged(year):
                check_marked(self._labels[year], self._label_paths[year], self._label_values[year])
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
                    f"{shown(path)}: found the values {values}; expected 0 and 255 (mine), 0 and 1 (mine), "
                    "or 0, 1 and 255 (ignored)."
                )
        return frozenset(found)

    def _is_tagged(self, year: int) -> bool:
        return self._labels[year].tags().get(IGNORED_TAG) == str(MARKED)

    def _check_conventions(self) -> None:
        """Refuse a site where 255 would mean mine in one year and ignored in another."""
        values = self._label_values
        untagged = [year for year in values if MARKED in values[year] and not self._is_tagged(year)]
        ignored = [year for year in untagged if MINE in values[year]]
        marked = [year for year in untagged if MINE not in values[year]]
        if ignored and marked:
            raise ArchiveError(
                f"{shown(self._label_paths[marked[0]])}: found 255 but no 1, while "
                f"{shown(self._label_paths[ignored[0]])} has 1 (mine) and 255 (ignored); expected one "
                "convention for all years of a site."
            )


def _check_image(dataset: Any, path: str) -> None:
    expected = f"{len(BANDS)} bands ({' '.join(BANDS)}) of int16 DN (reflectance x 10000)"
    if dataset.count != len(BANDS):
        raise ArchiveError(f"{shown(path)}: found {counted(dataset.count, 'band')}; expected {expected}.")
    types = sorted(set(dataset.dtypes))
    if not set(types) <= {"int16", "uint16"}:
        kind = "reflectance as " if types[0].startswith("float") else ""
        raise ArchiveError(f"{shown(path)}: found {kind}{', '.join(types)}; expected {expected}.")
    _check_size(dataset, path)
    size = (dataset.height, dataset.width)
    check_placement(dataset.crs, tuple(dataset.transform), size, shown(path), ArchiveError)


def _check_label(dataset: Any, path: str) -> None:
    expected = "one band of uint8 with 0 and 255 (mine), or 0 and 1 (mine)"
    if dataset.count != 1:
        raise ArchiveError(f"{shown(path)}: found {counted(dataset.count, 'band')}; expected {expected}.")
    if np.dtype(dataset.dtypes[0]).kind not in "iu":
        raise ArchiveError(f"{shown(path)}: found {dataset.dtypes[0]}; expected {expected}.")
    _check_size(dataset, path)


def _check_size(dataset: Any, path: str) -> None:
    """Refuse absurd sizes in a header before reading anything."""
    if dataset.height * dataset.width > _LARGEST_SCENE:
        raise ArchiveError(
            f"{shown(path)}: found a header of {dataset.height} x {dataset.width} pixels; expected "
            f"a scene of at most {_LARGEST_SCENE} pixels."
        )
    check_blocks(dataset, path, ArchiveError)


def _check_same_place(dataset: Any, path: str, first: Any, first_path: str) -> None:
    """Refuse a year or label on another grid than the site's first image."""
    if (dataset.height, dataset.width) != (first.height, first.width):
        raise ArchiveError(
            f"{shown(path)}: found {dataset.height} x {dataset.width} pixels; expected {first.height} x "
            f"{first.width} as in {shown(first_path)}."
        )
    if dataset.crs and dataset.crs != first.crs:
        raise ArchiveError(
            f"{shown(path)}: found the CRS {crs_name(dataset.crs)}; expected {crs_name(first.crs)} as in "
            f"{shown(first_path)}."
        )
    if not dataset.transform.is_identity:  # the identity is how a label without georeferencing reads
        shift = _corner_shift(first.transform, dataset.transform, first.height, first.width)
        if not shift <= _LARGEST_SHIFT:
            raise ArchiveError(
                f"{shown(path)}: found a grid {shift:.3g} pixels away from {shown(first_path)}; "
                f"expected the same geotransform within {_LARGEST_SHIFT} pixel."
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


def counted(count: int, thing: str) -> str:
    """A count with its noun: "1 band", "3 bands"."""
    return f"1 {thing}" if count == 1 else f"{count} {thing}s"

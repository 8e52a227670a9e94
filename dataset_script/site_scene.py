"""A site of the archive, and its scene: images and labels of all years, read in windows."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.closable import Closable
from euromine.support.errors import ArchiveError
from euromine.support.image_headers import valid_pixels
from euromine.support.processing_levels import Level
from euromine.support.rasters import crs_name, open_raster, read_mask, read_raster, shown

from .component_files import ComponentEncoding, component_encoding
from .image_layouts import image_layout
from .label_groups import annual_label
from .label_headers import IGNORED_TAG, MARKED, MINE, check_marked
from .scene_headers import check_image, check_label, check_same_place, check_size
from .site_facts import SiteFacts

Transform = tuple[float, float, float, float, float, float]

_LABEL_VALUES = (0, MINE, MARKED)
_LEAST_DN, _LARGEST_DN = int(np.iinfo(np.int16).min), int(np.iinfo(np.int16).max)
_SCANNED_PIXELS = 2**22
# Pixels of an image that are read at a time for its gaps; ten bands of int16 make 20 MB.
_GAP_PIXELS = 2**20


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
        component_paths: Year -> GDAL path of component classes; not opened with the scene.
        facts: The type of its mine, its material and its annotated classes, from `site.json`.
    """

    name: str
    country: str
    image_paths: dict[int, str]
    label_paths: dict[int, str]
    radar_paths: dict[int, str] = field(default_factory=dict)
    component_paths: dict[int, str] = field(default_factory=dict)
    facts: SiteFacts = field(default_factory=SiteFacts)

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
        return self.of_years(self.label_paths)

    def of_years(self, years: Collection[int]) -> Site:
        """The site with only some of its years."""
        names = ("image_paths", "label_paths", "radar_paths", "component_paths")
        paths: dict[str, dict[int, str]] = {name: getattr(self, name) for name in names}
        chosen: dict[str, Any] = {
            name: {year: path for year, path in of_years.items() if year in years}
            for name, of_years in paths.items()
        }
        return replace(self, **chosen)

    def with_labels_of_components(self) -> Site:
        """The site whose years without a label take that of their components, by `annual_label`."""
        return replace(self, label_paths=dict(sorted({**self.component_paths, **self.label_paths}.items())))

    def open(self) -> Scene:
        """Open the site's files; use the scene in a `with` statement.

        Raises:
            ArchiveError: A file cannot be opened, or its header does not fit.
        """
        return Scene(self)


class Scene(Closable):
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
        marked_years: The years whose image marks pixels without data, by a nodata value or a mask. They are 0
            in all bands when read, as in Sentinel-2 products, and 255 in the label.
        derived_years: The years whose label is derived from components.
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
    marked_years: frozenset[int]
    derived_years: frozenset[int]
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
        self._annotated = site.facts.annotated
        self.derived_years = frozenset(
            year for year, path in site.label_paths.items() if path == site.component_paths.get(year)
        )
        self._label_values: dict[int, frozenset[int]] = {}
        self._closed = False
        self._encodings: dict[int, ComponentEncoding] = {}
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
        self.marked_years = frozenset(year for year, layout in self._layouts.items() if layout.marks_gaps)
        first = self._images[self.years[0]]
        self.height, self.width = first.height, first.width
        self.crs = crs_name(first.crs)
        a, b, c, d, e, f = (float(coefficient) for coefficient in first.transform[:6])
        self.transform = (a, b, c, d, e, f)

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
            their order in the file. An offset in its header is added. Pixels that the header marks as without
            data in any band are 0 in all.

        Raises:
            ValueError: The scene has no such year or window, or is closed.
            ArchiveError: The file is damaged, or has values that int16 cannot hold.
        """
        window = self._window(year, top, left, height, width)
        path = self._image_paths[year]
        layout = self._layouts[year]
        image = read_raster(self._images[year], path, window, ArchiveError, indexes=layout.indexes)
        self._clear_gaps(image, year, window)
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
            `(height, width)` uint8: 0 other, 1 mine, 255 ignored, which includes pixels without data in the
            image: nobody can see there whether they are mine.

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
        label = read_raster(self._labels[year], self._label_paths[year], window, ArchiveError)[0]
        if year in self.derived_years:
            encoding = self._encodings[year]
            label = annual_label(encoding.bits(label), self._annotated or encoding.classes)
            return self._without_gaps(label, year, window)
        values = self._values_of_label(year)
        if MINE in values or self._is_tagged(year):
            label = label.astype(np.uint8, copy=False)
        else:
            label = (label == MARKED).astype(np.uint8)
        return self._without_gaps(label, year, window)

    def _without_gaps(
        self, label: NDArray[np.uint8], year: int, window: tuple[tuple[int, int], tuple[int, int]]
    ) -> NDArray[np.uint8]:
        """A window of a label with 255 where the image has no data."""
        if year in self.marked_years:
            (top, bottom), (left, right) = window
            label[self.read_gaps(year, top, left, bottom - top, right - left)] = MARKED
        return label

    def read_gaps(
        self, year: int, top: int = 0, left: int = 0, height: int | None = None, width: int | None = None
    ) -> NDArray[np.bool_]:
        """Where a window of a year's image has no data, bool `(height, width)`.

        Nowhere, without reading, unless the year is one of `marked_years`. Arguments and errors as for
        `read_image`.
        """
        (top, bottom), (left, right) = self._window(year, top, left, height, width)
        gaps = np.zeros((bottom - top, right - left), bool)
        if year in self.marked_years:
            rows = max(1, _GAP_PIXELS // (right - left))
            for start in range(top, bottom, rows):
                end = min(start + rows, bottom)
                gaps[start - top : end - top] = pixels_without_data(
                    self.read_image(year, start, left, end - start, right - left)
                )
        return gaps

    def _check_headers(self) -> None:
        first_path, first = self._image_paths[self.years[0]], self._images[self.years[0]]
        for year in self.years:
            path, image = self._image_paths[year], self._images[year]
            check_image(image, path)
            check_same_place(image, path, first, first_path)
        for year in self.labelled_years:
            path, label = self._label_paths[year], self._labels[year]
            if year in self.derived_years:
                check_size(label, path)
                self._encodings[year] = component_encoding(label, path)
            else:
                check_label(label, path)
            check_same_place(label, path, first, first_path)

    def _clear_gaps(
        self, image: NDArray[Any], year: int, window: tuple[tuple[int, int], tuple[int, int]]
    ) -> None:
        """Set pixels to 0 in all bands where the header marks them as without data in any."""
        header = self._layouts[year].header
        if year not in self.marked_years:
            return
        valid = valid_pixels(image, header.nodata, has_mask=True)
        if header.has_mask:
            valid &= read_mask(self._images[year], self._image_paths[year], window, ArchiveError) > 0
        image[:, ~valid] = 0

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


def pixels_without_data(images: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Where the images of one of `Scene.marked_years` have no data: 0 in all bands.

    Args:
        images: `(..., bands, height, width)` as `Scene.read_image` returns them.

    Returns:
        bool `(..., height, width)`.
    """
    return np.asarray(~images.any(axis=-3))

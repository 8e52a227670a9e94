"""Land cover taken by mining: a classified raster from before it, crossed with the year first mined."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.mapping.map_values import NEVER, UNKNOWN_YEAR
from euromine.monitoring.scenes.grids import Grid
from euromine.support.errors import ArgumentError, DataError, GridError
from euromine.support.ground_areas import HECTARE, PixelAreas, pixel_areas
from euromine.support.placements import check_placement
from euromine.support.rasters import check_blocks, crs_name, gdal, gdal_errors, open_raster, read_raster
from euromine.support.sentinel2_products import years_in_name

from .land_cover_legends import LandCoverLegend, legend_of
from .map_rows import MapFile

logger = logging.getLogger(__name__)

OUTSIDE, NO_CLASS, TOO_YOUNG = "outside the land cover", "no class", "mined before the land cover"
"""Names of rows for ground whose class is unknown."""

# Sides of blocks of the series, and the most pixels of the land cover under one of them.
_BLOCK = 512
_MOST_PIXELS = 2**28
# Pixels of the land cover that are read at once.
_READ_PIXELS = 2**23
_YEARS = (1900, 2100)


@dataclass(frozen=True)
class LandCover:
    """A land-cover raster, checked.

    Attributes:
        path: The raster.
        year: The year that it shows.
        legend: Its classes.
        attribution: The source to name; "" if unknown.
    """

    path: Path
    year: int
    legend: LandCoverLegend
    attribution: str


@dataclass(frozen=True)
class LandTaken:
    """Ground of one class that was first mined in one year: a row of `land_cover.csv`.

    Attributes:
        site: The site's name.
        first_year: The year first mined; the first of the series stands for earlier years, too.
        code: The class's code; "" where the class is unknown.
        land_cover: The class's name, or the reason for its lack.
        area_ha: Hectares on the ground.
        share: Of all ground first mined in the year.
        land_cover_year: The year of the land cover.
    """

    site: str
    first_year: int
    code: str
    land_cover: str
    area_ha: float
    share: float
    land_cover_year: int


def open_land_cover(
    path: Path, grid: Grid, years: Sequence[int], *, legend: str | Path | None = None, year: int | None = None
) -> LandCover:
    """Check a land-cover raster before any map is made.

    Args:
        path: A GeoTIFF of whole numbers, in any coordinate system and resolution.
        grid: The grid of the series.
        years: The years of the series, ascending.
        legend: As for `legend_of`.
        year: The year that the raster shows; None for that in its name.

    Raises:
        DataError: The raster cannot be read, holds no classes, has no legend or no year, has classes that the
            legend lacks, or lies elsewhere.
        ArgumentError: It is as young as the latest year of the series or younger, or the year is none.
        FileNotFoundError: There is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; expected a land-cover raster.")
    found = legend_of(path, legend)
    of_year = year if year is not None else _year_of(path, found)
    if not _YEARS[0] <= of_year <= _YEARS[1]:
        raise ArgumentError(
            f"land_cover_year: found {of_year}; expected one from {_YEARS[0]} to {_YEARS[1]}."
        )
    if of_year >= years[-1]:
        raise ArgumentError(
            f"{path}: found the land cover of {of_year}, which cannot show the ground before mining up to "
            f"{years[-1]}; expected one from before. Give an older one with --land-cover, or its right year "
            "with --land-cover-year."
        )
    with _opened(path) as dataset:
        _check_classes(dataset, path, grid, found)
        tag = str(dataset.tags().get("TIFFTAG_COPYRIGHT", "")).strip()
    if young := [each for each in years if each <= of_year]:
        logger.warning(
            "%s shows %d, so it does not explain ground first mined in %d or before; the table lists that "
            "ground without a class.",
            path,
            of_year,
            young[-1],
        )
    return LandCover(path, of_year, found, found.attribution.format(year=of_year) or tag)


def land_taken(
    first_years: NDArray[np.uint16] | MapFile, grid: Grid, land_cover: LandCover, *, site: str = ""
) -> list[LandTaken]:
    """Hectares of each class that were taken, by the year first mined.

    The class of a pixel is that of the land-cover pixel around its middle.

    Args:
        first_years: (height, width) uint16, the year first mined; 0 never, 65535 unknown: an array, or a map
            that is read in rows.
        grid: Its grid.
        land_cover: The land cover.
        site: The site's name.

    Returns:
        Rows by year and descending area.

    Raises:
        DataError: The raster is damaged, or finer than memory allows.
    """
    areas = pixel_areas(crs_name(grid.crs), tuple(grid.transform)[:6], grid.height, grid.width)
    found: dict[tuple[int, str, str], float] = {}
    with _opened(land_cover.path) as dataset:
        for top in range(0, grid.height, _BLOCK):
            of_rows = first_years[top : min(top + _BLOCK, grid.height)]
            for left in range(0, grid.width, _BLOCK):
                block = of_rows[:, left : left + _BLOCK]
                rows, columns = np.nonzero((block != NEVER) & (block != UNKNOWN_YEAR))
                if not len(rows):
                    continue
                mined = block[rows, columns].astype(np.int64)
                rows, columns = rows + top, columns + left
                values, is_inside = _values_at(dataset, land_cover.path, grid, rows, columns)
                for key, area in _sums(mined, values, is_inside, _areas_at(areas, rows, columns)).items():
                    name = _name(*key, land_cover)
                    found[name] = found.get(name, 0.0) + area
    of_year: dict[int, float] = {}
    for (year, _, _), area in found.items():
        of_year[year] = of_year.get(year, 0.0) + area
    rows_ = [
        LandTaken(site, year, code, name, area / HECTARE, area / of_year[year], land_cover.year)
        for (year, code, name), area in found.items()
    ]
    return sorted(rows_, key=lambda row: (row.first_year, -row.area_ha, row.code))


def _name(year: int, value: int | None, land_cover: LandCover) -> tuple[int, str, str]:
    if year <= land_cover.year:
        return year, "", TOO_YOUNG
    if value is None:
        return year, "", OUTSIDE
    known = land_cover.legend.classes.get(value)
    return (year, known.code, known.name) if known else (year, "", NO_CLASS)


def _sums(
    mined: NDArray[np.int64],
    values: NDArray[np.int64],
    is_inside: NDArray[np.bool_],
    areas: NDArray[np.float64],
) -> dict[tuple[int, int | None], float]:
    """Areas in m2 by year and value; the value is None outside the land cover."""
    keys, places = np.unique(np.stack([mined, values, is_inside]), axis=1, return_inverse=True)
    sums = np.bincount(places.reshape(-1), areas, keys.shape[1])
    return {
        (int(year), int(value) if inside else None): float(area)
        for (year, value, inside), area in zip(keys.T, sums, strict=True)
    }


def _areas_at(areas: PixelAreas, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """The areas of single pixels in m2."""
    top = int(rows.min())
    by_row = areas.rows(top, int(rows.max()) + 1 - top)
    return by_row[rows - top, np.searchsorted(areas.starts, columns, "right") - 1]


def _values_at(
    dataset: Any, path: Path, grid: Grid, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The land cover's numbers at the middles of pixels, and whether it reaches there."""
    down, across = _places(dataset, path, grid, rows + 0.5, columns + 0.5)
    is_inside = (down >= 0) & (down < dataset.height) & (across >= 0) & (across < dataset.width)
    values = np.zeros(len(rows), np.int64)
    if is_inside.any():
        down, across = down[is_inside].astype(np.intp), across[is_inside].astype(np.intp)
        values[is_inside] = _read_pixels(dataset, path, down, across)
    return values, is_inside


def _read_pixels(
    dataset: Any, path: Path, down: NDArray[np.intp], across: NDArray[np.intp]
) -> NDArray[np.int64]:
    """The numbers of single pixels of the land cover, read in rows that fit memory."""
    found = np.zeros(len(down), np.int64)
    rows, columns = _window(dataset, path, down, across)
    for top, bottom in _row_steps(rows, columns):
        read = read_raster(dataset, str(path), ((top, bottom), columns), DataError, indexes=[1])[0]
        here = (down >= top) & (down < bottom)
        found[here] = read[down[here] - top, across[here] - columns[0]]
    return found


def _row_steps(rows: tuple[int, int], columns: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The first row of each block of the land cover that is read at once, and the one after its last."""
    step = max(1, _READ_PIXELS // (columns[1] - columns[0]))
    if step > _BLOCK:
        step -= step % _BLOCK  # tiles are decoded once
    for top in range(rows[0], rows[1], step):
        yield top, min(top + step, rows[1])


def _places(
    dataset: Any,
    path: Path,
    grid: Grid,
    rows: NDArray[np.floating[Any]],
    columns: NDArray[np.floating[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns of the land cover at places of the grid, as fractions; -1 where there are none."""
    from rasterio.errors import CRSError
    from rasterio.warp import transform

    a, b, c, d, e, f = tuple(grid.transform)[:6]
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    if grid.crs != dataset.crs:
        try:
            with gdal():
                x, y = (np.asarray(each) for each in transform(grid.crs, dataset.crs, x, y))
        except (*gdal_errors(), CRSError) as error:
            raise GridError(
                f"{path}: found the coordinate system {crs_name(dataset.crs)[:60]}, to which the series "
                f"cannot be brought ({error}); expected one on the same ground."
            ) from error
    a, b, c, d, e, f = tuple(~dataset.transform)[:6]
    across, down = a * x + b * y + c, d * x + e * y + f
    known = np.isfinite(down) & np.isfinite(across)
    return np.where(known, down, -1.0), np.where(known, across, -1.0)


def _window(
    dataset: Any, path: Path, down: NDArray[np.intp], across: NDArray[np.intp]
) -> tuple[tuple[int, int], tuple[int, int]]:
    window = (
        (int(down.min()), int(down.max()) + 1),
        (int(across.min()), int(across.max()) + 1),
    )
    pixels = (window[0][1] - window[0][0]) * (window[1][1] - window[1][0])
    if pixels > _MOST_PIXELS:
        raise DataError(
            f"{path}: found {pixels} pixels under {_BLOCK} x {_BLOCK} of the series; expected at most "
            f"{_MOST_PIXELS}. Resample it with gdalwarp -r mode."
        )
    return window


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A land-cover raster, checked for its kind.

    Raises:
        DataError: It is no raster of one band of whole numbers with a place on the Earth.
    """
    with ExitStack() as files:
        dataset = open_raster(str(path), files, DataError)
        check_blocks(dataset, str(path), DataError)
        check_placement(
            dataset.crs, tuple(dataset.transform), (dataset.height, dataset.width), str(path), DataError
        )
        if dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "iu":
            raise DataError(
                f"{path}: found {dataset.count} bands of {dataset.dtypes[0]}; expected one band of whole "
                "numbers, the classes."
            )
        yield dataset


def _check_classes(dataset: Any, path: Path, grid: Grid, legend: LandCoverLegend) -> None:
    """Refuse a land cover elsewhere, and classes on the series' ground that the legend lacks."""
    box = _box(dataset, path, grid)
    if box is None:
        raise DataError(
            f"{path}: found a land cover of another place ({Grid.of(dataset)}); expected one that covers the "
            f"series ({grid})."
        )
    top, left, bottom, right = box
    found: set[int] = set()
    for rows in _row_steps((top, bottom), (left, right)):
        window = (rows, (left, right))
        found |= set(np.unique(read_raster(dataset, str(path), window, DataError, indexes=[1])).tolist())
    known = {*legend.classes, *legend.nodata, *([] if dataset.nodata is None else [int(dataset.nodata)])}
    if unknown := sorted(found - known):
        product = f"{legend.product}'s legend" if legend.product else "the legend"
        raise DataError(
            f"{path}: found the classes {', '.join(map(str, unknown[:5]))}; expected those of {product} "
            "alone. Give all classes with --land-cover-legend."
        )


def _box(dataset: Any, path: Path, grid: Grid) -> tuple[int, int, int, int] | None:
    """Top, left, bottom and right of the land cover's pixels around the grid; None if they do not meet."""
    down = np.linspace(0, grid.height, 33)
    across = np.linspace(0, grid.width, 33)
    rows, columns = (each.ravel() for each in np.meshgrid(down, across))
    places = _places(dataset, path, grid, rows, columns)
    ends = []
    for along, length in zip(places, (dataset.height, dataset.width), strict=True):
        ends += [max(int(np.floor(along.min())), 0), min(int(np.ceil(along.max())), length)]
    top, bottom, left, right = ends
    return (top, left, bottom, right) if top < bottom and left < right else None


def _year_of(path: Path, legend: LandCoverLegend) -> int:
    by_product = legend.year_in(path.name)
    possible = (by_product,) if by_product else years_in_name(path.stem)
    if len(possible) != 1:
        found = f"the years {' and '.join(map(str, possible))}" if possible else "no year"
        raise DataError(
            f"{path}: found {found} in its name; expected the year that the land cover shows. Give it with "
            "--land-cover-year."
        )
    return possible[0]

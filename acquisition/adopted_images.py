"""Images in a site's folder that `acquisition.json` does not record, checked by the records in their tags."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from euromine.support.errors import ArchiveError, RecordError
from euromine.support.rasters import gdal, gdal_errors

from .acquisition_record import (
    RECORD_FILE,
    AcquisitionRecord,
    YearRecord,
    file_digest,
    year_digest,
    year_of_tags,
)
from .cog_writing import pixel_digest
from .site_grids import SiteGrid


def adopted_image(path: Path, record: AcquisitionRecord, year: int, kind: str) -> YearRecord:
    """The record of an image that a killed run wrote but did not record, or whose record was deleted.

    Its year, its grid, its items and a hash of its pixels must be those in its tag. Nothing is known about
    the file's other bytes, such as its overviews.

    Args:
        path: The image.
        record: Of the site.
        year: The year of its name.
        kind: "image" or "radar".

    Raises:
        ArchiveError: The image comes from elsewhere, lies on another grid, or has changed.
        RecordError: The record in its tag is damaged.
    """
    import rasterio

    pixels = ""
    try:
        with gdal(), rasterio.open(path, driver="GTiff") as dataset:
            found = year_of_tags(dataset.tags(), path)
            if found is not None and found.year == year and _fits(found, dataset, record, kind):
                pixels = pixel_digest(dataset)
    except gdal_errors() as error:
        raise ArchiveError(
            f"{path}: found a file that is damaged or no GeoTIFF; expected an acquired image, or none. Move "
            "it away to acquire the year again."
        ) from error
    if found is None or not pixels:
        raise ArchiveError(
            f"{path}: found an image that was not acquired for this site; expected none. Move it away, or "
            "give another --site."
        )
    if found.pixels not in ("", pixels):
        raise ArchiveError(
            f"{path}: found pixels that have changed since they were acquired; expected those that its tag "
            "records. Move it away to acquire the year again."
        )
    return replace(found, sha256=file_digest(path))


def _fits(found: YearRecord, dataset: Any, record: AcquisitionRecord, kind: str) -> bool:
    """Whether an image lies on a site's grid, and its record is that of the site's settings."""
    grid = record.grid
    if not _lies_on(dataset, grid):
        return False
    return found.digest == year_digest(grid, record.settings, kind, [one.items for one in found.passes])


def check_recorded_grid(paths: Iterable[Path], grid: SiteGrid) -> None:
    """Refuse a record whose grid is not that of the images: later years would lie on another one.

    Args:
        paths: The images of a site. Those that are missing or damaged are left to the check of their bytes.
        grid: The grid in the site's record.

    Raises:
        RecordError: An image has another one.
    """
    import rasterio

    for path in paths:
        try:
            with gdal(), rasterio.open(path, driver="GTiff") as dataset:
                is_there = _lies_on(dataset, grid)
        except gdal_errors():
            continue
        if not is_there:
            raise RecordError(
                f"{path}: found another grid than that in {RECORD_FILE}; expected one grid for all "
                f"years. Move {RECORD_FILE} away and give the area and all years again: images keep a record "
                "of their own."
            )


def _lies_on(dataset: Any, grid: SiteGrid) -> bool:
    place = (dataset.crs.to_string() if dataset.crs else "", *dataset.transform[:6], dataset.shape)
    return place == (grid.crs, *grid.transform, (grid.height, grid.width))

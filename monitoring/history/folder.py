"""A series' folder, read: maps as arrays, tables and polygons, each when it is asked for."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray
from pandas.errors import EmptyDataError, ParserError

from euromine.support.errors import ArgumentError, DataError, RecordError
from euromine.support.rasters import gdal, gdal_errors, open_raster

from .file_names import (
    AREAS,
    CHANGES_TABLE,
    FIRST_YEAR,
    LAST_YEAR,
    PERMITS_TABLE,
    change_name,
    footprint_name,
    probability_name,
)
from .manifest import Manifest, read_manifest
from .vector_files import require_geopandas


class SeriesFolder:
    """The maps, tables and polygons that `euromine series` wrote to a folder.

    Only the manifest is read at once. Nothing else is read before it is asked for, or kept in memory.

    Attributes:
        path: The folder.
        manifest: The models, images and settings behind the series.

    Raises:
        RecordError: The folder holds no series, or an unfinished one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.manifest: Manifest = read_manifest(self.path)
        if not self.manifest.complete:
            raise RecordError(
                f"{self.path}: found an unfinished series; expected a complete one. Run the same "
                "`euromine series` again to resume it."
            )

    def __repr__(self) -> str:
        years = self.manifest.years
        return f"{type(self).__name__}('{self.path}', {len(years)} years, {years[0]}-{years[-1]})"

    @property
    def years(self) -> list[int]:
        """The years, sorted."""
        return self.manifest.years

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The pairs of years with a change map, the earlier first."""
        return self.manifest.pairs

    def footprint(self, year: int) -> NDArray[np.uint8]:
        """A year's footprint (height, width): 1 mined, 0 not, 255 unknown.

        Raises:
            DataError: There is none of this year.
        """
        return self._read(footprint_name(year), f"footprint of {year}")

    def probability(self, year: int) -> NDArray[np.float32]:
        """A year's probability of being mined (height, width), before smoothing; NaN where unknown.

        Raises:
            DataError: There is none of this year.
        """
        return self._read(probability_name(year), f"probability of {year}")

    def change(self, year_1: int, year_2: int) -> NDArray[np.uint8]:
        """The change between two years (height, width).

        0 none, 1 gain, 2 loss, 3 change of unknown direction, 255 unknown.

        Raises:
            DataError: There is none of these years.
        """
        return self._read(change_name(year_1, year_2), f"change from {year_1} to {year_2}")

    @property
    def first_year(self) -> NDArray[np.uint16]:
        """The first year in which each pixel is mined (height, width); 0 never, 65535 unknown."""
        return self._read(FIRST_YEAR, "map of first years")

    @property
    def last_year(self) -> NDArray[np.uint16]:
        """The last year in which each pixel is mined (height, width); 0 never, 65535 unknown."""
        return self._read(LAST_YEAR, "map of last years")

    @property
    def areas(self) -> pandas.DataFrame:
        """Mined area by year, in hectares (`area_series.YearArea`).

        Raises:
            DataError: No footprints were mapped, or the table is damaged.
        """
        return self._table(AREAS)

    @property
    def changes(self) -> pandas.DataFrame:
        """Gained and lost area by pair of years, in hectares (`area_series.PairChange`)."""
        return self._table(CHANGES_TABLE)

    @property
    def permits(self) -> pandas.DataFrame | None:
        """Mined ground outside the permits, the largest first; None where no permits were given."""
        return self._table(PERMITS_TABLE) if (self.path / PERMITS_TABLE).exists() else None

    def polygons(self, kind: str = "footprints") -> Any:
        """The outlines as a `geopandas.GeoDataFrame`.

        Args:
            kind: "footprints" or "changes".

        Raises:
            ArgumentError: There is no such kind.
            DataError: The series has no polygons.
            MissingExtraError: geopandas is not installed.
        """
        if kind not in ("footprints", "changes"):
            raise ArgumentError(f"kind: found {kind!r}; expected 'footprints' or 'changes'.")
        path = self.path / f"{kind}.gpkg"
        if not path.exists():
            raise DataError(
                f"{self.path}: found no {path.name}; expected polygons. Install euromine[polygons] and run "
                "`euromine series` again."
            )
        return require_geopandas().read_file(path)

    def read_map(self, name: str, size: tuple[int, int] | None = None) -> NDArray[Any]:
        """A map by its file name.

        Args:
            name: Such as "footprint_2015.tif".
            size: Height and width to reduce it to, by the most frequent value; default its own.

        Returns:
            (height, width) in the file's type.

        Raises:
            DataError: There is no such file, or it is damaged.
        """
        from rasterio.enums import Resampling

        path = str(self.path / name)
        with ExitStack() as files:
            dataset = open_raster(path, files, DataError)
            try:
                with gdal():
                    return np.asarray(dataset.read(1, out_shape=size, resampling=Resampling.mode))
            except gdal_errors() as error:
                raise DataError(
                    f"{path}: found a truncated or damaged map; expected a whole one. "
                    "Run `euromine series` again."
                ) from error

    def _read(self, name: str, what: str) -> Any:
        if not (self.path / name).exists():
            years = ", ".join(map(str, self.years))
            raise DataError(f"{self.path}: found no {what} ({name}); expected one of its years, {years}.")
        return self.read_map(name)

    def _table(self, name: str) -> pandas.DataFrame:
        path = self.path / name
        if not path.exists():
            raise DataError(f"{self.path}: found no {name}; expected a series with a footprint mapper.")
        try:
            return pandas.read_csv(path)
        except (ParserError, EmptyDataError, UnicodeDecodeError) as error:
            raise DataError(
                f"{path}: found no table ({error}); expected comma-separated values. "
                "Run `euromine series` again."
            ) from None

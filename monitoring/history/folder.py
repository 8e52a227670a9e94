"""A series' folder, read: maps as arrays when they are asked for, tables, polygons, the report."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray

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


class SeriesFolder:
    """What `euromine series` left in a folder.

    Nothing but the manifest is read before it is asked for, and nothing is kept in memory.

    Attributes:
        path: The folder.
        manifest: What model, data and settings made it.

    Raises:
        ValueError: The folder holds no series, or one that was stopped.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.manifest: Manifest = read_manifest(self.path)
        if not self.manifest.complete:
            raise ValueError(
                f"{self.path} holds a series that was stopped; run the same `euromine series` again, "
                "it continues where it was"
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
            ValueError: There is none of this year.
        """
        return self._read(footprint_name(year), f"footprint of {year}")

    def probability(self, year: int) -> NDArray[np.float32]:
        """A year's probability of being mined (height, width), before smoothing; NaN where unknown.

        Raises:
            ValueError: There is none of this year.
        """
        return self._read(probability_name(year), f"probability of {year}")

    def change(self, year_1: int, year_2: int) -> NDArray[np.uint8]:
        """The change between two years (height, width).

        0 none, 1 gain, 2 loss, 3 change of unknown direction, 255 unknown.

        Raises:
            ValueError: There is none of these years.
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
        """Mined area by year, in hectares (`areas.YearArea`).

        Raises:
            ValueError: There is none, because no footprints were mapped.
        """
        return self._table(AREAS)

    @property
    def changes(self) -> pandas.DataFrame:
        """Gained and lost area by pair of years, in hectares (`areas.PairChange`)."""
        return self._table(CHANGES_TABLE)

    @property
    def permits(self) -> pandas.DataFrame | None:
        """What lies outside the permits, the largest first; None where no permits were given."""
        return self._table(PERMITS_TABLE) if (self.path / PERMITS_TABLE).exists() else None

    def polygons(self, kind: str = "footprints") -> Any:
        """The outlines as a `geopandas.GeoDataFrame`.

        Args:
            kind: "footprints" or "changes".

        Raises:
            ValueError: There is no such kind, or the series has none.
            ImportError: geopandas is missing.
        """
        if kind not in ("footprints", "changes"):
            raise ValueError(f"kind is {kind!r}, 'footprints' or 'changes' was expected")
        path = self.path / f"{kind}.gpkg"
        if not path.exists():
            raise ValueError(f"{self.path} holds no {path.name}: it was made without the extra 'polygons'")
        import geopandas

        return geopandas.read_file(path)

    def read_map(self, name: str, size: tuple[int, int] | None = None) -> NDArray[Any]:
        """A map of the folder by its file's name.

        Args:
            name: Such as "footprint_2015.tif".
            size: Height and width to thin it to, by the most frequent value of what falls together; default
                as it is.

        Raises:
            ValueError: There is no such file, or it is damaged.
        """
        from rasterio.enums import Resampling

        path = str(self.path / name)
        with ExitStack() as files:
            dataset = open_raster(path, files)
            try:
                with gdal():
                    return np.asarray(dataset.read(1, out_shape=size, resampling=Resampling.mode))
            except gdal_errors() as error:
                raise ValueError(f"{path}: is damaged; run `euromine series` again") from error

    def _read(self, name: str, what: str) -> Any:
        if not (self.path / name).exists():
            raise ValueError(
                f"{self.path} holds no {what} ({name}); its years are {', '.join(map(str, self.years))}"
            )
        return self.read_map(name)

    def _table(self, name: str) -> pandas.DataFrame:
        path = self.path / name
        if not path.exists():
            raise ValueError(f"{self.path} holds no {name}, which a series with a footprint mapper has")
        try:
            return pandas.read_csv(path)
        except ValueError as error:
            raise ValueError(f"{path} is no table ({error}); run `euromine series` again") from None

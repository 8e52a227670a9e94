"""A series' folder, read: maps as arrays, tables and polygons, each when it is asked for."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError

from euromine.dataset_script.label_groups import LabelGroups
from euromine.monitoring.mapping.stored_probabilities import decode_probability
from euromine.support.errors import ArgumentError, DataError, RecordError
from euromine.support.files import check_regular
from euromine.support.placements import check_placement
from euromine.support.rasters import check_blocks, gdal, gdal_errors, open_raster

from .file_names import (
    AREAS,
    CHANGES_TABLE,
    COMPONENTS_TABLE,
    FIRST_YEAR,
    INDICES_TABLE,
    LAND_COVER_TABLE,
    LAST_YEAR,
    PERMITS_TABLE,
    RECLAMATION_TABLE,
    TRANSITIONS_TABLE,
    WATER_TABLE,
    change_name,
    component_name,
    footprint_name,
    probability_name,
)
from .folder_files import outline_parts, read_geopackage, read_table, table_parts
from .manifest import NAME, Manifest, read_manifest

# Far more than the longest series of the largest scene takes.
_LARGEST_FILE = 16 * 2**30
# Rasters of more pixels on a side do not exist; products of larger numbers overflow.
_LONGEST_SIDE = 10**7
_YEARS = (1900, 2999)
_ADVICE = "Run `euromine series` again."
# A code of an authority, or well-known text.
_CRS = re.compile(r"[A-Za-z]+:\d+|[A-Z]+\[.*\]\s*", re.DOTALL)


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
        _check_manifest(self.path / NAME, self.manifest)

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
        return decode_probability(self._read(probability_name(year), f"probability of {year}"))

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
    def component_groups(self) -> LabelGroups | None:
        """The groups of a component model's maps; None where no components were mapped."""
        return _label_groups(self.manifest)

    def component_map(self, group: str, year: int) -> NDArray[np.uint8]:
        """A year's components of a group (height, width): 0 none, n the n-th class, 255 unknown.

        Raises:
            DataError: There is none of this group and year.
        """
        groups = self.component_groups
        if groups is not None and group not in groups.groups:
            raise DataError(f"group: found {group!r}; expected one of {', '.join(groups.groups)}.")
        return self._read(component_name(group, year), f"map of {group} in {year}")

    @property
    def components(self) -> pandas.DataFrame:
        """The area of each component by year, in hectares (`component_areas.ComponentArea`).

        Raises:
            DataError: No components were mapped, or the table is damaged.
        """
        return self._table(COMPONENTS_TABLE, "a component model")

    @property
    def component_transitions(self) -> pandas.DataFrame:
        """Ground by component in two years, in hectares (`component_transitions.ComponentTransition`).

        Raises:
            DataError: No components were mapped, or the table is damaged.
        """
        return self._table(TRANSITIONS_TABLE, "a component model")

    @property
    def indices(self) -> pandas.DataFrame | None:
        """Spectral indices by zone and year (`index_zones.IndexRow`); None where none were asked for."""
        return self._asked_table(INDICES_TABLE)

    @property
    def water(self) -> pandas.DataFrame | None:
        """Water within the mine by year (`index_zones.WaterRow`); None where it was not measured."""
        return self._asked_table(WATER_TABLE)

    @property
    def reclamation(self) -> pandas.DataFrame | None:
        """Recovery by zone and year (`recovery_sums.ReclamationRow`); None where it was not measured."""
        return self._asked_table(RECLAMATION_TABLE)

    @property
    def land_cover(self) -> pandas.DataFrame | None:
        """Land taken by class and year first mined (`land_cover.LandTaken`); None without land cover."""
        return self._asked_table(LAND_COVER_TABLE)

    @property
    def permits(self) -> pandas.DataFrame | None:
        """Mined ground outside the permits, the largest first; None where no permits were given."""
        return self._asked_table(PERMITS_TABLE)

    def table_parts(self, name: str, texts: Sequence[str] = ()) -> Iterator[pandas.DataFrame] | None:
        """A table with a row for each polygon, which may be larger than memory, some rows at a time.

        Args:
            name: Its file, such as "indices.csv".
            texts: Columns that stay texts where all their cells are numbers.

        Returns:
            One part or more, as they are asked for; None where there is no such table.

        Raises:
            DataError: The table is damaged; with the first part that is.
        """
        return table_parts(self.file(name), texts) if (self.path / name).exists() else None

    def polygons(self, kind: str = "footprints") -> Any:
        """The outlines as a `geopandas.GeoDataFrame`.

        Args:
            kind: "footprints", "changes" or "components".

        Raises:
            ArgumentError: There is no such kind.
            DataError: The series has no polygons.
            MissingExtraError: geopandas is not installed.
        """
        if kind not in ("footprints", "changes", "components"):
            raise ArgumentError(f"kind: found {kind!r}; expected 'footprints', 'changes' or 'components'.")
        name = f"{kind}.gpkg"
        if not (self.path / name).exists():
            if kind == "components" and self.component_groups is None:
                raise DataError(f"{self.path}: found no {name}; expected a series with a component model.")
            raise DataError(
                f"{self.path}: found no {name}; expected polygons. Install euromine[polygons] and run "
                "`euromine series` again."
            )
        return self.read_polygons(name)

    def file(self, name: str) -> Path:
        """The path of a file of the series, safe to open even if somebody else made the folder.

        Raises:
            DataError: It is not an ordinary file, is larger than any file of a series, or is a link out of
                the folder.
            OSError: It cannot be reached.
        """
        path = self.path / name
        if not path.exists():
            return path  # each reader raises an error of its own
        check_regular(path, _LARGEST_FILE)
        if path.resolve().parent != self.path.resolve():
            raise DataError(
                f"{path}: found a link to {path.resolve()}; expected a file in the folder of the series. "
                "Run `euromine series` again."
            )
        return path

    def read_polygons(self, name: str) -> Any:
        """A GeoPackage of the series as a `geopandas.GeoDataFrame`.

        Raises:
            DataError: It is damaged, or is no GeoPackage: GDAL would guess its format, and some formats
                refer to other files or to servers.
            MissingExtraError: geopandas is not installed.
        """
        return read_geopackage(self.file(name))

    def outline_parts(self, name: str, wanted: Mapping[str, int | str]) -> Iterator[NDArray[Any]]:
        """The outlines of a GeoPackage of the series, some at a time (`folder_files.outline_parts`)."""
        return outline_parts(self.file(name), wanted)

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

        path = str(self.file(name))
        with ExitStack() as files:
            dataset = open_raster(path, files, DataError)
            check_blocks(dataset, path, DataError)
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

    def _asked_table(self, name: str) -> pandas.DataFrame | None:
        """A table that is there only where it was asked for."""
        return self._table(name) if (self.path / name).exists() else None

    def _table(self, name: str, model: str = "a footprint mapper") -> pandas.DataFrame:
        path = self.path / name
        if not path.exists():
            raise DataError(f"{self.path}: found no {name}; expected a series with {model}.")
        return read_table(self.file(name))


def _label_groups(manifest: Manifest) -> LabelGroups | None:
    groups, total = manifest.component_groups, manifest.component_total
    if not groups and total is None:
        return None
    return LabelGroups({name: tuple(classes) for name, classes in groups.items()}, total)


def _check_manifest(path: Path, manifest: Manifest) -> None:
    """Check that the parts of a manifest go together, and that its grid lies on the Earth.

    Raises:
        RecordError: They do not, or it does not.
    """
    if (problem := _problem(manifest)) is not None:
        found, expected = problem
        raise RecordError(f"{path}: found {found}; expected {expected}. Run `euromine series` again.")
    try:
        with gdal():
            crs = CRS.from_user_input(manifest.crs)
    except CRSError as error:
        raise RecordError(
            f"{path}: found the coordinate system {manifest.crs[:60]!r} ({error}); expected a known one. "
            "Run `euromine series` again."
        ) from None
    size = (manifest.height, manifest.width)
    check_placement(crs, manifest.transform, size, str(path), RecordError, advice=_ADVICE)


def _problem(manifest: Manifest) -> tuple[str, str] | None:
    """The first fault of a manifest, as a pair of found and expected; None in a sound one."""
    years, scenes = manifest.years, [scene.year for scene in manifest.scenes]
    if not _CRS.fullmatch(manifest.crs):  # GDAL would take the address of one, too
        return f"the coordinate system {manifest.crs[:60]!r}", "a code or well-known text"
    if not all(0 < side <= _LONGEST_SIDE for side in (manifest.width, manifest.height)):
        return f"a grid of {manifest.width} x {manifest.height} pixels", "a size"
    if not years or years != sorted(set(years)) or scenes != years:
        return f"images of {scenes} for the years {years}", "one for each year"
    if not all(_YEARS[0] <= year <= _YEARS[1] for year in (*years, *manifest.missing_years)):
        return f"years from {years[0]} to {years[-1]}", f"years from {_YEARS[0]} to {_YEARS[1]}"
    if not {*itertools.chain(*manifest.pairs)} <= {*years}:
        return "a pair of years that are none of the series'", "years of the series"
    if not manifest.models:
        return "no model", "one"
    try:
        _label_groups(manifest)
    except DataError as error:
        return f"component groups that have no meaning ({str(error).rstrip('.')})", "groups of components"
    return None

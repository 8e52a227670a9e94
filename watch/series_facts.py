"""The facts of a site's series that the rules ask for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from euromine.monitoring.history.file_names import (
    PERMIT_OUTLINES,
    PERMITS_POLYGONS,
    RECLAMATION,
    RECLAMATION_TABLE,
    WATER_TABLE,
)
from euromine.monitoring.history.folder import SeriesFolder
from euromine.monitoring.history.permits import NEW
from euromine.monitoring.mapping.map_values import NODATA
from euromine.support.polygon_measures import polygon_areas

# Corners of outlines in alerts, in degrees: a centimetre.
_DECIMALS = 7


@dataclass(frozen=True)
class Gain:
    """Mined ground that an earlier year did not have, in hectares.

    Attributes:
        area_ha: The estimate: adjusted by the model's known errors, or else as mapped.
        low_ha: Lower end of its 95 % interval; None where there is none.
        high_ha: Upper end.
        geometry: A shapely multipolygon in the series' coordinate system, or None.
    """

    area_ha: float
    low_ha: float | None
    high_ha: float | None
    geometry: Any


@dataclass(frozen=True)
class StalledGround:
    """Ground whose recovery has stalled by a year.

    Attributes:
        geometry: The whole ground that recovers or should, in the series' coordinate system.
        stalled_ha: Hectares of it that have gained nothing for three years.
        ground_ha: Hectares of all of it.
        known: The share of it with data in the year.
    """

    geometry: Any
    stalled_ha: float
    ground_ha: float
    known: float


@dataclass(frozen=True)
class Persistence:
    """How much of a piece of ground an image shows, and how much of that as mined, from 0 to 1."""

    known: float
    mined: float


@dataclass(frozen=True)
class SeriesFacts:
    """The facts of a site's series.

    Attributes:
        site: The site's name.
        series: Its maps, tables and polygons.
        images: Each year's image by name and the beginning of its SHA-256.
        permits: The file of the outlines given and the beginning of its SHA-256; "" without one.
    """

    site: str
    series: SeriesFolder
    images: dict[int, str]
    permits: str = ""
    _maps: dict[int, Any] = field(default_factory=dict, repr=False)
    _evidence: dict[int, str] = field(default_factory=dict, repr=False)

    @property
    def years(self) -> list[int]:
        """The years, sorted."""
        return self.series.years

    def before(self, year: int) -> int | None:
        """The year before among those of the series."""
        return max((other for other in self.years if other < year), default=None)

    @cached_property
    def crs(self) -> Any:
        """The coordinate system of the series, a `pyproj.CRS`."""
        from pyproj import CRS

        return CRS.from_user_input(self.series.manifest.crs)

    @property
    def pixel_size(self) -> float:
        """The side of a pixel in units of the coordinate system."""
        a, b, _, d, e, _ = self.series.manifest.transform
        return float(np.sqrt(abs(a * e - b * d)))

    @property
    def models(self) -> list[str]:
        """The models' names and the beginnings of their digests."""
        return [f"{model.source}@{model.digest[:12]}" for model in self.series.manifest.models]

    @cached_property
    def _outside(self) -> Any:
        if not (self.series.path / PERMITS_POLYGONS).exists():
            return None
        return self.series.read_polygons(PERMITS_POLYGONS)

    @property
    def has_permits(self) -> bool:
        """Whether outlines of permits were given."""
        return self._outside is not None

    @cached_property
    def _outlines(self) -> Any:
        import shapely

        outlines = self.series.read_polygons(PERMIT_OUTLINES).to_crs(self.crs).geometry
        return shapely.union_all(np.asarray(outlines.array, dtype=object))

    def permitted_share(self, geometry: Any) -> float:
        """The share of a geometry inside the outlines given, from 0 to 1."""
        return float(geometry.intersection(self._outlines).area / geometry.area)

    @cached_property
    def _gains(self) -> Any:
        frame = self.series.polygons("changes")
        return frame[frame["kind"] == "gain"]

    def new_outside(self, year: int) -> list[Any]:
        """New parts of mines in a year outside all permits, the largest first; none without permits."""
        if self._outside is None:
            return []
        frame = self._outside
        return list(frame[(frame["year"] == year) & (frame["kind"] == NEW)].geometry)

    def gain(self, year_1: int, year_2: int) -> Gain | None:
        """The gain between two years; None where they were not compared."""
        import shapely

        table = self.series.changes
        rows = table[(table["year_1"] == year_1) & (table["year_2"] == year_2)]
        if rows.empty:
            return None
        row = rows.iloc[0]
        low, high = (_number(row[name]) for name in ("gain_low_ha", "gain_high_ha"))
        adjusted = _number(row["gain_adjusted_ha"])
        gains = self._gains
        parts = gains[(gains["year_1"] == year_1) & (gains["year_2"] == year_2)].geometry
        geometry = shapely.union_all(np.asarray(parts.array, dtype=object)) if len(parts) else None
        return Gain(float(row["gain_ha"]) if adjusted is None else adjusted, low, high, geometry)

    def water(self, year: int) -> tuple[float, float] | None:
        """Hectares of water within the mine and the share of the mine with data; None if not measured."""
        table = self._tables.get(WATER_TABLE)
        rows = None if table is None else table[table["year"] == year]
        if rows is None or rows.empty:
            return None
        return float(rows["water_ha"].iloc[0]), float(rows["known_share"].iloc[0])

    def recovering(self, year: int) -> list[StalledGround]:
        """The polygons of ground that is not mined any more, as of a year; none if not measured."""
        table = self._tables.get(RECLAMATION_TABLE)
        if table is None or not (self.series.path / f"{RECLAMATION}.gpkg").exists():
            return []
        polygons = self._recovering.set_index(["zone", "polygon"]).geometry
        rows = table[(table["year"] == year) & (table["polygon"] > 0) & (table["ground_ha"] > 0)]
        return [
            StalledGround(
                polygons[row.zone, row.polygon],
                float(row.stalled_ha),
                float(row.ground_ha),
                _number(row.known_share) or 0.0,
            )
            for row in rows.itertuples()
            if (row.zone, row.polygon) in polygons.index
        ]

    @cached_property
    def _recovering(self) -> Any:
        return self.series.read_polygons(f"{RECLAMATION}.gpkg")

    @cached_property
    def _tables(self) -> dict[str, Any]:
        """The tables of water and recovery, where they were measured."""
        names = [name for name in (WATER_TABLE, RECLAMATION_TABLE) if (self.series.path / name).exists()]
        return {name: pandas.read_csv(self.series.file(name)) for name in names}

    def persistence(self, geometry: Any, year: int) -> Persistence:
        """The state of a piece of ground in a year's footprint."""
        from rasterio.features import geometry_mask
        from rasterio.transform import Affine

        if year not in self._maps:
            self._maps.clear()  # years are asked for one after the other
            self._maps[year] = self.series.footprint(year)
        footprint = self._maps[year]
        inside = geometry_mask(
            [geometry], footprint.shape, Affine(*self.series.manifest.transform), invert=True
        )
        values = footprint[inside]
        known = values != NODATA
        if not known.any():
            return Persistence(0.0, 0.0)
        return Persistence(float(known.mean()), float((values[known] == 1).mean()))

    def evidence(self, year: int) -> str:
        """A hash of a year's probabilities, which an image that was only written anew leaves as it is."""
        if year not in self._evidence:
            probability = self.series.probability(year)
            self._evidence[year] = hashlib.sha256(probability.tobytes()).hexdigest()[:12]
        return self._evidence[year]

    def hectares(self, geometry: Any) -> float:
        """The area of a geometry on the ground."""
        return float(polygon_areas([geometry], self.crs)[0]) / 1e4

    def degrees(self, geometry: Any) -> Any:
        """A geometry in longitude and latitude, its corners rounded to a centimetre."""
        import geopandas
        import shapely

        moved = geopandas.GeoSeries([geometry], crs=self.crs).to_crs("EPSG:4326").iloc[0]
        return shapely.transform(moved, lambda corners: np.round(corners, _DECIMALS))

    def projected(self, geometry: dict[str, Any]) -> Any:
        """A GeoJSON geometry in degrees, in the coordinate system of the series."""
        import geopandas
        import shapely

        shape = shapely.make_valid(shapely.geometry.shape(geometry))
        return geopandas.GeoSeries([shape], crs="EPSG:4326").to_crs(self.crs).iloc[0]


def _number(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def permits_id(path: Path | None) -> str:
    """A file of outlines by name and the beginning of its SHA-256; "" for none."""
    from .site_images import file_id

    return "" if path is None else file_id(path)

"""Checks and decisions on indices, reclamation and land cover before the first map of a series is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from euromine.monitoring.mapping.index_maps import check_index_bands
from euromine.monitoring.scenes.grids import Grid
from euromine.monitoring.scenes.scene import Scene
from euromine.monitoring.scenes.spectral_indices import bands_of
from euromine.support.errors import ArgumentError, DataError
from euromine.support.geopackages import require_geopandas

from .impact_settings import RECOVERY_INDEX, WATER_INDEX, ImpactSettings
from .land_cover import LandCover, open_land_cover
from .permit_outlines import read_outlines
from .vector_files import polygons_digest

START_YEAR = "start_year"
"""The attribute of an outline with the first year of its recovery."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImpactPlan:
    """The decisions on the ground in and around a mine.

    Attributes:
        settings: The user's settings.
        indices: The indices to map.
        bands: The bands that they need.
        measures_water: Whether water within the mine is mapped.
        measures_recovery: Whether the recovery of ground is measured.
        outlines: The user's outlines as a `geopandas.GeoDataFrame` on the series' coordinate system, one row
            per feature; None without.
        reference: Reference ground, the same.
        land_cover: The land cover, checked; None without.
    """

    settings: ImpactSettings
    indices: tuple[str, ...] = ()
    bands: tuple[str, ...] = ()
    measures_water: bool = False
    measures_recovery: bool = False
    outlines: Any | None = None
    reference: Any | None = None
    land_cover: LandCover | None = None

    @property
    def inputs(self) -> list[Path]:
        """The files that are read."""
        given = (self.settings.reclamation, self.settings.reference, self.settings.land_cover)
        return [path for path in given if path is not None]

    def fingerprint(self) -> dict[str, Any]:
        """Everything that the results depend on, files by their content."""
        cover = self.land_cover
        return {
            "indices": self.indices,
            "surroundings": self.settings.surroundings,
            "outlines": polygons_digest(self.outlines),
            "reference": polygons_digest(self.reference),
            "land_cover": None
            if cover is None
            else [
                cover.path.name,
                cover.path.stat().st_size,
                cover.path.stat().st_mtime_ns,
                cover.year,
                {str(value): asdict(each) for value, each in cover.legend.classes.items()},
            ],
        }

    def record(self) -> dict[str, Any]:
        """The settings for the manifest, files by their names."""
        settings, cover = self.settings, self.land_cover
        return {
            "indices": list(self.indices),
            "surroundings": settings.surroundings if self.indices else None,
            "reclamation": settings.reclamation.name if settings.reclamation else None,
            "reference": settings.reference.name if settings.reference else None,
            "land_cover": None
            if cover is None
            else {
                "file": cover.path.name,
                "year": cover.year,
                "product": cover.legend.product,
                "attribution": cover.attribution,
                "colours": {each.code: each.colour for each in cover.legend.classes.values() if each.colour},
            },
        }


def plan_impact(
    settings: ImpactSettings, scenes: Mapping[int, Scene], grid: Grid, *, has_footprints: bool
) -> ImpactPlan:
    """Check the settings against the images of a series.

    Args:
        settings: The user's settings.
        scenes: An open image per year, in ascending order.
        grid: The grid of the series.
        has_footprints: Whether footprints are mapped.

    Raises:
        ArgumentError: There are no footprints to compare outlines or land cover with, or the land cover is
            too young.
        SceneError: An image lacks a band of an index.
        DataError: A file cannot be read, or lies elsewhere.
        MissingExtraError: Outlines need geopandas, which is not installed.
    """
    indices, years = settings.mapped_indices, list(scenes)
    for name, given in (("reclamation", settings.reclamation), ("land_cover", settings.land_cover)):
        if given is not None and not has_footprints:
            raise ArgumentError(
                f"{name}: found a change detector alone; expected a footprint mapper as well."
            )
    for scene in scenes.values():
        check_index_bands(scene, indices)
        if indices:
            scene.reflectance(bands_of(indices))
    recovery = settings.measures_recovery and has_footprints and len(years) > 1
    cover = None
    if settings.land_cover is not None:
        cover = open_land_cover(
            settings.land_cover,
            grid,
            years,
            legend=settings.land_cover_legend,
            year=settings.land_cover_year,
        )
    return ImpactPlan(
        settings=settings,
        indices=indices,
        bands=bands_of(indices),
        measures_water=has_footprints and WATER_INDEX in indices,
        measures_recovery=recovery and RECOVERY_INDEX in indices,
        outlines=_outlines(settings.reclamation, grid, years),
        reference=_features(settings.reference, grid, "reference ground"),
        land_cover=cover,
    )


def _outlines(path: Path | None, grid: Grid, years: Sequence[int]) -> Any | None:
    """The outlines of reclaimed ground, with a checked year of their start where they have one."""
    outlines = _features(path, grid, "reclaimed ground")
    if outlines is None or START_YEAR not in outlines.columns:
        return outlines
    for value in outlines[START_YEAR].dropna():
        if (
            not str(value).strip().removesuffix(".0").isdigit()
            or not years[0] <= int(float(value)) <= years[-1]
        ):
            raise DataError(
                f"{path}: found the {START_YEAR} {value!r}; expected a year of the series, {years[0]} to "
                f"{years[-1]}, or none."
            )
    return outlines


def _features(path: Path | None, grid: Grid, subject: str) -> Any | None:
    """One row per feature, those that meet the grid.

    Raises:
        DataError: None does.
    """
    if path is None:
        return None
    require_geopandas()
    import shapely

    parts = read_outlines(path, grid.crs, subject)
    features = parts.dissolve(by="outline", as_index=False)
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    a, b, c, d, e, f = tuple(grid.transform)[:6]
    ground = shapely.Polygon([(a * x + b * y + c, d * x + e * y + f) for x, y in corners])
    meets = features.geometry.intersects(ground)
    if not meets.any():
        raise DataError(
            f"{path}: found outlines of another place; expected {subject} on the series' ground ({grid})."
        )
    return features[meets].reset_index(drop=True)

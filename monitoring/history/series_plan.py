"""Decisions and checks before the first map of a series is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from euromine.dataset_script.archive import is_simulated_image
from euromine.modeling.tasks import SERIES
from euromine.monitoring.mapping.geotiffs import map_record
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.prediction import WINDOW
from euromine.monitoring.scenes.alignment import AlignedScene, covered_shares, series_grid
from euromine.monitoring.scenes.grids import Grid
from euromine.monitoring.scenes.locations import Location
from euromine.monitoring.scenes.radar_images import allow_missing_radar
from euromine.monitoring.scenes.reflectance import Reflectance
from euromine.monitoring.scenes.scene import Scene
from euromine.support.errors import ArgumentError, GridError, SceneError
from euromine.support.placements import check_placement

from .area_estimation import Confusion
from .area_series import areas_by_year
from .calibration import Calibration, Transitions
from .checkpoint_records import model_record
from .impact_plan import ImpactPlan, plan_impact
from .manifest import ModelRecord
from .permit_outlines import read_permits
from .series_methods import choose_methods, is_for_series
from .series_settings import SeriesSettings, joint_window
from .smoothing import Method
from .switch_rates import SwitchRates
from .yearly_images import IMAGE_FOLDERS

# Exports of one region differ by a few pixels at the edges.
_HARDLY_CUT = 0.98
_SHOWN_YEARS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesPlan:
    """The decisions behind a series.

    Attributes:
        folder: The folder to fill.
        settings: The user's settings.
        site: The site's name.
        simulated: Whether the images are simulated.
        missing_years: Years that were asked for and have no image.
        cut: A sentence on the ground that the smallest years cut from the maps; "" if hardly any.
        pairs: The pairs of years to compare, the earlier first.
        bands: All bands that the models read.
        grid: The grid of all maps.
        scenes: The images on this grid by year, in ascending order.
        reflectances: How each year's numbers become reflectance.
        mapper: The footprint mapper or the network for series, if there is one.
        detector: The change detector, if there is one.
        digests: Digests of the models by task, "segmentation" for a network for series.
        model_records: The models' entries in the manifest.
        smoothing: The method of smoothing.
        change_by: "detector", "footprints" or "posterior", as in the settings.
        window: The largest side of a window in pixels.
        rates: The switch rates, if they are known.
        component_confusions: Its errors on components by group; empty if unknown.
        transition_errors: Its errors on transitions between components, by group and interval in years.
        footprint_confusion: The mapper's errors on footprints made in the same way; None if unknown.
        change_confusion: Its errors on changes by interval in years; None if unknown.
        permits: The permitted outlines as a `geopandas.GeoDataFrame` on the grid's coordinate system.
        impact: Spectral indices, reclamation and land cover.
    """

    folder: Path
    settings: SeriesSettings
    site: str
    simulated: bool
    missing_years: tuple[int, ...]
    cut: str
    pairs: list[tuple[int, int]]
    bands: tuple[str, ...]
    grid: Grid
    scenes: Mapping[int, AlignedScene]
    reflectances: Mapping[int, Reflectance]
    mapper: LoadedModel | None
    detector: LoadedModel | None
    digests: Mapping[str, str]
    model_records: list[ModelRecord]
    smoothing: Method
    change_by: str
    window: int
    rates: SwitchRates | None
    component_confusions: Mapping[str, Confusion]
    transition_errors: Transitions
    footprint_confusion: Confusion | None
    change_confusion: Mapping[int, Confusion] | None
    permits: Any | None
    impact: ImpactPlan

    @property
    def years(self) -> list[int]:
        """The years, sorted."""
        return list(self.scenes)

    @property
    def is_posterior(self) -> bool:
        """Whether changes are inferred from the images of all years."""
        return self.change_by == "posterior"

    @property
    def smooths_components(self) -> bool:
        """Whether the maps of components are smoothed over the years, if there are any."""
        return self.smoothing != "none"

    @property
    def joins_years(self) -> bool:
        """Whether one network sees all years at once."""
        return self.mapper is not None and self.mapper.task == SERIES


def plan_series(
    models: Sequence[LoadedModel],
    scenes: Mapping[int, Scene],
    folder: Path,
    settings: SeriesSettings,
    missing_years: tuple[int, ...] = (),
) -> SeriesPlan:
    """Check everything that can be checked before the first map, and decide the rest.

    Args:
        models: A footprint mapper, a change detector or one of each; or a network for series.
        scenes: An open image per year, in ascending order.
        folder: The folder to fill.
        settings: The user's settings.
        missing_years: Years that were asked for and have no image.

    Raises:
        SceneError: An image lacks a band, has no scale or offset, or shares no ground with the others.
        GridError: The grid has no areas on the ground.
        ArgumentError: Settings, models and years do not go together.
        ModelError: Two models have the same task, or there is none.
        PermitError: The permits cannot be read.
        MissingExtraError: Permits or a minimum mapping unit need geopandas, which is not installed.
    """
    years = list(scenes)
    chosen = choose_methods(models, settings, years)
    mapper, detector, digests = chosen.mapper, chosen.detector, chosen.digests
    if detector is not None and len(years) < 2:
        raise ArgumentError(
            f"years: found {years[0]} alone; expected two or more, between which {detector.source} detects "
            "changes."
        )
    used = chosen.models
    bands = tuple(dict.fromkeys(band for loaded in used for band in loaded.image_processor.bands))
    allow_missing_radar({year: scene.radar for year, scene in scenes.items() if scene.divided(bands)[1]})
    reflectances = {year: _reflectance(scene, bands) for year, scene in scenes.items()}
    grid = series_grid(list(scenes.values()), settings.extent)
    _check_measurable(grid)
    calibration, smoothing, change_by = chosen.calibration, chosen.smoothing, chosen.change_by
    fitting = calibration if _fits(calibration, smoothing, settings) else None
    components, transitions = _component_errors(calibration, smoothing)
    calibrated_changes = "posterior" if is_for_series(mapper) else "footprints"
    first = next(iter(scenes.values())).location
    return SeriesPlan(
        folder=folder,
        settings=settings,
        site=settings.site or _site_of(first),
        simulated=_is_simulated(first) if settings.simulated is None else settings.simulated,
        missing_years=missing_years,
        cut="" if settings.extent == "union" else _cut(scenes),
        pairs=choose_pairs(years, settings.pairs),
        bands=bands,
        grid=grid,
        scenes={year: AlignedScene(scene, grid) for year, scene in scenes.items()},
        reflectances=reflectances,
        mapper=mapper,
        detector=detector,
        digests=digests,
        model_records=[
            model_record(loaded, digest, calibration)
            for loaded, digest in zip(used, digests.values(), strict=True)
        ],
        smoothing=smoothing,
        change_by=change_by,
        window=_window(settings, mapper, len(years)),
        rates=chosen.rates,
        component_confusions=components,
        transition_errors=transitions,
        footprint_confusion=fitting.footprints.get(smoothing) if fitting else None,
        change_confusion=fitting.changes.get(smoothing)
        if fitting and change_by == calibrated_changes
        else None,
        permits=_permits(settings, grid),
        impact=plan_impact(settings.impact, scenes, grid, has_footprints=mapper is not None),
    )


def _permits(settings: SeriesSettings, grid: Grid) -> Any | None:
    if settings.permits is None:
        return None
    return read_permits(settings.permits, grid.crs, layers=settings.permit_layers)


def choose_pairs(years: Sequence[int], which: str) -> list[tuple[int, int]]:
    """The pairs of years to compare: "all", "consecutive" or "first-last"."""
    if which == "all":
        return list(combinations(years, 2))
    if which == "consecutive":
        return list(pairwise(years))
    return [(years[0], years[-1])] if len(years) > 1 else []


def _window(settings: SeriesSettings, mapper: LoadedModel | None, years: int) -> int:
    if settings.window is not None:
        return settings.window
    return joint_window(years) if is_for_series(mapper) else WINDOW


def _cut(scenes: Mapping[int, Scene]) -> str:
    """Name the years that are smaller than others, and the share of ground that this cuts from all maps."""
    *shares, of_all = covered_shares(list(scenes.values()))
    if of_all >= _HARDLY_CUT:
        return ""
    small = [
        f"{year} ({scene.location.name}) covers {share:.0%}"
        for share, (year, scene) in sorted(zip(shares, scenes.items(), strict=True), key=lambda each: each[0])
        if share < _HARDLY_CUT
    ]
    more = f" and {len(small) - _SHOWN_YEARS} years more" if len(small) > _SHOWN_YEARS else ""
    return (
        f"All maps are cut to the ground that every year covers, {of_all:.0%} of that of all years together: "
        f"{', '.join(small[:_SHOWN_YEARS])}{more}. Keep it all with --extent union."
    )


def _check_measurable(grid: Grid) -> None:
    """Check that a grid has a place on the Earth and ground areas, which tables and polygons need.

    Raises:
        GridError: It has not.
    """
    check_placement(grid.crs, tuple(grid.transform), grid.shape, "grid", GridError)
    row = grid.window(Window(0, 0, grid.width, 1))
    areas_by_year(np.zeros((1, 1, grid.width), np.uint8), [0], row)


def _reflectance(scene: Scene, bands: Sequence[str]) -> Reflectance:
    if scene.path is not None and map_record(scene.tags) is not None:
        raise SceneError(f"{scene.path}: found a map that EuroMine made; expected imagery.")
    return scene.reflectance(bands)


def _fits(calibration: Calibration | None, smoothing: Method, settings: SeriesSettings) -> bool:
    """Whether the errors in a calibration are those of maps that are made as these will be."""
    if calibration is None:
        return False
    if smoothing == "viterbi":
        return settings.rates in (None, calibration.rates)
    return calibration.threshold == settings.threshold


def _component_errors(
    calibration: Calibration | None, smoothing: Method
) -> tuple[Mapping[str, Confusion], Transitions]:
    """The errors in a calibration on components and on their transitions, of maps made as these will be."""
    if calibration is None:
        return {}, {}
    if smoothing == "none":
        return calibration.components, calibration.component_transitions
    return calibration.smoothed_components, calibration.smoothed_transitions


def _site_of(image: Location) -> str:
    *above, folder = image.parts.split("/")
    return above[-1] if folder in IMAGE_FOLDERS and above else folder


def _is_simulated(image: Location) -> bool:
    return image.path is not None and is_simulated_image(image.path)

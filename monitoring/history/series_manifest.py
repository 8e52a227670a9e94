"""The manifest of a planned series, and of the finished one."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from euromine.monitoring.mapping.engines import engine_record
from euromine.support.errors import RecordError
from euromine.support.geopackages import has_geopandas
from euromine.support.rasters import crs_name

from .acquired_images import composite_record
from .area_estimation import Confusion
from .component_maps import planned_groups
from .folder import SeriesFolder
from .manifest import Manifest, SceneRecord
from .map_records import change_record, component_record, footprint_record
from .output_files import damaged_files, digests, listed_files
from .series_outputs import output_names
from .series_plan import SeriesPlan
from .vector_files import polygons_digest
from .yearly_pictures import quicklook_bands

_LIBRARIES = ("euromine", "torch", "transformers", "rasterio", "numpy")


@dataclass(frozen=True)
class Findings:
    """Facts about a series that emerge while it is made.

    Attributes:
        known_shares: The share of the grid with data by year.
        doubts: Reasons to doubt a year's reflectance, by year; None where there are none.
        caveats: Reasons to distrust the areas, a sentence each.
        written: The files that the series consists of, its manifest aside.
    """

    known_shares: Mapping[int, float]
    doubts: Mapping[int, str | None]
    caveats: list[str]
    written: list[str]


def planned_manifest(plan: SeriesPlan) -> Manifest:
    """The manifest before the first map."""
    grid = plan.grid
    a, b, c, d, e, f = (float(value) for value in grid.transform[:6])
    confusion, groups = plan.footprint_confusion, planned_groups(plan)
    return Manifest(
        site=plan.site,
        years=plan.years,
        pairs=plan.pairs,
        crs=crs_name(grid.crs),
        transform=(a, b, c, d, e, f),
        width=grid.width,
        height=grid.height,
        models=plan.model_records,
        scenes=[_scene_record(plan, year) for year in plan.years],
        settings=_settings(plan),
        confusion=confusion.pooled().tolist() if confusion is not None else None,
        component_groups={}
        if groups is None
        else {name: list(classes) for name, classes in groups.groups.items()},
        component_total=None if groups is None else groups.total,
        missing_years=list(plan.missing_years),
        cut=plan.cut,
        simulated=plan.simulated,
        versions={
            "Python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
        },
        fingerprint=_fingerprint(plan),
        # An earlier series' files stay listed until they are replaced or deleted.
        files=dict.fromkeys(sorted({*listed_files(plan.folder), *output_names(plan)}), ""),
    )


def finished_manifest(plan: SeriesPlan, planned: Manifest, findings: Findings) -> Manifest:
    """The manifest of a series that is complete now."""
    scenes = []
    for scene in planned.scenes:
        doubt = findings.doubts.get(scene.year)
        decisions = [*scene.decisions, *([doubt] if doubt else [])]
        scenes.append(replace(scene, known_share=findings.known_shares.get(scene.year), decisions=decisions))
    return replace(
        planned,
        scenes=scenes,
        caveats=findings.caveats,
        complete=True,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        files=digests(plan.folder, findings.written),
    )


def is_finished(plan: SeriesPlan, planned: Manifest) -> bool:
    """Whether the folder holds this very series, whole."""
    try:
        found = SeriesFolder(plan.folder).manifest
    except RecordError:
        return False
    as_planned = replace(
        found,
        caveats=[],
        complete=False,
        created="",
        versions=planned.versions,
        files=planned.files,
        scenes=[replace(scene, known_share=None, decisions=scene.decisions[:1]) for scene in found.scenes],
    )
    return as_planned == planned and bool(found.files) and not damaged_files(plan.folder, found.files)


def _fingerprint(plan: SeriesPlan) -> str:
    """A hash of everything that makes a series, by content."""
    settings = asdict(plan.settings) | {
        "smoothing": plan.smoothing,
        "change_by": plan.change_by,
        "window": plan.window,
    }
    # Permits by their content; the size of batches makes no difference.
    for name in ("permits", "permit_layers", "batch_size", "impact"):
        del settings[name]
    if settings["probability_type"] == "float32":
        del settings["probability_type"]
    made_of = {
        "settings": settings,
        "site": plan.site,
        "simulated": plan.simulated,
        "missing_years": plan.missing_years,
        "footprints": footprint_record(plan) if plan.mapper is not None else None,
        "changes": [change_record(plan, pair) for pair in plan.pairs],
        "quicklooks": [quicklook_bands(plan, aligned.scene) for aligned in plan.scenes.values()],
        "footprint_confusion": _as_json(plan.footprint_confusion),
        "components": component_record(plan) if planned_groups(plan) and plan.smooths_components else None,
        "component_confusions": {group: _as_json(each) for group, each in plan.component_confusions.items()},
        "transition_errors": {
            group: {
                interval: [each.classes, each.sites, each.entries.tolist()]
                for interval, each in found.items()
            }
            for group, found in plan.transition_errors.items()
        },
        "change_confusion": {
            interval: _as_json(confusion) for interval, confusion in (plan.change_confusion or {}).items()
        },
        "permits": polygons_digest(plan.permits),
        "impact": plan.impact.fingerprint(),
        "polygons": has_geopandas(),
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _as_json(confusion: Confusion | None) -> Any:
    if confusion is None:
        return None
    return [confusion.classes, confusion.sites, confusion.counts.tolist()]


def _scene_record(plan: SeriesPlan, year: int) -> SceneRecord:
    aligned, decision = plan.scenes[year], str(plan.reflectances[year])
    scene = aligned.scene
    size, modified = scene.size_and_time
    return SceneRecord(
        year=year,
        path=scene.location.name,
        size=size,
        modified=modified,
        bands=[name or "?" for name in scene.bands],
        decisions=[f"{decision[0].upper()}{decision[1:]}."],
        crs=crs_name(scene.grid.crs),
        resampled=aligned.how,
        quicklook_bands=list(quicklook_bands(plan, scene)),
        level=scene.level,
        composite=composite_record(scene.path, scene.tags),
        radar=scene.radar.path is not None if scene.radar.is_used else None,
    )


def _settings(plan: SeriesPlan) -> dict[str, Any]:
    settings = plan.settings
    uses_rates = plan.smoothing == "viterbi" or plan.is_posterior
    return {
        "smoothing": plan.smoothing,
        "rates": asdict(plan.rates) if plan.rates and uses_rates else None,
        "change_by": plan.change_by,
        "joins_years": plan.joins_years,
        "threshold": settings.threshold,
        "smallest_mapping_unit": settings.minimum_mapping_unit,
        "permits": settings.permits.name if settings.permits else None,
        "window": plan.window,
        "overlap": settings.overlap,
        "impact": plan.impact.record(),
        **({} if settings.probability_type == "float32" else {"probability_type": settings.probability_type}),
        **_engines(plan),
    }


def _engines(plan: SeriesPlan) -> dict[str, Any]:
    """The engine and precision of each model that is not exact, by the model's task."""
    records = {each.task: engine_record(each.model) for each in (plan.mapper, plan.detector) if each}
    inexact = {task: record for task, record in records.items() if record}
    return {"engines": inexact} if inexact else {}

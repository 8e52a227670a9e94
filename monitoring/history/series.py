"""All years of a site: probabilities, footprints, changes between any two years, areas, polygons, permits.

Each map is written in windows, gets its name once it is complete and carries a record of what made it, so a
run that was interrupted resumes at the first map that is missing or was made of something else.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.environment import release_freed_memory
from euromine.support.files import explain_full_disk
from euromine.support.locks import lock_folder

from .chain_maps import map_all_years
from .compared_changes import compare_years
from .component_maps import check_same_groups, map_components, planned_groups, smooth_components
from .component_tables import tabulate_components
from .detected_changes import detect_changes, known_shares_of_changes
from .evidence_store import remove_evidence
from .file_names import AREAS, CHANGES_TABLE
from .folder import SeriesFolder
from .impact_outputs import make_impact
from .known_ground import KnownGround
from .level_caveats import level_caveats
from .output_files import check_outputs, listed_files, remove_damaged, remove_work_files
from .series_manifest import Findings, finished_manifest, is_finished, planned_manifest
from .series_outputs import (
    copy_permits,
    map_names,
    outline,
    remove_leftovers,
    tabulate_areas,
    write_styles,
)
from .series_plan import SeriesPlan, plan_series
from .series_settings import SeriesSettings
from .yearly_maps import map_footprints, map_probability
from .yearly_pictures import draw_quicklooks

logger = logging.getLogger(__name__)


def make_series(
    models: Sequence[LoadedModel],
    scenes: Mapping[int, str | os.PathLike[str]],
    out: str | os.PathLike[str],
    settings: SeriesSettings | None = None,
    *,
    options: SceneOptions | None = None,
    missing_years: Sequence[int] = (),
    progress: bool = False,
) -> SeriesFolder:
    """Map a site over its years.

    Args:
        models: A footprint mapper, a change detector or one of each; or a network for series.
        scenes: An image per year.
        out: The folder to create or to complete.
        settings: How the series is made.
        options: Scene metadata given by the user.
        missing_years: Years that were asked for and have no image.
        progress: Whether to show progress bars.

    Raises:
        SceneError: An image cannot be read, lacks a band, has no scale, offset or data, or shares no ground
            with the others.
        EuroMineError: Models, settings, permits and years do not go together.
        BusyError: Another run is at work in the folder.
        OSError: The folder cannot be written to, or the disk is full.
    """
    folder = Path(out)
    with lock_folder(folder), explain_full_disk(folder, "the series"), ExitStack() as files:
        if listed_files(folder):
            remove_work_files(folder)
        opened = {
            int(year): files.enter_context(open_scene(path, options)) for year, path in sorted(scenes.items())
        }
        plan = plan_series(models, opened, folder, settings or SeriesSettings(), tuple(missing_years))
        check_same_groups(folder, planned_groups(plan))
        manifest = planned_manifest(plan)
        if is_finished(plan, manifest):
            logger.info("%s holds this series already.", folder)
            return SeriesFolder(folder)
        for sentence in [*level_caveats(manifest), *([plan.cut] if plan.cut else [])]:
            logger.warning("%s", sentence)
        check_outputs(folder, manifest.files, _inputs(plan))
        remove_damaged(folder)
        manifest.write(folder)
        findings = _make(plan, progress=progress)
        finished_manifest(plan, manifest, findings).write(folder)
    return SeriesFolder(folder)


def _make(plan: SeriesPlan, *, progress: bool) -> Findings:
    """All maps, tables and polygons that the folder does not hold yet."""
    known: KnownGround | None = None
    known_shares: Mapping[int, float] = {}
    drawn: list[int] = []
    copy_permits(plan)
    if plan.mapper is not None:
        if plan.joins_years:
            map_all_years(plan, plan.mapper, progress=progress)
        else:
            drawn = _map_years(plan, plan.mapper, progress=progress)
            smooth_components(plan, progress=progress)
        known = map_footprints(plan, progress=progress)
        known_shares = known.pixels
        release_freed_memory()  # a stage's arrays do not fit the gaps that the one before has left
    if plan.detector is not None:
        detect_changes(plan, plan.detector, progress=progress)
    else:
        compare_years(plan, progress=progress)
    release_freed_memory()
    if plan.mapper is None:
        known_shares = known_shares_of_changes(plan)
    draw_quicklooks(plan, drawn, progress=progress)
    caveats = tabulate_areas(plan, known)
    written = [*map_names(plan), *write_styles(plan), CHANGES_TABLE, *tabulate_components(plan, known)]
    release_freed_memory()
    written += outline(plan, progress=progress)
    written += make_impact(plan, progress=progress)
    if plan.mapper is not None:
        written.append(AREAS)
    remove_leftovers(plan, written)
    remove_evidence(plan.folder)
    # Whether a year's numbers are doubtful shows in what was read of it, by now all of it.
    doubts = {year: aligned.scene.doubt() for year, aligned in plan.scenes.items()}
    return Findings(known_shares, doubts, caveats, written)


def _map_years(plan: SeriesPlan, mapper: LoadedModel, *, progress: bool) -> list[int]:
    """Map each year on its own; return those whose picture was drawn on the way."""
    map_year = map_probability if planned_groups(plan) is None else map_components
    drawn = []
    for year in plan.years:
        if map_year(plan, mapper, year, progress=progress):
            drawn.append(year)
        # Each year's threads have memory of their own, which they leave behind.
        release_freed_memory()
    return drawn


def _inputs(plan: SeriesPlan) -> list[Path]:
    permits = plan.settings.permits
    images = [path for aligned in plan.scenes.values() if (path := aligned.scene.path)]
    return [*images, *([] if permits is None else [permits]), *plan.impact.inputs]

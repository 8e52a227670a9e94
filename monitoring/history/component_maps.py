"""The components of each year: a map of each group, made with the footprint's probability, then smoothed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from euromine.dataset_script.label_groups import LabelGroups
from euromine.monitoring.mapping.component_groups import component_groups
from euromine.monitoring.mapping.component_prediction import predict_components
from euromine.monitoring.mapping.geotiffs import CogWriter, read_map_record
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.map_styles import MapStyle, component_style
from euromine.monitoring.mapping.map_values import NODATA
from euromine.support.environment import release_freed_memory
from euromine.support.errors import ArgumentError, RecordError
from euromine.support.files import atomic_file, link_or_copy
from euromine.support.workers import prefetch

from .class_smoothing import running_majority
from .file_names import component_name, probability_name, unsmoothed_name
from .manifest import read_manifest
from .map_records import component_record, probability_record
from .map_rows import row_blocks
from .series_plan import SeriesPlan
from .yearly_indices import indexed_year
from .yearly_maps import no_data, probability_writer
from .yearly_pictures import pictured_year, save_picture

logger = logging.getLogger(__name__)


def planned_groups(plan: SeriesPlan) -> LabelGroups | None:
    """The groups of the plan's component model; None where its models map none."""
    return None if plan.mapper is None else component_groups(plan.mapper.model)


def component_styles(plan: SeriesPlan) -> dict[str, MapStyle]:
    """The style of each map of components by the map's name."""
    groups = planned_groups(plan)
    names = [component_name, unsmoothed_name] if plan.smooths_components else [component_name]
    return {
        name(group, year): component_style(classes)
        for year in plan.years
        for group, classes in ({} if groups is None else groups.groups).items()
        for name in names
    }


def mapped_name(plan: SeriesPlan, group: str, year: int) -> str:
    """The file of a year's components of a group as the network maps them in that year's image alone."""
    return unsmoothed_name(group, year) if plan.smooths_components else component_name(group, year)


def check_same_groups(folder: Path, groups: LabelGroups | None) -> None:
    """Refuse to replace the maps of other groups, whose tables would not be comparable.

    Raises:
        ArgumentError: The folder holds a series with components of other groups.
    """
    try:
        manifest = read_manifest(folder)
    except RecordError:
        return
    if groups is None or not manifest.component_groups:
        return
    earlier = {name: tuple(classes) for name, classes in manifest.component_groups.items()}
    if earlier != dict(groups.groups):
        raise ArgumentError(
            f"{folder}: found components of the groups {_in_words(earlier)}; expected "
            f"{_in_words(dict(groups.groups))}, those of the model. Choose another folder with --out, or a "
            "model of the folder's groups."
        )


def map_components(plan: SeriesPlan, mapper: LoadedModel, year: int, *, progress: bool = False) -> bool:
    """Map the components in one year and the probability of any, unless the folder holds those very maps.

    Returns:
        Whether the picture of the year was drawn on the way.

    Raises:
        SceneError: The image cannot be read, or has no data.
        OSError: A map cannot be written.
    """
    groups, record = planned_groups(plan), probability_record(plan, year)
    assert groups is not None
    names = [mapped_name(plan, group, year) for group in groups.groups]
    _keep_of_other_smoothing(plan, groups, year)
    if all(read_map_record(plan.folder / name) == record for name in [probability_name(year), *names]):
        return False
    aligned, pictured = plan.scenes[year], pictured_year(plan, year)
    has_data = False
    with ExitStack() as files:
        blocks = predict_components(
            mapper.model,
            mapper.image_processor,
            files.enter_context(indexed_year(plan, year, pictured)),
            window=plan.window,
            overlap=plan.settings.overlap,
            batch_size=plan.settings.batch_size,
        )
        probabilities = files.enter_context(probability_writer(plan, year))
        writers = [
            files.enter_context(_writer(plan, name, group, classes, record))
            for name, (group, classes) in zip(names, groups.groups.items(), strict=True)
        ]
        bar = files.enter_context(
            tqdm(total=plan.grid.height, desc=f"map {year}", unit="row", disable=not progress)
        )
        for block in files.enter_context(closing(prefetch(blocks, 1))):
            has_data = has_data or not np.isnan(block.probability).all()
            probabilities.write(block.probability)
            for writer, rows in zip(writers, block.maps, strict=True):
                writer.write(rows)
            bar.update(len(block.probability))
        if not has_data:
            raise no_data(aligned.shown)
        # The maps are completed without the memory of the windows.
        aligned.free_rows()
        release_freed_memory()
    if doubt := aligned.scene.doubt():
        logger.warning("%s: %s", aligned.shown, doubt)
    return save_picture(plan, year, pictured)


def _keep_of_other_smoothing(plan: SeriesPlan, groups: LabelGroups, year: int) -> None:
    """Give maps of an earlier series, smoothed or not, the name that they have in this one."""
    record = probability_record(plan, year)
    for group in groups.groups:
        both = component_name(group, year), unsmoothed_name(group, year)
        there, wanted = both if plan.smooths_components else reversed(both)
        if read_map_record(plan.folder / wanted) != record == read_map_record(plan.folder / there):
            with atomic_file(plan.folder / wanted) as part:
                link_or_copy(plan.folder / there, part)


def smooth_components(plan: SeriesPlan, *, progress: bool = False) -> None:
    """Smooth the components over the years by a running majority, unless the folder holds those very maps.

    Raises:
        OSError: A map cannot be written.
    """
    groups = planned_groups(plan)
    if groups is None or not plan.smooths_components:
        return
    record = component_record(plan)
    for group, classes in tqdm(groups.groups.items(), desc="components", unit="group", disable=not progress):
        names = [component_name(group, year) for year in plan.years]
        stale = [name for name in names if read_map_record(plan.folder / name) != record]
        if not stale:
            continue
        # Files get their names one by one: stopped between two, no year may keep a map of other smoothing.
        for name in stale:
            (plan.folder / name).unlink(missing_ok=True)
        with ExitStack() as files:
            writers = [files.enter_context(_writer(plan, name, group, classes, record)) for name in names]
            mapped = [mapped_name(plan, group, year) for year in plan.years]
            for maps in row_blocks(plan.folder, mapped, plan.grid, extra_bytes=4 * len(mapped)):
                for writer, rows in zip(writers, running_majority(maps), strict=True):
                    writer.write(rows)


def _writer(
    plan: SeriesPlan, name: str, group: str, classes: tuple[str, ...], record: Mapping[str, Any]
) -> CogWriter:
    """The file of a map of components, to be entered as a context and written from the top."""
    return CogWriter(
        plan.folder / name,
        plan.grid,
        np.uint8,
        NODATA,
        resampling="mode",
        description=f"components: {group}",
        style=component_style(classes),
        record=record,
    )


def _in_words(groups: dict[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{name} ({', '.join(classes)})" for name, classes in groups.items())

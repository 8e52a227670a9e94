"""The components of single years: a map of each group, made with the probability of the footprint."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from tqdm import tqdm

from euromine.dataset_script.label_groups import LabelGroups
from euromine.monitoring.mapping.component_groups import component_groups
from euromine.monitoring.mapping.component_prediction import predict_components
from euromine.monitoring.mapping.geotiffs import CogWriter, read_map_record
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.map_styles import MapStyle, component_style
from euromine.monitoring.mapping.map_values import NODATA
from euromine.support.errors import ArgumentError, RecordError
from euromine.support.workers import prefetch

from .file_names import component_name, probability_name
from .manifest import read_manifest
from .map_records import probability_record
from .series_plan import SeriesPlan
from .yearly_indices import indexed_year
from .yearly_maps import no_data, probability_writer

logger = logging.getLogger(__name__)


def planned_groups(plan: SeriesPlan) -> LabelGroups | None:
    """The groups of the plan's component model; None where its models map none."""
    return None if plan.mapper is None else component_groups(plan.mapper.model)


def component_styles(plan: SeriesPlan) -> dict[str, MapStyle]:
    """The style of each map of components by the map's name."""
    groups = planned_groups(plan)
    return {
        component_name(group, year): component_style(classes)
        for year in plan.years
        for group, classes in ({} if groups is None else groups.groups).items()
    }


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


def map_components(plan: SeriesPlan, mapper: LoadedModel, year: int, *, progress: bool = False) -> None:
    """Map the components in one year and the probability of any, unless the folder holds those very maps.

    Raises:
        SceneError: The image cannot be read, or has no data.
        OSError: A map cannot be written.
    """
    groups, record = planned_groups(plan), probability_record(plan, year)
    assert groups is not None
    names = [component_name(group, year) for group in groups.groups]
    if all(read_map_record(plan.folder / name) == record for name in [probability_name(year), *names]):
        return
    aligned = plan.scenes[year]
    has_data = False
    with ExitStack() as files:
        blocks = predict_components(
            mapper.model,
            mapper.image_processor,
            files.enter_context(indexed_year(plan, year)),
            window=plan.window,
            overlap=plan.settings.overlap,
            batch_size=plan.settings.batch_size,
        )
        probabilities = files.enter_context(probability_writer(plan, year))
        writers = [
            files.enter_context(
                CogWriter(
                    plan.folder / name,
                    plan.grid,
                    np.uint8,
                    NODATA,
                    resampling="mode",
                    description=f"components: {group}",
                    style=component_style(classes),
                    record=record,
                )
            )
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
    if doubt := aligned.scene.doubt():
        logger.warning("%s: %s", aligned.shown, doubt)


def _in_words(groups: dict[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{name} ({', '.join(classes)})" for name, classes in groups.items())

"""The maps of single years: probability, footprint, and the first and last year in which a pixel is mined."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from euromine.monitoring.mapping.engines import expect_calls
from euromine.monitoring.mapping.geotiffs import CogWriter, finish_together, read_map_record
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.map_styles import FOOTPRINT, PROBABILITY, years_style
from euromine.monitoring.mapping.map_values import NEVER, NODATA, UNKNOWN_YEAR
from euromine.monitoring.mapping.prediction import predict_probability
from euromine.monitoring.mapping.stored_probabilities import ProbabilityWriter, decode_probability
from euromine.monitoring.mapping.tiling import Tiling
from euromine.support.environment import release_freed_memory
from euromine.support.errors import SceneError
from euromine.support.workers import prefetch

from .file_names import FIRST_YEAR, LAST_YEAR, footprint_name, probability_name
from .known_ground import KnownGround, KnownGroundSums
from .map_records import footprint_record, probability_record
from .map_rows import row_blocks
from .series_plan import SeriesPlan
from .smoothing import smooth
from .yearly_indices import indexed_year
from .yearly_pictures import pictured_year, save_picture

logger = logging.getLogger(__name__)


def map_probability(plan: SeriesPlan, mapper: LoadedModel, year: int, *, progress: bool = False) -> bool:
    """Map the probability of a mine in one year, unless the folder holds that very map.

    Returns:
        Whether the picture of the year was drawn on the way.

    Raises:
        SceneError: The image cannot be read, or has no data.
        OSError: The map cannot be written.
    """
    if read_map_record(plan.folder / probability_name(year)) == probability_record(plan, year):
        return False
    aligned, pictured = plan.scenes[year], pictured_year(plan, year)
    has_data = False
    tiling = Tiling.of(plan.grid.height, plan.grid.width, plan.window, plan.settings.overlap)
    expect_calls(
        mapper.model,
        tiling.rows.size * tiling.columns.size,
        forward=len(tiling) * len(plan.years),
    )
    with ExitStack() as files:
        image = files.enter_context(indexed_year(plan, year, pictured))
        blocks = predict_probability(
            mapper.model,
            mapper.image_processor,
            image,
            window=plan.window,
            overlap=plan.settings.overlap,
            batch_size=plan.settings.batch_size,
        )
        writer = files.enter_context(probability_writer(plan, year))
        bar = files.enter_context(
            tqdm(total=plan.grid.height, desc=f"map {year}", unit="row", disable=not progress)
        )
        for _, rows in files.enter_context(closing(prefetch(blocks, 1))):
            has_data = has_data or not np.isnan(rows).all()
            writer.write(rows)
            bar.update(len(rows))
        if not has_data:
            raise no_data(aligned.shown)
        # The map is completed without the memory of the windows.
        aligned.free_rows()
        release_freed_memory()
    if doubt := aligned.scene.doubt():
        logger.warning("%s: %s", aligned.shown, doubt)
    return save_picture(plan, year, pictured)


def probability_writer(plan: SeriesPlan, year: int) -> CogWriter:
    """The file of a year's probability, to be entered as a context and written from the top."""
    return ProbabilityWriter(
        plan.folder / probability_name(year),
        plan.grid,
        plan.settings.probability_type,
        plan.settings.threshold,
        description="probability of a mine",
        style=PROBABILITY,
        record=probability_record(plan, year),
    )


def no_data(image: str) -> SceneError:
    """The error for an image without a single known pixel on the series' grid."""
    return SceneError(
        f"{image}: found only clouds or nodata where all years meet; expected pixels with data. "
        "Leave its year out with --years."
    )


def map_footprints(plan: SeriesPlan, *, progress: bool = False) -> KnownGround:
    """Map the footprints of all years, and each pixel's first and last mined year, in one pass over rows.

    Returns:
        The shares of the grid with data.
    """
    names, seen = footprint_names(plan), KnownGroundSums(plan.years, plan.pairs, plan.grid)
    is_there = are_footprints_made(plan)
    with ExitStack() as files:
        writers = [] if is_there else [files.enter_context(footprint_writer(plan, name)) for name in names]
        bar = files.enter_context(
            tqdm(total=plan.grid.height, desc="footprints", unit="row", disable=not progress)
        )
        for stored in row_blocks(plan.folder, list(map(probability_name, plan.years)), plan.grid):
            probability = decode_probability(stored)
            seen.add(~np.isnan(probability))
            if writers:
                footprints = smooth(
                    probability,
                    plan.smoothing,
                    plan.rates,
                    years=plan.years,
                    threshold=plan.settings.threshold,
                )
                rows = [*footprints, *first_and_last_years(footprints, plan.years)]
                for writer, each in zip(writers, rows, strict=True):
                    writer.write(each)
                del footprints, rows, each
            bar.update(probability.shape[1])
            del stored, probability  # before the next rows are read
        finish_together(writers)
    return seen.shares()


def footprint_names(plan: SeriesPlan) -> list[str]:
    """The maps that are made of the footprints of all years: those, and the first and last years."""
    return [*map(footprint_name, plan.years), FIRST_YEAR, LAST_YEAR]


def are_footprints_made(plan: SeriesPlan) -> bool:
    """Whether the folder holds all maps of `footprint_names`."""
    record = footprint_record(plan)
    return all(read_map_record(plan.folder / name) == record for name in footprint_names(plan))


def footprint_writer(plan: SeriesPlan, name: str) -> CogWriter:
    """The file of one of `footprint_names`, to be entered as a context and written from the top."""
    holds_years = name in (FIRST_YEAR, LAST_YEAR)
    return CogWriter(
        plan.folder / name,
        plan.grid,
        np.uint16 if holds_years else np.uint8,
        UNKNOWN_YEAR if holds_years else NODATA,
        resampling="mode",
        description=Path(name).stem.replace("_", " "),
        style=years_style(plan.years, never=NEVER, unknown=UNKNOWN_YEAR) if holds_years else FOOTPRINT,
        record=footprint_record(plan),
    )


def first_and_last_years(
    footprints: NDArray[np.uint8], years: list[int] | tuple[int, ...]
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """The first and the last year in which each pixel is mined.

    Args:
        footprints: (years, height, width): 1 mined, 0 not, 255 unknown.
        years: The years.

    Returns:
        Two maps (height, width) uint16: 0 never, 65535 where every year is unknown.
    """
    first = np.full(footprints.shape[1:], NEVER, np.uint16)
    last = first.copy()
    for year, footprint in zip(years, footprints, strict=True):
        mined = footprint == 1
        first[mined & (first == NEVER)] = year
        last[mined] = year
    unknown = (footprints == NODATA).all(axis=0)
    first[unknown] = last[unknown] = UNKNOWN_YEAR
    return first, last

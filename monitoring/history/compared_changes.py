"""Changes without a change detector: two years' footprints compared, or inferred from all probabilities."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from euromine.monitoring.mapping.geotiffs import finish_together
from euromine.monitoring.mapping.map_values import GAIN, LOSS, NO_CHANGE, NODATA
from euromine.monitoring.mapping.stored_probabilities import decode_probability

from .change_maps import change_map
from .change_writers import change_writer, missing_pairs, places_of
from .file_names import footprint_name, probability_name
from .map_rows import row_blocks
from .markov import change_probability
from .series_plan import SeriesPlan


def compare_years(plan: SeriesPlan, *, progress: bool = False) -> None:
    """Map the missing changes from the footprints or probabilities in the folder.

    Raises:
        OSError: A map cannot be written.
    """
    missing = missing_pairs(plan)
    if not missing:
        return
    indexes = places_of(missing, plan.years)
    name = probability_name if plan.is_posterior else footprint_name
    # Beside the years' maps: gain and loss of each pair, or its change.
    extra = 8 * len(missing) if plan.is_posterior else len(missing)
    with ExitStack() as files:
        writers = [files.enter_context(change_writer(plan, pair)) for pair in missing]
        bar = files.enter_context(
            tqdm(total=plan.grid.height, desc="changes", unit="row", disable=not progress)
        )
        for block in row_blocks(plan.folder, list(map(name, plan.years)), plan.grid, extra):
            changes = (
                _posterior(plan, decode_probability(block), indexes)
                if plan.is_posterior
                else _differences(block, indexes)
            )
            for writer, change in zip(writers, changes, strict=True):
                writer.write(change)
            bar.update(block.shape[1])
        finish_together(writers)


def _differences(footprints: NDArray[np.uint8], indexes: list[tuple[int, int]]) -> list[NDArray[np.uint8]]:
    return [change_map(footprints[first], footprints[second]) for first, second in indexes]


def _posterior(
    plan: SeriesPlan, probability: NDArray[np.float32], indexes: list[tuple[int, int]]
) -> list[NDArray[np.uint8]]:
    assert plan.rates is not None
    return [
        _likely_change(gain, loss)
        for gain, loss in change_probability(probability, plan.rates, indexes, years=plan.years)
    ]


def _likely_change(gain: NDArray[np.float32], loss: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The change that is more likely than not, of two probabilities (height, width)."""
    with np.errstate(invalid="ignore"):
        change = np.where(gain > 0.5, GAIN, np.where(loss > 0.5, LOSS, NO_CHANGE)).astype(np.uint8)
    change[np.isnan(gain)] = NODATA
    return change

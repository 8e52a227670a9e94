"""Windows of all years through a network for series, each year of a window encoded once.

Evidence is blended where windows overlap, and probabilities are computed from the blend: means of logits and
of transition probabilities are a chain again, so that maps and changes agree there as well. Means of the
probabilities themselves would not be those of any chain.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from euromine.modeling.series_model import SeriesModel
from euromine.monitoring.mapping.engines import expect_calls
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.prediction import cut_window
from euromine.monitoring.mapping.tiling import Tiling
from euromine.support.errors import ModelError
from euromine.support.gap_filling import fill_nodata

from .evidence_store import EvidenceStore
from .series_plan import SeriesPlan
from .window_passes import cached_rows, gather_blocks

logger = logging.getLogger(__name__)


def number_of_maps(years: int) -> int:
    """The maps of evidence: a logit of mine each year, a gain and a loss for each step between two years."""
    return 3 * years - 2


def gather_evidence(plan: SeriesPlan, network: LoadedModel, store: EvidenceStore, *, progress: bool) -> None:
    """Run the network over the windows whose evidence is missing.

    A store's maps are the logit of mine in each year, NaN where the year has no data, the probability of a
    gain in each step from a year to the next, and that of a loss.

    Raises:
        SceneError: An image cannot be read.
        ModelError: The network gives NaN.
        OSError: A block cannot be written.
    """
    if store.complete_rows == store.tiling.rows.count:
        return
    rows, columns = store.tiling.rows, store.tiling.columns
    images = len(plan.years) * len(store.tiling)
    expect_calls(network.model, rows.size * columns.size, encode=images, pyramid=images, evidence=images)
    with (
        cached_rows(plan.scenes.values(), store.tiling),
        tqdm(total=len(store.tiling), desc="all years", unit="window", disable=not progress) as bar,
    ):
        gather_blocks(
            store,
            store.maps,
            lambda row, column: _read(plan, network, store.tiling, (row, column)),
            lambda window: evidence_of(network, window.images, window.valid, plan.years),
            _without_unknown,
            bar,
        )
    for aligned in plan.scenes.values():
        if doubt := aligned.scene.doubt():
            logger.warning("%s: %s", aligned.shown, doubt)


class _Window(NamedTuple):
    """One window of all years.

    Attributes:
        images: (years, bands, height, width) float32 digital numbers.
        valid: Where each year has data, (years, height, width).
    """

    images: NDArray[np.float32]
    valid: NDArray[np.bool_]


def _read(plan: SeriesPlan, network: LoadedModel, tiling: Tiling, place: tuple[int, int]) -> _Window:
    bands = tuple(network.image_processor.bands)
    rows, columns = tiling.rows.inside(place[0]), tiling.columns.inside(place[1])
    images = np.empty((len(plan.years), len(bands), len(rows), len(columns)), np.float32)
    valid = np.empty((len(plan.years), len(rows), len(columns)), bool)
    for number, year in enumerate(plan.years):
        images[number], valid[number] = cut_window(plan.scenes[year], bands, rows, columns)
    return _Window(fill_from_years(images, valid, plan.years), valid)


def _without_unknown(
    blended: NDArray[np.float32], window: _Window, inside: tuple[slice, slice]
) -> NDArray[np.float32]:
    """A block whose logits are NaN where the year has no data."""
    known = window.valid[:, *inside]
    blended[: len(known)][~known] = np.nan
    return blended


def fill_from_years(
    images: NDArray[np.float32], valid: NDArray[np.bool_], years: Sequence[int]
) -> NDArray[np.float32]:
    """Fill the gaps of years that have some data, so that no edge of the data shows in other years' maps.

    A pixel is filled from the nearest year that has data there, the earlier of two; where no year has, from
    the nearest pixel.

    Args:
        images: (years, bands, height, width).
        valid: Where each year has data, (years, height, width).
        years: The calendar years.

    Returns:
        (years, bands, height, width); years without any data are unchanged.
    """
    if valid.all():
        return images
    filled = images.copy()
    for place, year in enumerate(years):
        if not valid[place].any():
            continue
        known = valid[place].copy()
        for other in sorted(range(len(years)), key=lambda each: (abs(years[each] - year), each)):
            found = valid[other] & ~known
            filled[place][:, found] = images[other][:, found]
            known |= found
        if not known.all():
            filled[place] = fill_nodata(filled[place], known)
    return filled


@torch.inference_mode()
def evidence_of(
    network: LoadedModel, images: NDArray[np.float32], valid: NDArray[np.bool_], years: Sequence[int]
) -> NDArray[np.float32]:
    """The evidence in a window, (maps, height, width).

    Years without data in it are masked. In a window without data in any year, all states are equally likely.

    Args:
        network: The network for series.
        images: (years, bands, height, width) digital numbers, with gaps filled.
        valid: Where each year has data, (years, height, width).
        years: The calendar years.

    Raises:
        ModelError: The network gives NaN.
    """
    count, height, width = valid.shape
    present = valid.any(axis=(1, 2))
    if not present.any():
        nothing = np.full((number_of_maps(count), height, width), 0.5, np.float32)
        nothing[:count] = 0
        return nothing
    model, processor = cast("SeriesModel", network.model), network.image_processor
    pixel_values = processor.preprocess(
        images, bands=tuple(processor.bands), return_tensors="pt"
    ).pixel_values
    calendar = torch.tensor([list(years)], device=model.device)
    mask = None if present.all() else torch.from_numpy(present)[None].to(model.device)
    found = model.evidence(pixel_values[None].to(model.device, model.dtype), calendar, mask)
    logits = found.potentials[0, :, 1] - found.potentials[0, :, 0]
    steps = found.transitions[0].exp()
    evidence: NDArray[np.float32] = torch.cat([logits, steps[:, 0, 1], steps[:, 1, 0]]).cpu().numpy()
    if np.isnan(evidence).any():
        raise ModelError(
            f"{network.source}: found NaN in its logits; expected numbers. Check its weights and the "
            "statistics of its image processor."
        )
    return evidence

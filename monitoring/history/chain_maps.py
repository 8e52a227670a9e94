"""Probabilities, footprints and changes of all years from the evidence of a network for series.

Each pixel's evidence is one two-state chain (`modeling/temporal_chain.py`). Its rates lie below one half, so
where two years are mined, or neither is, a change between them is less likely than not: a change map never
marks a change between two footprints that agree. With another threshold than 0.5 the footprints decide.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from euromine.modeling.temporal_chain import ChainPosterior
from euromine.monitoring.mapping.geotiffs import CogWriter, read_map_record
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.map_values import NO_CHANGE, NODATA
from euromine.monitoring.mapping.tiling import Tiling
from euromine.support.environment import release_freed_memory

from .change_maps import change_map
from .change_writers import change_probability_writer, change_writer, missing_pairs, places_of
from .evidence_store import EvidenceStore
from .file_names import change_name, change_probability_name, probability_name
from .map_records import change_record, evidence_record, probability_record
from .map_rows import ROWS_MEMORY
from .series_plan import SeriesPlan
from .series_windows import gather_evidence, number_of_maps
from .yearly_maps import (
    are_footprints_made,
    first_and_last_years,
    footprint_names,
    footprint_writer,
    no_data,
    probability_writer,
)

logger = logging.getLogger(__name__)

# Files written at once; more are written in several passes over the evidence.
_FILES = 128
# Pixels times years, and pairs of years, whose chains are computed at once.
_PIXELS_OF_YEARS = 2**20
_PAIRS = 64
# Probabilities from which their complement and logarithm are still finite in float32.
_LEAST, _MOST = 1e-12, 1 - 2**-24


@dataclass(frozen=True)
class ChainMaps:
    """Maps of the same pixels in all years.

    Attributes:
        probability: (years, pixels) float32, of a mine; NaN where the year has no data.
        footprints: (years, pixels) uint8: 1 mined, 0 not, 255 unknown. Between two years with data, one
            without is filled in by the chain.
        changes: (pairs, pixels) uint8, as of `change_map`, without the differences of the footprints that are
            less likely than not.
        change_probability: (pairs, pixels) float32; NaN where either footprint is unknown.
    """

    probability: NDArray[np.float32]
    footprints: NDArray[np.uint8]
    changes: NDArray[np.uint8]
    change_probability: NDArray[np.float32]


def map_all_years(plan: SeriesPlan, network: LoadedModel, *, progress: bool = False) -> None:
    """Map the probabilities and footprints of all years and, if they are asked of the chain, the changes.

    Raises:
        SceneError: An image cannot be read, or has no data.
        OSError: A map cannot be written.
    """
    missing = _missing(plan)
    if not missing:
        return
    if remade := [name for name in missing if (plan.folder / name).exists()]:
        logger.info(
            "%s sees all years together, so other years, images or settings remake all maps, %s too.",
            network.source,
            f"{remade[0]} and {len(remade) - 1} others" if len(remade) > 1 else remade[0],
        )
    tiling = Tiling.of(plan.grid.height, plan.grid.width, plan.window, plan.settings.overlap)
    store = EvidenceStore.opened(plan.folder, tiling, number_of_maps(len(plan.years)), evidence_record(plan))
    gather_evidence(plan, network, store, progress=progress)
    release_freed_memory()
    names = list(missing)
    for start in range(0, len(names), _FILES):
        writers = {name: missing[name] for name in names[start : start + _FILES]}
        _write(plan, store, writers, network.model.device, progress)


def _missing(plan: SeriesPlan) -> dict[str, Callable[[], CogWriter]]:
    """The writers of the maps that the folder does not hold yet, by name."""
    found: dict[str, Callable[[], CogWriter]] = {
        probability_name(year): partial(probability_writer, plan, year)
        for year in plan.years
        if read_map_record(plan.folder / probability_name(year)) != probability_record(plan, year)
    }
    if not are_footprints_made(plan):
        found |= {name: partial(footprint_writer, plan, name) for name in footprint_names(plan)}
    if plan.is_posterior:
        found |= {change_name(*pair): partial(change_writer, plan, pair) for pair in missing_pairs(plan)}
    if plan.settings.change_probability:
        for pair in plan.pairs:
            name = change_probability_name(*pair)
            if read_map_record(plan.folder / name) != change_record(plan, pair):
                found[name] = partial(change_probability_writer, plan, pair)
    return found


def _write(
    plan: SeriesPlan,
    store: EvidenceStore,
    writers: Mapping[str, Callable[[], CogWriter]],
    device: torch.device,
    progress: bool,
) -> None:
    """Write some of the maps in one pass over the evidence."""
    years = plan.years
    pairs = [
        pair for pair in plan.pairs if {change_name(*pair), change_probability_name(*pair)} & writers.keys()
    ]
    seen = np.zeros(len(years), bool)
    with ExitStack() as files:
        opened = {name: files.enter_context(writer()) for name, writer in writers.items()}
        bar = files.enter_context(tqdm(total=plan.grid.height, desc="maps", unit="row", disable=not progress))
        for evidence in _rows(plan, store, len(writers)):
            maps, height, width = evidence.shape
            found = maps_of_chains(
                evidence.reshape(maps, -1),
                years,
                places_of(pairs, years),
                threshold=plan.settings.threshold,
                device=device,
            )
            seen |= ~np.isnan(found.probability).all(axis=1)
            for name, pixels in _by_name(plan, found, pairs):
                if name in opened:
                    opened[name].write(pixels.reshape(height, width))
            bar.update(height)
        for year, has_data in zip(years, seen, strict=True):
            if not has_data:
                raise no_data(plan.scenes[year].shown)


def _by_name(
    plan: SeriesPlan, found: ChainMaps, pairs: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, NDArray[Any]]]:
    """The pixels of each map by the map's name."""
    yield from zip(map(probability_name, plan.years), found.probability, strict=True)
    footprints = [*found.footprints, *first_and_last_years(found.footprints, plan.years)]
    yield from zip(footprint_names(plan), footprints, strict=True)
    yield from zip((change_name(*pair) for pair in pairs), found.changes, strict=True)
    yield from zip((change_probability_name(*pair) for pair in pairs), found.change_probability, strict=True)


def _rows(plan: SeriesPlan, store: EvidenceStore, outputs: int) -> Iterator[NDArray[np.float32]]:
    """Rows of evidence, (maps, rows, width), with all that is made of them within `ROWS_MEMORY`."""
    height, width = plan.grid.height, plan.grid.width
    per_pixel = 4 * store.maps + 8 * len(plan.years) + 6 * outputs
    step = max(1, min(height, ROWS_MEMORY // (per_pixel * width)))
    for top in range(0, height, step):
        yield store.read_rows(top, min(top + step, height))


def maps_of_chains(
    evidence: NDArray[np.float32],
    years: Sequence[int],
    pairs: Sequence[tuple[int, int]],
    *,
    threshold: float = 0.5,
    device: torch.device | None = None,
) -> ChainMaps:
    """The maps of pixels whose chains are known.

    Args:
        evidence: (3 years - 2, pixels), as `gather_evidence` stores it.
        years: The calendar years.
        pairs: Pairs of places among the years, the earlier first.
        threshold: A mine is what lies above it.
        device: Where to compute.
    """
    count, pixels = len(years), evidence.shape[1]
    probability = np.empty((count, pixels), np.float32)
    change_probability = np.empty((len(pairs), pixels), np.float32)
    is_likely = np.empty((len(pairs), pixels), bool)
    step = max(1, _PIXELS_OF_YEARS // count)
    for start in range(0, pixels, step):
        part = slice(start, start + step)
        posterior = _posterior(torch.from_numpy(evidence[:, part]).to(device), count)
        probability[:, part] = posterior.log_marginals()[0, :, 1, 0].exp().cpu().numpy()
        for first in range(0, len(pairs), _PAIRS):
            logits = posterior.log_change_probabilities(pairs[first : first + _PAIRS])[0, :, :, 0]
            change_probability[first : first + _PAIRS, part] = logits[:, 1].exp().cpu().numpy()
            is_likely[first : first + _PAIRS, part] = (logits[:, 1] > logits[:, 0]).cpu().numpy()
    known = ~np.isnan(evidence[:count])
    footprints = (probability > np.float32(threshold)).astype(np.uint8)
    footprints[~_is_mapped(known)] = NODATA
    probability[~known] = np.nan
    changes = np.empty((len(pairs), pixels), np.uint8)
    for change, likely, (first, second) in zip(changes, is_likely, pairs, strict=True):
        change[:] = change_map(footprints[first], footprints[second])
        change[~likely & (change != NODATA)] = NO_CHANGE
    change_probability[changes == NODATA] = np.nan
    return ChainMaps(probability, footprints, changes, change_probability)


def _posterior(evidence: Tensor, years: int) -> ChainPosterior:
    """The chains of pixels as a batch of one image of one row."""
    logits = evidence[:years].nan_to_num(0.0)
    gain, loss = evidence[years:].clamp(_LEAST, _MOST).unflatten(0, (2, years - 1))
    from_other = torch.stack([torch.log1p(-gain), gain.log()], dim=1)
    from_mine = torch.stack([loss.log(), torch.log1p(-loss)], dim=1)
    potentials = torch.stack([torch.zeros_like(logits), logits], dim=1)
    transitions = torch.stack([from_other, from_mine], dim=1)
    return ChainPosterior.of(potentials[None, :, :, None], transitions[None, :, :, :, None])


def _is_mapped(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a year's state is known: where it has data, or both an earlier and a later year have."""
    earlier = np.logical_or.accumulate(known, axis=0)
    later = np.logical_or.accumulate(known[::-1], axis=0)[::-1]
    return earlier & later

"""Changes by a change detector: windows of all years, each year encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor
from tqdm import tqdm

from euromine.modeling.change_detection import ChangeDetector
from euromine.monitoring.mapping.engines import expect_calls
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.map_values import GAIN, LOSS, NO_CHANGE, NODATA, UNDIRECTED
from euromine.monitoring.mapping.prediction import cut_window
from euromine.monitoring.mapping.tiling import Blender, Tiling
from euromine.support.errors import ModelError
from euromine.support.gap_filling import fill_nodata
from euromine.support.workers import prefetch

from .change_maps import change_map
from .change_writers import change_writer, missing_pairs, places_of
from .file_names import change_name, footprint_name
from .map_rows import read_rows, row_blocks
from .series_plan import SeriesPlan
from .yearly_maps import no_data

# Bytes of half-blended change maps that are held at once; more pairs are found in several passes.
BLENDING_MEMORY = 512 * 2**20


class _Windows(NamedTuple):
    """One window of several years.

    Attributes:
        row: Its row in the tiling.
        column: Its column.
        images: (years, bands, height, width) float32 digital numbers.
        valid: Where (height, width) each year has data.
    """

    row: int
    column: int
    images: NDArray[np.float32]
    valid: list[NDArray[np.bool_]]


def detect_changes(plan: SeriesPlan, detector: LoadedModel, *, progress: bool = False) -> None:
    """Map the missing changes with a change detector.

    Raises:
        SceneError: An image cannot be read.
        OSError: A map cannot be written.
    """
    missing = missing_pairs(plan)
    tiling = Tiling.of(plan.grid.height, plan.grid.width, plan.window, plan.settings.overlap)
    strip = 5 * tiling.rows.size * (tiling.columns.stride * tiling.columns.count + tiling.columns.overlap)
    at_once = max(1, BLENDING_MEMORY // strip)
    expect_calls(
        detector.model,
        tiling.rows.size * tiling.columns.size,
        encode=len(plan.years) * len(tiling),
        decode=len(plan.pairs) * len(tiling),
        compare=len(plan.pairs) * len(tiling),
    )
    for start in range(0, len(missing), at_once):
        _detect_pairs(plan, detector, missing[start : start + at_once], tiling, progress)


def known_shares_of_changes(plan: SeriesPlan) -> dict[int, float]:
    """The share of the grid with data by year, from the nodata of the change maps.

    Years in no pair have none.

    Raises:
        SceneError: A year has no data at all.
    """
    shares = {}
    for year in plan.years:
        names = [change_name(*pair) for pair in plan.pairs if year in pair]
        if not names:
            continue
        # Where a year has no data, each of its pairs has none.
        blocks = row_blocks(plan.folder, names, plan.grid)
        seen = sum(int((block != NODATA).any(axis=0).sum()) for block in blocks)
        if not seen and len(names) > 1:
            raise no_data(plan.scenes[year].shown)
        shares[year] = seen / (plan.grid.width * plan.grid.height)
    return shares


def _detect_pairs(
    plan: SeriesPlan,
    detector: LoadedModel,
    pairs: list[tuple[int, int]],
    tiling: Tiling,
    progress: bool,
) -> None:
    years = sorted({year for pair in pairs for year in pair})
    indexes = places_of(pairs, years)
    for year in years:
        plan.scenes[year].cache_rows(tiling.rows.size)
    blenders = [Blender(tiling) for _ in pairs]
    nothing = np.zeros((tiling.rows.size, tiling.columns.size), np.float32)
    top = 0
    with ExitStack() as files:
        writers = [files.enter_context(change_writer(plan, pair)) for pair in pairs]
        windows = files.enter_context(closing(prefetch(_windows(plan, detector, years, tiling), 1)))
        bar = files.enter_context(
            tqdm(total=len(tiling), desc="changes", unit="window", disable=not progress)
        )
        for row, column, images, valid in windows:
            known = [place for place, mask in enumerate(valid) if mask.any()]
            asked = [pair for pair in indexes if set(pair) <= set(known)]
            found = dict(zip(asked, _change_probabilities(detector, images, known, asked), strict=True))
            complete = [
                blender.add(row, column, found.get(pair, nothing), valid[pair[0]] & valid[pair[1]])
                for blender, pair in zip(blenders, indexes, strict=True)
            ]
            blocks = [block[1] for block in complete if block is not None]
            if blocks:
                changes = _classified(plan, blocks, pairs, top)
                for writer, change in zip(writers, changes, strict=True):
                    writer.write(change)
                top += len(blocks[0])
            bar.update()


def _windows(
    plan: SeriesPlan, detector: LoadedModel, years: Sequence[int], tiling: Tiling
) -> Iterator[_Windows]:
    bands = tuple(detector.image_processor.bands)
    for row, column in tiling:
        rows, columns = tiling.rows.inside(row), tiling.columns.inside(column)
        images, masks = [], []
        for year in years:
            image, valid = cut_window(plan.scenes[year], bands, rows, columns)
            if not valid.all() and valid.any():
                image = fill_nodata(image, valid)
            images.append(image)
            masks.append(valid)
        yield _Windows(row, column, np.stack(images), masks)


@torch.inference_mode()
def _change_probabilities(
    detector: LoadedModel, images: NDArray[np.float32], known: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> NDArray[np.float32]:
    """The probabilities of change (pairs, height, width) in a window.

    Args:
        detector: The change detector.
        images: (years, bands, height, width) digital numbers.
        known: The years with data in this window, by their places among the images.
        pairs: Pairs of these places.
    """
    if not pairs:
        return np.zeros((0, *images.shape[-2:]), np.float32)
    model, processor = cast("ChangeDetector", detector.model), detector.image_processor
    among = {place: number for number, place in enumerate(known)}
    pixel_values = processor.preprocess(
        images[list(known)], bands=tuple(processor.bands), return_tensors="np"
    ).pixel_values
    series = torch.from_numpy(pixel_values)[None].to(model.device, model.dtype)
    chosen = [(among[first], among[second]) for first, second in pairs]
    found = model.predict_series(series, chosen, transform=_probability)[0].cpu().numpy()
    if np.isnan(found).any():
        raise ModelError(
            f"{detector.source}: found NaN in its probabilities; expected numbers. Check its weights and the "
            "statistics of its image processor."
        )
    return found


def _probability(logits: Tensor) -> Tensor:
    """Logits (batch, pairs, 2, height, width) -> the probability of change (batch, pairs, height, width)."""
    # A softmax over two classes is the sigmoid of their difference.
    return (logits[:, :, 1].float() - logits[:, :, 0].float()).sigmoid()


def _classified(
    plan: SeriesPlan, blocks: Sequence[NDArray[np.float32]], pairs: Sequence[tuple[int, int]], top: int
) -> Iterator[NDArray[np.uint8]]:
    """Change maps of some rows, with the direction that the footprints show.

    Args:
        plan: The series' plan.
        blocks: Probabilities of change (rows, width) by pair, NaN where unknown.
        pairs: The pairs.
        top: The first row.
    """
    window = Window(0, top, plan.grid.width, len(blocks[0]))
    footprints = {}
    if plan.mapper is not None:
        for year in {year for pair in pairs for year in pair}:
            footprints[year] = read_rows(plan.folder / footprint_name(year), window)
    for block, (first, second) in zip(blocks, pairs, strict=True):
        with np.errstate(invalid="ignore"):
            change = np.where(block > plan.settings.threshold, UNDIRECTED, NO_CHANGE).astype(np.uint8)
        if footprints:
            direction = change_map(footprints[first], footprints[second])
            is_known = (change == UNDIRECTED) & ((direction == GAIN) | (direction == LOSS))
            change[is_known] = direction[is_known]
        change[np.isnan(block)] = NODATA
        yield change

"""Changes by a change detector: windows of all years, each year encoded once.

The pass over the windows marks where each pair of years changed, in blocks on disk, from which it resumes if
it is interrupted. Then the maps are written from the marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor
from tqdm import tqdm

from euromine.modeling.change_detection import ChangeDetector
from euromine.monitoring.mapping.engines import expect_calls
from euromine.monitoring.mapping.geotiffs import finish_together
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.map_values import GAIN, LOSS, NO_CHANGE, NODATA, UNDIRECTED
from euromine.monitoring.mapping.prediction import cut_window
from euromine.monitoring.mapping.tiling import Tiling
from euromine.support.environment import release_freed_memory
from euromine.support.errors import ModelError
from euromine.support.gap_filling import fill_nodata

from .change_maps import change_map
from .change_writers import change_writer, missing_pairs, places_of
from .evidence_store import EvidenceStore, stored_record
from .file_names import change_name, footprint_name
from .map_records import marks_record
from .map_rows import ROWS_MEMORY, read_rows, row_blocks
from .series_plan import SeriesPlan
from .window_passes import cached_rows, gather_blocks
from .yearly_maps import no_data

Pairs = list[tuple[int, int]]

# Bytes of a window's change maps and of their overlaps; more pairs are found in several passes.
BLENDING_MEMORY = 512 * 2**20
# Maps written at once; each takes its uncompressed size of the disk until it is complete.
_FILES = 16


class _Window(NamedTuple):
    """One window of several years.

    Attributes:
        known: The years with data in it, by their places.
        pixel_values: Their normalised images, (known years, bands, height, width) float32.
        valid: Where each year has data, (years, height, width).
    """

    known: list[int]
    pixel_values: NDArray[np.float32]
    valid: NDArray[np.bool_]


def detect_changes(plan: SeriesPlan, detector: LoadedModel, *, progress: bool = False) -> None:
    """Map the missing changes with a change detector.

    Raises:
        SceneError: An image cannot be read.
        OSError: A map cannot be written.
    """
    tiling = Tiling.of(plan.grid.height, plan.grid.width, plan.window, plan.settings.overlap)
    rows, columns = tiling.rows, tiling.columns
    # The network's maps of a pair, twice while they are joined, and their overlaps with other windows.
    overlaps = rows.blended * (columns.stride * columns.count + columns.overlap) + rows.size * columns.blended
    at_once = max(1, BLENDING_MEMORY // (4 * (2 * rows.size * columns.size + overlaps)))
    expect_calls(
        detector.model,
        rows.size * columns.size,
        encode=len(plan.years) * len(tiling),
        decode=len(plan.pairs) * len(tiling),
        compare=len(plan.pairs) * len(tiling),
    )
    missing = set(missing_pairs(plan))
    for start in range(0, len(plan.pairs), at_once):
        asked = [pair for pair in plan.pairs[start : start + at_once] if pair in missing]
        if asked:
            marked = _marked_pairs(plan, asked)
            store = gather_marks(plan, detector, tiling, marked, progress=progress)
            release_freed_memory()
            _write_changes(plan, store, marked, asked, progress)


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


def _marked_pairs(plan: SeriesPlan, asked: Pairs) -> Pairs:
    """The pairs of an earlier run's marks if all that are asked for are among them, else these."""
    stored = stored_record(plan.folder)
    kept = stored.get("pairs") if isinstance(stored, dict) else None
    if isinstance(kept, list):
        pairs = [pair for pair in plan.pairs if list(pair) in kept]
        if set(asked) <= set(pairs) and marks_record(plan, pairs) == stored:
            return pairs
    return asked


def gather_marks(
    plan: SeriesPlan, detector: LoadedModel, tiling: Tiling, pairs: Pairs, *, progress: bool
) -> EvidenceStore:
    """Run the detector over the windows whose marks are missing.

    Returns:
        Where each pair of years has changed, and after the pairs where each of their years has data.

    Raises:
        SceneError: An image cannot be read.
        ModelError: The detector gives NaN.
        OSError: A block cannot be written.
    """
    years, threshold = _years_of(pairs), np.float32(plan.settings.threshold)
    indexes = places_of(pairs, years)
    record = marks_record(plan, pairs)
    store = EvidenceStore.opened(plan.folder, tiling, len(pairs) + len(years), record, is_binary=True)
    if store.complete_rows == tiling.rows.count:
        return store

    def marks(
        blended: NDArray[np.float32], window: _Window, inside: tuple[slice, slice]
    ) -> NDArray[np.bool_]:
        of_window = np.empty((store.maps, *blended.shape[1:]), bool)
        np.greater(blended, threshold, out=of_window[: len(blended)])
        of_window[len(blended) :] = window.valid[:, *inside]
        return of_window

    # Once for all windows: the heap would keep holes of their size. Of images, one set is for the window in
    # use, the other for the next.
    shape = (tiling.rows.size, tiling.columns.size)
    size = (len(years), len(detector.image_processor.bands), *shape)
    buffers = cycle([np.empty(size, np.float32), np.empty(size, np.float32)])
    found = np.empty((len(pairs), *shape), np.float32)
    with (
        cached_rows([plan.scenes[year] for year in years], tiling),
        tqdm(total=len(tiling), desc="changes", unit="window", disable=not progress) as bar,
    ):
        gather_blocks(
            store,
            len(pairs),
            lambda row, column: _read(plan, detector, years, tiling, (row, column), next(buffers)),
            lambda window: _change_probabilities(detector, window, indexes, found),
            marks,
            bar,
        )
    return store


def _years_of(pairs: Pairs) -> list[int]:
    return sorted({year for pair in pairs for year in pair})


def _read(
    plan: SeriesPlan,
    detector: LoadedModel,
    years: Sequence[int],
    tiling: Tiling,
    place: tuple[int, int],
    pixel_values: NDArray[np.float32],
) -> _Window:
    """The window at a place of the tiling, read into `pixel_values` (years, bands, height, width)."""
    processor = detector.image_processor
    bands = tuple(processor.bands)
    rows, columns = tiling.rows.inside(place[0]), tiling.columns.inside(place[1])
    valid = np.empty((len(years), len(rows), len(columns)), bool)
    known: list[int] = []
    for number, year in enumerate(years):
        image, valid[number] = cut_window(plan.scenes[year], bands, rows, columns)
        if not valid[number].any():
            continue
        if not valid[number].all():
            image = fill_nodata(image, valid[number])
        found = processor.preprocess(image[None], bands=bands, return_tensors="np").pixel_values
        pixel_values[len(known)] = found[0]
        known.append(number)
    return _Window(known, pixel_values[: len(known)], valid)


@torch.inference_mode()
def _change_probabilities(
    detector: LoadedModel, window: _Window, pairs: Sequence[tuple[int, int]], found: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The probabilities of change in a window; 0 for a year without data in it.

    Args:
        detector: The change detector.
        window: The window.
        pairs: Pairs of the years' places.
        found: Filled and returned, (pairs, height, width).
    """
    among = {place: number for number, place in enumerate(window.known)}
    seen = [number for number, pair in enumerate(pairs) if among.keys() >= set(pair)]
    places = iter(seen)

    def fill(logits: Tensor) -> Tensor:
        # At once, as the chunks and their concatenation would take the memory twice.
        for probability in _probability(logits)[0].cpu().numpy():
            found[next(places)] = probability
        return logits.new_empty(*logits.shape[:2], 0)  # a view would keep the logits

    found[sorted(set(range(len(pairs))) - set(seen))] = 0
    if seen:
        model = cast("ChangeDetector", detector.model)
        series = torch.from_numpy(window.pixel_values)[None].to(model.device, model.dtype)
        chosen = [(among[first], among[second]) for first, second in (pairs[number] for number in seen)]
        model.predict_series(series, chosen, transform=fill)
    if any(np.isnan(each).any() for each in found):
        raise ModelError(
            f"{detector.source}: found NaN in its probabilities; expected numbers. Check its weights and the "
            "statistics of its image processor."
        )
    return found


def _probability(logits: Tensor) -> Tensor:
    """Logits (batch, pairs, 2, height, width) -> the probability of change (batch, pairs, height, width)."""
    # A softmax over two classes is the sigmoid of their difference.
    return (logits[:, :, 1].float() - logits[:, :, 0].float()).sigmoid()


def _write_changes(
    plan: SeriesPlan, store: EvidenceStore, marked: Pairs, asked: Pairs, progress: bool
) -> None:
    """Write change maps from the marks.

    Args:
        plan: The series' plan.
        store: The marks.
        marked: Their pairs.
        asked: The pairs whose maps are missing.
        progress: Whether to show a progress bar.
    """
    height, width = plan.grid.height, plan.grid.width
    rows = len(asked) * height
    with tqdm(total=rows, desc="change maps", unit="row", disable=not progress) as bar:
        for start in range(0, len(asked), _FILES):
            pairs = asked[start : start + _FILES]
            # Marks and footprints as bytes, and a map in the making.
            step = max(1, min(height, ROWS_MEMORY // ((len(pairs) + 2 * len(plan.years) + 8) * width)))
            with ExitStack() as files:
                writers = [files.enter_context(change_writer(plan, pair)) for pair in pairs]
                for top in range(0, height, step):
                    changes = _changes(plan, store, marked, pairs, (top, min(top + step, height)))
                    for writer, change in zip(writers, changes, strict=True):
                        writer.write(change)
                        bar.update(len(change))
                finish_together(writers)


def _changes(
    plan: SeriesPlan, store: EvidenceStore, marked: Pairs, pairs: Pairs, rows: tuple[int, int]
) -> Iterator[NDArray[np.uint8]]:
    """Change maps of some rows, with the direction that the footprints show.

    Args:
        plan: The series' plan.
        store: The marks.
        marked: Their pairs.
        pairs: Those to map.
        rows: The first row, and the one after the last.
    """
    years, of_years = _years_of(pairs), _years_of(marked)
    maps = [*(marked.index(pair) for pair in pairs), *(len(marked) + of_years.index(year) for year in years)]
    found = store.read_rows(*rows, maps)
    known = dict(zip(years, found[len(pairs) :], strict=True))
    footprints = {}
    if plan.mapper is not None:
        window = Window(0, rows[0], plan.grid.width, rows[1] - rows[0])
        footprints = {year: read_rows(plan.folder / footprint_name(year), window) for year in years}
    for changed, (first, second) in zip(found, pairs, strict=False):
        change = np.where(changed, np.uint8(UNDIRECTED), np.uint8(NO_CHANGE))
        if footprints:
            direction = change_map(footprints[first], footprints[second])
            is_known = changed & ((direction == GAIN) | (direction == LOSS))
            change[is_known] = direction[is_known]
        change[~(known[first] & known[second])] = NODATA
        yield change

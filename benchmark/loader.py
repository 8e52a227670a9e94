"""The speed of reading shuffled batches, beside copying the same patches from a raw memory map, in one run.

`python -m euromine.benchmark.loader` builds a dataset, writes its images and labels as raw arrays too, and
prints two Markdown tables: each way to read, and the parts that its time goes to. Batches have 32 images in
random order, int16 as they are stored; the readers take turns batch by batch, each in an order of its own, so
none finds its pixels in the processor's cache. Processor time is counted, which leaves out the turns of other
programs. The C library copies at a speed that depends on the addresses, so each epoch puts its batches at
another one.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from euromine.dataset_script.archive_bands import BANDS
from euromine.dataset_script.archive_writing import write_site
from euromine.dataset_script.patches import PATCH_SIZE
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.row_batches import StackedRows, read_batches
from euromine.dataset_script.row_views import stack_cells
from euromine.dataset_script.shards import build_dataset
from euromine.support.errors import reported_errors
from euromine.training.collation import SeriesCollator
from euromine.training.sampling import EpochSampler

from .command_line import benchmark_parser, positive

BATCH = 32
YEARS = range(2015, 2025)
SITES = ("Austria_1", "Bulgaria_10")
IMAGE, LABEL = ("image",), ("image", "label")
PAIR = ("images", "change")
BATCH_BYTES = BATCH * len(BANDS) * PATCH_SIZE**2 * 2

_GAPS = 40  # none of whose memory is ever touched

RAW = "raw memory map"
IMAGES, LABELLED, PAIRS = "images", "images and labels", "images of pairs and their change"
EVERYTHING = "images, labels and all columns"

Order = NDArray[np.int64]
Batches = Iterator[Any]


@dataclass(frozen=True)
class Reader:
    """One way to read batches, or a part of it.

    Attributes:
        what: The content of a batch; empty for a part.
        how: How it is read.
        epoch: Row numbers (batches, 32) -> the batches.
    """

    what: str
    how: str
    epoch: Callable[[Order], Batches]


def build(folder: Path, patches: int) -> Path:
    """A dataset of two sites with ten years each, `patches` images in all or a few more."""
    side = max(1, round((patches / len(SITES) / len(YEARS)) ** 0.5)) * PATCH_SIZE
    noise = np.random.default_rng(0)
    # One tile again and again: the content matters to how fast it is built alone.
    tile = noise.integers(0, 4000, (1, len(BANDS), PATCH_SIZE, PATCH_SIZE), dtype=np.int16)
    for site in SITES:
        images = np.tile(tile, (1, 1, side // PATCH_SIZE, side // PATCH_SIZE))
        images = images + np.arange(len(YEARS), dtype=np.int16)[:, None, None, None]
        labels = (images[:, 0] > 2000).astype(np.uint8)
        transform = (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)
        write_site(
            folder / "archive",
            site,
            images=images,
            labels=labels,
            years=list(YEARS),
            crs="EPSG:32633",
            transform=transform,
        )
    splits = folder / "splits.json"
    splits.write_text(f'{{"train": ["{SITES[0]}", "{SITES[1]}"], "validation": [], "test": []}}')
    return build_dataset(folder / "archive", folder / "euromine", splits=splits)


def memory_maps(dataset: datasets.Dataset, folder: Path) -> dict[str, NDArray[Any]]:
    """The images and labels of a dataset as raw arrays in files."""
    maps: dict[str, NDArray[Any]] = {}
    for name in LABEL:
        first = dataset[0][name]
        shape = (len(dataset), *first.shape)
        written = np.memmap(folder / f"{name}.raw", dtype=first.dtype, mode="w+", shape=shape)
        for row, cell in enumerate(iter(dataset)):
            written[row] = cell[name]
        written.flush()
        maps[name] = np.memmap(folder / f"{name}.raw", dtype=first.dtype, mode="r", shape=shape)
    return maps


def stack(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch from rows: pixels stacked, anything else as it is."""
    return {
        name: np.stack([row[name] for row in rows]) if name in LABEL else [row[name] for row in rows]
        for name in rows[0]
    }


def from_map(maps: Mapping[str, NDArray[Any]], names: Sequence[str]) -> Callable[[Order], Batches]:
    """Batches copied out of the memory maps."""
    return lambda order: ({name: maps[name][rows] for name in names} for rows in order)


def by_our_copy(maps: Mapping[str, NDArray[Any]], names: Sequence[str]) -> Callable[[Order], Batches]:
    """Batches copied out of the memory maps as `read_batches` copies out of the dataset."""
    plain = {name: np.asarray(maps[name]) for name in names}
    return lambda order: (
        {name: stack_cells([plain[name][row] for row in rows]) for name in names} for rows in order.tolist()
    )


def by_index(dataset: datasets.Dataset, names: Sequence[str]) -> Callable[[Order], Batches]:
    """Batches by `dataset[rows]`."""

    def epoch(order: Order) -> Batches:
        for rows in order:
            batch = dataset[rows]
            yield {name: np.stack(batch[name]) for name in names}

    return epoch


def by_batches(dataset: datasets.Dataset) -> Callable[[Order], Batches]:
    """Batches by `read_batches`, in an order that it draws itself."""
    return lambda order: read_batches(dataset, BATCH, seed=int(order[0, 0]), drop_last=True)


class MapRows:
    """The memory maps as a dataset of single rows."""

    def __init__(self, maps: Mapping[str, NDArray[Any]]) -> None:
        self._maps = maps

    def __len__(self) -> int:
        return len(self._maps["image"])

    def __getitem__(self, row: int) -> dict[str, NDArray[Any]]:
        return {name: values[row] for name, values in self._maps.items()}


class MapBatches(MapRows):
    """The memory maps as a dataset that reads a batch at a time, as `StackedRows` does."""

    def __getitems__(self, rows: Sequence[int]) -> dict[str, NDArray[Any]]:
        return {name: values[rows] for name, values in self._maps.items()}


class Nothing(MapRows):
    """A dataset of as many rows without content."""

    def __getitems__(self, rows: Sequence[int]) -> dict[str, NDArray[Any]]:
        return {}


def in_loader(dataset: Any, collate: Callable[[Any], Any]) -> Callable[[Order], Batches]:
    """Batches by a DataLoader in this process."""
    return lambda order: iter(DataLoader(dataset, batch_sampler=order.tolist(), collate_fn=collate))


def in_training(dataset: Any, batch_size: int) -> Callable[[Order], Batches]:
    """Batches as the train scripts read them: their sampler and collator, and Accelerate's loader."""
    accelerator = Accelerator(cpu=True)

    def epoch(order: Order) -> Batches:
        sampler = EpochSampler(len(dataset), seed=int(order[0, 0]))
        loader: Any = DataLoader(
            dataset, batch_size=batch_size, sampler=sampler, collate_fn=SeriesCollator(), drop_last=True
        )
        return iter(accelerator.prepare(loader))

    return epoch


def readers(source: Path, folder: Path) -> tuple[list[Reader], int]:
    """All ways to read and the parts of reading, and the number of rows."""
    full = read_dataset(source, split="train")
    images = read_dataset(source, split="train", columns=IMAGE)
    labelled = read_dataset(source, split="train", columns=LABEL)
    pairs: Any = StackedRows(read_dataset(source, "pairs", split="train", columns=PAIR))
    maps = memory_maps(labelled, folder)
    ways = [
        Reader(IMAGES, RAW, from_map(maps, IMAGE)),
        Reader(IMAGES, "raw memory map, copied by our loop", by_our_copy(maps, IMAGE)),
        Reader(IMAGES, "read_batches", by_batches(images)),
        Reader(IMAGES, "dataset[rows]", by_index(images, IMAGE)),
        Reader(IMAGES, "DataLoader over StackedRows", in_loader(StackedRows(images), dict)),
        Reader(IMAGES, "DataLoader", in_loader(images, stack)),
        Reader(LABELLED, RAW, from_map(maps, LABEL)),
        Reader(LABELLED, "raw memory map, copied by our loop", by_our_copy(maps, LABEL)),
        Reader(LABELLED, "read_batches", by_batches(labelled)),
        Reader(LABELLED, "dataset[rows]", by_index(labelled, LABEL)),
        Reader(LABELLED, "DataLoader over StackedRows", in_loader(StackedRows(labelled), dict)),
        Reader(LABELLED, "DataLoader of train_seg.py", in_training(StackedRows(labelled), BATCH)),
        Reader(LABELLED, "DataLoader", in_loader(labelled, stack)),
        Reader(LABELLED, "DataLoader over the memory map, by batches", in_loader(MapBatches(maps), dict)),
        Reader(LABELLED, "DataLoader over the memory map, by rows", in_loader(MapRows(maps), stack)),
        Reader(EVERYTHING, "read_batches", by_batches(full)),
        Reader(EVERYTHING, "DataLoader over StackedRows", in_loader(StackedRows(full), dict)),
        Reader(EVERYTHING, "DataLoader", in_loader(full, stack)),
        Reader(PAIRS, "DataLoader of train_cd.py", in_training(pairs, BATCH // 2)),
    ]
    return [*ways, *parts(labelled, maps)], len(full)


def parts(labelled: datasets.Dataset, maps: Mapping[str, NDArray[Any]]) -> list[Reader]:
    """The steps of reading images and labels, each alone."""
    cells = {name: [each[name] for each in iter(labelled)] for name in LABEL}
    collator, batch = SeriesCollator(), StackedRows(labelled).__getitems__(range(BATCH))

    def each(step: Callable[[NDArray[np.int64]], Any]) -> Callable[[Order], Batches]:
        return lambda order: map(step, order)

    def stacked(name: str) -> Callable[[Order], Batches]:
        return each(lambda order: stack_cells([cells[name][row] for row in order.tolist()]))

    return [
        Reader("", "images: indexing the memory map", each(lambda order: maps["image"][order])),
        Reader("", "images: our copy", stacked("image")),
        Reader("", "labels: indexing the memory map", each(lambda order: maps["label"][order])),
        Reader("", "labels: our copy, out of PNG", stacked("label")),
        Reader("", "DataLoader of empty batches", in_loader(Nothing(maps), dict)),
        Reader("", "collator of train_seg.py", each(lambda order: collator(batch))),
    ]


def measure(ways: Sequence[Reader], rows: int, repeats: int) -> NDArray[np.float64]:
    """Processor seconds of each batch of each reader, `(repeats, batches, ways)`."""
    noise = np.random.default_rng(1)
    batches = rows // BATCH
    seconds = np.zeros((repeats, batches, len(ways)))
    # Without these, the allocator would put all batches at the same few addresses: into its gaps.
    gaps = [np.empty(BATCH_BYTES, np.uint8) for _ in range(_GAPS)]
    for repeat in range(repeats):
        spacer = np.empty(BATCH_BYTES + 16 * int(noise.integers(256)), np.uint8)
        epochs = [way.epoch(noise.permutation(rows)[: batches * BATCH].reshape(-1, BATCH)) for way in ways]
        for batch in range(batches):
            for number in noise.permutation(len(ways)):
                started = time.process_time()
                next(epochs[number])
                seconds[repeat, batch, number] = time.process_time() - started
        del epochs, spacer
    del gaps
    return seconds


def report(ways: Sequence[Reader], seconds: NDArray[np.float64], rows: int) -> str:
    """The Markdown tables: ways to read, and parts in microseconds per batch."""
    repeats, batches, _ = seconds.shape
    middle = np.median(seconds, axis=(0, 1))
    by_epoch = np.median(seconds, axis=1)
    raw = {way.what: number for number, way in enumerate(ways) if way.how == RAW}
    lines = [
        f"{rows} images, batches of {BATCH}, processor time, medians of {repeats * batches} batches",
        "",
        "| a batch holds | read by | images per second | of the raw memory map | in 8 of 10 epochs |",
        "|---|---|--:|--:|--:|",
    ]
    for number, way in enumerate(ways):
        if not way.what:
            continue
        reference = raw[IMAGES if way.what in (IMAGES, PAIRS) else LABELLED]
        low, high = np.percentile(by_epoch[:, reference] / by_epoch[:, number], (10, 90))
        lines.append(
            f"| {way.what} | {way.how} | {BATCH / middle[number]:,.0f} "
            f"| {middle[reference] / middle[number]:.2f} | {low:.2f} to {high:.2f} |"
        )
    lines += ["", f"| of a batch of {BATCH} images and labels | microseconds |", "|---|--:|"]
    lines += [
        f"| {way.how} | {1e6 * middle[number]:,.0f} |" for number, way in enumerate(ways) if not way.what
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print the table."""
    parser = benchmark_parser("loader", __doc__)
    parser.add_argument("--patches", type=positive, default=2000, help="images in the dataset")
    parser.add_argument("--repeats", type=positive, default=9, help="epochs of each way")
    arguments = parser.parse_args()
    # The threads with which the DataLoader collates would still spin while the next way is timed.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        datasets.config.HF_DATASETS_CACHE = folder / "cache"
        ways, rows = readers(build(folder, arguments.patches), folder)
        measure(ways, rows, repeats=1)  # brings all files into memory
        sys.stdout.write(report(ways, measure(ways, rows, arguments.repeats), rows))


if __name__ == "__main__":
    with reported_errors("loader"):
        main()

"""The speed of reading shuffled batches, beside copying the same patches from a raw memory map, in one run.

`python -m euromine.benchmark.loader` builds a dataset, writes its images and labels as raw arrays too, and
prints a Markdown table. Batches of 32 in random order, int16 as they are stored; the readers take turns
batch by batch, each in an order of its own, so none finds its pixels in the processor's cache. Processor time
is counted, which leaves out the turns of other programs.
"""

from __future__ import annotations

import argparse
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
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from euromine.dataset_script.archive_bands import BANDS
from euromine.dataset_script.archive_writing import write_site
from euromine.dataset_script.patches import PATCH_SIZE
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.row_batches import StackedRows, read_batches
from euromine.dataset_script.shards import build_dataset

BATCH = 32
YEARS = range(2015, 2025)
SITES = ("Austria_1", "Bulgaria_10")
IMAGE, LABEL = ("image",), ("image", "label")

Order = NDArray[np.int64]
Batches = Iterator[Any]


@dataclass(frozen=True)
class Reader:
    """One way to read batches.

    Attributes:
        what: What a batch holds.
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


def by_data_loader(dataset: Any) -> Callable[[Order], Batches]:
    """Batches by a DataLoader in this process."""
    return lambda order: iter(DataLoader(dataset, batch_sampler=order.tolist(), collate_fn=stack))


def by_stacked_rows(dataset: datasets.Dataset) -> Callable[[Order], Batches]:
    """Batches by a DataLoader in this process, read stacked."""
    rows: Any = StackedRows(dataset)
    return lambda order: iter(DataLoader(rows, batch_sampler=order.tolist(), collate_fn=dict))


class MapDataset:
    """The memory maps wrapped for a DataLoader."""

    def __init__(self, maps: Mapping[str, NDArray[Any]]) -> None:
        self._maps = maps

    def __len__(self) -> int:
        return len(self._maps["image"])

    def __getitem__(self, row: int) -> dict[str, NDArray[Any]]:
        return {name: values[row] for name, values in self._maps.items()}


def readers(source: Path, folder: Path) -> tuple[list[Reader], int]:
    """All ways to read, and the number of rows."""
    full = read_dataset(source, split="train")
    images = read_dataset(source, split="train", columns=IMAGE)
    labelled = read_dataset(source, split="train", columns=LABEL)
    maps = memory_maps(labelled, folder)
    everything = "images, labels and all columns"
    in_loader = "DataLoader over the memory map"
    return [
        Reader("images", "raw memory map", from_map(maps, IMAGE)),
        Reader("images", "read_batches", by_batches(images)),
        Reader("images", "dataset[rows]", by_index(images, IMAGE)),
        Reader("images", "DataLoader over StackedRows", by_stacked_rows(images)),
        Reader("images", "DataLoader", by_data_loader(images)),
        Reader("images and labels", "raw memory map", from_map(maps, LABEL)),
        Reader("images and labels", "read_batches", by_batches(labelled)),
        Reader("images and labels", "dataset[rows]", by_index(labelled, LABEL)),
        Reader("images and labels", "DataLoader over StackedRows", by_stacked_rows(labelled)),
        Reader("images and labels", "DataLoader", by_data_loader(labelled)),
        Reader("images and labels", in_loader, by_data_loader(MapDataset(maps))),
        Reader(everything, "read_batches", by_batches(full)),
        Reader(everything, "DataLoader over StackedRows", by_stacked_rows(full)),
        Reader(everything, "DataLoader", by_data_loader(full)),
    ], len(full)


def measure(ways: Sequence[Reader], rows: int, repeats: int) -> NDArray[np.float64]:
    """Processor seconds per epoch of each reader, `(repeats, ways)`."""
    noise = np.random.default_rng(1)
    batches = rows // BATCH
    seconds = np.zeros((repeats, len(ways)))
    for repeat in range(repeats):
        epochs = [way.epoch(noise.permutation(rows)[: batches * BATCH].reshape(-1, BATCH)) for way in ways]
        for _ in range(batches):
            for number in noise.permutation(len(ways)):
                started = time.process_time()
                next(epochs[number])
                seconds[repeat, number] += time.process_time() - started
    return seconds


def report(ways: Sequence[Reader], seconds: NDArray[np.float64], rows: int) -> str:
    """The Markdown table."""
    reference = {
        way.what: seconds[:, number] for number, way in enumerate(ways) if way.how == "raw memory map"
    }
    reference["images, labels and all columns"] = reference["images and labels"]
    read = rows // BATCH * BATCH
    lines = [
        f"{rows} images, batches of {BATCH}, medians of {len(seconds)} epochs",
        "",
        "| a batch holds | read by | images per processor second | of the raw memory map |",
        "|---|---|--:|--:|",
    ]
    for number, way in enumerate(ways):
        ratio = np.median(reference[way.what] / seconds[:, number])
        lines.append(
            f"| {way.what} | {way.how} | {read / np.median(seconds[:, number]):,.0f} | {ratio:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=2000, help="images in the dataset")
    parser.add_argument("--repeats", type=int, default=9, help="epochs of each way")
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
    main()

"""The cost of many tiles, by size, years and workers, and the same bytes after a worker is killed.

`python -m euromine.benchmark.scale --out runs/scale` serves simulated scenes from this machine, composes
tiles of them as `euromine acquire` does, maps the last year as `euromine predict` does and all years as
`euromine series` does. It measures

- tiles of several sizes and numbers of years in one process,
- tiles of one size on 1 and 2 workers, in processes and on a local Dask cluster, one thread each,
- and kills a worker with SIGKILL, resumes, and compares the files with those of an undisturbed run.

Nothing is trained: without `--model` the network has fresh weights, whose maps are noise or empty. Every part
is written to `OUT/scale.json` when it is complete, and kept by the same command, which resumes a stopped run.
`--page docs/scale.md --results docs/benchmarks/scale.json` renders the tables of the documentation.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from euromine.modeling import EuroMineImageProcessor, create_model
from euromine.monitoring.archive_histories import ModelChoice
from euromine.monitoring.mapping.engine_choice import EngineChoice
from euromine.monitoring.mapping.loading import load_model
from euromine.support.errors import ArgumentError, reported_errors
from euromine.support.interrupts import resumable
from euromine.support.records import read_record, write_record
from euromine.support.workers import CORES_VARIABLE, in_processes, run_on_dask

from .command_line import benchmark_parser, positive
from .hardware import processor, vector_extensions
from .range_server import served
from .scale_pages import write_page
from .scale_records import CellRecord, Interruption, ScaleRecord, Throughput
from .scale_tiles import MAPPED, Items, Tile, TileCost, process_tile, tiles, write_scenes

WORLD, SCENES = 1280, 8
NETWORK = "segformer-b0"
# Side and number of years, and the pairs that are compared.
CELLS = (
    (256, 2, "consecutive"),
    (512, 2, "consecutive"),
    (512, 3, "consecutive"),
    (512, 4, "consecutive"),
    (512, 4, "all"),
    (768, 2, "consecutive"),
    (1024, 2, "consecutive"),
    (1024, 3, "consecutive"),
)
TILE_SIDE, TILE_YEARS = 256, 2
WAYS = ("processes", "dask")


@dataclass(frozen=True)
class Setting:
    """The place of a run.

    Attributes:
        items: The scenes of every year.
        models: The network.
        folder: For images and maps; emptied before each part.
        world: Of the scenes in pixels.
        tiles: The number of tiles of runs with several workers.
    """

    items: Items
    models: ModelChoice
    folder: Path
    world: int
    tiles: int

    def emptied(self) -> Path:
        """The folder for images and maps, empty."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        return self.folder

    def years(self, count: int) -> Items:
        """The scenes of the first years."""
        return {year: self.items[year] for year in sorted(self.items)[:count]}

    def work(self) -> list[Tile]:
        """The tiles of runs with several workers."""
        years = self.years(TILE_YEARS)
        return list(tiles(self.tiles, TILE_SIDE, self.world, years, self.models, self.folder))


def measure_cell(setting: Setting, sent: Any, side: int, years: int, pairs: str) -> CellRecord:
    """The cost of a tile in this process."""
    out = setting.emptied()
    (tile,) = tiles(1, side, setting.world, setting.years(years), setting.models, out)
    before = sent.value
    cost = process_tile(replace(tile, pairs=pairs))
    return CellRecord(side, years, pairs, cost, sent.value - before, os.getloadavg()[0])


@contextmanager
def _cluster(workers: int) -> Iterator[str]:
    """The address of a Dask cluster on this machine, one thread a worker."""
    import distributed

    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


@contextmanager
def _outcomes(way: str, workers: int, work: Iterable[Tile]) -> Iterator[Generator[TileCost, None, None]]:
    if way == "dask":
        with _cluster(workers) as address:
            yield run_on_dask(process_tile, list(work), address)
    else:
        yield in_processes(process_tile, work, workers, "mapped a tile")


def measure_throughput(setting: Setting, way: str, workers: int) -> Throughput:
    """The time of all tiles on some workers."""
    setting.emptied()
    started = time.time()
    with _outcomes(way, workers, setting.work()) as outcomes:
        costs = list(outcomes)
    return Throughput(way, workers, started, sorted(costs, key=lambda cost: cost.name), os.getloadavg()[0])


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of a folder by its path, but for those that hold the time of writing."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "series.json" and path.suffix != ".gpkg"
    }


def measure_interruption(setting: Setting, way: str) -> Interruption:
    """Kill the worker that is first to finish a tile, in its next one, and complete the run.

    The images stay, as maps record their time of modification; the maps are made twice.
    """
    setting.emptied()
    for tile in setting.work():
        process_tile(tile)
    expected = digests(setting.folder)
    for name in MAPPED:
        shutil.rmtree(setting.folder / name)
    message, finished = "", 0
    with _outcomes(way, 2, setting.work()) as outcomes:
        try:
            for cost in outcomes:
                finished += 1
                if finished == 1:
                    time.sleep(0.3)
                    os.kill(cost.process, signal.SIGKILL)
        except OSError as error:
            message = str(error)
    left = len(digests(setting.folder))
    if message:
        with _outcomes(way, 2, setting.work()) as outcomes:
            finished = len(list(outcomes))
    found = digests(setting.folder)
    different = sorted(name for name in expected | found if expected.get(name) != found.get(name))
    return Interruption(way, message, left, len(expected), finished, different)


def run(out: Path, model: str | None, scenes: int, number: int) -> ScaleRecord:
    """Measure all parts that `OUT/scale.json` does not hold yet.

    Raises:
        ArgumentError: The file is of another network or another number of scenes.
        ModelError: There is no such model.
    """
    path = out / "scale.json"
    record = ScaleRecord(
        network=NETWORK if model is None else Path(model).name,
        trained=model is not None,
        scenes=scenes,
        processor=processor(),
        extensions=vector_extensions(),
        torch=torch.__version__,
    )
    if path.exists():
        record = _resumed(read_record(ScaleRecord, path), record, path)
    if model is not None:
        load_model(model, device="cpu")  # before minutes are spent on scenes
    out.mkdir(parents=True, exist_ok=True)
    sent = multiprocessing.get_context("spawn").Value("q", 0)
    with tempfile.TemporaryDirectory() as name, served(Path(name), 0.0, sent) as address:
        years = max(years for _, years, _ in CELLS)
        items = write_scenes(Path(name), address, WORLD, years, scenes)
        models = ModelChoice(model=model or _fresh(out), device="cpu", engine=EngineChoice("eager"))
        setting = Setting(items, models, out / "work", WORLD, number)
        measure_cell(setting, sent, 256, 1, "all")  # the first use of each library pays for its start
        for part, work in _parts(setting, sent):
            if part not in record.parts:
                sys.stderr.write(f"{part}\n")
                record = record.with_part(part, work())
                write_record(path, record)
        setting.emptied()
    return record


def _resumed(found: ScaleRecord, asked: ScaleRecord, path: Path) -> ScaleRecord:
    for name in ("network", "trained", "scenes"):
        before, now = getattr(found, name), getattr(asked, name)
        if before != now:
            raise ArgumentError(
                f"{path}: found figures with {name} {before}; expected those of this command, {now}. "
                "Choose another --out, or delete the file."
            )
    return found


def _parts(setting: Setting, sent: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    for side, years, pairs in CELLS:
        yield f"{side}_{years}_{pairs}", partial(measure_cell, setting, sent, side, years, pairs)
    for way in WAYS:
        for workers in (1, 2):
            yield f"{way}_{workers}", partial(measure_throughput, setting, way, workers)
    for way in WAYS:
        yield f"{way}_killed", partial(measure_interruption, setting, way)


def _fresh(out: Path) -> str:
    folder = out / "fresh"
    torch.manual_seed(0)
    create_model(NETWORK).save_pretrained(folder)
    EuroMineImageProcessor().save_pretrained(folder)
    return str(folder)


def main(arguments: list[str] | None = None) -> int:
    """Measure the cost of many tiles, or render it.

    Returns:
        The exit status.
    """
    parser = benchmark_parser("scale", __doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/scale"), help="folder of results and work")
    parser.add_argument("--model", help="a footprint mapper; by default one with fresh weights")
    parser.add_argument("--scenes", type=positive, default=SCENES, help="scenes a year")
    parser.add_argument("--tiles", type=positive, default=6, help="tiles of runs with several workers")
    parser.add_argument("--page", type=Path, help="render results into this page instead of measuring")
    parser.add_argument("--results", type=Path, help="the results to render, by default OUT/scale.json")
    options = parser.parse_args(arguments)
    if options.page is not None:
        write_page(options.page, read_record(ScaleRecord, options.results or options.out / "scale.json"))
        return 0
    # One thread in this process and in every worker, so that a worker is a core.
    os.environ.update({"OMP_NUM_THREADS": "1", CORES_VARIABLE: "1"})
    torch.set_num_threads(1)
    run(options.out, options.model, options.scenes, options.tiles)
    return 0


if __name__ == "__main__":
    with reported_errors("scale"), resumable():
        sys.exit(main())

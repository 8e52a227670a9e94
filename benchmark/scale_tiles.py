"""Simulated tiles of the benchmark of scale, and the work on one: compose, predict, map the series."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from euromine.acquisition.year_images import make_year
from euromine.modeling import BANDS
from euromine.monitoring.archive_histories import ModelChoice
from euromine.monitoring.history.series import make_series
from euromine.monitoring.history.series_settings import SeriesSettings
from euromine.monitoring.mapping.scene_maps import predict_scene
from euromine.monitoring.monitor import MineMonitor
from euromine.simulation.simulated_site import simulate_site

from .acquisition_speed import ASSETS, COARSE, LEFT, TOP, Task, scene_item, site_plan, write_band

# Folders of maps beside that of the images.
MAPPED = ("maps", "predicted")
FIRST_YEAR = 2021
_CLOUD = 7000
_CLOUD_CLASS, _CLEAR_CLASS = 9, 4

Items = dict[int, list[dict[str, Any]]]
"""The STAC items of the scenes of each year."""


def write_scenes(folder: Path, address: str, side: int, years: int, scenes: int) -> Items:
    """Write a simulated place as cloudy scenes, the same ground in each scene of a year.

    Args:
        folder: The folder that is served.
        address: The server's.
        side: Of the scenes in pixels.
        years: The number of years.
        scenes: The number of scenes a year.
    """
    calendar = range(FIRST_YEAR, FIRST_YEAR + years)
    site = simulate_site("Germany_1", years=calendar, height=side, width=side, seed=0)
    rows, columns = np.mgrid[:side, :side]
    sky = np.sin(rows / 70) * np.cos(columns / 90)
    items: Items = {}
    for year, image in zip(calendar, site.images, strict=True):
        items[year] = []
        for number in range(scenes):
            day = f"{year}06{number + 1:02}"
            name = f"S2A_33TWN_{day}_0_L2A"
            clouds = np.roll(sky, (number * 331, number * 477), (0, 1)) > 0.5
            if not (folder / name / "scl.tif").exists():
                for band, key, pixels in zip(BANDS, ASSETS, image, strict=True):
                    step = 2 if band in COARSE else 1
                    seen = np.where(clouds, _CLOUD, pixels)[::step, ::step].astype(np.uint16)
                    write_band(folder / name / f"{key}.tif", seen, 10 * step)
                classes = np.where(clouds[::2, ::2], _CLOUD_CLASS, _CLEAR_CLASS).astype(np.uint8)
                write_band(folder / name / "scl.tif", classes, 20)
            items[year].append(scene_item(name, day, side, address))
    return items


@dataclass(frozen=True)
class Tile:
    """A tile to work on.

    Attributes:
        name: Its name, also that of its folders.
        row: Its first row in the scenes, even.
        column: Its first column, even.
        side: In pixels.
        pairs: The pairs of years that its series compares, as in `SeriesSettings`.
        items: The scenes of its years.
        models: The network.
        out: The folder for images and maps.
    """

    name: str
    row: int
    column: int
    side: int
    pairs: str
    items: Items
    models: ModelChoice
    out: str


@dataclass(frozen=True)
class StageCost:
    """The time of a step of the work.

    Attributes:
        processor: Processor seconds of all threads.
        clock: Seconds on the clock.
    """

    processor: float
    clock: float


@dataclass(frozen=True)
class TileCost:
    """The cost of a tile.

    Attributes:
        name: The tile's name.
        process: The id of the process that did it.
        began: Seconds since 1970 when it began, its network loaded.
        ended: When it ended.
        compose: Reading the scenes and composing an image a year.
        predict: The footprint of the last year alone.
        series: Footprints of all years, their changes, tables and polygons.
        image_bytes: Of the images.
        map_bytes: Of the series.
    """

    name: str
    process: int
    began: float
    ended: float
    compose: StageCost
    predict: StageCost
    series: StageCost
    image_bytes: int
    map_bytes: int


@lru_cache(maxsize=1)
def _monitor(models: ModelChoice) -> MineMonitor:
    return MineMonitor.from_pretrained(models.model, device=models.device, engine=models.engine)


def process_tile(tile: Tile) -> TileCost:
    """Compose, predict and map a tile. Files that are complete are kept."""
    mapper = _monitor(tile.models).models[0]
    images = Path(tile.out) / "EuroMineNet" / tile.name / "image"
    maps = Path(tile.out) / MAPPED[0] / tile.name
    images.mkdir(parents=True, exist_ok=True)
    scenes = {year: images / f"Year{year}.tif" for year in tile.items}

    def compose() -> None:
        for year, path in scenes.items():
            if not path.exists():
                task = Task(tile.items[year], LEFT + 10 * tile.column, TOP - 10 * tile.row, tile.side)
                make_year(site_plan(task, tile.name, year), year, path, lambda *_: None)

    settings = SeriesSettings(smoothing="median", pairs=tile.pairs, site=tile.name, simulated=True)
    began = time.time()
    return TileCost(
        name=tile.name,
        process=os.getpid(),
        began=began,
        compose=_cost(compose),
        predict=_cost(
            lambda: predict_scene(
                mapper.model,
                mapper.image_processor,
                scenes[max(scenes)],
                Path(tile.out) / MAPPED[1] / tile.name,
            )
        ),
        series=_cost(lambda: make_series([mapper], scenes, maps, settings)),
        ended=time.time(),
        image_bytes=folder_bytes(images),
        map_bytes=folder_bytes(maps),
    )


def _cost(work: Callable[[], object]) -> StageCost:
    processor, clock = time.process_time(), time.perf_counter()
    work()
    return StageCost(time.process_time() - processor, time.perf_counter() - clock)


def folder_bytes(folder: Path) -> int:
    """The size of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def tiles(count: int, side: int, world: int, items: Items, models: ModelChoice, out: Path) -> Sequence[Tile]:
    """Tiles of one size, side by side in the scenes; those beyond the last place overlap the first.

    Args:
        count: Their number.
        side: Of each in pixels.
        world: Of the scenes in pixels.
        items: The scenes of the tiles' years.
        models: The network.
        out: The folder for images and maps.
    """
    places = world // side
    return [
        Tile(
            name=f"Tile_{number + 1}",
            row=number // places % places * side,
            column=number % places * side,
            side=side,
            pairs="consecutive",
            items=items,
            models=models,
            out=str(out),
        )
        for number in range(count)
    ]

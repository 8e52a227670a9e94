"""Time and memory of a yearly composite, beside odc-stac and a plain rasterio loop, in one run.

`python -m euromine.benchmark.acquisition_speed` writes eight Sentinel-2 scenes, serves them from this machine
by byte ranges, and composes a site with each of the three in turn, each in a process of its own. It stops if
their pixels differ. With `--pause 0.05` the server waits before each answer, as remote ones do: the wall time
then shows whether waiting overlaps with work.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform_bounds

from euromine.acquisition.acquisition_record import SiteSettings
from euromine.acquisition.catalogues import Catalogue
from euromine.acquisition.scene_items import optical_item
from euromine.acquisition.site_grids import SiteGrid, search_area
from euromine.acquisition.site_plans import SitePlan
from euromine.acquisition.year_images import make_year
from euromine.modeling import BANDS
from euromine.support.errors import reported_errors
from euromine.support.markdown import table

from .command_line import benchmark_parser, duration, positive
from .range_server import served

SIDE, SCENES, WINDOW = 2000, 8, 512
_TILE, LEFT, TOP, _EPSG = 3072, 499_980, 5_300_040, 32633
_CORNER = 520  # rows and columns before the site
ASSETS = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
COARSE = {"B05", "B06", "B07", "B8A", "B11", "B12"}
_UNCLEAR = (0, 1, 3, 8, 9, 10, 11)


@dataclass(frozen=True)
class Task:
    """The composite to make.

    Attributes:
        items: STAC items.
        left: The site's left edge in metres.
        top: The site's top edge in metres.
        side: The site's side in pixels.
    """

    items: list[dict[str, Any]]
    left: int
    top: int
    side: int

    @property
    def transform(self) -> rasterio.Affine:
        """The transform of the site's 10 m pixels."""
        return rasterio.Affine(10, 0, self.left, 0, -10, self.top)


def write_world(folder: Path, address: str, scenes: int) -> list[dict[str, Any]]:
    """Write scenes with clouds, and return their items."""
    generator = np.random.default_rng(0)
    texture = generator.normal(0, 40, (_TILE, _TILE))
    ground = 1500 + 600 * np.sin(np.arange(_TILE) / 70)[:, None] * np.cos(np.arange(_TILE) / 90)
    items = []
    for place in range(scenes):
        name = f"S2A_33TWN_202106{place + 1:02}_0_L2A"
        clouds = np.roll(ground, (place * 331, place * 477), (0, 1)) > 1900
        classes = np.where(clouds[::2, ::2], 9, 4).astype(np.uint8)
        write_band(folder / name / "scl.tif", classes, 20)
        for number, (band, key) in enumerate(zip(BANDS, ASSETS, strict=True)):
            pixels = ground * (0.4 + 0.1 * number) + np.roll(texture, (place * 7, number * 11), (0, 1))
            pixels = np.where(clouds, 7000, pixels)
            side = 20 if band in COARSE else 10
            pixels = pixels[:: side // 10, :: side // 10].astype(np.uint16)
            write_band(folder / name / f"{key}.tif", pixels, side)
        items.append(scene_item(name, f"202106{place + 1:02}", _TILE, address))
    return items


def write_band(path: Path, pixels: NDArray[Any], side: int) -> None:
    """Write a band of a scene, tiled and compressed as in open archives, with pixels of `side` metres."""
    path.parent.mkdir(exist_ok=True)
    profile = {"driver": "GTiff", "count": 1, "dtype": pixels.dtype, "crs": f"EPSG:{_EPSG}", "nodata": 0}
    storage = {"tiled": True, "blockxsize": 1024, "blockysize": 1024, "compress": "deflate", "predictor": 2}
    with rasterio.open(
        path,
        "w",
        height=pixels.shape[0],
        width=pixels.shape[1],
        transform=rasterio.Affine(side, 0, LEFT, 0, -side, TOP),
        zlevel=1,
        **profile,
        **storage,
    ) as dataset:
        dataset.write(pixels, 1)


def scene_item(name: str, day: str, tile: int, address: str) -> dict[str, Any]:
    """The STAC item of a served scene.

    Args:
        name: The scene's folder.
        day: Such as "20210601".
        tile: Its side in pixels of 10 m.
        address: The server's.
    """
    west, south, east, north = transform_bounds(
        f"EPSG:{_EPSG}", "EPSG:4326", LEFT, TOP - 10 * tile, LEFT + 10 * tile, TOP
    )
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    kind = "image/tiff; application=geotiff; profile=cloud-optimized"
    assets = {}
    for key, side in [
        *((name, 20 if band in COARSE else 10) for band, name in zip(BANDS, ASSETS, strict=True)),
        ("scl", 20),
    ]:
        size = tile * 10 // side
        assets[key] = {
            "href": f"{address}/{name}/{key}.tif",
            "type": kind,
            "roles": ["data"],
            "proj:shape": [size, size],
            "proj:transform": [side, 0, LEFT, 0, -side, TOP],
        }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": ["https://stac-extensions.github.io/projection/v1.1.0/schema.json"],
        "id": name,
        "collection": "sentinel-2-l2a",
        "bbox": [west, south, east, north],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "datetime": f"{day[:4]}-{day[4:6]}-{day[6:]}T10:07:35Z",
            "platform": "sentinel-2a",
            "proj:epsg": _EPSG,
            "s2:processing_baseline": "03.00",
            "s2:datastrip_id": f"S2A_OPER_MSI_L2A_DS_VGS4_{day}T122056_S{day}T100408_N03.00",
        },
        "links": [],
        "assets": assets,
    }


def by_euromine(task: Task, out: Path) -> None:
    """This project's composite, written by `euromine acquire` as a cloud-optimised GeoTIFF."""
    make_year(site_plan(task, "site", 2021), 2021, out, lambda *_: None)


def site_plan(task: Task, name: str, year: int) -> SitePlan:
    """The plan by which `euromine acquire` composes a year of a site from served scenes."""
    catalogue = Catalogue("here", "http://127.0.0.1", ())
    items = [optical_item(item, catalogue, "L2A") for item in task.items]
    settings = SiteSettings(
        level="L2A", months=(6,), scenes=len(items), fill="least-cloudy", margin=0.0, outline={}
    )
    return SitePlan(
        name=name,
        settings=settings,
        catalogue=catalogue.name,
        area=search_area(_outline(task), 0),
        grid=SiteGrid(f"EPSG:{_EPSG}", task.left, task.top, task.side, task.side),
        items={year: items},
        radar_items={},
        radar_orbit=None,
        refused={},
        notes={},
    )


def by_loop(task: Task, out: Path) -> None:
    """A plain rasterio loop: the classification first, then one band of all scenes at a time."""
    from scipy.ndimage import binary_dilation

    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_MAX_RETRY": 5}
    with rasterio.Env(**options), rasterio.open(out, "w", **_profile(task)) as written:
        unclear = []
        for item in task.items:
            with rasterio.open(item["assets"]["scl"]["href"]) as scene, _on_grid(scene, task, 20) as there:
                grown = binary_dilation(np.isin(there.read(1), _UNCLEAR), np.ones((3, 3)))
                unclear.append(grown.repeat(2, 0).repeat(2, 1))
        order = np.argsort([mask.mean() for mask in unclear], kind="stable")
        masks = np.stack(unclear)[order]
        for place, key in enumerate(ASSETS, 1):
            with ExitStack() as files:
                scenes = [
                    files.enter_context(
                        _on_grid(
                            files.enter_context(rasterio.open(task.items[number]["assets"][key]["href"])),
                            task,
                            10,
                        )
                    )
                    for number in order
                ]
                for window in _windows(task.side):
                    rows, columns = window
                    stack = np.stack([scene.read(1, window=window) for scene in scenes])
                    pixels = _median(stack, masks[:, slice(*rows), slice(*columns)])
                    written.write(pixels, place, window=window)


def by_odc_stac(task: Task, out: Path) -> None:
    """odc-stac, tile by tile."""
    import odc.stac
    import pystac
    from odc.geo.geobox import GeoBox
    from scipy.ndimage import binary_dilation

    items = [pystac.Item.from_dict(item) for item in task.items]
    odc.stac.configure_rio(cloud_defaults=True)
    whole = GeoBox((task.side, task.side), task.transform, f"EPSG:{_EPSG}")
    coarse = GeoBox(
        (task.side // 2, task.side // 2), task.transform @ rasterio.Affine.scale(2), f"EPSG:{_EPSG}"
    )
    classes = odc.stac.load(items, bands=["scl"], geobox=coarse, groupby="id")["scl"].values
    unclear = np.stack(
        [
            binary_dilation(np.isin(each, _UNCLEAR), np.ones((3, 3))).repeat(2, 0).repeat(2, 1)
            for each in classes
        ]
    )
    order = np.argsort([mask.mean() for mask in unclear], kind="stable")
    with rasterio.open(out, "w", **_profile(task)) as written:
        for window in _windows(task.side):
            rows, columns = window
            part = whole[slice(*rows), slice(*columns)]
            found = odc.stac.load(items, bands=list(ASSETS), geobox=part, groupby="id")
            for place, key in enumerate(ASSETS, 1):
                masks = unclear[order][:, slice(*rows), slice(*columns)]
                written.write(_median(found[key].values[order], masks), place, window=window)


def _on_grid(scene: Any, task: Task, side: int) -> Any:
    from rasterio.vrt import WarpedVRT

    step = side // 10
    return WarpedVRT(
        scene,
        crs=f"EPSG:{_EPSG}",
        transform=task.transform @ rasterio.Affine.scale(step),
        width=task.side // step,
        height=task.side // step,
    )


def _median(stack: NDArray[np.uint16], unclear: NDArray[np.bool_]) -> NDArray[np.int16]:
    values = np.where(unclear | (stack == 0), np.nan, stack.astype(np.float32))
    empty = np.isnan(values).all(axis=0)
    values[0, empty] = stack[0, empty]  # the clearest scene
    return np.rint(np.nanmedian(values, axis=0)).astype(np.int16)


def _windows(side: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    for top in range(0, side, WINDOW):
        for left in range(0, side, WINDOW):
            yield (top, min(top + WINDOW, side)), (left, min(left + WINDOW, side))


def _profile(task: Task) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "height": task.side,
        "width": task.side,
        "count": len(BANDS),
        "dtype": "int16",
        "crs": f"EPSG:{_EPSG}",
        "transform": task.transform,
        "tiled": True,
        "compress": "deflate",
        "predictor": 2,
        "interleave": "band",
    }


def _outline(task: Task) -> Any:
    import shapely

    bounds = (task.left + 50, task.top - 10 * task.side + 50, task.left + 10 * task.side - 50, task.top - 50)
    return shapely.box(*transform_bounds(f"EPSG:{_EPSG}", "EPSG:4326", *bounds))


CONTESTANTS: dict[str, Callable[[Task, Path], None]] = {
    "euromine acquire": by_euromine,
    "rasterio loop": by_loop,
    "odc-stac, tile by tile": by_odc_stac,
}


@dataclass(frozen=True)
class Measured:
    """A contestant's run.

    Attributes:
        wall: Wall time in seconds.
        processor: Processor time of all threads in seconds.
        megabytes: Peak memory, including Python and libraries.
    """

    wall: float
    processor: float
    megabytes: float


def measured(name: str, task: Task, out: Path) -> Measured:
    """Run a contestant in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        return alone.submit(_measure, name, task, out).result()


def _measure(name: str, task: Task, out: Path) -> Measured:
    # Reset the peak that the process inherited (proc(5), clear_refs).
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    wall, processor = time.perf_counter(), time.process_time()
    CONTESTANTS[name](task, out)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return Measured(wall, processor, _peak_megabytes())


def _peak_megabytes() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def _check_equal(paths: list[Path]) -> None:
    """Stop if two composites differ."""
    images = []
    for path in paths:
        with rasterio.open(path) as dataset:
            images.append(dataset.read())
    for path, image in zip(paths[1:], images[1:], strict=True):
        if not np.array_equal(image, images[0]):
            raise SystemExit(
                f"{path.name} and {paths[0].name} differ in {np.count_nonzero(image != images[0])} values."
            )


def main() -> None:
    """Print a table for the documentation."""
    parser = benchmark_parser("acquisition_speed", __doc__)
    parser.add_argument("--side", type=positive, default=SIDE, help="of the site, in pixels")
    parser.add_argument("--scenes", type=positive, default=SCENES, help="of the year")
    parser.add_argument(
        "--pause", type=duration, default=0.0, help="seconds before each answer of the server"
    )
    parser.add_argument("--repeats", type=positive, default=1, help="turns of each; the best counts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), arguments.pause) as address:
        items = write_world(Path(folder), address, arguments.scenes)
        task = Task(items, LEFT + 10 * _CORNER, TOP - 10 * _CORNER, arguments.side)
        rows: dict[str, list[Measured]] = {name: [] for name in CONTESTANTS}
        paths = {name: Path(folder) / f"{place}.tif" for place, name in enumerate(CONTESTANTS)}
        for _ in range(arguments.repeats):
            for name in CONTESTANTS:
                rows[name].append(measured(name, task, paths[name]))
        _check_equal(list(paths.values()))
    print(
        f"{arguments.side} x {arguments.side} pixels, {len(BANDS)} bands, {arguments.scenes} scenes, "
        f"{1000 * arguments.pause:.0f} ms before each answer; the best of {arguments.repeats}, all equal\n"
    )
    cells = [
        (
            name,
            f"{min(run.wall for run in runs):.1f}",
            f"{min(run.processor for run in runs):.1f}",
            f"{max(run.megabytes for run in runs):.0f}",
        )
        for name, runs in rows.items()
    ]
    print(table(("composite by", "wall s", "processor s", "peak MB"), cells))


if __name__ == "__main__":
    with reported_errors("acquisition_speed"):
        main()
